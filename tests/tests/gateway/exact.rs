//! Collections of which the database's filter says all that the policy does, and what the database counts then.

use serde_json::{Value as Json, json};

use super::people::{alice, carol, dave};
use super::setup::{POINTS, Setup, behind, fill, new_name};
use super::writes::{point, stored};

const NEAREST: [f64; 2] = [1.0, 0.0];

/// Only the `hr` group sees salaries.
pub(super) fn salaries() -> Setup {
    const SCHEMA: &str = r#"
        entity Group;
        entity User in Group { tenant: String };
        entity Chunk { tenant: String, salary?: Long };
        action "retrieve" appliesTo { principal: User, resource: Chunk };
    "#;
    let policy = r#"
        @id("whole")
        permit(principal in Group::"hr", action, resource) when { resource.tenant == principal.tenant };
        @id("brief") @redact("salary")
        permit(principal, action, resource) when { resource.tenant == principal.tenant && resource has salary };
        @id("plain")
        permit(principal, action, resource) when { resource.tenant == principal.tenant && !(resource has salary) };
    "#;
    let fields = r#"fields = { id = { absent = true }, entity_type = { constant = "Chunk" }, ancestors = { absent = true }, admitted = true }"#;
    Setup {
        policy: policy.as_bytes().to_vec(),
        schema: Some(SCHEMA),
        fields: fields.to_owned(),
        ..Setup::default()
    }
}

#[test]
fn where_the_filter_says_all_the_database_counts() {
    const SCHEMA: &str = r#"
        entity User { tenant: String };
        entity Chunk { tenant: String };
        action "retrieve" appliesTo { principal: User, resource: Chunk };
    "#;
    let policy =
        r#"@id("t") permit(principal, action, resource) when { resource.tenant == principal.tenant };"#;
    let name = new_name();
    fill(&name);
    let fields = r#"fields = { id = { absent = true }, entity_type = { constant = "Chunk" }, ancestors = { absent = true }, admitted = true }"#;
    let gateway = Setup::of(policy, SCHEMA, fields).start_with(&name);
    let client = gateway.client(&alice());
    let reply = client.query(&json!({"query": NEAREST, "limit": 500}));
    assert_eq!(reply.ids(), (0..POINTS).filter(|n| n % 2 == 0).collect::<Vec<_>>());
    assert_eq!(reply.headers["tamis-exact"], "true");
    // Nothing hidden can take part in a fusion, so there is nothing to find out before.
    let asked = || super::wire::seen(&name).len();
    let before = asked();
    let fusion =
        json!({"prefetch": [{"query": NEAREST, "limit": 9}], "query": {"fusion": "rrf"}, "limit": 9});
    assert_eq!(client.query(&fusion).ids(), (0..18).step_by(2).collect::<Vec<u64>>());
    assert_eq!(asked(), before + 1);
    assert_eq!(client.points("/count", &json!({})).result()["count"], POINTS / 2);
    assert_eq!(gateway.client(&dave()).points("/count", &json!({})).result()["count"], 0);
    let counted = super::wire::seen(&name)
        .iter()
        .filter(|seen| seen["path"].as_str().unwrap().ends_with("/count"))
        .count();
    assert_eq!(counted, 2);
}

/// What lies in a record that is mapped is tested where it is read, and not where it would be otherwise.
#[test]
fn what_is_in_a_mapped_record_is_looked_for_there() {
    const SCHEMA: &str = r#"
        entity User { tenant: String };
        entity Chunk { owner: { team: String } };
        action "retrieve", "index" appliesTo { principal: User, resource: Chunk };
    "#;
    let policy = r#"permit(principal, action, resource) when { resource.owner.team == principal.tenant };"#;
    let name = new_name();
    fill(&name);
    let ids: Vec<u64> = (0..POINTS).collect();
    behind("POST", &format!("/collections/{name}/points/delete"), &json!({"points": ids}));
    let point = |id: u64, mapped: &str, decoy: &str| {
        let payload = json!({"meta": {"owner": {"team": mapped}}, "owner": {"team": decoy}});
        json!({"id": id, "vector": NEAREST, "payload": payload})
    };
    let points = [point(1, "a", "b"), point(2, "b", "a"), point(3, "b", "a")];
    behind("PUT", &format!("/collections/{name}/points"), &json!({"points": points}));
    let fields = r#"fields = { id = { absent = true }, entity_type = { constant = "Chunk" }, ancestors = { absent = true }, admitted = true, attributes = [{ attr = ["owner"], field = ["meta", "owner"] }] }"#;
    let gateway = Setup::of(policy, SCHEMA, fields).start_with(&name);
    for (token, may) in [(alice(), vec![1]), (carol(), vec![2, 3])] {
        let client = gateway.client(&token);
        let reply = client.query(&json!({"query": NEAREST, "limit": 10}));
        let mut ids = reply.ids();
        ids.sort_unstable();
        assert_eq!(ids, may);
        assert_eq!(reply.headers["tamis-exact"], "true");
        assert_eq!(client.points("/count", &json!({})).result()["count"], may.len());
    }
}

/// A key that is written in another way would be missed by a filter, and a point in a forbidden folder be counted.
#[test]
fn ancestors_are_stored_in_one_spelling() {
    const SCHEMA: &str = r#"
        entity User { tenant: String };
        entity Folder;
        entity Chunk in Folder { tenant: String };
        action "retrieve", "index" appliesTo { principal: User, resource: Chunk };
    "#;
    let policy = r#"
        permit(principal, action, resource) when { resource.tenant == principal.tenant };
        forbid(principal, action == Action::"retrieve", resource) when { resource in Folder::"kept" };
    "#;
    let fields =
        r#"fields = { id = { absent = true }, entity_type = { constant = "Chunk" }, admitted = true }"#;
    let name = new_name();
    fill(&name);
    let gateway = Setup::of(policy, SCHEMA, fields).start_with(&name);
    let alice = gateway.client(&alice());
    let before = alice.points("/count", &json!({})).result()["count"].clone();
    let key = r#"["Folder","kept"]"#;
    let payload = |keys: Json| json!({"tenant": "a", "ancestors": keys});
    let spellings =
        [json!([key]), json!([" [ \"Folder\" , \"kept\" ] "]), json!([r#"["F\u006flder","kept"]"#, key])];
    for (id, keys) in (100..).zip(spellings) {
        alice.put(&json!({"points": [point(id, payload(keys))]})).result();
        assert_eq!(stored(&gateway, &[json!(id)]), [payload(json!([key]))]);
    }
    assert_eq!(alice.points("/count", &json!({})).result()["count"], before);
    assert!(alice.points("", &json!({"ids": [100, 101, 102]})).ids().is_empty());
    alice.put(&json!({"points": [point(103, json!({"tenant": "a"}))]})).result();
    assert_eq!(stored(&gateway, &[json!(103)]), [json!({"tenant": "a"})]);
}
