//! What the tests share: example policies built from source, requests, chunks.

pub mod cedar;
pub mod engines;
pub mod extension;
pub mod generate;
pub mod hostile;
pub mod readability;
pub mod rewriting;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tamis_core::{Chunk, Filter, Request};
use tamis_runtime::{Limits, Policy, Runtime};

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in a folder of the root").to_owned()
}

/// The component of an example policy under `guest/examples`, built by cargo at the first call of this process.
pub fn example(name: &str) -> Vec<u8> {
    static BUILT: Mutex<Option<HashMap<String, Vec<u8>>>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    let build = || tamis_build::build_crate(&root().join("guest/examples").join(name)).unwrap();
    built.entry(name.to_owned()).or_insert_with(build).clone()
}

/// An example policy.
pub fn load(name: &str) -> Policy {
    Policy::load(&Runtime::shared().unwrap(), &example(name), &patient()).unwrap()
}

/// Limits for tests that are not about time: machines that run them may have a lot else to do.
pub fn patient() -> Limits {
    Limits { deadline: Duration::from_secs(60), ..Limits::default() }
}

/// The ids of the chunks that the policy allows, in order.
pub fn allowed(policy: &Policy, request: &Request, chunks: &[Chunk]) -> Vec<String> {
    let decisions = policy.filter(request, chunks).unwrap();
    chunks.iter().zip(decisions).filter(|(_, d)| d.allow).map(|(chunk, _)| chunk.uid.id.clone()).collect()
}

/// The ids of the chunks that the filter matches, in order.
pub fn matched(filter: &Filter, chunks: &[Chunk]) -> Vec<String> {
    chunks.iter().filter(|chunk| filter.matches(chunk)).map(|chunk| chunk.uid.id.clone()).collect()
}

/// A request from its JSON form.
pub fn request(json: &str) -> Request {
    Request::from_json(json).unwrap()
}

/// A chunk from its JSON form.
pub fn chunk(json: &str) -> Chunk {
    Chunk::from_json(json).unwrap()
}

/// A chunk as the policy `clearance` reads it.
pub fn document(id: &str, tenant: &str, level: i64, roles: &[&str]) -> Chunk {
    let roles = roles.iter().map(|role| format!("{role:?}")).collect::<Vec<_>>().join(",");
    chunk(&format!(
        r#"{{"id":"{id}","attributes":{{"doc_id":"{id}","tenant":"{tenant}","access_level":{level},"user_roles":[{roles}]}}}}"#
    ))
}

/// A user as the policy `clearance` reads one.
pub fn user(id: &str, tenant: &str, clearance: i64, roles: &[&str]) -> Request {
    request(&format!(
        r#"{{"subject":{},"action":{{"name":"retrieve"}}}}"#,
        principal("User", id, tenant, clearance, roles)
    ))
}

/// A user with an agent acting for them, as the policy `clearance` reads both.
pub fn user_with_agent(user: &str, agent: &str) -> Request {
    request(&format!(r#"{{"subject":{user},"actor":[{agent}],"action":{{"name":"retrieve"}}}}"#))
}

/// The JSON of one principal, as the policy `clearance` reads it.
pub fn principal(entity_type: &str, id: &str, tenant: &str, clearance: i64, roles: &[&str]) -> String {
    let roles = roles.iter().map(|role| format!("{role:?}")).collect::<Vec<_>>().join(",");
    format!(
        r#"{{"type":"{entity_type}","id":"{id}","properties":{{"tenant":"{tenant}","clearance":{clearance},"roles":[{roles}]}}}}"#
    )
}
