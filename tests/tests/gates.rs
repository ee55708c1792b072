//! The three gates through real components: filter, rewrite, admit, and the intersection over an actor chain.

use tamis_core::filter::Filter;
use tamis_core::{Chunk, Query};
use tamis_runtime::Admission;
use tamis_tests::{allowed, chunk, document, load, matched, principal, request, user, user_with_agent};

fn query() -> Query {
    Query { collection: "docs".into(), k: 10 }
}

/// Every combination of what `clearance` looks at.
fn documents() -> Vec<Chunk> {
    let mut documents = Vec::new();
    for tenant in ["acme", "globex"] {
        for level in 0..4 {
            for roles in [vec!["analyst"], vec!["dba"], vec!["analyst", "dba"], vec![]] {
                let id = format!("{tenant}-{level}-{}", roles.join("-"));
                documents.push(document(&id, tenant, level, &roles));
            }
        }
    }
    documents
}

#[test]
fn filter_decides_by_tenant_clearance_and_role() {
    let policy = load("clearance");
    let bob = user("bob", "acme", 1, &["analyst"]);
    let ids = allowed(&policy, &bob, &documents());
    assert_eq!(ids, ["acme-0-analyst", "acme-0-analyst-dba", "acme-1-analyst", "acme-1-analyst-dba"]);

    let decisions = policy.explain(&bob, &[document("x", "globex", 0, &["analyst"])]).unwrap();
    assert_eq!(decisions[0].reasons, ["tenant-isolation".to_owned()].into());
}

#[test]
fn what_a_chunk_lacks_denies_and_is_named() {
    let policy = load("clearance");
    let bob = user("bob", "acme", 1, &["analyst"]);
    for (attributes, message) in [
        (r#"{}"#, "the chunk has no attribute `tenant`"),
        (r#"{"tenant":null}"#, "the chunk has no attribute `tenant`"),
        (r#"{"tenant":["acme"]}"#, "`tenant` is unreadable: an array where String is declared"),
        (
            r#"{"tenant":"acme","access_level":0.5}"#,
            "`access_level` is unreadable: a number with a fraction where Long",
        ),
        (r#"{"tenant":"acme","access_level":"0"}"#, "`access_level` is unreadable: a string where Long"),
        (
            r#"{"tenant":"acme","access_level":0,"user_roles":["analyst",1]}"#,
            "`user_roles` is unreadable: a set with",
        ),
    ] {
        let decisions =
            policy.explain(&bob, &[chunk(&format!(r#"{{"id":"c","attributes":{attributes}}}"#))]).unwrap();
        assert!(!decisions[0].allow, "{attributes}");
        let error = &decisions[0].errors.first().unwrap().message;
        assert!(error.starts_with(message), "{attributes}: {error}");
    }
}

#[test]
fn a_request_that_lacks_what_the_policy_reads_denies() {
    let policy = load("clearance");
    let nobody = request(r#"{"subject":{"type":"User","id":"x"},"action":{"name":"retrieve"}}"#);
    assert_eq!(allowed(&policy, &nobody, &documents()), [""; 0]);
    let rewrite = policy.rewrite(&nobody, &query()).unwrap();
    assert_eq!(*rewrite.filter, Filter::Never);
    assert_eq!(rewrite.errors.first().unwrap().message, "User::\"x\" has no attribute `tenant`");
}

#[test]
fn an_exact_rewrite_matches_what_the_filter_gate_allows() {
    let chunks = documents();
    let policy = load("clearance");
    for bob in [
        user("bob", "acme", 1, &["analyst"]),
        user("eve", "globex", 3, &["dba", "x"]),
        user("x", "acme", 3, &[]),
    ] {
        let rewrite = policy.rewrite(&bob, &query()).unwrap();
        assert!(rewrite.exact);
        assert_eq!(matched(&rewrite.filter, &chunks), allowed(&policy, &bob, &chunks));
        assert_eq!(rewrite.needs.len(), 3);
    }
}

#[test]
fn with_an_agent_both_must_be_allowed() {
    let policy = load("clearance");
    let chunks = documents();
    let strong = |kind, id| principal(kind, id, "acme", 3, &["analyst", "dba"]);
    let weak = |kind, id| principal(kind, id, "acme", 1, &["analyst"]);
    let foreign = principal("Agent", "a", "globex", 3, &["analyst", "dba"]);
    let alone = allowed(&policy, &user("bob", "acme", 1, &["analyst"]), &chunks);
    assert_eq!(alone.len(), 4);
    for (request, expected) in [
        (user_with_agent(&strong("User", "u"), &weak("Agent", "a")), alone.clone()),
        (user_with_agent(&weak("User", "u"), &strong("Agent", "a")), alone.clone()),
        (user_with_agent(&strong("User", "u"), &foreign), vec![]),
    ] {
        assert_eq!(allowed(&policy, &request, &chunks), expected);
        let rewrite = policy.rewrite(&request, &query()).unwrap();
        assert!(rewrite.exact);
        assert_eq!(matched(&rewrite.filter, &chunks), expected);
    }
}

#[test]
fn every_actor_of_a_chain_counts() {
    let policy = load("data-source");
    let chunks = [
        chunk(r#"{"id":"open","attributes":{"agent_usable":true}}"#),
        chunk(r#"{"id":"people","attributes":{"agent_usable":false}}"#),
        chunk(r#"{"id":"adults","attributes":{"agent_usable":true,"min_age":18}}"#),
    ];
    let subject = |age| format!(r#"{{"type":"User","id":"u","properties":{{"age":{age}}}}}"#);
    let of = |age, actors: &str| {
        request(&format!(
            r#"{{"subject":{},"actor":[{actors}],"action":{{"name":"retrieve"}}}}"#,
            subject(age)
        ))
    };
    let person = r#"{"type":"User","id":"helper","properties":{"age":40}}"#;
    let agent = r#"{"type":"Agent","id":"bot"}"#;
    for (request, expected) in [
        (of(40, ""), vec!["open", "people", "adults"]),
        (of(17, ""), vec!["open", "people"]),
        (of(40, agent), vec!["open", "adults"]),
        (of(17, agent), vec!["open"]),
        (of(40, &format!("{person},{agent}")), vec!["open", "adults"]),
        (of(17, person), vec!["open", "people"]),
    ] {
        assert_eq!(allowed(&policy, &request, &chunks), expected);
        let rewrite = policy.rewrite(&request, &query()).unwrap();
        assert_eq!(matched(&rewrite.filter, &chunks), expected);
    }
}

#[test]
fn a_policy_made_of_two_is_exact_like_both() {
    let policy = load("company");
    assert_eq!(policy.manifest().footprint.len(), 5);
    let chunks: Vec<Chunk> = [(0, true, None), (0, false, None), (2, true, None), (0, true, Some(18))]
        .into_iter()
        .map(|(level, usable, min_age)| {
            let min_age = min_age.map(|age: i64| format!(r#","min_age":{age}"#)).unwrap_or_default();
            chunk(&format!(
                r#"{{"id":"{level}-{usable}{}","attributes":{{"tenant":"acme","access_level":{level},
                    "user_roles":["analyst"],"agent_usable":{usable}{min_age}}}}}"#,
                min_age.len()
            ))
        })
        .collect();
    let bob = user("bob", "acme", 1, &["analyst"]);
    assert_eq!(allowed(&policy, &bob, &chunks), ["0-true0", "0-false0"]);
    let rewrite = policy.rewrite(&bob, &query()).unwrap();
    assert!(rewrite.exact);
    assert_eq!(matched(&rewrite.filter, &chunks), ["0-true0", "0-false0"]);
}

#[test]
fn admit_wants_the_footprint_and_then_the_policy() {
    let policy = load("clearance");
    let chunks = [
        document("good", "acme", 1, &["analyst"]),
        document("foreign", "globex", 1, &["analyst"]),
        chunk(r#"{"id":"bare","attributes":{"tenant":"acme","user_roles":1}}"#),
    ];
    let loader = user("loader", "acme", 0, &["indexer"]);
    let admissions = policy.admit(&loader, &chunks).unwrap();
    assert_eq!(admissions[0], Admission::Admitted);
    assert!(
        matches!(&admissions[1], Admission::Denied(decision) if decision.reasons.contains("tenant-isolation"))
    );
    let Admission::Unreadable(faults) = &admissions[2] else { panic!("{:?}", admissions[2]) };
    assert_eq!(faults[0], "attribute `access_level` is missing");
    assert!(faults[1].starts_with("attribute `user_roles` is ill-typed"), "{}", faults[1]);

    let reader = user("bob", "acme", 3, &["analyst"]);
    let admissions = policy.admit(&reader, &chunks).unwrap();
    assert!(admissions.iter().all(|admission| *admission != Admission::Admitted));
}

#[test]
fn a_session_answers_many_times() {
    let policy = load("clearance");
    let bob = user("bob", "acme", 1, &["analyst"]);
    let mut session = policy.session(&bob);
    let once = session.filter(&documents()).unwrap();
    for _ in 0..3 {
        assert_eq!(session.filter(&documents()).unwrap(), once);
        assert!(session.rewrite(&query()).unwrap().exact);
    }
}
