//! Policies, requests and chunks of any size in one respect: how many groups the subject is in, how many attributes a policy reads.

use std::fmt::Write;

use serde_json::{Value as Json, json};
use tamis_compiler::Named;
use tamis_core::{Chunk, Request};

/// A policy about groups and its schema.
const READERS: (&str, &str) = (
    "permit(principal, action, resource) when { resource.readers.containsAny(principal.groups) };",
    "entity User { groups: Set<String> };
     entity Chunk { readers: Set<String> };
     action \"retrieve\" appliesTo { principal: User, resource: Chunk };",
);

/// Who asks for what under which policy.
#[derive(Debug)]
pub struct Case {
    /// The policy.
    pub component: Vec<u8>,
    /// Who asks.
    pub request: Request,
    /// What is there.
    pub chunks: Vec<Chunk>,
}

/// A subject in so many groups, of which each chunk names two. One chunk in two is readable.
pub fn groups(count: usize, chunks: usize) -> Case {
    let groups: Vec<String> = (0..count).map(|number| format!("group-{number}")).collect();
    let attributes = |number: usize| {
        let group =
            if number.is_multiple_of(2) { format!("group-{}", number % count) } else { "nobody".to_owned() };
        json!({"readers": [group, format!("others-{}", number % 50)]})
    };
    Case {
        component: component(READERS.0, READERS.1),
        request: request(json!({"groups": groups})),
        chunks: (0..chunks).map(|number| chunk(number, attributes(number))).collect(),
    }
}

/// A policy that reads so many attributes of every chunk. One chunk in two is readable.
pub fn footprint(attributes: usize, chunks: usize) -> Case {
    let name = |number: usize| format!("attribute{number}");
    let (mut conditions, mut fields) = (Vec::new(), String::new());
    for number in 0..attributes {
        conditions.push(format!("resource.{0} == principal.{0}", name(number)));
        let _ = write!(fields, "{}: String, ", name(number));
    }
    let policy = format!("permit(principal, action, resource) when {{ {} }};", conditions.join(" && "));
    let schema = format!(
        "entity User {{ {fields} }}; entity Chunk {{ {fields} }};
         action \"retrieve\" appliesTo {{ principal: User, resource: Chunk }};"
    );
    let values = |last: &str| -> Json {
        let value = |number: usize| {
            if number + 1 == attributes { last.to_owned() } else { format!("value {number}") }
        };
        (0..attributes).map(|number| (name(number), Json::from(value(number)))).collect()
    };
    Case {
        component: component(&policy, &schema),
        request: request(values("mine")),
        chunks: (0..chunks)
            .map(|number| chunk(number, values(if number.is_multiple_of(2) { "mine" } else { "yours" })))
            .collect(),
    }
}

fn component(policy: &str, schema: &str) -> Vec<u8> {
    let named = |name, text| Named { name, text };
    tamis_compiler::compile("scale", named("policy", policy), Some(named("schema", schema)))
        .unwrap()
        .component
}

fn request(properties: Json) -> Request {
    let json = json!({
        "subject": {"type": "User", "id": "alice", "properties": properties},
        "action": {"name": "retrieve"},
    });
    Request::from_json(&json.to_string()).unwrap()
}

fn chunk(number: usize, attributes: Json) -> Chunk {
    Chunk::from_json(&json!({"id": number.to_string(), "attributes": attributes}).to_string()).unwrap()
}
