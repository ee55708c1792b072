//! What one request may take.

use serde_json::json;

use super::around::refused;
use super::people::alice;
use super::setup::{Setup, fill, new_name, usual};

const NEAREST: [f64; 2] = [1.0, 0.0];

#[test]
fn limits_hold() {
    let gateway = Setup { limits: "hits = 50\nbatch = 3\nbody = 20000".to_owned(), ..Setup::default() };
    let name = new_name();
    fill(&name);
    let gateway = gateway.start_with(&name);
    let client = gateway.client(&alice());
    assert_eq!(client.query(&json!({"query": NEAREST, "limit": 50})).status, 200);
    let huge = json!({"query": NEAREST, "limit": 4_000_000_000u32, "offset": 4_000_000_000u32});
    for body in [
        json!({"query": NEAREST, "limit": 51}),
        json!({"query": NEAREST, "limit": 10, "offset": 41}),
        json!({"prefetch": {"query": NEAREST, "limit": 51}, "query": NEAREST}),
        huge,
    ] {
        refused(&client.query(&body), 422, "more than 50");
    }
    for body in [
        json!({"query": NEAREST, "limit": -1}),
        json!({"query": NEAREST, "limit": 1e30}),
        json!({"query": NEAREST, "limit": "5"}),
    ] {
        assert_eq!(client.query(&body).status, 400, "{body}");
    }
    assert_eq!(client.points("/scroll", &json!({"limit": 50})).status, 422);
    assert_eq!(client.points("", &json!({"ids": vec![1; 51]})).status, 422);
    let search = json!({"query": NEAREST, "limit": 1});
    assert_eq!(client.points("/query/batch", &json!({"searches": vec![search.clone(); 3]})).status, 200);
    assert_eq!(client.points("/query/batch", &json!({"searches": vec![search; 4]})).status, 422);
    let long =
        json!({"query": NEAREST, "filter": {"must": [{"key": "x", "match": {"value": "x".repeat(20_000)}}]}});
    assert_eq!(client.query(&long).status, 413);
}

/// What all searches of a request find is in memory at once.
#[test]
fn a_batch_finds_so_much() {
    let name = new_name();
    fill(&name);
    let gateway = Setup { limits: "hits = 2".to_owned(), ..Setup::default() }.start_with(&name);
    let client = gateway.client(&alice());
    let search = json!({"query": NEAREST, "limit": 1, "offset": 1});
    let batch = |count| client.points("/query/batch", &json!({"searches": vec![search.clone(); count]}));
    assert_eq!(batch(10).status, 200);
    refused(&batch(11), 422, "more than 20 together");
}

/// A body of small things takes a hundred times the memory that it is long.
#[test]
fn a_body_swells_so_much() {
    let gateway = usual();
    let client = gateway.client(&alice());
    let send = |part: &str| {
        let body = format!("{{\"query\":[{}1]}}", part.repeat((8 << 20) / part.len() - 10));
        client.send("POST", &format!("/collections/{}/points/query", gateway.name), Some(&body))
    };
    refused(&send("{\"\":0},"), 422, "too many values");
    // As a whole it is read, and is no vector.
    assert_eq!(send("{\"a\":\"a longer text, such as there is in most payloads\"},").status, 400);
}
