//! Storing and deleting: behind the admit gate, all or nothing, and not over what others stored.

use serde_json::{Value as Json, json};

use super::client::Reply;
use super::people::{alice, carol, dave};
use super::setup::{POINTS, Running, Setup, behind, fill, new_name, payload, usual, vector};

pub(super) fn point(id: impl Into<Json>, payload: Json) -> Json {
    json!({"id": id.into(), "vector": [1, 0], "payload": payload})
}

/// What is stored under some ids, whoever may read it.
pub(super) fn stored(gateway: &Running, ids: &[Json]) -> Vec<Json> {
    let body = json!({"ids": ids, "with_payload": true});
    let answer = behind("POST", &format!("/collections/{}/points", gateway.name), &body);
    answer["result"].as_array().unwrap().iter().map(|point| point["payload"].clone()).collect()
}

fn count(gateway: &Running) -> u64 {
    let body = json!({"exact": true});
    behind("POST", &format!("/collections/{}/points/count", gateway.name), &body)["result"]["count"]
        .as_u64()
        .unwrap()
}

/// The points that a reply rejects, with their reasons.
fn rejected(reply: &Reply) -> Vec<(Json, String)> {
    assert_eq!(reply.status, 403, "{}", reply.text);
    let status = reply.json()["status"].clone();
    assert!(status["error"].as_str().unwrap().starts_with("nothing is "), "{status}");
    let text = |point: &Json| (point["id"].clone(), point["reasons"].to_string());
    status["rejected"].as_array().unwrap().iter().map(text).collect()
}

#[test]
fn both_forms_of_points_are_stored() {
    let gateway = usual();
    let alice = gateway.client(&alice());
    let uuid = "5f0c3d92-1111-4abc-8def-0123456789ab";
    let reply = alice.put(&json!({"points": [point(100, json!({"tenant": "a"})), point(uuid, json!({"tenant": "a", "x": [1, {"y": 2}]}))]}));
    assert_eq!(reply.result(), json!({"operation_id": null, "status": "completed"}));
    let batch = json!({"batch": {"ids": [101, 102], "vectors": [[1, 0], [0, 1]], "payloads": [{"tenant": "a", "n": 1}, {"tenant": "a", "n": 2}]}});
    alice.put(&batch).result();
    let ids = [json!(100), json!(uuid), json!(101), json!(102)];
    let expected = [
        json!({"tenant": "a"}),
        json!({"tenant": "a", "x": [1, {"y": 2}]}),
        json!({"tenant": "a", "n": 1}),
        json!({"tenant": "a", "n": 2}),
    ];
    assert_eq!(stored(&gateway, &ids), expected);
    assert_eq!(alice.points("", &json!({"ids": ids})).result().as_array().unwrap().len(), 4);
    assert!(gateway.client(&carol()).points("", &json!({"ids": ids})).ids().is_empty());
    let writes: Vec<Json> =
        super::wire::seen(&gateway.name).into_iter().filter(|seen| seen["method"] == "PUT").collect();
    assert!(
        writes.iter().all(|seen| seen["path"].as_str().unwrap().ends_with("/points?wait=true")),
        "{writes:?}"
    );
}

#[test]
fn one_that_is_rejected_keeps_all_out() {
    let gateway = usual();
    let alice = gateway.client(&alice());
    let before = count(&gateway);
    let points = json!({"points": [
        point(100, json!({"tenant": "a"})),
        point(101, json!({"tenant": "b"})),
        point(102, json!({})),
        point(103, json!({"tenant": "a", "title": "a secret"})),
        point(104, json!({"tenant": ["a"]})),
    ]});
    let rejected = rejected(&alice.put(&points));
    let ids: Vec<&Json> = rejected.iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [&json!(101), &json!(102), &json!(103), &json!(104)]);
    assert!(rejected[0].1.contains("no rule allows it"), "{rejected:?}");
    assert!(rejected[2].1.contains("denied by secret"), "{rejected:?}");
    assert_eq!(count(&gateway), before);
    assert!(super::wire::seen(&gateway.name).iter().all(|seen| seen["method"] != "PUT"));
    assert_eq!(gateway.figure("tamis_rejected_total"), 4.0);
}

#[test]
fn what_others_stored_is_not_replaced() {
    let gateway = usual();
    let (alice, carol) = (gateway.client(&alice()), gateway.client(&carol()));
    // 3 is the other tenant's, 6 is a secret of her own tenant.
    let points = json!({"points": [point(2, json!({"tenant": "a", "new": true})), point(3, json!({"tenant": "a"})), point(6, json!({"tenant": "a"}))]});
    let rejected = rejected(&alice.put(&points));
    assert_eq!(rejected.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), [json!(3), json!(6)]);
    assert!(rejected.iter().all(|(_, reasons)| reasons.contains("may not replace")), "{rejected:?}");
    assert_eq!(stored(&gateway, &[json!(2), json!(3), json!(6)]), [payload(2), payload(3), payload(6)]);
    alice.put(&json!({"points": [point(2, json!({"tenant": "a", "new": true}))]})).result();
    assert_eq!(stored(&gateway, &[json!(2)]), [json!({"tenant": "a", "new": true})]);
    // Nobody gives a point away that then is somebody else's to keep.
    assert_eq!(carol.put(&json!({"points": [point(2, json!({"tenant": "b"}))]})).status, 403);
    assert_eq!(alice.put(&json!({"points": [point(2, json!({"tenant": "b"}))]})).status, 403);
}

#[test]
fn only_what_may_be_stored_is_deleted() {
    let gateway = usual();
    let alice = gateway.client(&alice());
    for ids in [json!([2, 3]), json!([6]), json!([3])] {
        rejected(&alice.points("/delete", &json!({"points": ids})));
    }
    assert_eq!(count(&gateway), POINTS);
    for body in [
        json!({"filter": {}}),
        json!({"filter": {"must": [{"key": "tenant", "match": {"value": "a"}}]}}),
        json!({"points": [2], "filter": {}}),
        json!({}),
    ] {
        assert_eq!(alice.points("/delete", &body).status, 403, "{body}");
    }
    assert_eq!(gateway.client(&dave()).points("/delete", &json!({"points": [2]})).status, 403);
    assert_eq!(count(&gateway), POINTS);
    alice.points("/delete?wait=true&ordering=strong", &json!({"points": [2, 4, 999]})).result();
    assert_eq!(count(&gateway), POINTS - 2);
    assert!(alice.points("", &json!({"ids": [2, 4]})).ids().is_empty());
    let last = super::wire::seen(&gateway.name).pop().unwrap();
    assert!(last["path"].as_str().unwrap().contains("scroll"), "{last}");
    assert_eq!(alice.points("/delete?ordering=other", &json!({"points": [8]})).status, 400);
}

#[test]
fn bodies_that_are_no_points_are_refused() {
    let gateway = usual();
    let alice = gateway.client(&alice());
    let mine = json!({"tenant": "a"});
    for (body, status) in [
        (json!({}), 400),
        (json!({"points": {}}), 400),
        (
            json!({"points": [point(100, mine.clone())], "batch": {"ids": [], "vectors": [], "payloads": []}}),
            400,
        ),
        (json!({"points": [point(100, mine.clone()), point(100, mine.clone())]}), 400),
        (json!({"points": [point(-1, mine.clone())]}), 400),
        (json!({"points": [point("x", mine.clone())]}), 400),
        (json!({"points": [{"id": 100, "payload": mine}]}), 400),
        (json!({"points": [{"id": 100, "vector": {"text": "x", "model": "m"}, "payload": mine}]}), 400),
        (json!({"points": [{"id": 100, "vector": [1, 0], "payload": []}]}), 400),
        (json!({"points": [{"id": 100, "vector": [1, 0], "payload": mine, "more": 1}]}), 403),
        (json!({"points": [point(100, mine.clone())], "shard_key": "x"}), 403),
        (json!({"points": [point(100, mine.clone())], "update_filter": {}}), 403),
        (json!({"points": [point(100, mine.clone())], "update_mode": "upsert"}), 403),
        (json!({"batch": {"ids": [100, 101], "vectors": [[1, 0]], "payloads": [mine, mine]}}), 400),
        (json!({"batch": {"ids": [100], "vectors": [[1, 0]], "payloads": [mine, mine]}}), 400),
        (json!({"batch": {"ids": [100], "vectors": {"x": [[1, 0], [1, 0]]}, "payloads": [mine]}}), 400),
    ] {
        assert_eq!(alice.put(&body).status, status, "{body}");
    }
    assert_eq!(count(&gateway), POINTS);
}

/// What could be stored and not be read any more would be in the way of everybody who searches.
#[test]
fn what_could_not_be_read_again_is_not_stored() {
    let gateway = usual();
    let alice = gateway.client(&alice());
    let near = |id: u64, payload: Json| json!({"points": [{"id": id, "vector": [1, 0], "payload": payload}]});
    let deep =
        |levels| json!({"tenant": "a", "x": (2..levels).fold(json!({}), |inner, _| json!({"x": inner}))});
    let small: Vec<Json> = (0..18_000).map(|_| json!({"": 0})).collect();
    for (id, payload, status) in [
        (100, deep(64), 200),
        (101, deep(65), 422),
        // As deep as a body may be.
        (102, deep(124), 422),
        (103, json!({"tenant": "a", "text": "x".repeat(100_000)}), 200),
        (104, json!({"tenant": "a", "text": "x".repeat(140_000)}), 422),
        // In memory, an object takes a hundred times what it does here.
        (105, json!({"tenant": "a", "x": small}), 422),
    ] {
        let reply = alice.put(&near(id, payload));
        assert_eq!(reply.status, status, "{id}: {}", reply.text);
        let found = alice.query(&json!({"query": [1, 0], "limit": 100, "with_payload": true})).ids();
        assert_eq!(found.contains(&id), status == 200, "{id}");
        assert_eq!(found.len(), alice.points("/scroll", &json!({"limit": 100})).ids().len());
    }
}

/// Where sums overflow, a score is no number, and that ranks first.
#[test]
fn no_vector_is_above_all_others() {
    let gateway = usual();
    let alice = gateway.client(&alice());
    let mine = json!({"tenant": "a"});
    for vector in [json!([1e300, 0]), json!([1e30, 1]), json!([-1e20, 0]), json!({"x": [1e300, 0]})] {
        let reply = alice.put(&json!({"points": [{"id": 100, "vector": vector, "payload": mine}]}));
        assert_eq!(reply.status, 400, "{vector}");
        assert_ne!(alice.query(&json!({"query": [0, 1], "limit": 1})).ids(), [100], "{vector}");
    }
    assert_eq!(
        alice.put(&json!({"points": [{"id": 100, "vector": [1e15, 0], "payload": mine}]})).status,
        200
    );
    let result = alice.query(&json!({"query": [1, 0], "limit": 100})).result();
    assert!(result["points"].as_array().unwrap().iter().all(|point| point["score"].is_number()), "{result}");
}

/// Values are stored as filters look for them, wherever the collection keeps them.
#[test]
fn values_are_stored_in_one_spelling() {
    const SCHEMA: &str = r#"
        entity User { tenant: String };
        entity Chunk { tenant: String, until: datetime };
        action "retrieve", "index" appliesTo { principal: User, resource: Chunk };
    "#;
    let policy = r#"permit(principal, action, resource) when { resource.tenant == principal.tenant && resource.until > datetime("2020-01-01") };"#;
    let fields = r#"fields = { id = { absent = true }, entity_type = { constant = "Chunk" }, ancestors = { absent = true }, attributes = [{ attr = ["until"], field = ["metadata", "until"] }] }"#;
    let name = new_name();
    fill(&name);
    let gateway = Setup::of(policy, SCHEMA, fields).start_with(&name);
    let alice = gateway.client(&alice());
    let payload = |until: Json| json!({"tenant": "a", "metadata": {"until": until}});
    alice.put(&json!({"points": [point(100, payload(json!("2026-01-31T01:00:00+0100")))]})).result();
    assert_eq!(stored(&gateway, &[json!(100)]), [payload(json!("2026-01-31T00:00:00.000Z"))]);
    let rejected = rejected(&alice.put(&json!({"points": [point(101, payload(json!("some day"))), point(102, json!({"tenant": "a", "until": "2026-01-31"}))]})));
    assert!(rejected[0].1.contains("ill-typed") && rejected[1].1.contains("missing"), "{rejected:?}");
    let ids = alice.query(&json!({"query": vector(0), "limit": 100, "with_payload": true})).ids();
    assert_eq!(ids, [100]);
}
