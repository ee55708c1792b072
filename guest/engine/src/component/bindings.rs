//! The contract's types and export glue, generated from `wit/policy.wit`.

#![allow(unsafe_code, missing_docs, unreachable_pub, unused_qualifications)]
#![allow(clippy::all, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "batch-policy",
});

use super::Policy;

export!(Policy);
