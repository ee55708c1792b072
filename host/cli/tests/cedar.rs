//! Cedar on the command line: compile, check, test, and policies compiled on the fly.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets something unexpected fails"
)]

mod run;

use run::Folder;
use serde_json::{Value as Json, json};

const POLICY: &str = r#"@id("tenants") forbid(principal, action, resource) unless { resource.tenant == principal.tenant };
@id("level") permit(principal, action == Action::"retrieve", resource) when { resource.level <= principal.clearance };
@id("hr") @redact("salary, text") permit(principal in Group::"hr", action, resource);
"#;
const SCHEMA: &str = "entity Group; entity User in [Group] = { tenant: String, clearance: Long };
entity Chunk = { tenant: String, level: Long, salary?: Long, since?: datetime };
action retrieve, index appliesTo { principal: User, resource: Chunk };";
const BOB: &str = r#"{"subject":{"type":"User","id":"bob","properties":{"tenant":"acme","clearance":1},"parents":[{"type":"Group","id":"hr"}]},
"action":{"name":"retrieve"}}"#;
const CHUNKS: &str = r#"{"id":"open","attributes":{"tenant":"acme","level":1,"salary":5},"text":"words"}
{"id":"high","attributes":{"tenant":"acme","level":2,"salary":5},"text":"words"}
{"id":"foreign","attributes":{"tenant":"globex","level":0}}
{"id":"odd","attributes":{"tenant":"acme","level":"2"}}
"#;

fn folder() -> Folder {
    let folder = Folder::new();
    for (name, text) in
        [("p.cedar", POLICY), ("s.cedarschema", SCHEMA), ("bob.json", BOB), ("c.jsonl", CHUNKS)]
    {
        folder.write(name, text);
    }
    folder
}

#[test]
fn a_compiled_policy_decides_as_its_source_does() {
    let folder = folder();
    let compiled = folder.run("compile p.cedar --schema s.cedarschema -o out/p.wasm --format json");
    assert_eq!(compiled.code, 0, "{}", compiled.err);
    let compiled = compiled.json();
    let inspected = folder.run("inspect out/p.wasm --format json").json();
    for name in ["digest", "size", "footprint", "policies", "source_digest", "schema_digest", "producer"] {
        assert_eq!(inspected[name], compiled[name], "{name}");
    }
    assert_eq!(inspected["imports"], json!([]));
    assert_eq!(inspected["footprint"][0], json!({"attr": ["tenant"], "type": "String", "optional": false}));
    let explain = |policy: &str| {
        folder.run(&format!("filter --policy {policy} --request bob.json --chunks c.jsonl --explain"))
    };
    let from_bytes = explain("out/p.wasm");
    assert_eq!(explain("p.cedar --schema s.cedarschema").out, from_bytes.out);
    let decisions: Vec<(Json, Json)> =
        from_bytes.lines().iter().map(|line| (line["decision"].clone(), line["reasons"].clone())).collect();
    assert_eq!(
        decisions,
        [
            (json!("allow"), json!(["hr", "level"])),
            (json!("allow"), json!(["hr"])),
            (json!("deny"), json!(["tenants"])),
            (json!("allow"), json!(["hr"])),
        ]
    );
    assert_eq!(from_bytes.lines()[3]["errors"][0]["policy"], "level");
}

#[test]
fn what_only_redacting_permits_allow_is_redacted() {
    let folder = folder();
    let ran = folder.run("filter --policy p.cedar --request bob.json --chunks c.jsonl");
    let lines = ran.lines();
    assert_eq!(lines.iter().map(|line| line["id"].clone()).collect::<Vec<_>>(), ["open", "high", "odd"]);
    assert_eq!((&lines[0]["attributes"]["salary"], &lines[0]["text"]), (&json!(5), &json!("words")));
    assert!(lines[1]["attributes"].get("salary").is_none() && lines[1].get("text").is_none(), "{}", lines[1]);
}

#[test]
fn mistakes_are_shown_with_their_place_and_exit_with_5() {
    let folder = folder();
    folder.write(
        "bad.cedar",
        "permit(principal, action, resource)\n  when { resource.level <= };\npermit(principal;\n",
    );
    folder.write(
        "typo.cedar",
        "permit(principal, action, resource)\n  when { resource.levle <= principal.clearance };\n",
    );
    folder.write(
        "deep.cedar",
        format!("permit(principal, action, resource) when {{ {}1 }};", "(".repeat(100_000)),
    );
    for (words, expected) in [
        ("compile bad.cedar -o p.wasm", "bad.cedar:2:"),
        ("compile typo.cedar --schema s.cedarschema -o p.wasm", "typo.cedar:2:"),
        ("filter --policy bad.cedar --request bob.json --chunks c.jsonl", "bad.cedar:2:"),
        ("compile deep.cedar -o p.wasm", "brackets nest deeper"),
        ("compile p.cedar --schema bad.cedar -o p.wasm", "bad.cedar"),
    ] {
        let ran = folder.run(words);
        assert_eq!(ran.code, 5, "{words}: {}", ran.err);
        assert!(ran.err.contains(expected) && !ran.err.contains("panicked"), "{words}: {}", ran.err);
        assert!(!folder.path("p.wasm").exists(), "{words}");
    }
    let lenient = folder.run("compile typo.cedar --schema s.cedarschema -o p.wasm --no-validate");
    assert_eq!(lenient.code, 0, "{}", lenient.err);
    assert!(lenient.err.contains("levle"), "{}", lenient.err);
}

#[test]
fn check_finds_errors_and_warnings() {
    let folder = folder();
    let fine = folder.run("check p.cedar --schema s.cedarschema --format json");
    assert_eq!(fine.json(), json!({"errors": 0, "warnings": 0, "problems": []}), "{}", fine.out);
    let warned = folder.run("check p.cedar --format json").json();
    assert_eq!((&warned["errors"], &warned["warnings"]), (&json!(0), &json!(1)));
    assert_eq!(
        (&warned["problems"][0]["line"], &warned["problems"][0]["severity"]),
        (&json!(1), &json!("warning"))
    );
    assert_eq!(folder.run("check p.cedar --deny-warnings").code, 5);
    folder.write("typo.cedar", "permit(principal, action, resource) when { resource.levle <= 1 };");
    let wrong = folder.run("check typo.cedar --schema s.cedarschema");
    assert_eq!(wrong.code, 5);
    assert!(wrong.err.contains("levle"), "{}", wrong.err);
}

#[test]
fn eval_decides_what_does_not_validate_as_well() {
    let folder = folder();
    folder.write("odd.cedar", "permit(principal, action, resource) when { 1 == \"a\" || resource.x };\npermit(principal, action, resource) when { principal.clearance };");
    folder.write(
        "e.json",
        r#"[{"uid":{"type":"User","id":"bob"},"attrs":{"tenant":"acme","clearance":1}},
        {"uid":{"type":"Chunk","id":"c"},"attrs":{"tenant":"acme","level":0,"since":"2026-01-01"}}]"#,
    );
    let question = r#"{"principal":{"type":"User","id":"bob"},"action":{"type":"Action","id":"retrieve"},"resource":{"type":"Chunk","id":"c"},"context":{}}"#;
    let ran = folder.run_with("eval --policy odd.cedar --schema s.cedarschema --entities e.json", question);
    assert_eq!(
        ran.json(),
        json!({"decision": "deny", "reasons": [], "errors": ["policy0", "policy1"]}),
        "{}",
        ran.err
    );
    assert_eq!(ran.code, 3);
    folder.write(
        "since.cedar",
        "permit(principal, action, resource) when { resource.since < datetime(\"2026-06-01\") };",
    );
    let ran = folder.run_with("eval --policy since.cedar --schema s.cedarschema --entities e.json", question);
    assert_eq!(ran.json()["decision"], "allow", "{} {}", ran.out, ran.err);
}

#[test]
fn tests_pass_fail_and_say_what_they_did_not_reach() {
    let folder = folder();
    let head = "policy: p.cedar\nschema: s.cedarschema\nrequests:\n  bob: {subject: {type: User, id: bob, properties: {tenant: acme, clearance: 1}}, action: {name: retrieve}}\n\
        chunks:\n  open: {attributes: {tenant: acme, level: 1}}\n  foreign: {attributes: {tenant: globex, level: 1}}\ntests:\n";
    folder.write("good.yaml", format!("{head}  - name: apart\n    request: bob\n    expect: {{open: {{decision: allow, reasons: [level], redact: []}}, foreign: deny}}\n"));
    let good = folder.run("test good.yaml");
    assert_eq!(good.code, 0, "{}{}", good.out, good.err);
    assert!(
        good.out.contains("1 passed, 0 failed") && good.out.contains("`hr` never applied"),
        "{}",
        good.out
    );
    assert!(
        good.out.contains("`(resource[\"level\"]) <= (principal[\"clearance\"])` was never false")
            || good.out.contains("was never false"),
        "{}",
        good.out
    );
    assert_eq!(folder.run("test good.yaml --require-coverage").code, 4);
    let json = folder.run("test good.yaml --format json").json();
    assert_eq!(json["files"][0]["coverage"]["applied"], 2);

    folder.write("bad.yaml", format!("{head}  - request: bob\n    expect: {{foreign: allow}}\n"));
    let bad = folder.run("test bad.yaml");
    assert_eq!(bad.code, 4);
    assert!(bad.out.contains("foreign: expected allow, was deny by tenants"), "{}", bad.out);
    let junit = folder.run("test good.yaml bad.yaml --format junit");
    assert!(junit.out.contains("<testsuites") && junit.out.contains("failures=\"1\""), "{}", junit.out);

    for (text, expected) in [
        ("tests: []", "tests: there are none"),
        ("tests: [{request: bob, expect: {open: maybe}}]", "expect"),
        ("tests: [{request: nobody, expect: {open: deny}}]", "there is no request `nobody`"),
        ("tests: [{request: bob, expect: {nothing: deny}}]", "there is no chunk `nothing`"),
        ("tests: [{request: bob, expect: {open: deny}, when: now}]", "when"),
        ("a: [", "line"),
    ] {
        let text = if text.starts_with("tests: [{") {
            format!("{}{text}", head.trim_end_matches("tests:\n"))
        } else {
            text.to_owned()
        };
        folder.write("odd.yaml", text);
        let ran = folder.run("test odd.yaml --policy p.cedar");
        assert_eq!(ran.code, 1, "{}", ran.err);
        assert!(ran.err.contains("odd.yaml") && ran.err.contains(expected), "{expected}: {}", ran.err);
    }
}

#[test]
fn the_examples_pass_their_tests_and_checks() {
    let folder = Folder::new();
    let examples = tamis_tests::root().join("guest/examples/cedar");
    let examples = examples.display();
    let tested = folder.run(&format!("test {examples}/knowledge.test.yaml"));
    assert_eq!(tested.code, 0, "{}{}", tested.out, tested.err);
    for (policy, schema) in [
        (format!("{examples}/knowledge.cedar"), format!("{examples}/knowledge.cedarschema")),
        ("clearance".to_owned(), "demo".to_owned()),
        ("company".to_owned(), "demo".to_owned()),
    ] {
        let demo = tamis_tests::root().join("host/cli/demo");
        let full = |name: String, ending: &str| {
            if name.contains('/') {
                name
            } else {
                demo.join(format!("{name}.{ending}")).display().to_string()
            }
        };
        let (policy, schema) = (full(policy, "cedar"), full(schema, "cedarschema"));
        let checked = folder.run(&format!("check {policy} --schema {schema} --deny-warnings"));
        assert_eq!(checked.code, 0, "{policy}: {}", checked.err);
    }
}
