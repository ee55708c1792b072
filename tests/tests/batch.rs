//! Batches and single chunks are decided alike: the example policies over random requests and chunks, in many frames of one
//! session. A policy without the interface `batch` is asked chunk by chunk.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value as Json, json};
use tamis_core::{Cell, Chunk, Decision, EntityUid, Extractor, JsonRow, Request, Row};
use tamis_runtime::{Admission, Policy, Runtime, Verdict};
use tamis_tests::generate::{self, hold};
use tamis_tests::hostile::without_batch;
use tamis_tests::{document, example, load, patient, principal, user, user_with_agent};

const POLICIES: [&str; 3] = ["clearance", "data-source", "company"];

/// What the example policies read of a chunk: what fits most of the time, else anything, null or nothing.
fn chunk() -> impl Strategy<Value = Chunk> {
    let or_odd = |sensible: BoxedStrategy<Json>| prop_oneof![30 => sensible.prop_map(Some), 2 => generate::json().prop_map(Some), 1 => Just(None)];
    let pick = |values: Vec<Json>| select(values).boxed();
    let roles = prop::collection::vec(select(vec!["analyst", "dba", "employee"]), 0..4)
        .prop_map(|roles| json!(roles));
    (
        generate::chunk(),
        or_odd(pick(vec![json!("acme"), json!("acme"), json!("globex"), json!("")])),
        or_odd(pick(vec![json!(0), json!(1), json!(2), json!(-1), json!(i64::MAX), json!(1.0)])),
        or_odd(roles.boxed()),
        or_odd(pick(vec![json!(true), json!(true), json!(false)])),
        or_odd(pick(vec![json!(null), json!(null), json!(18), json!(40)])),
    )
        .prop_map(|(mut chunk, tenant, level, roles, usable, min_age)| {
            let attributes = [
                ("tenant", tenant),
                ("access_level", level),
                ("user_roles", roles),
                ("agent_usable", usable),
                ("min_age", min_age),
            ];
            for (name, value) in attributes {
                if let Some(value) = value {
                    chunk.attributes.insert(name.to_owned(), value);
                }
            }
            chunk
        })
}

/// The JSON of one principal: what the example policies read is mostly there.
fn someone(entity_type: &'static str, id: &'static str) -> impl Strategy<Value = Json> {
    let properties = (
        prop::option::weighted(
            0.98,
            prop_oneof![40 => Just(json!("acme")), 3 => Just(json!("globex")), 1 => Just(json!(1))],
        ),
        prop::option::weighted(
            0.98,
            prop_oneof![20 => select(vec![0, 1, 2]).prop_map(Json::from), 1 => Just(json!("1"))],
        ),
        prop::option::weighted(
            0.98,
            prop_oneof![20 => select(vec![json!(["analyst", "employee"]), json!(["dba", "employee"])]), 1 => select(vec![json!([]), json!([1])])],
        ),
        prop::option::weighted(0.7, select(vec![json!(17), json!(18), json!(99)])),
        prop::option::of(generate::json()),
    );
    properties.prop_map(move |(tenant, clearance, roles, age, odd)| {
        let mut properties = serde_json::Map::new();
        for (name, value) in [("tenant", tenant), ("clearance", clearance), ("roles", roles), ("age", age), ("odd", odd)] {
            properties.extend(value.map(|value| (name.to_owned(), value)));
        }
        json!({"type": entity_type, "id": id, "properties": properties, "parents": [{"type": "Group", "id": "g"}]})
    })
}

/// A user in person, or with up to two others acting for them.
fn request() -> impl Strategy<Value = Request> {
    let actors = (
        prop::option::weighted(0.3, someone("Agent", "bot")),
        prop::option::weighted(0.2, someone("User", "helper")),
    );
    let action = select(vec!["retrieve", "retrieve", "retrieve", "index"]);
    (someone("User", "u"), actors, action, generate::json()).prop_map(|(subject, (agent, helper), action, odd)| {
        let actors: Vec<Json> = agent.into_iter().chain(helper).collect();
        let json = json!({"subject": subject, "actor": actors, "action": {"name": action}, "context": {"odd": odd}});
        Request::from_json(&json.to_string()).unwrap()
    })
}

fn outcomes(decisions: &[Decision]) -> Vec<(bool, &tamis_core::Redaction)> {
    decisions.iter().map(|decision| (decision.allow, &decision.redaction)).collect()
}

fn verdict(decision: &Decision) -> Verdict {
    match (decision.allow, decision.redaction == tamis_core::Redaction::default()) {
        (false, _) => Verdict::Deny,
        (true, true) => Verdict::Allow,
        (true, false) => Verdict::Redact,
    }
}

fn json_row<'a>(policy: &Policy, chunk: &'a Chunk, text: &'a str) -> JsonRow<'a> {
    let mut row = Extractor::new(&policy.manifest().footprint).read(&chunk.uid.id, text).unwrap();
    row.entity_type = (&chunk.uid.entity_type).into();
    row.tags = chunk.tags.clone();
    row.ancestors = chunk.ancestors.clone();
    row
}

/// A chunk as a table has it: a column for each attribute, of the column's type where the value has it.
struct Columns<'a>(&'a Chunk);

impl Row for Columns<'_> {
    fn id(&self) -> &str {
        &self.0.uid.id
    }

    fn attribute(&self, position: usize, path: &[String]) -> Cell<'_> {
        match Row::attribute(self.0, position, path) {
            Cell::Json(Json::Bool(value)) => Cell::Bool(*value),
            Cell::Json(Json::String(text)) => Cell::Text(text),
            Cell::Json(json) => json.as_i64().map_or(Cell::Json(json), Cell::Long),
            other => other,
        }
    }

    fn entity_type(&self) -> &str {
        &self.0.uid.entity_type
    }

    fn tags(&self) -> &tamis_core::Attributes {
        &self.0.tags
    }

    fn ancestors(&self) -> &std::collections::BTreeSet<EntityUid> {
        &self.0.ancestors
    }
}

#[test]
fn batches_and_single_chunks_are_decided_alike() {
    for name in POLICIES {
        let policy = load(name);
        assert!(policy.has_batch());
        let batches = prop::collection::vec(prop::collection::vec(chunk(), 0..40), 1..5);
        let allowed = std::cell::Cell::new(0);
        hold(150, (request(), batches), |(request, batches)| {
            let mut session = policy.session(&request);
            for chunks in &batches {
                // Twice, and in a session that coded chunks of its own, which has other codes.
                let coded = policy.code(chunks).unwrap();
                let first = session.filter_coded(&coded).unwrap();
                prop_assert_eq!(&first, &session.filter_coded(&coded).unwrap());
                let (batch, single) = (session.filter(chunks).unwrap(), session.explain(chunks).unwrap());
                prop_assert_eq!(outcomes(&batch), outcomes(&single));
                let verdicts: Vec<Verdict> = batch.iter().map(verdict).collect();
                prop_assert_eq!(&verdicts, &first);
                prop_assert_eq!(&verdicts, &session.filter_coded(&coded).unwrap());
                // However they come: all at once, one by one, as JSON text, as columns.
                prop_assert_eq!(&verdicts, &session.verdicts(chunks).unwrap());
                let texts: Vec<String> =
                    chunks.iter().map(|chunk| Json::from(chunk.attributes.clone()).to_string()).collect();
                let rows: Vec<JsonRow> =
                    chunks.iter().zip(&texts).map(|(chunk, text)| json_row(&policy, chunk, text)).collect();
                prop_assert_eq!(&verdicts, &session.verdicts(&rows).unwrap());
                let coded = policy.code(&rows).unwrap();
                prop_assert_eq!(&verdicts, &session.filter_coded(&coded).unwrap());
                for ((chunk, row), verdict) in chunks.iter().zip(&rows).zip(&verdicts) {
                    prop_assert_eq!(session.verdict(chunk).unwrap(), *verdict);
                    prop_assert_eq!(session.verdict(row).unwrap(), *verdict);
                    prop_assert_eq!(session.verdict(&Columns(chunk)).unwrap(), *verdict);
                }
                prop_assert!(
                    batch.iter().all(|decision| decision.reasons.is_empty() && decision.errors.is_empty())
                );
                allowed.set(allowed.get() + batch.iter().filter(|decision| decision.allow).count());
            }
            Ok(())
        });
        assert!(allowed.get() > 100, "{name} allowed {}", allowed.get());
    }
}

/// The same module without the interface `batch` is asked in records.
#[test]
fn rewrites_are_alike_in_bytes_and_in_records() {
    let failed = std::cell::Cell::new(0);
    for name in POLICIES {
        let policy = load(name);
        let typed =
            Policy::load(&Runtime::shared().unwrap(), &without_batch(&example(name)), &patient()).unwrap();
        assert!(policy.has_batch() && !typed.has_batch());
        let narrowed = std::cell::Cell::new(0);
        hold(300, (request(), any::<u32>()), |(request, k)| {
            let query = tamis_core::Query { collection: "docs".to_owned(), k };
            let rewrite = policy.rewrite(&request, &query).unwrap();
            prop_assert_eq!(&rewrite, &typed.rewrite(&request, &query).unwrap());
            narrowed.set(narrowed.get() + usize::from(*rewrite.filter != tamis_core::Filter::Never));
            failed.set(failed.get() + usize::from(!rewrite.errors.is_empty()));
            Ok(())
        });
        assert!(narrowed.get() > 50, "{name}: {narrowed:?}");
    }
    assert!(failed.get() > 20, "{failed:?}");
}

#[test]
fn a_batch_of_many_frames_is_decided_as_one() {
    let policy = load("clearance");
    let strong = principal("User", "u", "acme", 3, &["analyst", "dba"]);
    let weak = principal("Agent", "a", "acme", 1, &["analyst"]);
    let chunks: Vec<Chunk> = (0..10_000)
        .map(|id| {
            document(
                &format!("{id}"),
                ["acme", "globex"][id % 2],
                (id / 2 % 4) as i64,
                &[["analyst", "dba"][id / 8 % 2]],
            )
        })
        .collect();
    let decisions = policy.filter(&user_with_agent(&strong, &weak), &chunks).unwrap();
    assert_eq!(decisions.len(), chunks.len());
    for (id, decision) in decisions.iter().enumerate() {
        assert_eq!(decision.allow, id % 2 == 0 && id / 2 % 4 <= 1 && id / 8 % 2 == 0, "{id}");
    }
}

/// Ten times what a policy may use for dictionaries: the session goes on with new instances.
#[test]
fn more_values_than_fit_in_memory_are_decided() {
    let limits = patient();
    let policy = Policy::load(&Runtime::shared().unwrap(), &example("clearance"), &limits).unwrap();
    let bob = user("bob", "acme", 1, &["analyst"]);
    let mut session = policy.session(&bob);
    let mut allowed = 0;
    let mut all = Vec::new();
    for batch in 0..20_usize {
        let chunks: Vec<Chunk> = (0..500)
            .map(|row| {
                let own = format!("{batch}-{row}-{}", "x".repeat(2000));
                document(&own, "acme", 0, if row % 5 == 0 { &["analyst", "x"] } else { &["y"] })
            })
            .map(|mut chunk| {
                let own = chunk.uid.id.clone();
                chunk.attributes.get_mut("user_roles").unwrap().as_array_mut().unwrap().push(own.into());
                chunk
            })
            .collect();
        let decisions = session.filter(&chunks).unwrap();
        assert!(
            decisions.iter().enumerate().all(|(row, decision)| decision.allow == (row % 5 == 0)),
            "{batch}"
        );
        allowed += decisions.iter().filter(|decision| decision.allow).count();
        all.extend(chunks);
    }
    assert_eq!(allowed, 2000);
    // Coded beforehand they need several instances, each time.
    let coded = policy.code(&all).unwrap();
    for _ in 0..2 {
        let verdicts = session.filter_coded(&coded).unwrap();
        let expected = |row| if row % 5 == 0 { Verdict::Allow } else { Verdict::Deny };
        assert!(verdicts.iter().enumerate().all(|(row, verdict)| *verdict == expected(row)));
        assert_eq!(verdicts.len(), all.len());
    }
    assert!(session.explain(&[document("x", "acme", 0, &["analyst"])]).unwrap()[0].allow);
}

/// Chunks that differ in what the policy reads come between such that do not: it is asked about each once, and forgets nothing.
#[test]
fn more_chunks_than_are_remembered_are_decided() {
    let limits = patient();
    let policy = Policy::load(&Runtime::shared().unwrap(), &example("clearance"), &limits).unwrap();
    let mut session = policy.session(&user("bob", "acme", 40_000, &["analyst"]));
    let chunk = |level: i64| document("x", "acme", level, &["analyst"]);
    let verdict = |level: i64| if level <= 40_000 { Verdict::Allow } else { Verdict::Deny };
    for start in (0..80_000).step_by(5000) {
        let chunks: Vec<Chunk> = (start..start + 5000).map(chunk).collect();
        let verdicts = session.verdicts(&chunks).unwrap();
        assert!(verdicts.iter().zip(start..).all(|(found, level)| *found == verdict(level)), "{start}");
        for level in [start, 0, start + 4999, 40_000, 40_001, -1] {
            assert_eq!(session.verdict(&chunk(level)).unwrap(), verdict(level), "{level} after {start}");
        }
    }
}

#[test]
fn metadata_that_is_no_json_is_an_error() {
    struct Broken;
    impl Row for Broken {
        fn id(&self) -> &str {
            "broken"
        }

        fn attribute(&self, _: usize, _: &[String]) -> Cell<'_> {
            Cell::Unparsed("{\"a\":1,\"a\":2}")
        }
    }
    let policy = load("clearance");
    let good = document("1", "acme", 0, &["analyst"]);
    let mut session = policy.session(&user("bob", "acme", 1, &["analyst"]));
    assert_eq!(session.verdict(&good).unwrap(), Verdict::Allow);
    let error = session.verdict(&Broken).unwrap_err().to_string();
    assert!(error.contains("the metadata of a chunk: ") && error.contains("twice"), "{error}");
    // Nothing is known of what failed.
    assert!(session.verdict(&Broken).is_err());
    assert!(policy.code(&[Broken]).is_err());
    assert!(session.verdicts(&[Broken, Broken]).is_err());
    assert!(session.verdict(&good).is_err(), "the session is over");
}

#[test]
fn chunks_coded_for_another_policy_are_refused() {
    let coded = load("clearance").code(&[document("1", "acme", 0, &["analyst"])]).unwrap();
    let mut session = load("company").session(&user("bob", "acme", 1, &["analyst"]));
    let error = session.filter_coded(&coded).unwrap_err();
    assert!(error.to_string().contains("coded for another policy"), "{error}");
}

#[test]
fn chunks_that_were_coded_apart_have_codes_of_their_own() {
    // The same codes mean other values in the second.
    let policy = load("clearance");
    let (acme, globex) = (document("a", "acme", 0, &["analyst"]), document("g", "globex", 0, &["analyst"]));
    let first = policy.code(&[acme.clone(), globex.clone()]).unwrap();
    let second = policy.code(&[globex, acme.clone(), acme]).unwrap();
    assert_eq!((first.len(), first.is_empty()), (2, false));
    assert!(policy.code(&[] as &[Chunk]).unwrap().is_empty());
    let mut session = policy.session(&user("bob", "acme", 1, &["analyst"]));
    for _ in 0..2 {
        let [allow, deny] = [Verdict::Allow, Verdict::Deny];
        assert_eq!(session.filter_coded(&first).unwrap(), [allow, deny]);
        assert_eq!(session.filter_coded(&second).unwrap(), [deny, allow, allow]);
        // What is a copy of the handle only is the same.
        assert_eq!(session.filter_coded(&second.clone()).unwrap(), [deny, allow, allow]);
    }
}

#[test]
fn a_large_request_is_prepared_in_a_batch() {
    let groups: Vec<Json> =
        (0..5000).map(|id| json!({"type": "Group", "id": format!("group-{id}")})).collect();
    let json = json!({
        "subject": {"type": "User", "id": "u", "properties": {"tenant": "acme", "clearance": 1, "roles": ["analyst"]}, "parents": groups},
        "action": {"name": "retrieve"},
    });
    let request = Request::from_json(&json.to_string()).unwrap();
    assert!(load("clearance").filter(&request, &[document("x", "acme", 0, &["analyst"])]).unwrap()[0].allow);
}

#[test]
fn a_denial_at_the_admit_gate_says_why() {
    let policy = load("clearance");
    let loader = user("loader", "acme", 0, &["indexer"]);
    let chunks =
        [document("good", "acme", 1, &["a"]), document("foreign", "globex", 1, &["a"]), Chunk::new("bare")];
    let admissions = policy.admit(&loader, &chunks).unwrap();
    assert_eq!(admissions[0], Admission::Admitted);
    let Admission::Denied(decision) = &admissions[1] else { panic!("{:?}", admissions[1]) };
    assert_eq!(decision.reasons, ["tenant-isolation".to_owned()].into());
    let Admission::Unreadable(faults) = &admissions[2] else { panic!("{:?}", admissions[2]) };
    assert_eq!(faults.len(), 3);
}

#[test]
fn dictionaries_of_one_session_are_not_those_of_another() {
    // The same codes mean other values in the second.
    let policy = load("clearance");
    let (bob, eve) = (user("bob", "acme", 1, &["analyst"]), user("eve", "globex", 1, &["analyst"]));
    let (mut first, mut second) = (policy.session(&bob), policy.session(&eve));
    let acme = [document("a", "acme", 0, &["analyst"]), document("g", "globex", 0, &["analyst"])];
    let globex = [acme[1].clone(), acme[0].clone()];
    for _ in 0..3 {
        let allowed =
            |decisions: Vec<Decision>| decisions.iter().map(|decision| decision.allow).collect::<Vec<_>>();
        assert_eq!(allowed(first.filter(&acme).unwrap()), [true, false]);
        assert_eq!(allowed(second.filter(&globex).unwrap()), [true, false]);
        assert_eq!(allowed(second.filter(&acme).unwrap()), [false, true]);
    }
}

#[test]
fn every_chunk_of_a_type_of_its_own_and_every_ancestor_reach_the_policy() {
    let policy = Policy::load(&Runtime::shared().unwrap(), &example("data-source"), &patient()).unwrap();
    let bob = user("bob", "acme", 1, &[]);
    let chunks: Vec<Chunk> = (0..100)
        .map(|id| {
            let mut chunk = Chunk::new("");
            chunk.uid = EntityUid::new(format!("Type{id}"), format!("{id}\0é"));
            chunk.ancestors.insert(EntityUid::new("Folder", id.to_string()));
            chunk.tags.insert(id.to_string(), json!({"a": [id]}));
            chunk
        })
        .collect();
    assert!(policy.filter(&bob, &chunks).unwrap().iter().all(|decision| decision.allow));
}
