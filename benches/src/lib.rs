//! What the benchmarks share: one policy, one request, one set of chunks, and the same decision in other ways.
//!
//! Every way of deciding is checked against the others before anything is measured.

pub mod bare;
pub mod cedar;
pub mod figures;
pub mod machine;
pub mod native;
pub mod opa;
pub mod rego;
pub mod report;
pub mod scale;
pub mod sql;
pub mod ways;

use std::path::Path;

use serde_json::json;
use tamis_core::{Chunk, Query, Request};

/// Roles that chunks and people have; each has some of them.
const ROLES: [&str; 8] =
    ["employee", "analyst", "developer", "dba", "sre", "security", "support", "contractor"];

/// The component of the example policy `clearance`.
pub fn clearance() -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    tamis_build::build_crate(&root.join("guest/examples/clearance")).unwrap()
}

/// The component of the example policy `company`.
pub fn company() -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    tamis_build::build_crate(&root.join("guest/examples/company")).unwrap()
}

/// A user with clearance 2 and three roles, in three groups.
pub fn request() -> Request {
    request_in_groups(3)
}

/// The same user, in so many groups.
pub fn request_in_groups(count: usize) -> Request {
    let groups: Vec<_> =
        (0..count).map(|number| json!({"type": "Group", "id": format!("group-{number}")})).collect();
    let json = json!({
        "subject": {
            "type": "User",
            "id": "alice",
            "properties": {"tenant": "acme", "clearance": 2, "roles": ["employee", "analyst", "security"], "age": 40},
            "parents": groups,
        },
        "action": {"name": "retrieve"},
    });
    Request::from_json(&json.to_string()).unwrap()
}

/// Queries that no policy was asked before: each wants another k.
pub fn queries() -> impl FnMut() -> Query {
    let mut k = 0;
    move || {
        k += 1;
        Query { collection: "docs".to_owned(), k }
    }
}

/// `count` chunks with a page's worth of metadata, of which the policy reads three attributes. About a third is readable.
pub fn chunks(count: usize) -> Vec<Chunk> {
    let chunk = |number: usize| {
        // A multiplicative hash: fixed, and spread evenly.
        let hash = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let json = json!({
            "id": format!("doc-{number}"),
            "attributes": {
                "doc_id": format!("doc-{}", number / 5),
                "title": "A heading of ordinary length",
                "tenant": if hash % 10 < 8 { "acme" } else { "globex" },
                "department": "engineering",
                "access_level": hash / 10 % 4,
                "user_roles": [ROLES[hash / 40 % 8], ROLES[hash / 320 % 8]],
                "owner": "bob",
                "published": "2026-01-31",
                "agent_usable": !hash.is_multiple_of(3),
            },
        });
        Chunk::from_json(&json.to_string()).unwrap()
    };
    (0..count).map(chunk).collect()
}
