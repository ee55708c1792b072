//! The same ten policies in Rego, and what is asked of them.

use serde_json::{Value as Json, json};
use tamis_core::{Chunk, Request, metadata};

/// The ten policies.
pub const POLICY: &str = include_str!("../peers/opa/policy.rego");
/// The same for OPA's data filters.
pub const FILTERS: &str = include_str!("../peers/opa/filters.rego");

/// Who asks, as the rules call it.
pub fn subject(request: &Request) -> Json {
    let who = request.entities().get(request.subject()).unwrap();
    who.attributes.iter().map(|(name, value)| (name.clone(), metadata::write(value))).collect()
}

/// What is asked about one chunk: only what the rules read of it, so that no engine parses what it does not need.
pub fn question(subject: &Json, chunk: &Chunk) -> Json {
    json!({"action": "retrieve", "subject": subject, "chunk": read(chunk)})
}

/// What is asked about many chunks in one evaluation.
pub fn questions(subject: &Json, chunks: &[Chunk]) -> Json {
    json!({"action": "retrieve", "subject": subject, "chunks": chunks.iter().map(read).collect::<Vec<_>>()})
}

/// What the rules read of a chunk.
pub fn read(chunk: &Chunk) -> Json {
    let attributes = ["access_level", "tenant", "user_roles"];
    attributes.iter().map(|name| ((*name).to_owned(), chunk.attributes[*name].clone())).collect()
}
