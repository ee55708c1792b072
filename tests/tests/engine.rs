//! The engine that every compiled policy contains: its bytes come from the tree, and in a component it decides as it does natively.

use std::path::PathBuf;
use std::process::Command;

use tamis_compiler::Named;
use tamis_core::Request;
use tamis_core::request::KnownEntities;
use tamis_runtime::{Limits, Policy, Runtime, RuntimeConfig};
use tamis_tests::cedar::case::Case;
use tamis_tests::cedar::generate::{self, Knobs};
use tamis_tests::cedar::oracle::{self, Verdict};
use tamis_tests::hostile::Module;
use tamis_tests::{patient, root};

/// Random cases that are compiled, loaded and asked: loading takes most of a second without optimisation.
const CASES: u64 = 12;

#[test]
fn the_engine_in_the_tree_is_built_from_it() {
    if let Some(reason) = cannot_build() {
        println!("skipped: {reason}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let built = folder.path().join("engine.wasm");
    let output = Command::new(root().join("run")).arg("engine").arg(&built).output().unwrap();
    assert!(output.status.success(), "./run engine: {}", String::from_utf8_lossy(&output.stderr));
    let committed = std::fs::read(root().join("guest/compiler/engine.wasm")).unwrap();
    assert!(
        std::fs::read(&built).unwrap() == committed,
        "guest/compiler/engine.wasm is not what the tree builds: run `./run engine` and commit it",
    );
}

/// Why this machine cannot build the engine as it is in the tree.
fn cannot_build() -> Option<String> {
    let pinned = std::fs::read_to_string(root().join("rust-toolchain.toml")).unwrap();
    let pinned =
        pinned.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"').to_owned();
    if std::env::var_os("TAMIS_RUSTC").is_some() {
        return Some(format!("TAMIS_RUSTC names another compiler than the pinned {pinned}"));
    }
    let rustc = |arguments: &[&str]| {
        let output = Command::new("rustc").args(arguments).current_dir(root()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(version) = rustc(&["--version"]) else { return Some("there is no rustc".to_owned()) };
    if !version.starts_with(&format!("rustc {pinned} ")) {
        return Some(format!("this is {version}, and the pinned compiler is {pinned}"));
    }
    let target = PathBuf::from(rustc(&["--print", "sysroot"])?).join("lib/rustlib/wasm32-unknown-unknown");
    (!target.is_dir()).then(|| format!("{} is missing", target.display()))
}

#[test]
fn a_component_decides_as_cedar() {
    let mut asked = 0;
    for seed in 0..CASES {
        let case = generate::draft(seed, &Knobs::alternating(seed)).case();
        if let Ok(expected) = oracle::decide(&case) {
            assert_eq!(decide(&case), expected, "seed {seed}:\n{}", case.policies);
            asked += expected.len();
        }
    }
    assert!(asked > 0);
}

/// What the component that a case's policies compile to decides on each request.
fn decide(case: &Case) -> Vec<Verdict> {
    let policies = Named { name: "policies", text: &case.policies };
    let schema = case.schema.as_deref().map(|text| Named { name: "schema", text });
    let component = tamis_compiler::compile("case", policies, schema).unwrap().component;
    let policy = Policy::load(&Runtime::shared().unwrap(), &component, &patient()).unwrap();
    let entities = KnownEntities::from_json(&case.entities.to_string()).unwrap();
    // Rules are in the order of the source, as Cedar numbers policies; what `@id` calls them is another matter.
    let name = |id: &String| {
        let number = policy.manifest().policies.iter().position(|rule| rule.id == *id).unwrap();
        format!("policy{number}")
    };
    let mut verdicts = Vec::new();
    for request in &case.requests {
        let (request, chunk) = Request::evaluation_from_json(&request.to_string(), &entities).unwrap();
        let chunks = [chunk];
        let decision = policy.explain(&request, &chunks).unwrap().remove(0);
        let in_batch = policy.filter(&request, &chunks).unwrap().remove(0);
        assert_eq!(in_batch.allow, decision.allow, "in a batch and alone: {}", case.policies);
        verdicts.push(Verdict {
            allow: decision.allow,
            reasons: decision.reasons.iter().map(name).collect(),
            errors: decision.errors.iter().map(|error| name(&error.policy)).collect(),
        });
    }
    verdicts
}

#[test]
fn a_component_says_of_itself_what_its_custom_section_says() {
    let text = r#"@owner("legal") permit(principal, action, resource) when { resource.level < 3 };"#;
    let schema = "entity User; entity Chunk { level: Long, name?: String }; \
                  action retrieve appliesTo { principal: User, resource: Chunk };";
    let source = Named { name: "p.cedar", text };
    let schema = Named { name: "s.cedarschema", text: schema };
    for (schema, length) in [(None, 0), (Some(schema), 64)] {
        let compiled = tamis_compiler::compile("manifest", source, schema).unwrap();
        let policy = Policy::load(&Runtime::shared().unwrap(), &compiled.component, &patient()).unwrap();
        assert_eq!(policy.manifest().to_json(), compiled.manifest.to_json());
        assert_eq!(policy.manifest().schema_digest.len(), length);
        assert_eq!(policy.manifest().source_digest.len(), 64);
    }
}

#[test]
fn a_session_may_go_on_for_long() {
    let text = r#"permit(principal, action, resource) when { resource.tags.contains("x") || resource.name like "*a*" };"#;
    let compiled = tamis_compiler::compile("long", Named { name: "long.cedar", text }, None).unwrap();
    // Each chunk takes some 2 kB to pass: all of them would not fit.
    let limits = Limits { memory: 2 << 20, ..patient() };
    let policy = Policy::load(&Runtime::shared().unwrap(), &compiled.component, &limits).unwrap();
    let request =
        tamis_tests::request(r#"{"subject":{"type":"User","id":"u"},"action":{"name":"retrieve"}}"#);
    let tags: Vec<String> = (0..50).map(|number| format!("\"tag {number}\"")).collect();
    let chunk = |number: usize| {
        let x = if number.is_multiple_of(2) { ",\"x\"" } else { "" };
        let tags = tags.join(",");
        tamis_tests::chunk(&format!(
            r#"{{"id":"{number}","attributes":{{"name":"bcd","tags":[{tags}{x}]}}}}"#
        ))
    };
    let chunks: Vec<_> = (0..2_000).map(chunk).collect();
    let decisions = policy.explain(&request, &chunks).unwrap();
    for (number, decision) in decisions.iter().enumerate() {
        assert_eq!(decision.allow, number.is_multiple_of(2), "{number}: {decision:?}");
    }
}

/// What means something to the tools that make components is a text like others in a policy.
#[test]
fn texts_are_texts() {
    let request =
        tamis_tests::request(r#"{"subject":{"type":"User","id":"u"},"action":{"name":"retrieve"}}"#);
    for text in ["component-type", "tamis:policy/batch@0.1.0#filter-chunks", "TAMIS_PROGRAM", "\\0asm"] {
        let text = format!(
            r#"@id("{text}") permit(principal, action, resource) when {{ resource.kind == "{text}" }};"#
        );
        let compiled = tamis_compiler::compile("texts", Named { name: "texts", text: &text }, None).unwrap();
        let policy = Policy::load(&Runtime::shared().unwrap(), &compiled.component, &patient()).unwrap();
        let chunk = tamis_tests::chunk(r#"{"id":"1","attributes":{"kind":"other"}}"#);
        assert!(!policy.filter(&request, &[chunk]).unwrap()[0].allow, "{text}");
    }
    // A module that has one of them in its data, and does not decide on batches.
    let more = r#"(data "tamis:policy/batch@0.1.0#filter-chunks component-type")"#;
    let bytes = Module { more, ..Module::good() }.component();
    let policy = Policy::load(&Runtime::shared().unwrap(), &bytes, &patient()).unwrap();
    assert!(!policy.has_batch());
}

/// Counted in instructions, which are the same on every machine.
#[test]
fn a_rewrite_grows_with_the_number_of_rules() {
    let runtime = Runtime::new(RuntimeConfig { fuel: true, cache: None }).unwrap();
    let request =
        tamis_tests::request(r#"{"subject":{"type":"User","id":"u"},"action":{"name":"retrieve"}}"#);
    let instructions = |rules: usize| {
        let rule = |number: usize| {
            let level = number % 7;
            format!(
                "permit(principal, action, resource) when {{ resource.project == \"p{number}\" && resource.level <= {level} }};"
            )
        };
        let text: String = (0..rules).map(rule).collect();
        let component =
            tamis_compiler::compile("rules", Named { name: "rules", text: &text }, None).unwrap().component;
        let limits = patient();
        let mut session = Policy::load(&runtime, &component, &limits).unwrap().session(&request);
        session.rewrite(&tamis_core::Query { collection: String::new(), k: 1 }).unwrap();
        session.instructions().unwrap()
    };
    let (few, many) = (instructions(1_000), instructions(4_000));
    assert!(many < 6 * few, "{few} for 1000 rules, {many} for 4000");
}

/// A chunk is less what all rules remove that permit it: nothing, if they have nothing in common.
#[test]
fn what_is_removed_is_the_same_in_batches() {
    let text = r#"
        @redact("salary") permit(principal, action, resource) when { resource.level < 5 };
        @redact("email, owner") permit(principal, action, resource) when { resource.kind == "x" };
        @redact("text, owner.name") permit(principal, action, resource) when { resource.kind like "x*" };
        permit(principal, action, resource) when { resource.open };
    "#;
    let component =
        tamis_compiler::compile("redact", Named { name: "redact", text }, None).unwrap().component;
    let policy = Policy::load(&Runtime::shared().unwrap(), &component, &patient()).unwrap();
    let request =
        tamis_tests::request(r#"{"subject":{"type":"User","id":"u"},"action":{"name":"retrieve"}}"#);
    let cases = [
        (r#""level":1,"kind":"y","open":false"#, Some("salary")),
        (r#""level":1,"kind":"x","open":false"#, None),
        (r#""level":9,"kind":"x","open":false"#, Some("owner.name")),
        (r#""level":9,"kind":"xy","open":false"#, Some("owner.name, text")),
        (r#""level":1,"kind":"y","open":true"#, None),
        (r#""level":9,"kind":"z","open":true"#, None),
    ];
    let chunk =
        |attributes: &str| tamis_tests::chunk(&format!(r#"{{"id":"c","attributes":{{{attributes}}}}}"#));
    let chunks = cases.map(|(attributes, _)| chunk(attributes));
    let alone = policy.explain(&request, &chunks).unwrap();
    let together = policy.filter(&request, &chunks).unwrap();
    for (((attributes, removed), alone), together) in cases.iter().zip(alone).zip(together) {
        let redaction = alone.redaction;
        let mut found: Vec<String> =
            redaction.attributes.iter().map(|path| tamis_core::decision::path_text(path)).collect();
        found.retain(|path| path != "text" || redaction.text);
        assert_eq!(
            (found.join(", "), alone.allow),
            (removed.unwrap_or_default().to_owned(), true),
            "{attributes}"
        );
        assert_eq!((together.redaction, together.allow), (redaction, true), "{attributes}");
    }
}

#[test]
fn what_no_host_would_load_does_not_compile() {
    let reading = |count: usize| {
        let read = |number: usize| format!("resource.a{number} == {number}");
        let condition = (0..count).map(read).collect::<Vec<_>>().join(" || ");
        let text = format!("permit(principal, action, resource in Folder::\"f\") when {{ {condition} }};");
        tamis_compiler::compile("wide", Named { name: "wide.cedar", text: &text }, None)
    };
    let most = reading(1000).unwrap().component;
    Policy::load(&Runtime::shared().unwrap(), &most, &patient()).unwrap();
    let error = reading(1001).unwrap_err().to_string();
    assert!(error.contains("the policies read more than 1000 attributes of chunks"), "{error}");
}

/// An expression that nests as deep as the compiler lets it: `wrap` puts one level around what is there.
fn deepest(innermost: &str, wrap: impl Fn(&str) -> String) -> (String, Vec<u8>) {
    let compiled = |text: &str| {
        tamis_compiler::compile("deep", Named { name: "deep.cedar", text }, None)
            .map(|compiled| compiled.component)
    };
    let policy = |condition: &str| format!("permit(principal, action, resource) when {{ {condition} }};");
    let (mut condition, mut deepest) = (innermost.to_owned(), None);
    loop {
        let text = policy(&condition);
        match compiled(&text) {
            Ok(component) => deepest = Some((condition.clone(), component)),
            Err(error) => {
                assert!(error.to_string().contains("deep"), "{error}");
                return deepest.unwrap();
            }
        }
        condition = wrap(&condition);
    }
}

#[test]
fn what_nests_as_deep_as_it_may_is_decided() {
    let request =
        tamis_tests::request(r#"{"subject":{"type":"User","id":"u"},"action":{"name":"retrieve"}}"#);
    let chunks = [tamis_tests::chunk(r#"{"id":"1","attributes":{"n":1,"yes":true}}"#)];
    for (name, (condition, component)) in [
        ("not", deepest("resource.yes", |inner| format!("!({inner})"))),
        ("if", deepest("resource.yes", |inner| format!("if {inner} then resource.yes else false"))),
        ("set", deepest("resource.yes", |inner| format!("[{inner}].contains(true)"))),
        ("record", deepest("resource.yes", |inner| format!("{{a: {inner}}}.a"))),
        (
            "right",
            deepest("resource.n == 1", |inner| format!("resource.n - 1 == 0 - (if {inner} then 0 else 1)")),
        ),
    ] {
        assert!(condition.len() > 300, "{name}");
        let policy = Policy::load(&Runtime::shared().unwrap(), &component, &patient()).unwrap();
        let alone = policy.explain(&request, &chunks).unwrap().remove(0);
        assert!(alone.errors.is_empty(), "{name}: {alone:?}");
        assert_eq!(policy.filter(&request, &chunks).unwrap()[0].allow, alone.allow, "{name}");
        let query = tamis_core::Query { collection: String::new(), k: 1 };
        let rewrite = policy.rewrite(&request, &query).unwrap();
        assert!(rewrite.filter.matches(&chunks[0]) || !alone.allow, "{name}");
    }
}

/// The stack has room for both.
#[test]
fn deep_values_are_compared_in_deep_expressions() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let value = |innermost: u8| format!("{}{innermost}{}", open.repeat(120), close.repeat(120));
        let request = tamis_tests::request(&format!(
            r#"{{"subject":{{"type":"User","id":"u","properties":{{"deep":{}}}}},"action":{{"name":"retrieve"}}}}"#,
            value(1)
        ));
        let chunks = [1, 2].map(|innermost| {
            tamis_tests::chunk(&format!(r#"{{"id":"1","attributes":{{"deep":{}}}}}"#, value(innermost)))
        });
        let equal = "resource.deep == principal.deep";
        let (condition, component) = deepest(equal, |inner| format!("if {inner} then true else {equal}"));
        assert!(condition.len() > 3_000);
        let policy = Policy::load(&Runtime::shared().unwrap(), &component, &patient()).unwrap();
        let alone = policy.explain(&request, &chunks).unwrap();
        assert!(alone[0].allow && !alone[1].allow, "{alone:?}");
        let together = policy.filter(&request, &chunks).unwrap();
        assert!(together[0].allow && !together[1].allow);
        let query = tamis_core::Query { collection: String::new(), k: 1 };
        assert!(policy.rewrite(&request, &query).unwrap().filter.matches(&chunks[0]));
    }
}

#[test]
fn chains_are_as_long_as_people_write_them() {
    let request =
        tamis_tests::request(r#"{"subject":{"type":"User","id":"u"},"action":{"name":"retrieve"}}"#);
    let chunks = [0, 1].map(|n| tamis_tests::chunk(&format!(r#"{{"id":"{n}","attributes":{{"n":{n}}}}}"#)));
    let links = 3_000;
    for (condition, allowed) in [
        (format!("resource.n{} == {links}", " + 1".repeat(links)), [true, false]),
        (format!("resource.n{} == 1", " * 1".repeat(links)), [false, true]),
        (format!("resource.n{} == 0", " - resource.n + resource.n".repeat(links)), [true, false]),
        (format!("{}resource.n == 1", "resource.n == 2 || ".repeat(links)), [false, true]),
        (format!("{}resource.n == 1", "resource.n == 1 && ".repeat(links)), [false, true]),
    ] {
        let text = format!("permit(principal, action, resource) when {{ {condition} }};");
        let component =
            tamis_compiler::compile("chain", Named { name: "chain", text: &text }, None).unwrap().component;
        let policy = Policy::load(&Runtime::shared().unwrap(), &component, &patient()).unwrap();
        let alone = policy.explain(&request, &chunks).unwrap();
        assert_eq!([alone[0].allow, alone[1].allow], allowed, "{}", &text[..100]);
        let together = policy.filter(&request, &chunks).unwrap();
        assert_eq!([together[0].allow, together[1].allow], allowed);
        let query = tamis_core::Query { collection: String::new(), k: 1 };
        let rewrite = policy.rewrite(&request, &query).unwrap();
        assert!(chunks.iter().zip(allowed).all(|(chunk, allow)| rewrite.filter.matches(chunk) || !allow));
    }
}
