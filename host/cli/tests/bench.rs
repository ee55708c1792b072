//! `tamis bench`: what it prints, what it compares with, and when it fails.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets something unexpected fails"
)]

mod run;

use run::Folder;
use serde_json::{Value as Json, json};

const BOB: &str = r#"{"subject":{"type":"User","id":"bob","properties":{"tenant":"acme","clearance":1,"roles":["analyst"]}},
                     "action":{"name":"retrieve"}}"#;
const CHUNKS: &str = r#"{"id":"open","attributes":{"tenant":"acme","access_level":0,"user_roles":["analyst"]}}
{"id":"high","attributes":{"tenant":"acme","access_level":3,"user_roles":["analyst"]}}
{"id":"bare","attributes":{"tenant":"acme"}}
{"id":"foreign","attributes":{"tenant":"globex","access_level":0,"user_roles":["analyst"]}}
"#;
const POLICY: &str = "permit(principal, action, resource) when { resource.tenant == principal.tenant };";
/// Does the same with more work.
const SLOWER: &str = "permit(principal, action, resource) when { resource.tenant == principal.tenant };
                      permit(principal, action, resource) when { resource.tenant == principal.tenant && resource.access_level > 7 };
                      forbid(principal, action, resource) when { resource.access_level == 77 && resource.tenant != principal.tenant };";

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("p.cedar", POLICY);
    folder.write("slower.cedar", SLOWER);
    folder.write("bob.json", BOB);
    folder.write("c.jsonl", CHUNKS);
    folder
}

fn bench(folder: &Folder, policy: &str, more: &str) -> run::Ran {
    folder.run(&format!(
        "bench --policy {policy} --request bob.json --chunks c.jsonl --batch 10 --seconds 0.05{more}"
    ))
}

fn row<'a>(record: &'a Json, rows: &str, name: &str) -> &'a Json {
    record[rows].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap()
}

#[test]
fn times_are_ordered_and_instructions_are_the_same_every_time() {
    let folder = folder();
    let ran = bench(&folder, "p.cedar", " --format json");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let first = ran.json();
    assert_eq!((&first["version"], &first["chunks"], &first["allowed"]), (&json!(1), &json!(4), &json!(3)));
    let rows = first["measured"].as_array().unwrap();
    assert_eq!(rows.len(), 5);
    for row in rows {
        let percentile = |name: &str| row[name].as_f64().unwrap();
        assert!(percentile("p50_ns") > 0.0 && percentile("p50_ns") <= percentile("p99_ns"), "{row}");
    }
    let second = bench(&folder, "p.cedar", " --format json").json();
    for name in ["filter, batches of 10", "first chunk of a new request", "rewrite, new request"] {
        let instructions = &row(&first, "measured", name)["instructions"];
        assert!(instructions.as_f64().unwrap() > 0.0, "{name}");
        assert_eq!(instructions, &row(&second, "measured", name)["instructions"], "{name}");
    }
    let slower = bench(&folder, "slower.cedar", " --format json").json();
    let instructions =
        |record: &Json| row(record, "measured", "filter, batches of 10")["instructions"].as_f64().unwrap();
    assert!(instructions(&slower) > instructions(&first), "more policies run more");
}

#[test]
fn a_run_is_compared_with_the_one_before() {
    let folder = folder();
    let ran = bench(&folder, "p.cedar", " --compare last.json --save last.json");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("last.json: nothing to compare with yet"), "{}", ran.err);
    assert!(!ran.out.contains("earlier"), "{}", ran.out);

    // Instructions are judged where time is noisy: the same policy passes, one that does more does not, and says where.
    let limit = " --compare last.json --fail-over 1% --judge instructions";
    let ran = bench(&folder, "p.cedar", limit);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("earlier") && ran.out.contains("+0.0 %"), "{}", ran.out);
    let ran = bench(&folder, "slower.cedar", &format!("{limit} --format json"));
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(ran.err.contains("too slow: filter, batches of 10: +"), "{}", ran.err);
    let json = ran.json();
    assert!(row(&json, "compared", "filter, batches of 10")["instructions_percent"].as_f64().unwrap() > 1.0);
    assert!(!json["too_slow"].as_array().unwrap().is_empty());
    // A cheaper policy is no regression.
    assert_eq!(bench(&folder, "slower.cedar", " --save slower.json").code, 0);
    let ran = bench(&folder, "p.cedar", " --compare slower.json --fail-over 1 --judge instructions");
    assert_eq!(ran.code, 0, "{}", ran.err);

    // Times are judged too: a run that claims to have taken no time cannot be matched.
    let mut record: Json = serde_json::from_slice(&std::fs::read(folder.path("last.json")).unwrap()).unwrap();
    for row in record["measured"].as_array_mut().unwrap() {
        for percentile in ["p25_ns", "p50_ns", "p75_ns", "p99_ns"] {
            row[percentile] = json!(0.001);
        }
    }
    folder.write("fast.json", record.to_string());
    let ran = bench(&folder, "p.cedar", " --compare fast.json --fail-over 50% --judge time");
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(ran.err.contains("of time, at most +50 %"), "{}", ran.err);
    assert_eq!(
        bench(&folder, "p.cedar", " --compare fast.json").code,
        0,
        "without a threshold nothing fails"
    );
}

#[test]
fn a_chunk_may_take_so_much() {
    let folder = folder();
    for (limit, code, said) in [
        (" --max-ns 1", 4, "ns for each chunk, at most 1"),
        (" --max-ns 100000000", 0, ""),
        (" --max-instructions 1", 4, "instructions for each chunk, at most 1"),
        (" --max-instructions 100000000", 0, ""),
    ] {
        let ran = bench(&folder, "p.cedar", limit);
        assert_eq!(ran.code, code, "{limit}: {}", ran.err);
        assert!(ran.err.contains(said), "{limit}: {}", ran.err);
        assert!(ran.out.contains("filter, batches of 10"), "what was measured is printed all the same");
    }
}

#[test]
fn what_cannot_be_compared_with_is_refused_before_anything_is_measured() {
    let folder = folder();
    folder.write("other.json", "{\"chunks\": 1}");
    let record = |version: u32| {
        let record = json!({
            "version": version, "policy": "", "digest": "", "chunks": 1, "allowed": 1, "measured": [], "peak_memory_bytes": null,
        });
        record.to_string()
    };
    folder.write("empty.json", record(1));
    folder.write("newer.json", record(2));
    for (more, code, said) in [
        (" --compare missing.json", 1, "missing.json"),
        (" --compare other.json", 1, "other.json: this is no run that `tamis bench --save` has written"),
        (" --compare newer.json", 1, "newer.json: its form is 2, and only 1 can be compared with"),
        (" --compare empty.json --fail-over 10", 1, "empty.json: it was measured with other batches"),
        (" --fail-over 10", 2, "--compare"),
        (" --compare last.json --fail-over=-3", 2, "--fail-over"),
        (" --compare last.json --fail-over ten", 2, "a number that is not negative is wanted"),
        (" --max-ns NaN", 2, "a number that is not negative is wanted"),
    ] {
        let ran = bench(&folder, "p.cedar", more);
        assert_eq!(ran.code, code, "{more}: {}", ran.err);
        assert!(ran.err.contains(said), "{more}: {}", ran.err);
        assert_eq!(ran.out, "", "{more}: nothing is measured");
    }
}
