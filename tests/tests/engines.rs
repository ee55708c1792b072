//! Dialects against the engines that they are for: each selects every chunk that a filter matches, and no other where the
//! translation says that it is exact.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failure of the test")]

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};
use tamis_core::Chunk;
use tamis_core::filter::Filter;
use tamis_dialect::{Fields, dialect};
use tamis_tests::engines::{Server, example_binary, python, python_with, weaviate_server};
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
        let counts = run(engine, cases.stdout, &format!("{dialect}, admitted: {admitted}"));
        let share = |name: &str| counts[name].as_u64().unwrap() * 100 / counts["cases"].as_u64().unwrap();
        if admitted {
            assert!(share("exact") >= least_exact, "{dialect}: {counts}");
            assert!(share("selective") * 3 >= least_exact, "{dialect}: {counts}");
        }
    }
}

/// Has an engine run cases, which are called `name`, and returns what it counted.
#[track_caller]
fn run(engine: &mut Command, cases: Vec<u8>, name: &str) -> Json {
    let mut engine =
        engine.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = engine.stdin.take().unwrap();
    let writing = std::thread::spawn(move || input.write_all(&cases));
    let output = engine.wait_with_output().unwrap();
    let (found, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {found}\n{said}");
    let _ = writing.join();
    let last = found.lines().last().unwrap_or_default();
    let counts = serde_json::from_str(last).unwrap_or_else(|error| panic!("{name}: {error}: {found}"));
    println!("{name}: {counts}");
    counts
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

/// Runs a program whose network is its own, for a server that listens on every interface; `None` where the machine gives nobody one.
fn alone() -> Option<Command> {
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--net", "--map-root-user", "--"]);
        command
    };
    unshare().arg("true").status().is_ok_and(|status| status.success()).then(unshare)
}

#[test]
fn milvus_selects_what_a_filter_matches() {
    let Some(mut engine) = alone() else {
        println!("milvus is not tested: this machine gives nobody a network namespace");
        return;
    };
    let python = python_with("engines-milvus", "tests/engines/milvus_requirements.txt");
    engine.arg(python).arg(root().join("tests/engines/milvus.py"));
    check_with(&mut engine, "milvus", 30);
}

/// The server is built from its Go module: minutes, the first time.
#[test]
fn weaviate_selects_what_a_filter_matches() {
    let Some(mut engine) = alone() else {
        println!("weaviate is not tested: this machine gives nobody a network namespace");
        return;
    };
    engine.arg(python()).arg(root().join("tests/engines/weaviate.py")).arg(weaviate_server());
    check_with(&mut engine, "weaviate", 30);
}

#[test]
fn opensearch_and_elasticsearch_select_what_a_filter_matches() {
    for name in ["opensearch", "elasticsearch"] {
        let server = Server::search_engine(name);
        let mut engine = Command::new(python());
        engine.arg(root().join("tests/engines/opensearch.py")).arg(server.address());
        check_with(&mut engine, name, 50);
        run(&mut engine, at_limits(name), &format!("{name}, at its limits"));
    }
}

/// Filters as large as the dialect takes them whole, and one larger, which it does not: the engine takes both.
fn at_limits(name: &str) -> Vec<u8> {
    let stored = [
        json!({"number": 7, "text": "x".repeat(1000), "tags": ["1", "2"]}),
        json!({"number": -7, "text": "y".repeat(32_766)}),
        json!({"tags": (0..600).map(|number| number.to_string()).collect::<Vec<_>>()}),
        json!({}),
    ];
    let chunks: Vec<Chunk> = std::iter::zip(["a", "b", "c", "d"], stored)
        .map(|(id, stored)| Chunk { attributes: stored.as_object().unwrap().clone(), ..Chunk::new(id) })
        .collect();
    let dialect = dialect(name, Fields { admitted: true, ..Fields::default() }).unwrap();
    let case = |filter: &Json, is_whole: bool| {
        let parsed = Filter::from_json(&filter.to_string()).unwrap();
        let translation = dialect.emit(&parsed);
        assert_eq!(
            translation.is_exact(),
            is_whole,
            "{:?}: {:.300}",
            translation.widened,
            filter.to_string()
        );
        let matching = chunks.iter().filter(|chunk| parsed.matches(chunk));
        let matches: Vec<&str> = matching.map(|chunk| chunk.uid.id.as_str()).collect();
        json!({"filter": filter, "native": translation.native, "exact": is_whole, "matches": matches})
    };
    let filters = largest();
    let cases = filters.iter().flat_map(|[whole, larger]| [case(whole, true), case(larger, false)]);
    let types = [("number", "Long"), ("text", "String"), ("tags", "Set<String>")];
    let given = json!({
        "cases": cases.collect::<Vec<_>>(),
        "chunks": chunks.iter().map(|chunk| {
            json!({"id": chunk.uid.id, "type": "Chunk", "attributes": chunk.attributes, "ancestors": []})
        }).collect::<Vec<_>>(),
        "declared": types.map(|(name, declared)| json!({"attr": [name], "type": declared})),
    });
    given.to_string().into_bytes()
}

/// For each limit a filter of that size, and one that is larger by one.
fn largest() -> [[Json; 2]; 9] {
    let number =
        |op: &str, key: &str, value: Json| json!({"op": op, "attr": ["number"], "type": "Long", key: value});
    let text =
        |op: &str, value: String| json!({"op": op, "attr": ["text"], "type": "String", "value": value});
    let tags = |op: &str, count: usize| {
        let values: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        json!({"op": op, "attr": ["tags"], "type": "Set<String>", "values": values})
    };
    let is = |value: usize| number("equals", "value", json!(value));
    let not = |value: usize| json!({"op": "not", "arg": is(value)});
    let join = |op: &str, parts: Vec<Json>| json!({"op": op, "args": parts});
    let nested = |depth: usize| {
        (1..depth).fold(is(7), |inner, level| {
            join(if level % 2 == 0 { "or" } else { "and" }, vec![inner, not(level)])
        })
    };
    [
        [250, 251].map(|count| join("and", (0..count).map(not).collect())),
        [333, 334].map(|count| join("or", (0..count).map(is).collect())),
        [500, 501]
            .map(|count| join("or", (0..count).map(|value| text("equals", value.to_string())).collect())),
        [500, 501].map(|count| tags("contains-all", count)),
        [65_536, 65_537].map(|count| tags("contains-any", count)),
        [65_536, 65_537].map(|count| number("one-of", "values", (0..count).collect())),
        [1000, 1001].map(|length| text("starts-with", "x".repeat(length))),
        [32_766, 32_767].map(|length| text("equals", "y".repeat(length))),
        [14, 15].map(nested),
    ]
}

// ---- engines that cannot be had as a package: what their documentation says, and their clients take ----

#[test]
fn pinecone_is_asked_for_what_a_filter_matches() {
    check("pinecone.py", "pinecone", 10);
}
