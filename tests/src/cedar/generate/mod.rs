//! Random cases, directed by types: most expressions have the type that their place asks for.

mod booleans;
mod expressions;
mod models;
mod policies;
mod pools;
mod scalars;
mod stores;
mod values;

use super::choices::Choices;
use super::draft::Draft;

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

/// The case of a seed.
pub fn draft(seed: u64, knobs: &Knobs) -> Draft {
    let choices = &mut Choices::new(seed);
    let model = models::model(choices, !knobs.schema);
    let entities = stores::entities(choices, &model, knobs);
    let count = choices.between(1, 6);
    let policies = (0..count).map(|_| policies::policy(choices, &model, knobs)).collect();
    let count = choices.between(1, 6);
    let requests = (0..count).map(|_| stores::request(choices, &model, knobs)).collect();
    Draft { schema: knobs.schema.then_some(model), policies, entities, requests }
}
