//! The floor: the same component, called through wasmtime alone with arguments that are already in the contract's form.
//!
//! No limits, no deadline, no checks, no conversion: what Tamis adds is the difference.

use std::fmt;

use tamis_core::{Chunk, Request, Value};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};

mod generated {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    wasmtime::component::bindgen!({ path: "../wit", world: "policy" });
}

use generated::Policy;
use generated::exports::tamis::policy::gates;

/// An instance of a component, and a request for it.
pub struct Bare {
    store: Store<()>,
    policy: Policy,
    request: gates::Request,
}

impl fmt::Debug for Bare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bare").finish_non_exhaustive()
    }
}

/// A chunk in the contract's form.
pub struct BareChunk(gates::Chunk);

impl fmt::Debug for BareChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BareChunk").field(&self.0.uid.id).finish()
    }
}

impl Bare {
    /// Instantiates `component` with wasmtime's defaults.
    pub fn new(component: &[u8], request: &Request) -> Self {
        let engine = Engine::new(&Config::new()).unwrap();
        let component = Component::from_binary(&engine, component).unwrap();
        let mut store = Store::new(&engine, ());
        let policy = Policy::instantiate(&mut store, &component, &Linker::new(&engine)).unwrap();
        Self { store, policy, request: contract_request(request) }
    }

    /// The decision on one chunk.
    pub fn allows(&mut self, chunk: &BareChunk) -> bool {
        let gates = self.policy.tamis_policy_gates();
        gates.call_filter_chunk(&mut self.store, &self.request, &chunk.0).unwrap().allow
    }
}

impl BareChunk {
    /// The three attributes that `clearance` reads.
    pub fn of(chunk: &Chunk) -> Self {
        let mut values = Vec::new();
        let attributes = ["access_level", "tenant", "user_roles"].map(|name| {
            let value = chunk.read(&[name.to_owned()], None).unwrap();
            gates::Field { name: name.to_owned(), value: push(&mut values, &value) }
        });
        Self(gates::Chunk {
            uid: gates::EntityUid { entity_type: chunk.uid.entity_type.clone(), id: chunk.uid.id.clone() },
            attributes: attributes.into(),
            tags: Vec::new(),
            ancestors: Vec::new(),
            values,
        })
    }
}

fn contract_request(request: &Request) -> gates::Request {
    let uid = |uid: &tamis_core::EntityUid| gates::EntityUid {
        entity_type: uid.entity_type.clone(),
        id: uid.id.clone(),
    };
    let mut values = Vec::new();
    let subject = request.entities().get(request.subject()).unwrap();
    let field = |(name, value): (&String, &Value)| gates::Field {
        name: name.clone(),
        value: push(&mut values, value),
    };
    let attributes = subject.attributes.iter().map(field).collect();
    let ancestors = request.entities().ancestors(request.subject()).unwrap().iter().map(uid).collect();
    gates::Request {
        principal: 0,
        subject: 0,
        actors: Vec::new(),
        action: uid(request.action()),
        context: Vec::new(),
        entities: vec![gates::Entity { uid: uid(&subject.uid), attributes, tags: Vec::new(), ancestors }],
        values,
    }
}

fn push(values: &mut Vec<gates::Value>, value: &Value) -> u32 {
    let flat = match value {
        Value::Long(number) => gates::Value::Long(*number),
        Value::String(text) => gates::Value::Text(text.clone()),
        Value::Set(elements) => {
            gates::Value::Set(elements.iter().map(|element| push(values, element)).collect())
        }
        other => panic!("the benchmark has no {}", other.kind()),
    };
    values.push(flat);
    u32::try_from(values.len() - 1).unwrap()
}
