//! Version 0.1.0 of the contract: generated types, and the way between them and the core types.

mod decode;
mod encode;

pub(crate) use decode::{decision, manifest, rewrite};
pub(crate) use encode::{chunk, requests};

#[allow(missing_docs, unreachable_pub, dead_code, clippy::all)]
mod generated {
    wasmtime::component::bindgen!({ path: "../../wit", world: "batch-policy" });
}

pub(crate) use generated::exports::tamis::policy::{batch, gates};
