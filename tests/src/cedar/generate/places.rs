//! The attributes that a policy can read: of its variables, of what those refer to, and so on.

use super::topic::Topic;
use crate::cedar::expression::Expression;
use crate::cedar::model::{Model, Type};

/// Places of one variable; beyond that many, more would only make the drawing slower.
const MOST_PLACES: usize = 60;

/// Attributes on a path.
const LONGEST_PATH: usize = 4;

/// A variable, or an attribute by its path.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// How it is read.
    pub(super) expression: Expression,
    /// What it holds.
    pub(super) holds: Type,
    /// What must be true for it to be there.
    pub(super) guards: Vec<Expression>,
    length: usize,
}

impl Place {
    /// Whether it is the resource or read from it.
    pub(super) fn is_of_resource(&self) -> bool {
        let mut root = &self.expression;
        while let Expression::Get(of, _) = root {
            root = of;
        }
        *root == Expression::Variable("resource")
    }
}

/// The places of each variable in turn, those of the resource first.
pub(super) fn places(model: &Model, topic: Topic<'_>) -> Vec<Place> {
    let variables = [
        ("resource", Type::Entity(topic.resource.to_owned())),
        ("principal", Type::Entity(topic.principal.to_owned())),
        ("context", Type::Record(topic.action.context.clone())),
        ("action", Type::Entity(topic.action.uid.entity_type.clone())),
    ];
    variables.into_iter().flat_map(|(variable, holds)| places_of(model, variable, holds)).collect()
}

fn places_of(model: &Model, variable: &'static str, holds: Type) -> Vec<Place> {
    let expression = Expression::Variable(variable);
    let mut places = vec![Place { expression, holds, guards: Vec::new(), length: 0 }];
    let mut next = 0;
    while next < places.len() && places.len() < MOST_PLACES {
        let further = further(model, &places[next]);
        places.extend(further);
        next += 1;
    }
    places
}

fn further(model: &Model, place: &Place) -> Vec<Place> {
    let shape = match &place.holds {
        Type::Entity(name) => model.entity_type(name).map(|entity_type| &entity_type.attributes),
        Type::Record(shape) => Some(shape),
        _ => None,
    };
    let fields = shape.into_iter().flatten().filter(|_| place.length < LONGEST_PATH);
    fields
        .map(|(name, field)| {
            let mut guards = place.guards.clone();
            if !field.required {
                guards.push(place.expression.clone().has(name));
            }
            let expression = place.expression.clone().get(name);
            Place { expression, holds: field.holds.clone(), guards, length: place.length + 1 }
        })
        .collect()
}
