//! Entity types and actions.

use super::pools;
use super::values::{any_shape, any_type};
use crate::cedar::choices::Choices;
use crate::cedar::model::{Action, EntityType, Model, Shape};
use crate::cedar::value::Uid;

/// Names of types, no two with the same last part, since a schema refuses what a namespace would hide.
const TYPES: &[&str] = &["User", "Doc", "Team", "Folder", "Shop::Order", "A::B::Member", "Shop::Deep::Item"];

/// Names of types of which one ends as another.
const HOMONYMS: &[&str] = &["User", "A::User", "A::B::User", "B::User", "principal", "A::context", "_1"];

const ACTIONS: &[&str] = &["view", "edit", "share", "all", "odd \"action\"\n", ""];

/// A model; `homonyms` are allowed where no schema is made of it.
pub(super) fn model(choices: &mut Choices, homonyms: bool) -> Model {
    let pool = if homonyms && choices.chance(25) { HOMONYMS } else { TYPES };
    let names = some(choices, pool, 2, 4);
    let enumeration = choices.chance(15).then(|| enumeration(choices));
    let referable: Vec<_> =
        names.iter().chain(enumeration.as_ref().map(|colors| &colors.name)).cloned().collect();
    let mut entity_types: Vec<_> =
        (0..names.len()).map(|index| entity_type(choices, &names, index, &referable)).collect();
    entity_types.extend(enumeration);
    let actions = actions(choices, &referable);
    Model { entity_types, actions }
}

/// From `least` to `most` of the pool, in an order of their own.
fn some(choices: &mut Choices, pool: &[&str], least: usize, most: usize) -> Vec<String> {
    let mut left: Vec<_> = pool.iter().map(|&name| name.to_owned()).collect();
    (0..choices.between(least, most)).map(|_| left.swap_remove(choices.below(left.len()))).collect()
}

fn entity_type(choices: &mut Choices, names: &[String], index: usize, referable: &[String]) -> EntityType {
    let itself = choices.chance(40);
    let mut parents: Vec<_> = names[index + 1..].iter().filter(|_| choices.chance(50)).cloned().collect();
    if itself {
        parents.push(names[index].clone());
    }
    let mut ids: Vec<_> = (0..choices.between(1, 3)).map(|_| pools::id(choices).to_owned()).collect();
    ids.sort();
    ids.dedup();
    EntityType {
        name: names[index].clone(),
        parents,
        attributes: any_shape(choices, referable, 2, 7),
        tags: choices.chance(35).then(|| any_type(choices, referable, 1)),
        ids,
        enumerated: false,
    }
}

fn enumeration(choices: &mut Choices) -> EntityType {
    EntityType {
        name: "Color".to_owned(),
        parents: Vec::new(),
        attributes: Shape::new(),
        tags: None,
        ids: some(choices, &["red", "green", "dark \"blue\""], 1, 3),
        enumerated: true,
    }
}

fn actions(choices: &mut Choices, names: &[String]) -> Vec<Action> {
    // One type for all: a name without a namespace would mean another action inside a namespace.
    let action_type = choices.weighted(&[(8, "Action"), (1, "Shop::Action"), (1, "A::B::Action")]);
    let uids: Vec<_> = some(choices, ACTIONS, 1, 4).iter().map(|id| Uid::new(action_type, id)).collect();
    let types = |choices: &mut Choices| {
        let mut types: Vec<_> = names.iter().filter(|_| choices.chance(55)).cloned().collect();
        if types.is_empty() {
            types.push(choices.pick(names).clone());
        }
        types
    };
    let action = |choices: &mut Choices, index: usize| {
        let is_group = index > 0 && choices.chance(25);
        Action {
            uid: uids[index].clone(),
            parents: uids[index + 1..].iter().filter(|_| choices.chance(50)).cloned().collect(),
            principals: if is_group { Vec::new() } else { types(choices) },
            resources: if is_group { Vec::new() } else { types(choices) },
            context: any_shape(choices, names, 2, 5),
        }
    };
    (0..uids.len()).map(|index| action(choices, index)).collect()
}
