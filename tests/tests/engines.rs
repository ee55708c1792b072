//! Dialects against the engines that they are for: each selects every chunk that a filter matches, and no other where the
//! translation says that it is exact.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failure of the test")]

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value as Json;
use tamis_tests::engines::{example_binary, python, python_with};
use tamis_tests::root;

/// Filters for each engine: some seconds, most of which the engine takes.
const FILTERS: &str = "400";
const SEED: &str = "20260401";

/// Runs random filters in an engine: any chunks, and then only those that passed the admit gate.
#[track_caller]
fn check(script: &str, dialect: &str, least_exact: u64) {
    let mut engine = Command::new(python());
    engine.arg(root().join("tests/engines").join(script));
    check_with(&mut engine, dialect, least_exact);
}

/// The same with a program that runs the engine.
#[track_caller]
fn check_with(engine: &mut Command, dialect: &str, least_exact: u64) {
    for admitted in [false, true] {
        let mut cases = Command::new(example_binary("engine_cases"));
        cases.args([dialect, "--cases", FILTERS, "--seed", SEED]).args(admitted.then_some("--admitted"));
        let cases = cases.output().unwrap();
        assert!(cases.status.success(), "{dialect}: {}", String::from_utf8_lossy(&cases.stderr));
        let mut engine =
            engine.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = engine.stdin.take().unwrap();
        let writing = std::thread::spawn(move || input.write_all(&cases.stdout));
        let output = engine.wait_with_output().unwrap();
        let (found, said) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{dialect}, admitted: {admitted}: {found}\n{said}");
        let _ = writing.join();
        let last = found.lines().last().unwrap_or_default();
        let counts: Json =
            serde_json::from_str(last).unwrap_or_else(|error| panic!("{dialect}: {error}: {found}"));
        println!("{dialect}, admitted: {admitted}: {counts}");
        let share = |name: &str| counts[name].as_u64().unwrap() * 100 / counts["cases"].as_u64().unwrap();
        if admitted {
            assert!(share("exact") >= least_exact, "{dialect}: {counts}");
            assert!(share("selective") * 3 >= least_exact, "{dialect}: {counts}");
        }
    }
}

#[test]
fn postgres_selects_what_a_filter_matches() {
    check("postgres.py", "postgres", 50);
    check("postgres.py", "postgres-columns", 50);
}

#[test]
fn an_older_sqlite_selects_what_a_filter_matches() {
    check("sqlite.py", "sqlite", 50);
}

#[test]
fn qdrant_selects_what_a_filter_matches() {
    check("qdrant.py", "qdrant", 30);
}

#[test]
fn chroma_selects_what_a_filter_matches() {
    check("chroma.py", "chroma", 10);
}

#[test]
fn duckdb_selects_what_a_filter_matches() {
    check("duckdb.py", "duckdb", 50);
}

#[test]
fn lancedb_selects_what_a_filter_matches() {
    check("lancedb.py", "lancedb", 50);
}

/// The server listens on every interface, so it gets a network of its own.
#[test]
fn milvus_selects_what_a_filter_matches() {
    let alone = || {
        let mut command = Command::new("unshare");
        command.args(["--net", "--map-root-user", "--"]);
        command
    };
    if !alone().arg("true").status().is_ok_and(|status| status.success()) {
        println!("milvus is not tested: this machine gives nobody a network namespace");
        return;
    }
    let python = python_with("engines-milvus", "tests/engines/milvus_requirements.txt");
    let mut engine = alone();
    engine.arg(python).arg(root().join("tests/engines/milvus.py"));
    check_with(&mut engine, "milvus", 30);
}

// ---- engines that cannot be had as a package: what their documentation says, and their clients take ----

#[test]
fn elasticsearch_and_opensearch_are_asked_for_what_a_filter_matches() {
    check("elasticsearch.py", "elasticsearch", 10);
    check("elasticsearch.py", "opensearch", 10);
}

#[test]
fn pinecone_is_asked_for_what_a_filter_matches() {
    check("pinecone.py", "pinecone", 10);
}

#[test]
fn weaviate_is_asked_for_what_a_filter_matches() {
    check("weaviate.py", "weaviate", 10);
}
