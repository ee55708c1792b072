//! The same decision in native Rust: over a typed struct, and over the JSON metadata as it is stored.

use tamis_core::{Attributes, Chunk, Request, Value};

/// Who asks, as native code would hold it.
#[derive(Debug)]
pub struct Person {
    tenant: String,
    clearance: i64,
    roles: Vec<String>,
}

/// What the policy reads of a chunk, as native code would hold it.
#[derive(Debug)]
pub struct Document {
    tenant: String,
    access_level: i64,
    user_roles: Vec<String>,
}

impl Person {
    /// From a request.
    pub fn of(request: &Request) -> Self {
        let attributes = &request.entities().get(request.subject()).unwrap().attributes;
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => panic!("{other:?} is not a text"),
        };
        let (Value::Long(clearance), Value::Set(roles)) = (&attributes["clearance"], &attributes["roles"])
        else {
            panic!("the benchmark's request has a clearance and roles");
        };
        Self {
            tenant: text(&attributes["tenant"]),
            clearance: *clearance,
            roles: roles.iter().map(text).collect(),
        }
    }
}

impl Document {
    /// From a chunk.
    pub fn of(chunk: &Chunk) -> Self {
        let roles = chunk.attributes["user_roles"].as_array().unwrap();
        Self {
            tenant: chunk.attributes["tenant"].as_str().unwrap().to_owned(),
            access_level: chunk.attributes["access_level"].as_i64().unwrap(),
            user_roles: roles.iter().map(|role| role.as_str().unwrap().to_owned()).collect(),
        }
    }
}

/// Over a struct.
pub fn on_struct(person: &Person, document: &Document) -> bool {
    document.tenant == person.tenant
        && document.access_level <= person.clearance
        && document.user_roles.iter().any(|role| person.roles.contains(role))
}

/// Over a JSON object.
pub fn on_json(person: &Person, attributes: &Attributes) -> Option<bool> {
    Some(
        attributes.get("tenant")?.as_str()? == person.tenant
            && attributes.get("access_level")?.as_i64()? <= person.clearance
            && attributes
                .get("user_roles")?
                .as_array()?
                .iter()
                .any(|role| role.as_str().is_some_and(|role| person.roles.iter().any(|own| own == role))),
    )
}
