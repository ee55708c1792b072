//! Entities and requests.

use super::topic::Topic;
use super::values::{anything, fields, uid, value};
use super::{Knobs, pools};
use crate::cedar::choices::Choices;
use crate::cedar::draft::{Entity, Request};
use crate::cedar::model::{Action, EntityType, Model};
use crate::cedar::value::{Escapes, Fields, Uid};

/// The entities of a case. Some that the case speaks of are left out.
pub(super) fn entities(choices: &mut Choices, model: &Model, knobs: &Knobs) -> Vec<Entity> {
    let mut entities = Vec::new();
    for entity_type in &model.entity_types {
        for index in 0..entity_type.ids.len() {
            if !choices.chance(12) {
                entities.push(entity(choices, model, knobs, entity_type, index));
            }
        }
    }
    // With a schema, Cedar takes the actions from it.
    if !knobs.schema {
        entities.extend(model.actions.iter().map(|action| action_entity(choices, model, action)));
    }
    entities
}

fn entity(
    choices: &mut Choices,
    model: &Model,
    knobs: &Knobs,
    entity_type: &EntityType,
    index: usize,
) -> Entity {
    let mut entity = Entity {
        uid: Uid::new(&entity_type.name, &entity_type.ids[index]),
        attributes: fields(choices, model, &entity_type.attributes),
        tags: Fields::new(),
        parents: parents(choices, model, entity_type, index),
        escapes: if knobs.schema && choices.chance(40) { Escapes::Implicit } else { Escapes::Explicit },
        uid_escapes: if choices.chance(90) { Escapes::Implicit } else { Escapes::Explicit },
    };
    if let Some(tags) = &entity_type.tags {
        for _ in 0..choices.between(0, 3) {
            entity.tags.insert(pools::text(choices).to_owned(), value(choices, model, tags));
        }
    }
    if !knobs.schema {
        stray(choices, model, &mut entity.attributes);
        if choices.chance(10) {
            stray(choices, model, &mut entity.tags);
        }
    }
    entity
}

/// Entities further down the model, so that no entity is in itself.
fn parents(choices: &mut Choices, model: &Model, entity_type: &EntityType, index: usize) -> Vec<Uid> {
    let mut parents = Vec::new();
    for name in &entity_type.parents {
        if *name == entity_type.name {
            let further = entity_type.ids[index + 1..].iter().filter(|_| choices.chance(60));
            parents.extend(further.map(|id| Uid::new(name, id)));
        } else if choices.chance(60) {
            parents.push(uid(choices, model, name));
        }
    }
    parents
}

/// An attribute of another type, one too many, or one too few.
fn stray(choices: &mut Choices, model: &Model, fields: &mut Fields) {
    for value in fields.values_mut() {
        if choices.chance(6) {
            *value = anything(choices, model, 2);
        }
    }
    if choices.chance(15) {
        fields.insert(pools::name(choices).to_owned(), anything(choices, model, 2));
    }
    if choices.chance(15) && !fields.is_empty() {
        let name = fields.keys().nth(choices.below(fields.len())).cloned().expect("one of them");
        fields.remove(&name);
    }
}

fn action_entity(choices: &mut Choices, model: &Model, action: &Action) -> Entity {
    let mut entity = bare_action(action);
    if choices.chance(10) {
        entity.attributes.insert(pools::name(choices).to_owned(), anything(choices, model, 1));
    }
    entity
}

/// The entity that a schema makes of an action.
pub(super) fn bare_action(action: &Action) -> Entity {
    Entity {
        uid: action.uid.clone(),
        attributes: Fields::new(),
        tags: Fields::new(),
        parents: action.parents.clone(),
        escapes: Escapes::Explicit,
        uid_escapes: Escapes::Implicit,
    }
}

/// A request: mostly one about the topic.
pub(super) fn request(choices: &mut Choices, model: &Model, topic: Topic<'_>, knobs: &Knobs) -> Request {
    let mut request = Request {
        principal: uid(choices, model, topic.principal),
        action: topic.action.uid.clone(),
        resource: uid(choices, model, topic.resource),
        context: fields(choices, model, &topic.action.context),
    };
    if choices.chance(5) && topic.action.resources.iter().any(|name| name == topic.principal) {
        request.resource = request.principal.clone();
    }
    if choices.chance(knobs.stray_requests) {
        stray_request(choices, model, &mut request);
    }
    if !knobs.schema {
        stray(choices, model, &mut request.context);
    }
    request
}

/// A request that no action of the model is for.
fn stray_request(choices: &mut Choices, model: &Model, request: &mut Request) {
    let of_any_type = |choices: &mut Choices| {
        let name = choices.pick(&model.entity_types).name.clone();
        uid(choices, model, &name)
    };
    match choices.below(4) {
        0 => request.principal = of_any_type(choices),
        1 => request.resource = of_any_type(choices),
        2 => request.action.id = pools::id(choices).to_owned(),
        _ => request.principal = Uid::new("Nobody::Knows", pools::id(choices)),
    }
}
