//! Whatever somebody asks, the answer is the same wherever what they may see is the same: nothing of what is hidden is in it, neither
//! its number nor its place.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value as Json, json};
use tamis_tests::generate;

use super::client::Client;
use super::people::bob;
use super::setup::{POINTS, Setup, behind, fill, is_secret, new_name, payload};

/// How often two answers that differ are asked for.
const TRIES: usize = 10;

/// No two points are as near to a third.
fn place(number: u64) -> Json {
    let angle = number as f64 * 0.02 + (number * number % 61) as f64 * 0.000_17;
    json!([angle.cos(), angle.sin()])
}

fn put(name: &str, points: &[Json]) {
    behind("PUT", &format!("/collections/{name}/points"), &json!({"points": points}));
}

fn as_usual(name: &str) {
    let point = |number| json!({"id": number, "vector": place(number), "payload": payload(number)});
    put(name, &(0..POINTS).map(point).collect::<Vec<_>>());
}

/// Bob sees the points of tenant `a`, unless they are secrets that the policy forbids; of those with a salary neither that nor, then, the text.
/// All that he does not see is another in here, and there are more hidden points.
fn hidden_otherwise(name: &str, forbidden: bool) {
    let (mut points, mut gone) = (Vec::new(), Vec::new());
    for number in 0..POINTS {
        let (mut payload, mut vector) = (payload(number), place(number));
        let hidden = payload["tenant"] == "b" || forbidden && is_secret(number);
        if hidden && number % 4 == 1 {
            gone.push(number);
            continue;
        }
        if hidden {
            vector = place(POINTS - number);
            payload["number"] = json!(POINTS - number);
            payload["owner"] = json!({"name": "n2"});
        }
        let paid = payload.get("salary").is_some();
        if paid {
            payload["salary"] = json!(1000 + (number * 7) % 60);
        }
        if hidden || forbidden && paid {
            payload["text"] = json!(format!("text of {}", number / 2));
        }
        points.push(json!({"id": number, "vector": vector, "payload": payload}));
    }
    for number in POINTS..POINTS + 30 {
        let tenant = if forbidden { "a" } else { "b" };
        let payload = json!({"tenant": tenant, "title": "secret", "number": number - 40, "salary": 1010, "text": "text of 2"});
        points.push(json!({"id": number, "vector": place(number - 45), "payload": payload}));
    }
    behind("POST", &format!("/collections/{name}/points/delete"), &json!({"points": gone}));
    put(name, &points);
}

fn id() -> impl Strategy<Value = u64> {
    0..POINTS + 20
}

fn key() -> impl Strategy<Value = &'static str> {
    select(
        &[
            "number",
            "salary",
            "text",
            "title",
            "tenant",
            "owner",
            "owner.name",
            "salary[]",
            "\"text\"",
            "none",
        ][..],
    )
}

fn condition() -> impl Strategy<Value = Json> {
    let value = prop_oneof![
        (0..POINTS).prop_map(|number| json!(number)),
        (1000..1060u64).prop_map(|salary| json!(salary)),
        (0..POINTS).prop_map(|number| json!(format!("text of {number}"))),
        Just(json!("a secret title")),
        Just(json!("a")),
    ];
    let bound = prop_oneof![0..POINTS, 1000..1060u64];
    prop_oneof![
        (key(), value.clone()).prop_map(|(key, value)| json!({"key": key, "match": {"value": value}})),
        (key(), vec((0..1060u64).prop_map(|value| json!(value)), 1..4))
            .prop_map(|(key, any)| json!({"key": key, "match": {"any": any}})),
        (key(), select(&["gt", "gte", "lt", "lte"][..]), bound)
            .prop_map(|(key, test, bound)| json!({"key": key, "range": {test: bound}})),
        key().prop_map(|key| json!({"is_empty": {"key": key}})),
        key().prop_map(|key| json!({"is_null": {"key": key}})),
        key().prop_map(|key| json!({"key": key, "values_count": {"gte": 1}})),
        vec(id(), 0..30).prop_map(|ids| json!({"has_id": ids})),
    ]
}

fn filter() -> impl Strategy<Value = Json> {
    let leaf = condition().prop_map(|condition| json!({"must": [condition]}));
    leaf.prop_recursive(3, 12, 3, |inner| {
        let part = prop_oneof![condition(), inner];
        prop_oneof![
            (select(&["must", "should", "must_not"][..]), vec(part.clone(), 0..4))
                .prop_map(|(name, parts)| json!({name: parts})),
            (vec(part.clone(), 1..4), vec(part.clone(), 0..3))
                .prop_map(|(should, must_not)| json!({"should": should, "must_not": must_not})),
            vec(part, 2..4).prop_map(|parts| json!({"min_should": {"conditions": parts, "min_count": 2}})),
        ]
    })
}

/// What does not put several points in one place: the order of those says nothing.
fn ranking() -> impl Strategy<Value = Json> {
    let near = || {
        (0..POINTS * 10).prop_map(|tenth| {
            let angle = tenth as f64 * 0.0025;
            json!([angle.cos(), angle.sin()])
        })
    };
    prop_oneof![
        3 => near(),
        1 => id().prop_map(|id| json!(id)),
        1 => (vec(id(), 1..3), vec(id(), 0..2))
            .prop_map(|(positive, negative)| json!({"recommend": {"positive": positive, "negative": negative}})),
        1 => (near(), id(), id()).prop_map(|(target, positive, negative)| {
            json!({"discover": {"target": target, "context": [{"positive": positive, "negative": negative}]}})
        }),
        1 => (select(&["number", "salary"][..]), select(&["asc", "desc"][..]))
            .prop_map(|(key, direction)| json!({"order_by": {"key": key, "direction": direction}})),
    ]
}

fn with(mut stage: Json, more: &[(&str, Option<Json>)]) -> Json {
    for (name, value) in more {
        if let Some(value) = value {
            stage[*name] = value.clone();
        }
    }
    stage
}

fn stage() -> impl Strategy<Value = Json> {
    let limit = 1..25u32;
    let single = (ranking(), of(filter()), limit.clone()).prop_map(|(query, filter, limit)| {
        with(json!({"query": query, "limit": limit}), &[("filter", filter)])
    });
    single.prop_recursive(2, 6, 3, move |inner| {
        let fusion = select(&["rrf", "dbsf"][..]).prop_map(|fusion| json!({"fusion": fusion}));
        (prop_oneof![fusion, ranking()], vec(inner, 1..3), of(filter()), limit.clone()).prop_map(
            |(query, prefetch, filter, limit)| {
                let stage = json!({"query": query, "prefetch": prefetch, "limit": limit});
                with(stage, &[("filter", filter)])
            },
        )
    })
}

fn asked() -> impl Strategy<Value = (&'static str, Json)> {
    let whole = json!(true);
    let count = of(filter()).prop_map(|filter| ("/count", with(json!({}), &[("filter", filter)])));
    let list = (of(filter()), 1..30u32, of(id())).prop_map(|(filter, limit, from)| {
        let from = from.map(|id| json!(id));
        ("/scroll", with(json!({"limit": limit}), &[("filter", filter), ("offset", from)]))
    });
    let read = vec(id(), 0..20).prop_map(|ids| {
        ("", json!({"ids": ids, "with_payload": ["number", "text", "salary"], "with_vector": true}))
    });
    prop_oneof![
        4 => (stage(), 0..5u32).prop_map(move |(stage, offset)| {
            ("/query", with(stage, &[("offset", Some(json!(offset))), ("with_payload", Some(whole.clone()))]))
        }),
        1 => vec(stage(), 0..3).prop_map(|searches| ("/query/batch", json!({"searches": searches}))),
        1 => count,
        1 => list,
        1 => read,
    ]
}

/// Puts points of one score, of which a fusion has many, in the order of their ids: Qdrant throws dice.
fn order(result: &mut Json) {
    if let Some(points) = result.get_mut("points").and_then(Json::as_array_mut) {
        let score = |point: &Json| point["score"].as_f64().unwrap_or_default();
        points.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a["id"].as_u64().cmp(&b["id"].as_u64())));
    } else if let Some(searches) = result.as_array_mut() {
        searches.iter_mut().for_each(order);
    }
}

fn answers_are_the_same(setup: fn() -> Setup, forbidden: bool) {
    let start = |change: &dyn Fn(&str)| {
        let name = new_name();
        fill(&name);
        change(&name);
        setup().start_with(&name)
    };
    let (one, other) = (start(&as_usual), start(&|name| hidden_otherwise(name, forbidden)));
    let clients = [one.client(&bob()), other.client(&bob())];
    let answer = |client: &Client, what: &str, body: &Json| {
        let reply = client.points(what, body);
        let said: Vec<_> = reply.headers.iter().filter(|(name, _)| name.starts_with("tamis-")).collect();
        let mut json = reply.json();
        if body.to_string().contains("fusion") {
            order(&mut json["result"]);
        }
        format!("{} {said:?} {json}", reply.status)
    };
    generate::hold(100, asked(), |(what, body)| {
        // Which of those with one score are among the first is thrown as well.
        let (mut one, mut other) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..TRIES {
            one.insert(answer(&clients[0], what, &body));
            other.insert(answer(&clients[1], what, &body));
            if !one.is_disjoint(&other) {
                return Ok(());
            }
        }
        prop_assert_eq!(one, other, "{} {}", what, body);
        Ok(())
    });
}

#[test]
fn answers_depend_on_nothing_that_the_gate_hides() {
    answers_are_the_same(Setup::default, true);
}

#[test]
fn answers_depend_on_nothing_that_the_filter_hides() {
    answers_are_the_same(super::exact::salaries, false);
}
