//! Cedar policies against Cedar itself: every decision, with its reasons and errors, is the same on both sides.
//!
//! `cargo run --release -p tamis-tests --example cedar_differential` does the same for as long as one likes.

use std::collections::BTreeSet;
use std::str::FromStr;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityUid, PolicyId, PolicySet, Request, SlotId,
};
use tamis_compiler::Named;
use tamis_core::request::KnownEntities;
use tamis_runtime::{Policy, Runtime};

use tamis_tests::cedar::case::{self, Case};
use tamis_tests::cedar::coverage::Tally;
use tamis_tests::cedar::differ::differ;
use tamis_tests::cedar::generate::{self, Knobs};
use tamis_tests::cedar::oracle::{self, Verdict};
use tamis_tests::cedar::search::search;
use tamis_tests::cedar::{ours, search};
use tamis_tests::patient;

/// Cases that are compared: a few seconds without optimisation.
const COMPARED: u64 = 1_000;

/// Cases among which everything occurs, the rarest some times.
const COVERED: u64 = 3_000;

#[test]
fn kept_cases_are_decided_as_by_cedar() {
    for (name, case) in case::kept() {
        let verdicts =
            differ(&case, ours::decide).unwrap_or_else(|difference| panic!("{name}:\n{difference}"));
        assert!(!verdicts.is_empty(), "{name}: Cedar refuses the case, so it compares nothing");
    }
}

#[test]
fn random_cases_are_decided_as_by_cedar() {
    let (tally, found) = search(0..COMPARED, 2, Knobs::alternating, ours::decide, || ());
    if let Some(found) = found {
        panic!("seed {}:\n{}", found.seed, found.difference);
    }
    println!("{tally}");
}

#[test]
fn random_cases_reach_everything() {
    let mut tally = Tally::default();
    for seed in 0..COVERED {
        let draft = generate::draft(seed, &Knobs::alternating(seed));
        tally.add(&draft, &oracle::explain(&draft.case()).unwrap_or_default());
    }
    println!("{tally}");
    assert_eq!(tally.missing(), Vec::<String>::new(), "what never occurs");
    assert!(!tally.counts.contains_key("fails: otherwise"), "a failure that depends on the machine");
    assert!(tally.refused * 100 < COVERED, "Cedar refuses {} of {COVERED} cases", tally.refused);
    let share = |part: u64| part * 100 / tally.requests;
    assert!((10..=60).contains(&share(tally.allowed)), "{} % are allowed", share(tally.allowed));
    assert!((10..=60).contains(&share(tally.erring)), "{} % have errors", share(tally.erring));
}

/// A mistake, and how small the case that shows it must become.
struct Mistake {
    name: &'static str,
    decide: fn(&Case) -> Result<Vec<Verdict>, String>,
}

/// Mistakes that a compiler could make. Each is Cedar with its answer, or its question, changed.
const MISTAKES: &[Mistake] = &[
    Mistake {
        name: "an error denies",
        decide: |case| answer(case, |verdict| verdict.allow &= verdict.errors.is_empty()),
    },
    Mistake { name: "errors are dropped", decide: |case| answer(case, |verdict| verdict.errors.clear()) },
    Mistake { name: "one reason is enough", decide: |case| answer(case, one_reason) },
    Mistake { name: "< is <=", decide: |case| question(case, " < ", " <= ") },
    Mistake {
        name: "containsAny is containsAll",
        decide: |case| question(case, ".containsAny(", ".containsAll("),
    },
    Mistake { name: "isEmpty of nothing", decide: |case| question(case, ".isEmpty()", ".contains(0)") },
    Mistake { name: "hasTag is always true", decide: |case| question(case, ".hasTag(", ".getTag(") },
    Mistake { name: "toSeconds is toMinutes", decide: |case| question(case, ".toSeconds(", ".toMinutes(") },
    Mistake { name: "toDate does nothing", decide: |case| question(case, ".toDate()", "") },
    Mistake { name: "+ is -", decide: |case| question(case, " + ", " - ") },
    Mistake { name: "no entity has ancestors", decide: |case| store(case, "parents") },
    Mistake { name: "no entity has tags", decide: |case| store(case, "tags") },
    Mistake {
        name: "the schema is not read",
        decide: |case| oracle::decide(&Case { schema: None, ..case.clone() }),
    },
    Mistake { name: "panics at a set", decide: panic_at_a_set },
];

#[test]
fn mistakes_are_found_and_shrunk() {
    for Mistake { name, decide } in MISTAKES {
        let found =
            (0..COVERED).find_map(|seed| search::check(seed, &Knobs::alternating(seed), decide).err());
        let found = found.unwrap_or_else(|| panic!("{name}: not found in {COVERED} cases"));
        let size = found.draft.size();
        println!("{name}: seed {}, size {size}\n{}", found.seed, found.difference);
        assert!(size <= 12, "{name}: the smallest case has a size of {size}:\n{}", found.difference);
        assert_eq!(found.difference.case.requests.len(), 1, "{name}");
    }
}

/// Cedar's verdicts, each changed.
fn answer(case: &Case, change: fn(&mut Verdict)) -> Result<Vec<Verdict>, String> {
    let mut verdicts = oracle::decide(case)?;
    verdicts.iter_mut().for_each(change);
    Ok(verdicts)
}

fn one_reason(verdict: &mut Verdict) {
    verdict.reasons = verdict.reasons.pop_first().into_iter().collect::<BTreeSet<_>>();
}

/// Cedar's verdicts on other policies.
fn question(case: &Case, from: &str, to: &str) -> Result<Vec<Verdict>, String> {
    oracle::decide(&Case { policies: case.policies.replace(from, to), ..case.clone() })
}

/// Cedar's verdicts on entities that lack something.
fn store(case: &Case, member: &str) -> Result<Vec<Verdict>, String> {
    let mut case = case.clone();
    for entity in case.entities.as_array_mut().expect("an array of entities") {
        let entity = entity.as_object_mut().expect("an entity is an object");
        if entity.remove(member).is_some() && member == "parents" {
            entity.insert(member.to_owned(), serde_json::json!([]));
        }
    }
    oracle::decide(&case)
}

fn panic_at_a_set(case: &Case) -> Result<Vec<Verdict>, String> {
    if case.policies.contains(".contains(") {
        // Without the message that `panic!` would print each of hundreds of times.
        std::panic::resume_unwind(Box::new("cannot compile this"));
    }
    oracle::decide(case)
}

#[test]
fn linked_templates_are_decided_as_by_cedar() {
    let text = r#"
        @id("t") permit(principal == ?principal, action, resource in ?resource) when { resource.level < principal.level };
        permit(principal in ?principal, action, resource == ?resource);
    "#;
    let mut set = PolicySet::from_str(text).unwrap();
    let uid = |text: &str| EntityUid::from_str(text).unwrap();
    let links = [
        ("policy0", "alice-f", r#"User::"alice""#, r#"Folder::"f""#),
        ("policy0", "bob-f", r#"User::"bob""#, r#"Folder::"f""#),
        ("policy1", "group-2", r#"Group::"g""#, r#"Chunk::"2""#),
    ];
    for (template, link, principal, resource) in links {
        let values = [(SlotId::principal(), uid(principal)), (SlotId::resource(), uid(resource))].into();
        set.link(PolicyId::new(template), PolicyId::new(link), values).unwrap();
    }
    let json = set.clone().to_json().unwrap().to_string();
    let compiled = tamis_compiler::compile("links", Named { name: "links.json", text: &json }, None).unwrap();
    let ids: BTreeSet<&str> = compiled.manifest.policies.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, BTreeSet::from(["alice-f", "bob-f", "group-2"]));
    let policy = Policy::load(&Runtime::shared().unwrap(), &compiled.component, &patient()).unwrap();

    let entities = serde_json::json!([
        {"uid": {"type": "User", "id": "alice"}, "attrs": {"level": 2}, "parents": [{"type": "Group", "id": "g"}]},
        {"uid": {"type": "User", "id": "bob"}, "attrs": {}, "parents": []},
        {"uid": {"type": "Chunk", "id": "1"}, "attrs": {"level": 1}, "parents": [{"type": "Folder", "id": "f"}]},
        {"uid": {"type": "Chunk", "id": "2"}, "attrs": {"level": 5}, "parents": []},
    ]);
    let known = KnownEntities::from_json(&entities.to_string()).unwrap();
    let entities = Entities::from_json_value(entities, None).unwrap();
    let mut allowed = 0;
    for principal in ["alice", "bob", "carol"] {
        for resource in ["1", "2"] {
            let (who, what) = (format!("User::\"{principal}\""), format!("Chunk::\"{resource}\""));
            let asked =
                Request::new(uid(&who), uid("Action::\"read\""), uid(&what), Context::empty(), None).unwrap();
            let cedar = Authorizer::new().is_authorized(&asked, &set, &entities);
            let question = serde_json::json!({
                "principal": {"type": "User", "id": principal}, "action": {"type": "Action", "id": "read"},
                "resource": {"type": "Chunk", "id": resource}, "context": {},
            });
            let (request, chunk) =
                tamis_core::Request::evaluation_from_json(&question.to_string(), &known).unwrap();
            let ours = policy.explain(&request, &[chunk]).unwrap().remove(0);
            assert_eq!(ours.allow, cedar.decision() == Decision::Allow, "{who} {what}");
            let reasons: BTreeSet<String> = cedar.diagnostics().reason().map(ToString::to_string).collect();
            assert_eq!(ours.reasons.iter().cloned().collect::<BTreeSet<_>>(), reasons, "{who} {what}");
            assert_eq!(ours.errors.len(), cedar.diagnostics().errors().count(), "{who} {what}");
            allowed += usize::from(ours.allow);
        }
    }
    assert_eq!(allowed, 2);
}
