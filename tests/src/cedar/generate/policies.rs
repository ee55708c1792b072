//! Policies: scopes, annotations, and how many conditions.

use super::expressions::Author;
use super::topic::Topic;
use super::values::uid;
use super::{Scene, pools};
use crate::cedar::choices::Choices;
use crate::cedar::model::{Action, Model};
use crate::cedar::policy::{Condition, Policy, Scope};
use crate::cedar::value::Uid;

const ANNOTATIONS: &[(&str, Option<&str>)] = &[
    ("id", Some("policy0")),
    ("id", Some("other")),
    ("advice", Some("a \"b\"\n")),
    ("audit", None),
    ("if", None),
];

/// What a permit shows is less these.
const REDACTIONS: &[&str] = &["a", "b", "a, b", "text", "a.b, text", "a.c", "b, c, text"];

/// A policy about a topic, though its scope may say less.
pub(super) fn policy(choices: &mut Choices, scene: &Scene<'_>, topic: Topic<'_>) -> Policy {
    let model = scene.model;
    let count = choices.weighted(&[(2, 0), (12, 1), (4, 2), (1, 4)]);
    let mut policy = Policy {
        annotations: Vec::new(),
        permits: choices.chance(60),
        principal: scope(choices, model, topic.principal),
        action: action_scope(choices, model, topic.action),
        resource: scope(choices, model, topic.resource),
        conditions: Vec::new(),
    };
    if choices.chance(10) {
        policy.annotations.push(*choices.pick(ANNOTATIONS));
    }
    if policy.permits && choices.chance(20) {
        policy.annotations.push(("redact", Some(*choices.pick(REDACTIONS))));
    }
    let mut author = Author::new(choices, scene, topic);
    for _ in 0..count {
        let keyword = if author.choices.chance(70) { "when" } else { "unless" };
        let body = author.condition();
        policy.conditions.push(Condition { keyword, body });
    }
    policy
}

fn scope(choices: &mut Choices, model: &Model, of_type: &str) -> Scope {
    // A type or an entity that the scope names is mostly one that the policy is about.
    let name = match choices.chance(90) {
        true => of_type.to_owned(),
        false => choices.pick(&model.entity_types).name.clone(),
    };
    let ancestor = |choices: &mut Choices| {
        let parents = model.entity_type(&name).map_or(&[][..], |entity_type| &entity_type.parents);
        let of = if parents.is_empty() || choices.chance(20) { &name } else { choices.pick(parents) };
        uid(choices, model, of)
    };
    match choices.weighted(&[(9, 0), (4, 1), (1, 2), (2, 3), (2, 4)]) {
        0 => Scope::Any,
        1 => Scope::Is(name),
        2 => Scope::Equal(uid(choices, model, &name)),
        3 => Scope::In(ancestor(choices)),
        _ => {
            let ancestor = ancestor(choices);
            Scope::IsIn(name, ancestor)
        }
    }
}

fn action_scope(choices: &mut Choices, model: &Model, action: &Action) -> Scope {
    let some = |choices: &mut Choices| match choices.below(4) {
        0 => choices.pick(&model.actions).uid.clone(),
        1 if !action.parents.is_empty() => choices.pick(&action.parents).clone(),
        2 if choices.chance(10) => Uid::new(&action.uid.entity_type, pools::id(choices)),
        _ => action.uid.clone(),
    };
    match choices.weighted(&[(8, 0), (3, 1), (3, 2), (3, 3)]) {
        0 => Scope::Any,
        1 => Scope::Equal(some(choices)),
        2 => Scope::In(some(choices)),
        _ => Scope::InAny((0..choices.between(0, 3)).map(|_| some(choices)).collect()),
    }
}
