//! Version 0.1.0 of the contract: generated types, and the way between them and the core types.

mod decode;
mod encode;
mod filter;
mod rewrite;
mod tree;

pub(crate) use decode::{decision, manifest, rewrite};
pub(crate) use encode::{chunk, query, requests};
pub(crate) use rewrite::{Footprint, read_rewrite};

use crate::error::{Error, excerpt};

#[allow(missing_docs, unreachable_pub, dead_code, clippy::all)]
mod generated {
    wasmtime::component::bindgen!({ path: "../../wit", world: "batch-policy" });
}

pub(crate) use generated::exports::tamis::policy::{batch, gates};

fn broken(message: impl Into<String>) -> Error {
    Error::Contract(excerpt(&message.into()))
}
