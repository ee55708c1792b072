//! What the entities of a case hold, so that policies ask about it and are often answered yes.

use crate::cedar::draft::Entity;
use crate::cedar::model::{Model, Type};
use crate::cedar::value::Value;

/// Values beyond that many would only make the drawing slower.
const MOST_VALUES: usize = 200;

/// Values with their types, and the keys of tags.
#[derive(Debug, Default)]
pub(super) struct Stored {
    values: Vec<(Type, Value)>,
    /// The keys of the tags.
    pub(super) keys: Vec<String>,
}

impl Stored {
    /// What the entities hold. Without a schema some of it has another type than the model says.
    pub(super) fn new(model: &Model, entities: &[Entity]) -> Self {
        let mut stored = Self::default();
        for entity in entities {
            stored.keys.extend(entity.tags.keys().cloned());
            let Some(entity_type) = model.entity_type(&entity.uid.entity_type) else { continue };
            for (name, value) in &entity.attributes {
                if let Some(field) = entity_type.attributes.get(name) {
                    stored.add(&field.holds, value);
                }
            }
        }
        stored
    }

    /// The values of a type.
    pub(super) fn of_type(&self, of: &Type) -> Vec<&Value> {
        self.values.iter().filter(|(holds, _)| holds == of).map(|(_, value)| value).collect()
    }

    /// Adds a value and what is in it.
    fn add(&mut self, of: &Type, value: &Value) {
        if self.values.len() == MOST_VALUES {
            return;
        }
        self.values.push((of.clone(), value.clone()));
        match (of, value) {
            (Type::Set(element), Value::Set(elements)) => {
                elements.iter().take(3).for_each(|value| self.add(element, value));
            }
            (Type::Record(shape), Value::Record(fields)) => {
                for (name, value) in fields {
                    if let Some(field) = shape.get(name) {
                        self.add(&field.holds, value);
                    }
                }
            }
            _ => {}
        }
    }
}
