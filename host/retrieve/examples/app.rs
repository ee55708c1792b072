//! A whole program: store a few chunks through the admit gate, then answer two people from the same database.
//!
//! Run from the root of the checkout, after `./run policies`:
//!
//! ```sh
//! cargo run --release -p tamis-retrieve --example app
//! ```

use std::error::Error;
use std::path::Path;

use tamis_core::{Chunk, Request};
use tamis_retrieve::{By, Question, Store, index, search};
use tamis_runtime::{Limits, PolicyHandle, Runtime};

const CHUNKS: [&str; 3] = [
    r#"{"id":"lunch","attributes":{"tenant":"acme","access_level":0,"user_roles":["employee"]},
        "text":"Lunch is at noon.","vector":[0.9,0.1,0.0]}"#,
    r#"{"id":"salaries","attributes":{"tenant":"acme","access_level":3,"user_roles":["hr"]},
        "text":"Salaries rise in March.","vector":[0.8,0.2,0.1]}"#,
    // No access level: the admit gate refuses it.
    r#"{"id":"stray","attributes":{"tenant":"acme","user_roles":["hr"]},"text":"?","vector":[0.5,0.5,0.5]}"#,
];

fn main() -> Result<(), Box<dyn Error>> {
    let policy = std::fs::read("target/policies/clearance.wasm")
        .map_err(|error| format!("target/policies/clearance.wasm: {error}; `./run policies` builds it"))?;
    let handle = PolicyHandle::new(&Runtime::shared()?, &policy, Limits::default())?;
    let folder = tempfile::tempdir()?;
    let mut store = Store::create(&folder.path().join("app.sqlite"))?;

    // Identity comes from the application's own session, never from what a user or a model typed.
    let loader = person("loader", 0, "indexer")?;
    let chunks = CHUNKS.iter().map(|json| Chunk::from_json(json)).collect::<Result<_, _>>()?;
    let report = index(&mut store, &handle, &loader, chunks, |_| {})?;
    println!("stored {}, refused {:?}", report.stored, report.rejected);

    for request in [person("ann", 1, "employee")?, person("hal", 3, "hr")?] {
        let found = search(&store, &handle, &Question::new(&request, By::Vector(&[1.0, 0.0, 0.0]), 2))?;
        let ids: Vec<&str> = found.hits.iter().map(|hit| hit.chunk.uid.id.as_str()).collect();
        println!("{} gets {ids:?}; complete: {}, exact: {}", request.subject(), found.complete, found.exact);
    }

    // Serve another version from now on; a bad one would change nothing. `handle.watch(path)` does this by itself.
    handle.replace(&std::fs::read(Path::new("target/policies/company.wasm"))?)?;
    println!("generation {} serves", handle.current().number());
    Ok(())
}

fn person(id: &str, clearance: i64, role: &str) -> Result<Request, Box<dyn Error>> {
    let json = format!(
        r#"{{"subject":{{"type":"User","id":"{id}",
            "properties":{{"tenant":"acme","clearance":{clearance},"roles":["{role}"]}}}},"action":{{"name":"retrieve"}}}}"#
    );
    Ok(Request::from_json(&json)?)
}
