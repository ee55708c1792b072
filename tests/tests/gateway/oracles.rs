//! What somebody could find out about what they may not read, by asking for something else.

use serde_json::{Value as Json, json};

use super::people::{alice, bob};
use super::setup::{Setup, readable, usual, vector};

const NEAREST: [f64; 2] = [1.0, 0.0];

/// A point that may not be read must not take the place of one that may: who finds nothing would know that something is nearer.
#[test]
fn nothing_hidden_crowds_a_prefetch() {
    let gateway = usual();
    let client = gateway.client(&alice());
    // 6, 16, 26 are secret, which only the filter gate knows.
    for hidden in [6, 16, 26] {
        let nearest = *readable("a").iter().min_by_key(|id| (id.abs_diff(hidden), **id > hidden)).unwrap();
        for body in [
            json!({"prefetch": {"query": vector(hidden), "limit": 1}, "query": NEAREST}),
            json!({"prefetch": {"query": vector(hidden), "limit": 1}, "query": {"fusion": "rrf"}}),
            json!({"prefetch": {"prefetch": {"query": vector(hidden), "limit": 1}, "query": NEAREST, "limit": 1}, "query": NEAREST}),
        ] {
            let ids = client.query(&body).ids();
            assert_eq!(ids.len(), 1, "{body}");
            assert_eq!(ids[0].abs_diff(hidden), nearest.abs_diff(hidden), "{body}: {ids:?}");
        }
    }
    let body = json!({"prefetch": {"query": vector(6), "limit": 7}, "query": NEAREST, "limit": 100});
    assert_eq!(client.query(&body).ids().len(), 7, "k means k in a prefetch too");
}

/// The scores of a fusion are made of places: those that hidden points would have had must not be missing.
#[test]
fn scores_of_a_fusion_do_not_count_what_is_hidden() {
    let gateway = usual();
    let client = gateway.client(&alice());
    let body =
        json!({"prefetch": [{"query": NEAREST, "limit": 100}], "query": {"fusion": "rrf"}, "limit": 100});
    let points = client.query(&body).result()["points"].clone();
    let scores: Vec<f64> =
        points.as_array().unwrap().iter().map(|point| point["score"].as_f64().unwrap()).collect();
    for (place, score) in scores.iter().enumerate() {
        let expected = 1.0 / (2.0 + place as f64);
        assert!((score - expected).abs() < 1e-6, "place {place} has the score {score}");
    }
}

/// Filters on salaries, whose answers would tell them.
fn about_salaries() -> Vec<Json> {
    let above = |bound: i64| json!({"key": "salary", "range": {"gt": bound}});
    vec![
        json!({"must": [above(0)]}),
        json!({"must_not": [above(1_020)]}),
        json!({"should": [above(1_020), {"must_not": [above(1_020)]}]}),
        json!({"must_not": [{"is_empty": {"key": "salary"}}]}),
        json!({"must": [{"is_empty": {"key": "salary"}}]}),
        json!({"must": [{"key": "salary", "values_count": {"gte": 1}}]}),
        json!({"must": [{"key": "salary[]", "range": {"gt": 0}}]}),
        json!({"must": [{"key": "\"salary\"", "match": {"any": [1012, 1018]}}]}),
        json!({"min_should": {"conditions": [above(0), above(5)], "min_count": 1}}),
        json!({"must": [{"key": "text", "match": {"value": "text of 12"}}]}),
        json!({"must": [{"key": "text", "match": {"text": "text"}}]}),
        json!({"must": [{"must": [{"should": [above(0)]}]}]}),
    ]
}

#[test]
fn what_is_redacted_cannot_be_asked_for() {
    let gateway = usual();
    let (alice, bob) = (gateway.client(&alice()), gateway.client(&bob()));
    let salaried = |ids: &[u64]| ids.iter().any(|id| id % 3 == 0);
    let mut of_alice = 0;
    for filter in about_salaries() {
        let bodies = [
            ("/query", json!({"query": NEAREST, "filter": filter, "limit": 100})),
            (
                "/query",
                json!({"prefetch": {"query": NEAREST, "filter": filter, "limit": 100}, "query": NEAREST, "limit": 100}),
            ),
            (
                "/query",
                json!({"prefetch": {"prefetch": {"query": NEAREST, "filter": filter, "limit": 100}, "query": NEAREST, "limit": 100}, "query": {"fusion": "rrf"}, "limit": 100}),
            ),
            ("/search", json!({"vector": NEAREST, "filter": filter, "limit": 100})),
            ("/scroll", json!({"filter": filter, "limit": 100})),
        ];
        for (what, body) in bodies {
            let ids = bob.points(what, &body).ids();
            assert!(!salaried(&ids), "{body}: {ids:?}");
            of_alice += usize::from(salaried(&alice.points(what, &body).ids()));
        }
        // Counted are those that are found.
        let found = bob.points("/scroll", &json!({"filter": filter, "limit": 100})).ids().len();
        assert_eq!(bob.points("/count", &json!({"filter": filter})).result()["count"], found);
    }
    assert!(of_alice > 30, "the filters find no salaries at all: {of_alice}");
    // Whoever does not ask for them finds those points.
    assert!(salaried(&bob.query(&json!({"query": NEAREST, "limit": 100})).ids()));
    let filter = json!({"must": [{"key": "number", "range": {"lt": 20}}]});
    assert!(salaried(&bob.query(&json!({"query": NEAREST, "filter": filter})).ids()));
}

/// Who is in a prefetch because of a salary must not push out who is not.
#[test]
fn what_is_redacted_does_not_crowd_a_prefetch() {
    let gateway = usual();
    let bob = gateway.client(&bob());
    let filter = json!({"should": [{"key": "salary", "range": {"gt": 1_000}}, {"key": "number", "match": {"value": 58}}]});
    let body = json!({"prefetch": {"query": NEAREST, "filter": filter, "limit": 1}, "query": NEAREST});
    assert_eq!(bob.query(&body).ids(), [58]);
}

/// Qdrant hands a filter down to what is below: nor may it do so there, even where the policy's own filter says all.
#[test]
fn what_is_redacted_does_not_crowd_by_a_filter_above() {
    let name = super::setup::new_name();
    super::setup::fill(&name);
    let exact = super::exact::salaries();
    for (gateway, is_exact) in [(usual(), "false"), (exact.start_with(&name), "true")] {
        let (alice, bob) = (gateway.client(&alice()), gateway.client(&bob()));
        let filter = json!({"should": [{"key": "salary", "range": {"gt": 1_000}}, {"key": "number", "match": {"value": 58}}]});
        for prefetch in [
            json!({"query": NEAREST, "limit": 1}),
            json!({"prefetch": {"query": NEAREST, "limit": 1}, "query": NEAREST, "limit": 1}),
        ] {
            let body = json!({"prefetch": prefetch, "query": NEAREST, "filter": filter});
            let reply = bob.query(&body);
            assert_eq!(reply.headers["tamis-exact"], is_exact);
            assert_eq!(reply.ids(), [58], "{body}");
            assert_eq!(alice.query(&body).ids().len(), 1, "{body}");
            assert_ne!(alice.query(&body).ids(), [58], "{body}");
        }
    }
}

/// A configuration that names another member must not hand out the texts that the policy removes.
#[test]
fn a_text_that_is_not_where_it_should_be_is_not_shown() {
    let name = super::setup::new_name();
    super::setup::fill(&name);
    let gateway = Setup { text: "page_content", ..Setup::default() }.start_with(&name);
    let (alice, bob) = (gateway.client(&alice()), gateway.client(&bob()));
    let body = json!({"query": NEAREST, "limit": 100, "with_payload": true});
    assert_eq!(alice.query(&body).ids(), readable("a"));
    let unpaid: Vec<u64> = readable("a").into_iter().filter(|id| id % 3 != 0).collect();
    let reply = bob.query(&body);
    assert_eq!(reply.ids(), unpaid);
    assert!(!reply.text.contains("text of 12"));
    assert!(bob.points("", &json!({"ids": [12]})).ids().is_empty());
}

#[test]
fn an_order_by_what_is_redacted_shows_nothing_of_it() {
    let gateway = usual();
    let (alice, bob) = (gateway.client(&alice()), gateway.client(&bob()));
    let by = |key: &str| json!({"query": {"order_by": {"key": key, "direction": "desc"}}, "limit": 100});
    let mut paid: Vec<u64> = readable("a").into_iter().filter(|id| id % 3 == 0).collect();
    paid.reverse();
    assert_eq!(alice.query(&by("salary")).ids(), paid);
    assert!(bob.query(&by("salary")).ids().is_empty());
    let mut all = readable("a");
    all.reverse();
    assert_eq!(bob.query(&by("number")).ids(), all);
    // Nor below another order.
    let body = json!({"prefetch": {"query": {"order_by": "salary"}, "limit": 3}, "query": NEAREST});
    assert!(bob.query(&body).ids().is_empty());
    assert_eq!(alice.query(&body).ids().len(), 3);
}

#[test]
fn no_cursor_names_a_point_that_may_not_be_read() {
    // So few candidates that pages end within what is hidden.
    let limits = Setup { limits: "candidates = 3".to_owned(), ..Setup::default() };
    let name = super::setup::new_name();
    super::setup::fill(&name);
    let gateway = limits.start_with(&name);
    let client = gateway.client(&alice());
    let may = readable("a");
    let mut offset = Json::Null;
    let mut seen = Vec::new();
    let mut stuck = false;
    for _ in 0..100 {
        let reply = client.points("/scroll", &json!({"limit": 10, "offset": offset}));
        if reply.status == 422 {
            stuck = true;
            break;
        }
        let result = reply.result();
        seen.extend(super::client::ids(&result));
        offset = result["next_page_offset"].clone();
        if offset.is_null() {
            break;
        }
        assert!(may.contains(&offset.as_u64().unwrap()), "{offset}");
        assert_eq!(reply.headers["tamis-complete"], "false");
    }
    assert!(stuck || seen == may, "a list that ends early says so");
    // And a search says that it is not complete.
    let reply = client.query(&json!({"query": NEAREST, "limit": 20}));
    assert_eq!(reply.headers["tamis-complete"], "false");
    assert!(reply.ids().len() <= 3);
    assert_eq!(client.points("/count", &json!({})).status, 422);
}
