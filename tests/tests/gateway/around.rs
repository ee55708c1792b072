//! Ways around the gates that came to mind.

use serde_json::{Value as Json, json};

use super::client::{Client, Reply, send};
use super::people::{alice, bob, carol};
use super::setup::{Running, is_secret, readable, usual, vector};

const NEAREST: [f64; 2] = [1.0, 0.0];

pub(super) fn refused(reply: &Reply, status: u16, text: &str) {
    assert_eq!(reply.status, status, "{}", reply.text);
    let error = reply.json()["status"]["error"].as_str().unwrap().to_owned();
    assert!(error.contains(text), "{error}");
}

/// Filters that would widen a search if they stood beside the policy's.
fn wide_filters() -> Vec<Json> {
    let mine = json!({"key": "tenant", "match": {"value": "a"}});
    let theirs = json!({"key": "tenant", "match": {"value": "b"}});
    let secret = json!({"key": "title", "match": {"text": "secret"}});
    vec![
        json!({}),
        json!({"should": []}),
        json!({"must_not": []}),
        json!({"should": [theirs]}),
        json!({"should": [mine, theirs]}),
        json!({"should": theirs}),
        json!({"must": [theirs]}),
        json!({"must_not": [mine]}),
        json!({"must_not": {"must": [mine]}}),
        json!({"min_should": {"conditions": [mine, theirs], "min_count": 1}}),
        json!({"min_should": {"conditions": [mine, theirs], "min_count": 0}}),
        json!({"must": [{"should": [theirs, {"must_not": [theirs]}]}]}),
        json!({"must": [{"must": [{"should": [mine, theirs]}]}], "should": [{"has_id": [1, 2, 3, 6]}]}),
        json!({"must": [{"has_id": [0, 1, 2, 3, 5, 6, 7]}]}),
        json!({"must_not": [{"must_not": [{"has_id": [0, 1, 3, 6]}]}]}),
        json!({"should": [secret, {"must_not": [secret]}]}),
        json!({"must": [secret]}),
        json!({"must_not": [{"is_empty": {"key": "tenant"}}]}),
        json!({"must_not": [{"is_null": {"key": "tenant"}}]}),
        json!({"should": [{"nested": {"key": "owner", "filter": {"must_not": [{"key": "x", "match": {"value": 1}}]}}}, theirs]}),
        json!({"must": null, "should": [theirs], "must_not": null}),
    ]
}

#[test]
fn no_filter_widens_what_is_found() {
    let gateway = usual();
    for (token, tenant) in [(alice(), "a"), (carol(), "b")] {
        let client = gateway.client(&token);
        let may = readable(tenant);
        let mut found = 0;
        for filter in wide_filters() {
            let replies = [
                client.query(&json!({"query": NEAREST, "filter": filter, "limit": 100})),
                client.query(&json!({"filter": filter, "limit": 100})),
                client.query(&json!({"prefetch": [{"query": NEAREST, "filter": filter, "limit": 100}], "query": NEAREST, "limit": 100})),
                client.query(&json!({"prefetch": {"prefetch": {"query": NEAREST, "filter": filter, "limit": 100}, "query": vector(9), "limit": 100}, "query": {"fusion": "rrf"}, "limit": 100})),
                client.query(&json!({"prefetch": [{"query": NEAREST, "limit": 100}, {"query": vector(50), "limit": 100}], "query": {"fusion": "dbsf"}, "filter": filter, "limit": 100})),
                client.points("/search", &json!({"vector": NEAREST, "filter": filter, "limit": 100})),
                client.points("/scroll", &json!({"filter": filter, "limit": 100})),
            ];
            for reply in replies {
                let ids = reply.ids();
                assert!(ids.iter().all(|id| may.contains(id)), "{filter}: {ids:?}");
                found += ids.len();
            }
            let count = client.points("/count", &json!({"filter": filter})).result();
            assert!(count["count"].as_u64().unwrap() <= may.len() as u64, "{filter}: {count}");
        }
        assert!(found > 500, "the filters find next to nothing: {found}");
    }
}

#[test]
fn what_no_filter_knows_is_refused() {
    let gateway = usual();
    let client = gateway.client(&alice());
    for filter in [
        json!({"or": [{"key": "tenant", "match": {"value": "b"}}]}),
        json!({"must": [{"key": "tenant", "match": {"value": "a"}, "should": []}]}),
        json!({"must": [{"filter": {}}]}),
        json!({"must": "x"}),
        json!([]),
        json!("x"),
        json!({"must": [{"key": "a..b", "match": {"value": 1}}]}),
    ] {
        for body in [
            json!({"query": NEAREST, "filter": filter}),
            json!({"prefetch": {"query": NEAREST, "filter": filter}, "query": NEAREST}),
        ] {
            assert_eq!(client.query(&body).status, 400, "{body}");
        }
        assert_eq!(client.points("/scroll", &json!({"filter": filter})).status, 400);
        assert_eq!(client.points("/count", &json!({"filter": filter})).status, 400);
    }
}

#[test]
fn what_reveals_something_is_not_served() {
    let gateway = usual();
    let client = gateway.client(&alice());
    let name = &gateway.name;
    for (method, path) in [
        ("POST", "points/query/groups"),
        ("POST", "points/search/groups"),
        ("POST", "points/recommend"),
        ("POST", "points/recommend/batch"),
        ("POST", "points/discover"),
        ("POST", "points/search/matrix/pairs"),
        ("POST", "points/search/matrix/offsets"),
        ("POST", "facet"),
        ("POST", "points/payload"),
        ("PUT", "points/payload"),
        ("POST", "points/payload/clear"),
        ("PUT", "points/vectors"),
        ("POST", "points/vectors/delete"),
        ("POST", "points/batch"),
        ("PUT", "index"),
        ("POST", "snapshots"),
        ("GET", "snapshots"),
        ("GET", "cluster"),
        ("GET", "aliases"),
        ("GET", "points"),
        ("PUT", ""),
        ("DELETE", ""),
        ("PATCH", ""),
    ] {
        let path = format!("/collections/{name}/{path}");
        let reply = client.send(method, path.trim_end_matches('/'), Some("{}"));
        refused(&reply, 403, "this gateway serves");
    }
    for path in [
        "/telemetry",
        "/metrics",
        "/cluster",
        "/locks",
        "/aliases",
        "/dashboard",
        "/snapshots",
        "/openapi.json",
        "/seen",
    ] {
        refused(&client.get(path), 403, "this gateway serves");
    }
    for body in [
        json!({"query": NEAREST, "lookup_from": {"collection": "other"}}),
        json!({"query": NEAREST, "group_by": "tenant"}),
        json!({"query": NEAREST, "with_lookup": "other"}),
        json!({"query": NEAREST, "shard_key": "x"}),
        json!({"query": NEAREST, "collection": "other"}),
        json!({"query": NEAREST, "subject": {"type": "User", "id": "carol"}}),
        json!({"query": {"formula": {"sum": ["$score", "salary"]}}, "prefetch": {"query": NEAREST}}),
        json!({"query": {"sample": "random"}}),
        json!({"query": {"nearest": NEAREST, "mmr": {"diversity": 0.5}}}),
        json!({"query": {"text": "hello", "model": "m"}}),
        json!({"query": NEAREST, "params": {"idf": "global"}}),
        json!({"prefetch": {"query": 2, "lookup_from": {"collection": "other"}}, "query": NEAREST}),
    ] {
        refused(&client.query(&body), 403, "not served");
    }
    let batch = json!({"searches": [{"query": NEAREST}, {"query": NEAREST, "collection_name": "other"}]});
    refused(&client.points("/query/batch", &batch), 403, "not served");
    refused(&client.points("/scroll", &json!({"order_by": "salary"})), 403, "not served");
    let reply = client.send(
        "POST",
        &format!("/collections/{name}/points/query?subject=carol"),
        Some("{\"query\":[1,0]}"),
    );
    refused(&reply, 403, "not served");
    assert!(
        super::wire::seen(name).iter().all(|seen| seen["method"] != "DELETE" && seen["method"] != "PATCH")
    );
}

#[test]
fn json_that_reads_in_two_ways_is_refused() {
    let gateway = usual();
    let client = gateway.client(&alice());
    let send =
        |body: &str| client.send("POST", &format!("/collections/{}/points/query", gateway.name), Some(body));
    for body in [
        r#"{"query":[1,0],"filter":{"must":[]},"filter":{}}"#,
        r#"{"query":[1,0],"filter":{"must":[{"key":"tenant","match":{"value":"a","value":"b"}}]}}"#,
        r#"{"query":[1,0],"limit":1,"\u006cimit":100}"#,
        r#"{"query":[1,0]} {"query":[1,0]}"#,
        r#"{"query":[1,0],}"#,
        r#"{"query":[1,NaN]}"#,
        r#"{"query":[1,1e999]}"#,
        "[]",
        "",
        "null",
    ] {
        assert_eq!(send(body).status, 400, "{body}");
    }
    let deep = format!("{{\"query\":[1,0],\"filter\":{}{}}}", "{\"must\":[".repeat(200), "]}".repeat(200));
    assert_eq!(send(&deep).status, 400);
}

fn examples(gateway: &Running, client: &Client, id: u64) -> Vec<Reply> {
    let _ = gateway;
    [
        json!({"query": id}),
        json!({"query": {"nearest": id}}),
        json!({"query": {"recommend": {"positive": [id]}}}),
        json!({"query": {"recommend": {"positive": [2], "negative": [id]}}}),
        json!({"query": {"discover": {"target": id, "context": [{"positive": 2, "negative": 4}]}}}),
        json!({"query": {"discover": {"target": 2, "context": [{"positive": 4, "negative": id}]}}}),
        json!({"query": {"context": {"positive": id, "negative": 4}}}),
        json!({"prefetch": {"query": id}, "query": NEAREST}),
        json!({"prefetch": {"prefetch": {"query": id}, "query": NEAREST}, "query": {"fusion": "rrf"}}),
    ]
    .iter()
    .map(|body| client.query(body))
    .collect()
}

#[test]
fn points_that_may_not_be_read_whole_are_no_examples() {
    let gateway = usual();
    let (alice, bob) = (gateway.client(&alice()), gateway.client(&bob()));
    let missing: Vec<Reply> = examples(&gateway, &alice, 999);
    for (client, id) in [(&alice, 3), (&alice, 6), (&bob, 3), (&bob, 12), (&bob, 6)] {
        for (reply, missing) in examples(&gateway, client, id).iter().zip(&missing) {
            assert_eq!(reply.status, 404);
            assert_eq!(reply.text, missing.text.replace("999", &id.to_string()));
        }
    }
    for (client, id) in [(&alice, 12), (&bob, 14)] {
        let may = readable("a");
        for reply in examples(&gateway, client, id) {
            let ids = reply.ids();
            assert!(ids.iter().all(|id| may.contains(id)), "{ids:?}");
        }
        // What it is itself is not near to it.
        let ids = client.query(&json!({"query": id, "limit": 100})).ids();
        assert_eq!(ids.len(), may.len() - 1);
        assert!(!ids.contains(&id));
    }
    assert!(is_secret(6) && !is_secret(12));
}

#[test]
fn nobody_becomes_somebody_else_by_headers() {
    let gateway = usual();
    let client = gateway.client(&carol());
    let url = format!("{}/collections/{}/points/query", client.base, gateway.name);
    let bearer = client.bearer();
    let body = json!({"query": NEAREST, "limit": 100}).to_string();
    for header in [
        ("x-tamis-subject", "alice"),
        ("x-forwarded-user", "alice"),
        ("x-http-method-override", "DELETE"),
        ("x-original-url", "/collections"),
        ("x-rewrite-url", "/telemetry"),
        ("forwarded", "for=1.2.3.4"),
        ("cookie", "token=x"),
    ] {
        let reply = send("POST", &url, &[("authorization", &bearer), header], Some(&body));
        assert_eq!(reply.ids(), readable("b"), "{header:?}");
    }
}
