//! A policy in C: built by its own script, made a component like any other module, and held to what the Rust examples
//! are held to.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Instant;

use tamis_core::filter::{Attribute, Filter};
use tamis_core::{Chunk, Query, Request};
use tamis_runtime::{Admission, Error, Limits, Policy, Runtime};
use tamis_tests::{allowed, chunk, matched, patient, request, root};

fn folder() -> PathBuf {
    root().join("guest/examples/c-tenant")
}

/// The core module, which clang makes of the C at the first call of this process.
fn module() -> &'static [u8] {
    static BUILT: OnceLock<Vec<u8>> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = self::folder();
        let out = tempfile::tempdir().unwrap();
        let module = out.path().join("c-tenant.core.wasm");
        let built = Command::new(folder.join("build.sh")).arg(&module).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        assert_eq!(String::from_utf8_lossy(&built.stderr), "", "it builds without a warning");
        fs::read(module).unwrap()
    })
}

fn component() -> Vec<u8> {
    tamis_build::componentize(module()).unwrap()
}

fn policy() -> Policy {
    Policy::load(&Runtime::shared().unwrap(), &component(), &patient()).unwrap()
}

fn query() -> Query {
    Query { collection: "docs".into(), k: 10 }
}

/// JSON of a principal with these properties.
fn principal(id: &str, properties: &str) -> String {
    format!(r#"{{"type":"User","id":"{id}","properties":{{{properties}}}}}"#)
}

/// The request of a subject, with actors, each with its properties.
fn by(subject: &str, actors: &[&str]) -> Request {
    let subject = principal("subject", subject);
    let actors: Vec<String> =
        actors.iter().enumerate().map(|(id, actor)| principal(&format!("actor-{id}"), actor)).collect();
    let actors = actors.join(",");
    request(&format!(r#"{{"subject":{subject},"actor":[{actors}],"action":{{"name":"retrieve"}}}}"#))
}

const ACME: &str = r#""tenant":"acme""#;
const GLOBEX: &str = r#""tenant":"globex""#;

/// One chunk for each way in which a tenant can be written or be missing; the id is the JSON.
fn chunks() -> Vec<Chunk> {
    [
        ACME,
        GLOBEX,
        r#""tenant":"""#,
        r#""tenant":"acm""#,
        r#""tenant":"acmee""#,
        r#""tenant":"Acme""#,
        r#""tenant":"\u00e4cme\u0000""#,
        r#""tenant":null"#,
        r#""tenant":1"#,
        r#""tenant":["acme"]"#,
        r#""tenant":{"acme":1}"#,
        r#""owner":"acme""#,
        "",
    ]
    .iter()
    .map(|attributes| {
        let id = serde_json::to_string(attributes).unwrap();
        chunk(&format!(r#"{{"id":{id},"attributes":{{{attributes}}}}}"#))
    })
    .collect()
}

#[test]
fn it_describes_itself() {
    let policy = policy();
    let manifest = policy.manifest();
    assert_eq!((manifest.contract.as_str(), manifest.name.as_str()), ("0.1.0", "c-tenant"));
    let [tenant] = &manifest.footprint[..] else { unreachable!("{:?}", manifest.footprint) };
    assert_eq!(tenant.attribute, tenant_attribute());
    assert!(!tenant.optional);
    assert_eq!(manifest.policies.len(), 1);
    assert_eq!(manifest.policies[0].id, "tenant-isolation");
    assert!(manifest.can_rewrite);

    let imports = Policy::imports(&Runtime::shared().unwrap(), &component()).unwrap();
    assert_eq!(imports, []);
}

fn tenant_attribute() -> Attribute {
    Attribute { path: vec!["tenant".to_owned()], declared: Some("String".parse().unwrap()) }
}

#[test]
fn the_script_builds_the_same_bytes_again() {
    let out = tempfile::tempdir().unwrap();
    let again = out.path().join("again.wasm");
    // From elsewhere, since scripts are called from anywhere.
    let built = Command::new(folder().join("build.sh")).arg(&again).current_dir("/").status().unwrap();
    assert!(built.success());
    assert_eq!(fs::read(again).unwrap(), module());
    println!("core module {} bytes, component {} bytes", module().len(), component().len());
}

#[test]
fn filter_decides_by_tenant() {
    let policy = policy();
    for tenant in [ACME, GLOBEX, r#""tenant":"""#, r#""tenant":"\u00e4cme\u0000""#] {
        assert_eq!(allowed(&policy, &by(tenant, &[]), &chunks()), [tenant]);
    }
    assert_eq!(allowed(&policy, &by(r#""tenant":"initech""#, &[]), &chunks()), [""; 0]);
    // Whether it allows or denies, the rule is named.
    let decisions = policy.filter(&by(ACME, &[]), &chunks()[..2]).unwrap();
    for (decision, allow) in decisions.iter().zip([true, false]) {
        assert_eq!((decision.allow, &decision.reasons), (allow, &["tenant-isolation".to_owned()].into()));
        assert!(
            decision.errors.is_empty()
                && decision.redaction.attributes.is_empty()
                && !decision.redaction.text
        );
    }
}

#[test]
fn what_a_chunk_lacks_denies_and_is_named() {
    let policy = policy();
    for (attributes, message) in [
        ("", "the chunk has no attribute `tenant`"),
        (r#""tenant":null"#, "the chunk has no attribute `tenant`"),
        (r#""Tenant":"acme""#, "the chunk has no attribute `tenant`"),
        (r#""tenant":["acme"]"#, "attribute `tenant` of the chunk is not a text"),
        (r#""tenant":1"#, "attribute `tenant` of the chunk is not a text"),
    ] {
        let chunk = chunk(&format!(r#"{{"id":"c","attributes":{{{attributes}}}}}"#));
        let decisions = policy.filter(&by(ACME, &[]), &[chunk]).unwrap();
        assert!(!decisions[0].allow, "{attributes}");
        let error = decisions[0].errors.first().unwrap();
        assert_eq!(
            (error.policy.as_str(), error.message.as_str()),
            ("tenant-isolation", message),
            "{attributes}"
        );
    }
}

#[test]
fn a_request_that_lacks_a_tenant_denies_everything() {
    let policy = policy();
    for (properties, message) in [
        ("", "the principal has no attribute `tenant`"),
        (r#""tenant":null"#, "the principal has no attribute `tenant`"),
        (r#""tenant":7"#, "attribute `tenant` of the principal is not a text"),
        (r#""tenant":["acme"]"#, "attribute `tenant` of the principal is not a text"),
    ] {
        let request = by(properties, &[]);
        assert_eq!(allowed(&policy, &request, &chunks()), [""; 0], "{properties}");
        let rewrite = policy.rewrite(&request, &query()).unwrap();
        assert_eq!((&*rewrite.filter, rewrite.exact), (&Filter::Never, true), "{properties}");
        assert_eq!(rewrite.errors.first().unwrap().message, message, "{properties}");
    }
}

#[test]
fn an_exact_rewrite_matches_what_the_filter_gate_allows() {
    let policy = policy();
    for request in [
        by(ACME, &[]),
        by(r#""tenant":"""#, &[]),
        by(r#""tenant":"\u00e4cme\u0000""#, &[]),
        by("", &[]),
        by(ACME, &[ACME]),
        by(ACME, &[GLOBEX]),
    ] {
        let rewrite = policy.rewrite(&request, &query()).unwrap();
        assert!(rewrite.exact);
        assert_eq!(matched(&rewrite.filter, &chunks()), allowed(&policy, &request, &chunks()));
        assert_eq!(*rewrite.needs, [tenant_attribute()].into());
    }
}

#[test]
fn every_actor_of_a_chain_counts() {
    let policy = policy();
    let all = [ACME, ACME, ACME];
    assert_eq!(allowed(&policy, &by(ACME, &all), &chunks()), [ACME]);
    for (subject, actors) in [
        (GLOBEX, [ACME, ACME, ACME]),
        (ACME, [GLOBEX, ACME, ACME]),
        (ACME, [ACME, GLOBEX, ACME]),
        (ACME, [ACME, ACME, GLOBEX]),
        (ACME, [ACME, ACME, ""]),
        ("", [ACME, ACME, ACME]),
    ] {
        let request = by(subject, &actors);
        assert_eq!(allowed(&policy, &request, &chunks()), [""; 0], "{request:?}");
        let rewrite = policy.rewrite(&request, &query()).unwrap();
        assert_eq!(matched(&rewrite.filter, &chunks()), [""; 0], "{request:?}");
    }
}

#[test]
fn admit_wants_the_footprint_and_then_the_policy() {
    let policy = policy();
    let admissions = policy.admit(&by(ACME, &[]), &chunks()).unwrap();
    assert_eq!(admissions[0], Admission::Admitted);
    assert!(
        matches!(&admissions[1], Admission::Denied(decision) if decision.reasons.contains("tenant-isolation"))
    );
    for (chunk, admission) in chunks().iter().zip(admissions).skip(2) {
        let readable = chunk.attributes.get("tenant").is_some_and(serde_json::Value::is_string);
        match admission {
            Admission::Denied(_) => assert!(readable, "{chunk:?}"),
            Admission::Unreadable(faults) => {
                assert!(!readable && faults[0].contains("`tenant`"), "{faults:?}")
            }
            Admission::Admitted => unreachable!("{chunk:?}"),
        }
    }
}

/// The request of a subject in so many groups.
fn in_groups(count: usize) -> Request {
    let groups: Vec<String> =
        (0..count).map(|id| format!(r#"{{"type":"Group","id":"group-{id}"}}"#)).collect();
    let groups = groups.join(",");
    request(&format!(
        r#"{{"subject":{{"type":"User","id":"u","properties":{{{ACME}}},"parents":[{groups}]}},"action":{{"name":"retrieve"}}}}"#
    ))
}

/// The request and a chunk cross into the guest's memory for every decision, so what each leaves behind adds up.
#[test]
fn a_long_search_stays_within_the_memory_limit() {
    let chunk = |id: usize| chunk(&format!(r#"{{"id":"{id}","attributes":{{{}}}}}"#, [ACME, GLOBEX][id % 2]));
    let chunks: Vec<Chunk> = (0..5000).map(chunk).collect();
    let policy = Policy::load(&Runtime::shared().unwrap(), &component(), &patient()).unwrap();
    let mut session = policy.session(&in_groups(1000));
    let begun = Instant::now();
    let decisions = session.filter(&chunks).unwrap();
    println!("{} µs per chunk for a subject in 1000 groups", begun.elapsed().as_micros() / 5000);
    assert!(decisions.iter().enumerate().all(|(id, decision)| decision.allow == (id % 2 == 0)));
    assert!(session.rewrite(&query()).unwrap().exact);
}

#[test]
fn a_request_that_does_not_fit_in_memory_denies() {
    let limits = Limits { memory: 256 << 10, ..patient() };
    let policy = Policy::load(&Runtime::shared().unwrap(), &component(), &limits).unwrap();
    let error = policy.filter(&in_groups(20_000), &chunks()).unwrap_err();
    assert_eq!(error, Error::Limit("it wanted more than 262144 bytes of memory".to_owned()));
    assert_eq!(allowed(&policy, &in_groups(10), &chunks()), [ACME]);
}

/// Where the pinned generator is at hand, what it makes of the contract is what lies in the tree.
#[test]
fn generated_bindings_are_those_of_the_contract() {
    let script = fs::read_to_string(folder().join("regenerate.sh")).unwrap();
    let pinned = script.lines().find_map(|line| line.strip_prefix("version=")).unwrap();
    for file in ["policy.c", "policy.h"] {
        let text = fs::read_to_string(folder().join("generated").join(file)).unwrap();
        assert!(
            text.starts_with(&format!("// Generated by `wit-bindgen` {pinned}. DO NOT EDIT!\n")),
            "{file}"
        );
    }

    let generator = std::env::var("WIT_BINDGEN").unwrap_or_else(|_| "wit-bindgen".to_owned());
    let version = Command::new(&generator).arg("--version").output();
    let version =
        version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    if !version.split_whitespace().any(|word| word == pinned) {
        println!("not compared: needs wit-bindgen {pinned}, found {version:?}");
        return;
    }
    // The script writes beside itself, so it runs in a copy of the tree.
    let copy = tempfile::tempdir().unwrap();
    let example = copy.path().join("guest/examples/c-tenant");
    fs::create_dir_all(&example).unwrap();
    fs::create_dir(copy.path().join("wit")).unwrap();
    fs::copy(root().join("wit/policy.wit"), copy.path().join("wit/policy.wit")).unwrap();
    fs::copy(folder().join("regenerate.sh"), example.join("regenerate.sh")).unwrap();
    let generated =
        Command::new(example.join("regenerate.sh")).env("WIT_BINDGEN", &generator).output().unwrap();
    assert!(generated.status.success(), "{}", String::from_utf8_lossy(&generated.stderr));
    for file in ["policy.c", "policy.h"] {
        let [wanted, found] = [example.join("generated"), folder().join("generated")]
            .map(|folder| fs::read_to_string(folder.join(file)).unwrap());
        assert!(wanted == found, "generated/{file} is not up to date: run regenerate.sh");
    }
}
