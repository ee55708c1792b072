//! Values as entities, tags and contexts hold them, in the forms that Cedar's JSON has for them.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

/// Names and their values: the attributes of an entity, its tags, a record.
pub type Fields = BTreeMap<String, Value>;

/// An entity type and an id.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Uid {
    /// The name of the type, with its namespaces.
    pub entity_type: String,
    /// The id, which may be any text.
    pub id: String,
}

impl Uid {
    /// The uid of a type and an id.
    pub fn new(entity_type: &str, id: &str) -> Self {
        Self { entity_type: entity_type.to_owned(), id: id.to_owned() }
    }

    /// `{"type", "id"}`.
    pub fn json(&self) -> Json {
        json!({"type": self.entity_type, "id": self.id})
    }
}

/// A value without anything left to look up.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Value {
    /// A boolean.
    Bool(bool),
    /// A 64-bit number.
    Long(i64),
    /// A text.
    Text(String),
    /// A reference to an entity.
    Entity(Uid),
    /// A set, as it is written: perhaps with an element twice.
    Set(Vec<Value>),
    /// A record.
    Record(Fields),
    /// An extension function and what it is called with.
    Extension(&'static str, Vec<Value>),
}

/// How JSON says that a value is an entity or of an extension type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Escapes {
    /// With `__entity` and `__extn`, as is right everywhere.
    Explicit,
    /// Without, which a schema makes up for.
    Implicit,
}

impl Value {
    /// The JSON of the value.
    pub fn json(&self, escapes: Escapes) -> Json {
        match self {
            Self::Bool(value) => json!(value),
            Self::Long(value) => json!(value),
            Self::Text(value) => json!(value),
            Self::Entity(uid) if escapes == Escapes::Implicit => uid.json(),
            Self::Entity(uid) => json!({"__entity": uid.json()}),
            Self::Set(elements) => elements.iter().map(|element| element.json(escapes)).collect(),
            Self::Record(fields) => fields_json(fields, escapes),
            Self::Extension(function, arguments) => extension_json(function, arguments, escapes),
        }
    }
}

/// The JSON object of named values.
pub fn fields_json(fields: &Fields, escapes: Escapes) -> Json {
    let members = fields.iter().map(|(name, value)| (name.clone(), value.json(escapes)));
    Json::Object(members.collect())
}

fn extension_json(function: &str, arguments: &[Value], escapes: Escapes) -> Json {
    match arguments {
        [Value::Text(text)] if escapes == Escapes::Implicit => json!(text),
        [argument] => json!({"__extn": {"fn": function, "arg": argument.json(escapes)}}),
        _ => {
            let arguments: Vec<_> = arguments.iter().map(|argument| argument.json(escapes)).collect();
            json!({"__extn": {"fn": function, "args": arguments}})
        }
    }
}
