//! Random cases, directed by types: most expressions have the type that their place asks for.

mod answers;
mod booleans;
mod expressions;
mod models;
mod places;
mod policies;
mod pools;
mod questions;
mod scalars;
mod stored;
mod stores;
mod topic;
mod values;

use answers::Answers;
use stored::Stored;
use topic::Topic;

use super::choices::Choices;
use super::draft::Draft;
use super::model::Model;

/// What sort of cases are made.
#[derive(Clone, Copy, Debug)]
pub struct Knobs {
    /// Whether a case has a schema, to which its entities conform.
    pub schema: bool,
    /// How many of a hundred expressions have another type than their place asks for.
    pub ill_typed: u32,
    /// How many of a hundred requests are for no action of the model.
    pub stray_requests: u32,
}

impl Knobs {
    /// Cases with a schema.
    pub const WITH_SCHEMA: Self = Self { schema: true, ill_typed: 2, stray_requests: 8 };

    /// Cases without a schema, whose values keep to no types.
    pub const WITHOUT_SCHEMA: Self = Self { schema: false, ill_typed: 2, stray_requests: 12 };

    /// Cases with a schema for even seeds, without one for odd seeds.
    pub fn alternating(seed: u64) -> Self {
        if seed.is_multiple_of(2) { Self::WITH_SCHEMA } else { Self::WITHOUT_SCHEMA }
    }
}

/// What the policies of a case are written about.
#[derive(Debug)]
struct Scene<'a> {
    model: &'a Model,
    stored: Stored,
    answers: Answers<'a>,
    ill_typed: u32,
}

/// The case of a seed.
pub fn draft(seed: u64, knobs: &Knobs) -> Draft {
    let choices = &mut Choices::new(seed);
    let model = models::model(choices, !knobs.schema);
    let entities = stores::entities(choices, &model, knobs);
    let topic = Topic::any(choices, &model);
    let mut requests = Vec::new();
    for _ in 0..choices.between(1, 6) {
        let topic = topic.or_another(choices, &model);
        requests.push(stores::request(choices, &model, topic, knobs));
    }
    let scene = Scene {
        model: &model,
        stored: Stored::new(&model, &entities),
        answers: Answers::new(&model, &entities, &requests),
        ill_typed: knobs.ill_typed,
    };
    let mut policies = Vec::new();
    for _ in 0..how_many_policies(choices) {
        let topic = topic.or_another(choices, &model);
        policies.push(policies::policy(choices, &scene, topic));
    }
    Draft { schema: knobs.schema.then_some(model), policies, entities, requests }
}

/// A few policies; seldom none, or so many that their ids have two digits.
fn how_many_policies(choices: &mut Choices) -> usize {
    match choices.below(100) {
        0 => 0,
        1 => choices.between(10, 30),
        _ => choices.between(1, 6),
    }
}
