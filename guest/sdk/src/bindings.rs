//! The contract's types and export glue, generated from `wit/policy.wit`.

#![allow(unsafe_code, missing_docs, unreachable_pub, unused_qualifications)]
#![allow(clippy::all, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "batch-policy",
    pub_export_macro: true,
    export_macro_name: "__export_policy_component",
    additional_derives: [PartialEq, Clone],
});

pub use exports::tamis;
