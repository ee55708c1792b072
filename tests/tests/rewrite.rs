//! Filters of compiled policies against their decisions: a filter matches every chunk that is allowed, and no other if it is exact.
//!
//! Seed and number of cases are fixed; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` change them for one run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failure of the test")]

use std::cell::Cell;

use cedar_policy::Decision;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use serde_json::{Value as Json, json};
use tamis_compiler::Named;
use tamis_core::{Chunk, Filter, Query, Request};
use tamis_dialect::Fields;
use tamis_runtime::{Policy, Runtime};
use tamis_tests::cedar::ours::{self, Narrowed};
use tamis_tests::cedar::partial;
use tamis_tests::generate::{hold, sample};
use tamis_tests::hostile::without_batch;
use tamis_tests::patient;
use tamis_tests::rewriting::{self, SCHEMA};

/// Policy sets per run, each with a request and [`CHUNKS`] chunks.
const CASES: u32 = 1_500;
/// Policy sets that are compiled to components.
const COMPONENTS: usize = 24;
/// Chunks that each filter meets.
const CHUNKS: usize = 12;

fn chunks(lines: &[Json]) -> Vec<Chunk> {
    lines.iter().map(|line| Chunk::from_json(&line.to_string()).unwrap()).collect()
}

fn narrow(
    policies: &str,
    schema: Option<&str>,
    requests: &[Json],
    lines: &[Json],
) -> Result<Vec<Narrowed>, TestCaseError> {
    let requests: Vec<Request> =
        requests.iter().map(|request| Request::from_json(&request.to_string()).unwrap()).collect();
    ours::narrow(policies, schema, &requests, &chunks(lines)).map_err(TestCaseError::fail)
}

#[test]
fn filters_match_what_is_allowed() {
    let [exact, selective, narrowing, seen] = [const { Cell::new(0_u32) }; 4];
    let count = |cell: &Cell<u32>, is: bool| cell.set(cell.get() + u32::from(is));
    let case = (
        rewriting::policies(),
        any::<bool>(),
        rewriting::request(),
        prop::collection::vec(rewriting::chunk(), CHUNKS),
    );
    hold(CASES, case, |(policies, typed, request, lines)| -> TestCaseResult {
        let narrowed = narrow(&policies, typed.then_some(SCHEMA), &[request], &lines)?.remove(0);
        count(&seen, true);
        count(&exact, narrowed.exact);
        count(&selective, narrowed.exact && narrowed.matched > 0 && narrowed.matched < CHUNKS);
        count(&narrowing, narrowed.matched < CHUNKS);
        Ok(())
    });
    let percent = |count: &Cell<u32>| count.get() * 100 / seen.get();
    let (exact, selective, narrowing) = (percent(&exact), percent(&selective), percent(&narrowing));
    println!(
        "{} filters: {exact} % exact, {selective} % exact and selective, {narrowing} % narrowing",
        seen.get()
    );
    assert!((30..=95).contains(&exact), "{exact} % exact: the policies do not test both sides");
    assert!(selective >= 15, "{selective} % exact and selective: the policies hardly meet the chunks");
    assert!(narrowing >= 60, "{narrowing} % narrowing");
}

/// The same module without the interface `batch` is asked in records. Twice each: prepared requests are asked again.
#[test]
fn hosts_read_the_same_in_bytes_and_in_records() {
    let runtime = Runtime::shared().unwrap();
    let (mut selective, mut inexact) = (0, 0);
    for (number, policies) in sample(COMPONENTS, rewriting::policies()).into_iter().enumerate() {
        let named = |name, text| Named { name, text };
        let schema = (number % 2 == 0).then(|| named("schema", SCHEMA));
        let component =
            tamis_compiler::compile("p", named("policies", policies.as_str()), schema).unwrap().component;
        let [prepared, typed] = [component.clone(), without_batch(&component)]
            .map(|bytes| Policy::load(&runtime, &bytes, &patient()).unwrap());
        assert!(prepared.has_batch() && !typed.has_batch());
        for (index, mut request) in sample(20, rewriting::request()).into_iter().enumerate() {
            // Every other time for an agent as well, who is in nothing.
            if index % 2 == 1 {
                request["actor"] =
                    json!([{"type": "User", "id": "agent", "properties": request["subject"]["properties"]}]);
            }
            let request = Request::from_json(&request.to_string()).unwrap();
            let mut session = prepared.session(&request);
            for k in 0..2 {
                let query = Query { collection: "docs".to_owned(), k };
                let rewrite = session.rewrite(&query).unwrap();
                assert_eq!(rewrite, typed.rewrite(&request, &query).unwrap(), "{policies}");
                selective += usize::from(!matches!(*rewrite.filter, Filter::Never | Filter::Always));
                inexact += usize::from(!rewrite.partial.is_empty());
            }
        }
    }
    assert!(selective > 100 && inexact > 20, "{selective} selective, {inexact} inexact");
}

#[test]
fn what_policies_say_every_day_is_exact() {
    let lines = sample(40, rewriting::chunk());
    let requests = sample(20, rewriting::request());
    for condition in rewriting::EXACT {
        let (mut selective, mut allowed) = (0, 0);
        for policies in [
            format!("permit(principal, action, resource) when {{ {condition} }};"),
            format!(
                "permit(principal, action, resource); forbid(principal, action, resource) when {{ {condition} }};"
            ),
            format!("permit(principal, action, resource) unless {{ {condition} }};"),
        ] {
            let all = narrow(&policies, Some(SCHEMA), &requests, &lines);
            for (narrowed, request) in
                all.unwrap_or_else(|error| panic!("{policies}: {error}")).iter().zip(&requests)
            {
                assert!(narrowed.exact, "{policies}\n{request}\n{}", narrowed.filter);
                selective += usize::from(narrowed.matched < lines.len());
                allowed += narrowed.allowed;
            }
        }
        assert!(selective > 0 && allowed > 0, "{condition} is never put to the test");
    }
}

#[test]
fn what_cedar_finds_out_without_the_chunk_so_does_the_filter() {
    let [asked, denied, allowed] = [const { Cell::new(0_u32) }; 3];
    let count = |cell: &Cell<u32>| cell.set(cell.get() + 1);
    let chunks = prop::collection::vec(rewriting::chunk(), CHUNKS);
    let case = (rewriting::exact_policies(), rewriting::conforming_request(), chunks);
    // Cedar takes only what its validator passes: one case in fifteen.
    hold(3 * CASES, case, |(policies, request, lines)| -> TestCaseResult {
        let Some(decision) = partial::decide(&policies, SCHEMA, &request, "Chunk") else { return Ok(()) };
        let lines: Vec<Json> = lines.into_iter().filter(|line| line["type"] == "Chunk").collect();
        let narrowed = narrow(&policies, Some(SCHEMA), &[request], &lines)?.remove(0);
        count(&asked);
        match decision {
            Some(Decision::Deny) => {
                count(&denied);
                prop_assert_eq!(narrowed.matched, 0, "{}", narrowed.filter);
            }
            Some(Decision::Allow) => {
                count(&allowed);
                prop_assert_eq!(narrowed.matched, lines.len(), "{}", narrowed.filter);
            }
            None => {}
        }
        Ok(())
    });
    let (asked, denied, allowed) = (asked.get(), denied.get(), allowed.get());
    println!("{asked} requests: {denied} denied and {allowed} allowed whatever the chunk");
    assert!(asked > 150 && denied > 20 && allowed > 0, "{asked} {denied} {allowed}");
}

/// The only example in JSON of a document.
fn example(document: &str) -> String {
    let text = std::fs::read_to_string(tamis_tests::root().join(document)).unwrap();
    let mut examples = text.split("```json\n").skip(1).filter_map(|part| part.split("```").next());
    let example = examples.next().unwrap().to_owned();
    assert_eq!(examples.next(), None, "{document} has several");
    example
}

#[test]
fn what_is_documented_can_be_read() {
    let filter = Filter::from_json(&example("wit/FILTER.md")).unwrap();
    assert_eq!(Filter::from_json_value(&filter.to_json()).unwrap(), filter);
    assert!(Fields::from_json(&example("host/dialect/README.md")).unwrap().admitted);
}

#[test]
fn a_filter_is_as_deep_as_can_be_read() {
    let request = json!({"subject": {"type": "User", "id": "u"}, "action": {"name": "read"}});
    for (levels, is_whole) in [(50, true), (80, false)] {
        let condition = (0..levels).fold("resource.a".to_owned(), |inner, level| {
            format!("resource.b{level} {} ({inner})", if level % 2 == 0 { "&&" } else { "||" })
        });
        let policies = format!("permit(principal, action, resource) when {{ {condition} }};");
        let narrowed = narrow(&policies, None, std::slice::from_ref(&request), &[]).unwrap().remove(0);
        assert_eq!(narrowed.exact, is_whole, "{levels} levels");
        // As `tamis rewrite` writes it.
        let text = json!({"filter": narrowed.filter.to_json(), "exact": narrowed.exact}).to_string();
        let json = tamis_core::input::parse_json(&text).unwrap();
        assert_eq!(Filter::from_json_value(&json["filter"]).unwrap(), narrowed.filter);
    }
}

#[test]
fn a_subject_in_many_groups_makes_one_list() {
    let groups: Vec<Json> = (0..5_000).map(|n| json!({"type": "Group", "id": format!("g{n}")})).collect();
    let request = json!({
        "subject": {"type": "User", "id": "u", "properties": {"tenant": "a"}, "parents": groups},
        "action": {"name": "read"},
    });
    let line = json!({"id": "1", "attributes": {"readers": ["g4999"], "owner": "v"}});
    let policies = r#"permit(principal, action, resource) when { principal in resource.readers || principal in resource.owner };"#;
    let narrowed = narrow(policies, Some(SCHEMA), &[request], &[line]).unwrap().remove(0);
    assert!(narrowed.exact && narrowed.matched == 1);
    let text = narrowed.filter.to_json().to_string();
    assert_eq!(text.matches("g4999").count(), 2, "once for each test");
    assert!(text.len() < 2 * 5_001 * 60, "{} bytes", text.len());
}
