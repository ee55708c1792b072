//! The words of Tamis as types: request, chunk, filter, decision.
//!
//! Everything here is plain data with its reading, writing and evaluation. Nothing here knows a database or a
//! WebAssembly engine.

pub mod admit;
pub mod chunk;
pub mod decision;
pub mod entity;
pub mod filter;
pub mod input;
pub mod manifest;
pub mod metadata;
pub mod normal;
pub mod request;
pub mod rewrite;
pub mod row;
pub mod types;
pub mod value;

pub use chunk::{Attributes, Chunk};
pub use decision::{Decision, PolicyError, Redaction};
pub use entity::{Entity, EntityUid};
pub use filter::Filter;
pub use input::InputError;
pub use manifest::Manifest;
pub use request::Request;
pub use rewrite::{Query, Rewrite};
pub use row::{Cell, Extractor, JsonRow, Row};
pub use tamis_contract::extension;
pub use types::Type;
pub use value::Value;
