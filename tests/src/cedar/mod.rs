//! Random Cedar policies, entities and requests, and what Cedar itself decides on them.
//!
//! [`generate`] makes a [`draft`], trees that [`shrink`] can cut, of a seed; a draft is written down as a [`case`];
//! [`oracle`] and [`ours`] decide it; [`differ`] compares the two, [`search`] does so for many seeds, and [`coverage`]
//! counts what the cases contained.

pub mod case;
pub mod choices;
pub mod coverage;
pub mod differ;
pub mod draft;
pub mod expression;
pub mod features;
pub mod generate;
pub mod model;
pub mod narrowed;
pub mod oracle;
pub mod ours;
pub mod partial;
pub mod policy;
pub mod rewrite;
pub mod search;
pub mod shrink;
mod simpler;
pub mod text;
pub mod value;
