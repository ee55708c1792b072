//! The same decision in native Rust: over a typed struct, and over the JSON metadata as it is stored.

use serde_json::Value as Json;
use tamis_core::{Attributes, Chunk, Request, Value};

/// What the ten policies add to the three: employees read what is for employees, at any of these levels.
const EMPLOYEE: &str = "employee";
const LEVELS: std::ops::RangeInclusive<i64> = 0..=6;

/// Who asks, as native code would hold it.
#[derive(Debug)]
pub struct Person {
    tenant: String,
    clearance: i64,
    roles: Vec<String>,
    employee: bool,
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
        let roles: Vec<String> = roles.iter().map(text).collect();
        Self {
            tenant: text(&attributes["tenant"]),
            clearance: *clearance,
            employee: roles.iter().any(|role| role == EMPLOYEE),
            roles,
        }
    }
}

impl Person {
    /// The highest level of access that they may read.
    pub fn clearance(&self) -> i64 {
        self.clearance
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

/// Three policies over a struct.
pub fn on_struct(person: &Person, document: &Document) -> bool {
    document.tenant == person.tenant
        && document.access_level <= person.clearance
        && document.user_roles.iter().any(|role| person.roles.contains(role))
}

/// Ten policies over a struct, as a person would write them: seven differ in a number alone.
pub fn ten_on_struct(person: &Person, document: &Document) -> bool {
    document.tenant == person.tenant
        && (document.access_level <= person.clearance
            && document.user_roles.iter().any(|role| person.roles.contains(role))
            || person.employee
                && LEVELS.contains(&document.access_level)
                && document.user_roles.iter().any(|role| role == EMPLOYEE))
}

/// Three policies over a JSON object.
pub fn on_json(person: &Person, attributes: &Attributes) -> Option<bool> {
    Some(
        attributes.get("tenant")?.as_str()? == person.tenant
            && attributes.get("access_level")?.as_i64()? <= person.clearance
            && has_any(attributes.get("user_roles")?.as_array()?, &person.roles),
    )
}

/// Ten policies over a JSON object.
pub fn ten_on_json(person: &Person, attributes: &Attributes) -> Option<bool> {
    if attributes.get("tenant")?.as_str()? != person.tenant {
        return Some(false);
    }
    let level = attributes.get("access_level")?.as_i64()?;
    let roles = attributes.get("user_roles")?.as_array()?;
    Some(
        level <= person.clearance && has_any(roles, &person.roles)
            || person.employee
                && LEVELS.contains(&level)
                && roles.iter().any(|role| role.as_str() == Some(EMPLOYEE)),
    )
}

fn has_any(roles: &[Json], own: &[String]) -> bool {
    roles.iter().any(|role| role.as_str().is_some_and(|role| own.iter().any(|own| own == role)))
}
