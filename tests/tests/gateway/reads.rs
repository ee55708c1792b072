//! Each endpoint that reads, as several users: what comes back is what they may read, all of it, and in order.

use serde_json::{Value as Json, json};

use super::client::ids;
use super::people::{alice, bob, carol, dave};
use super::setup::{KEY, POINTS, behind, fill, is_secret, new_name, payload, readable, usual, vector};

const NEAREST: [f64; 2] = [1.0, 0.0];

#[test]
fn k_means_k_for_everyone() {
    let gateway = usual();
    for (token, tenant) in [(alice(), "a"), (bob(), "a"), (carol(), "b")] {
        let client = gateway.client(&token);
        let expected = readable(tenant);
        for k in [1, 2, 7, 20, 500] {
            let reply = client.query(&json!({"query": NEAREST, "limit": k}));
            let expected: Vec<u64> = expected.iter().copied().take(k).collect();
            assert_eq!(reply.ids(), expected, "{tenant}, {k}");
            assert_eq!(reply.headers["tamis-complete"], "true");
            assert_eq!(reply.headers["tamis-exact"], "false");
            assert_eq!(reply.headers["tamis-generation"], "1");
        }
        // Qdrant's own default.
        assert_eq!(client.query(&json!({"query": NEAREST})).ids().len(), 10);
        let reply = client.query(&json!({"query": NEAREST, "limit": 5, "offset": 3}));
        assert_eq!(reply.ids(), expected[3..8], "an offset counts what may be read");
        let far = expected.len();
        let reply = client.query(&json!({"query": NEAREST, "limit": 5, "offset": far - 2}));
        assert_eq!(reply.ids(), expected[far - 2..]);
        assert!(client.query(&json!({"query": NEAREST, "limit": 0})).ids().is_empty());
    }
    let nobody = gateway.client(&dave());
    assert!(nobody.query(&json!({"query": NEAREST})).ids().is_empty());
}

/// Which of several points in one place come first is another matter in each answer of the database's. Where a page of candidates ends among
/// them, none is left out.
#[test]
fn points_in_one_place_are_all_found() {
    let gateway = usual();
    // 90 of them are secrets.
    let tied: Vec<Json> = (100..220u64)
        .map(|id| {
            let title = if id % 4 == 0 { "mine" } else { "secret" };
            json!({"id": id, "vector": vector(40), "payload": {"tenant": "a", "title": title}})
        })
        .collect();
    behind("PUT", &format!("/collections/{}/points", gateway.name), &json!({"points": tied}));
    let client = gateway.client(&alice());
    for k in [1, 5, 20, 30, 40, 50, 100] {
        let found = client.query(&json!({"query": vector(0), "limit": k})).ids();
        let sorted: std::collections::BTreeSet<u64> = found.iter().copied().collect();
        let nearer = readable("a").into_iter().filter(|id| *id < 40).count();
        let in_place = sorted.range(100..).count();
        assert_eq!(sorted.len(), found.len(), "{k}: a point came twice");
        assert_eq!(found.len(), k.min(readable("a").len() + 30), "{k}");
        assert!(k < nearer + 31 || in_place == 30, "{k}: {in_place} of 30 were found");
    }
}

#[test]
fn payloads_are_what_was_asked_for_of_what_may_be_seen() {
    let gateway = usual();
    let (alice, bob) = (gateway.client(&alice()), gateway.client(&bob()));
    let first = |client: &super::client::Client, wanted: Json| {
        // The nearest one with a salary is 12.
        let filter = json!({"must": [{"has_id": [12]}]});
        let body = json!({"query": NEAREST, "filter": filter, "with_payload": wanted});
        client.query(&body).result()["points"][0].clone()
    };
    let point = first(&alice, json!(true));
    assert_eq!(point["payload"], payload(12));
    assert!(point["score"].is_f64() && point["version"].is_u64());
    assert_eq!(point.as_object().unwrap().len(), 4, "{point}");
    assert_eq!(first(&alice, json!(false)).get("payload"), None);
    assert_eq!(
        first(&alice, json!(["salary", "owner.name"]))["payload"],
        json!({"salary": 1012, "owner": {"name": "n12"}})
    );

    let shown = json!({"tenant": "a", "number": 12, "owner": {"name": "n12", "mail": "m"}});
    assert_eq!(first(&bob, json!(true))["payload"], shown);
    assert_eq!(first(&bob, json!(["salary", "text"]))["payload"], json!({}));
    assert_eq!(first(&bob, json!({"include": ["salary", "number"]}))["payload"], json!({"number": 12}));
    let without = first(&bob, json!({"exclude": ["owner", "tenant"]}));
    assert_eq!(without["payload"], json!({"number": 12}));
}

#[test]
fn vectors_are_shown_where_nothing_is_redacted() {
    let gateway = usual();
    for (token, seen) in [(alice(), true), (bob(), false)] {
        let client = gateway.client(&token);
        for (number, always) in [(12, false), (14, true)] {
            let body =
                json!({"query": NEAREST, "filter": {"must": [{"has_id": [number]}]}, "with_vector": true});
            let point = client.query(&body).result()["points"][0].clone();
            assert_eq!(point.get("vector").is_some(), seen || always, "{point}");
            let reply = client.get(&format!("/collections/{}/points/{number}", gateway.name));
            assert_eq!(reply.result().get("vector").is_some(), seen || always);
            let body = json!({"ids": [number], "with_vector": true});
            assert_eq!(client.points("", &body).result()[0].get("vector").is_some(), seen || always);
            let body = json!({"filter": {"must": [{"has_id": [number]}]}, "with_vector": true});
            assert_eq!(
                client.points("/scroll", &body).result()["points"][0].get("vector").is_some(),
                seen || always
            );
        }
    }
}

#[test]
fn searches_of_the_older_form_find_the_same() {
    let gateway = usual();
    for (token, tenant) in [(alice(), "a"), (carol(), "b")] {
        let client = gateway.client(&token);
        let expected = readable(tenant);
        let reply = client.points("/search", &json!({"vector": NEAREST, "limit": 4, "offset": 1}));
        assert_eq!(reply.ids(), expected[1..5]);
        let searches = json!({"searches": [{"vector": NEAREST, "limit": 2}, {"vector": vector(59), "limit": 3, "with_payload": true}]});
        let result = client.points("/search/batch", &searches).result();
        assert_eq!(ids(&result[0]), expected[..2]);
        let far: Vec<u64> = expected.iter().rev().copied().take(3).collect();
        assert_eq!(ids(&result[1]), far);
        let searches =
            json!({"searches": [{"query": NEAREST, "limit": 2}, {"query": vector(59), "limit": 3}]});
        let result = client.points("/query/batch", &searches).result();
        assert_eq!((ids(&result[0]), ids(&result[1])), (expected[..2].to_vec(), far));
    }
}

#[test]
fn pages_of_a_list_are_whole_and_name_no_other_point() {
    let gateway = usual();
    for (token, tenant) in [(alice(), "a"), (bob(), "a"), (carol(), "b"), (dave(), "none")] {
        let client = gateway.client(&token);
        let expected = readable(tenant);
        for limit in [1, 3, 10, 100] {
            let (mut seen, mut offset) = (Vec::<u64>::new(), Json::Null);
            loop {
                let result = client.points("/scroll", &json!({"limit": limit, "offset": offset})).result();
                let page = ids(&result);
                seen.extend(&page);
                offset = result["next_page_offset"].clone();
                if offset.is_null() {
                    break;
                }
                assert_eq!(page.len(), limit, "{tenant}, {limit}");
                assert!(expected.contains(&offset.as_u64().unwrap()), "{offset} may not be read");
            }
            assert_eq!(seen, expected, "{tenant}, {limit}");
        }
    }
    // A list shows payloads if nothing else is said.
    let result =
        gateway.client(&bob()).points("/scroll", &json!({"filter": {"must": [{"has_id": [12]}]}})).result();
    assert_eq!(result["points"][0]["payload"].get("salary"), None);
    assert_eq!(result["points"][0]["payload"]["number"], 12);
}

#[test]
fn points_that_may_not_be_read_do_not_exist() {
    let gateway = usual();
    let (alice, carol) = (gateway.client(&alice()), gateway.client(&carol()));
    // In the order in which they are asked for; 3 is another tenant's, 6 secret, 999 nowhere.
    let asked = json!({"ids": [14, 3, 6, 2, 999]});
    assert_eq!(alice.points("", &asked).ids(), [14, 2]);
    assert_eq!(carol.points("", &asked).ids(), [3]);
    assert_eq!(alice.points("", &json!({"ids": []})).ids(), [0; 0]);
    let single = |client: &super::client::Client, id: &str| {
        client.get(&format!("/collections/{}/points/{id}", gateway.name))
    };
    let point = single(&alice, "2").result();
    assert_eq!((&point["id"], &point["payload"]), (&json!(2), &payload(2)));
    let missing = single(&alice, "999");
    assert_eq!(missing.status, 404);
    for id in ["3", "6"] {
        let hidden = single(&alice, id);
        assert_eq!(hidden.status, 404);
        assert_eq!(hidden.text, missing.text.replace("999", id));
        assert_eq!(hidden.headers.keys().collect::<Vec<_>>(), missing.headers.keys().collect::<Vec<_>>());
    }
    assert_eq!(single(&alice, "x").status, 400);
}

/// A point that is none of what the policy decides on is denied, and whoever asks for it alone is told no more than of what does not exist.
#[test]
fn points_that_cannot_be_read_do_not_exist() {
    let gateway = usual();
    let points = json!({"points": [{"id": 998, "vector": NEAREST, "payload": {"tenant": "a", "text": 5}}]});
    behind("PUT", &format!("/collections/{}/points", gateway.name), &points);
    let alice = gateway.client(&alice());
    let of = |id: u64| {
        let filter = json!({"must": [{"has_id": [id]}]});
        [
            alice.get(&format!("/collections/{}/points/{id}", gateway.name)),
            alice.points("", &json!({"ids": [id]})),
            alice.points("/scroll", &json!({"filter": filter})),
            alice.points("/count", &json!({"filter": filter})),
            alice.query(&json!({"query": NEAREST, "filter": filter})),
            alice.query(&json!({"prefetch": {"query": NEAREST, "filter": filter}, "query": NEAREST})),
            alice.query(&json!({"query": id})),
        ]
    };
    for (unreadable, missing) in of(998).into_iter().zip(of(999)) {
        assert_eq!(unreadable.text, missing.text.replace("999", "998"));
        let headers = |reply: &super::client::Reply| {
            let of_ours = reply.headers.iter().filter(|(name, _)| name.starts_with("tamis-"));
            (reply.status, of_ours.map(|(_, value)| value.clone()).collect::<Vec<_>>())
        };
        assert_eq!(headers(&unreadable), headers(&missing));
    }
}

#[test]
fn counts_are_of_what_may_be_read() {
    let gateway = usual();
    for (token, tenant) in [(alice(), "a"), (bob(), "a"), (carol(), "b"), (dave(), "none")] {
        let client = gateway.client(&token);
        let all = readable(tenant);
        for exact in [true, false] {
            let count = client.points("/count", &json!({"exact": exact})).result();
            assert_eq!(count, json!({"count": all.len()}), "{tenant}");
        }
        let filter = json!({"must": [{"key": "number", "range": {"lt": 30}}]});
        let below = all.iter().filter(|number| **number < 30).count();
        assert_eq!(client.points("/count", &json!({"filter": filter})).result()["count"], below);
    }
}

#[test]
fn a_collection_shows_its_vectors_and_not_its_size() {
    let gateway = usual();
    let client = gateway.client(&dave());
    let name = &gateway.name;
    assert_eq!(client.get("/collections").result(), json!({"collections": [{"name": name}]}));
    let described = client.get(&format!("/collections/{name}")).result();
    assert_eq!(described["config"]["params"]["vectors"], json!({"size": 2, "distance": "Cosine"}));
    assert_eq!(described.get("points_count"), None);
    assert!(!described.to_string().contains(&POINTS.to_string()));
    assert_eq!(client.get(&format!("/collections/{name}/exists")).result(), json!({"exists": true}));
    assert_eq!(client.get("/collections/other/exists").result(), json!({"exists": false}));
    let version = client.get("/");
    assert_eq!(version.json(), json!({"title": "qdrant - vector search engine", "version": "1.20.0"}));
    for path in ["/healthz", "/readyz", "/livez"] {
        let reply = super::client::send("GET", &format!("{}{path}", client.base), &[], None);
        assert_eq!(reply.status, 200, "{path}");
    }
}

#[test]
fn a_collection_that_is_not_listed_does_not_exist() {
    let gateway = usual();
    let other = new_name();
    fill(&other);
    behind("GET", &format!("/collections/{other}"), &Json::Null);
    let client = gateway.client(&alice());
    for (method, path, body) in [
        ("GET", format!("/collections/{other}"), None),
        ("POST", format!("/collections/{other}/points/query"), Some(json!({"query": NEAREST}))),
        ("POST", format!("/collections/{other}/points/scroll"), Some(json!({}))),
        ("GET", format!("/collections/{other}/points/2"), None),
        ("PUT", format!("/collections/{other}/points"), Some(json!({"points": []}))),
    ] {
        let reply = client.send(method, &path, body.map(|body| body.to_string()).as_deref());
        assert_eq!(reply.status, 404, "{method} {path}");
        let missing = reply.text.replace(&other, "none");
        assert!(missing.contains("Collection `none` doesn't exist!"), "{missing}");
    }
    assert!(KEY.len() > 1 && (0..POINTS).any(is_secret));
}

#[test]
fn figures_are_of_the_gateway_and_of_nobody() {
    let gateway = usual();
    let client = gateway.client(&carol());
    client.query(&json!({"query": NEAREST, "limit": 5}));
    client.get("/nowhere");
    super::client::send("GET", &format!("{}/", client.base), &[], None);
    assert_eq!(gateway.figure("tamis_requests_total{status=\"2xx\"}"), 1.0);
    assert_eq!(gateway.figure("tamis_requests_total{status=\"4xx\"}"), 1.0);
    assert_eq!(gateway.figure("tamis_requests_total{status=\"401\"}"), 1.0);
    assert!(gateway.figure("tamis_decisions_total") >= 5.0);
    assert!(gateway.figure("tamis_denied_total") >= 1.0);
    assert_eq!(gateway.figure("tamis_generation"), 1.0);
    assert_eq!(gateway.figure("tamis_policy_reloads_total"), 0.0);
    assert_eq!(gateway.figure("tamis_request_seconds_count"), 3.0);
    assert_eq!(gateway.figure("tamis_request_seconds_bucket{le=\"+Inf\"}"), 3.0);
    assert!(!gateway.figures().text.contains("carol"));
    // The figures are nowhere else, and nothing else is where they are.
    assert_eq!(client.get("/metrics").status, 403);
    let there = format!("http://{}/collections", gateway.figures);
    assert_eq!(super::client::send("GET", &there, &[], None).status, 404);
}
