//! Policies that say impossible things of themselves.

use tamis_compiler::Named;
use tamis_runtime::{Digest, Outline};
use tamis_tests::hostile::abi::{Abi, span, text};
use tamis_tests::hostile::answers::{Entry, Manifest, footprint};
use tamis_tests::hostile::{FOREVER, Module, TRAP};

use super::{assert_load_refused, assert_others_work, hasty, load, patient};

fn refused(manifest: Manifest, kind: &str, text: &str) {
    assert_load_refused(Module { manifest, ..Module::good() }.component(), patient(), kind, text);
}

#[test]
fn a_valid_manifest_is_read() {
    let entries: &[Entry<'_>] = &[(&["owner", "team"], Some("Set<String>")), (&["owner", "teams"], None)];
    let manifest = Manifest { footprint: footprint(entries), ..Manifest::good() };
    let policy = load(Module { manifest, ..Module::good() }.component(), patient()).unwrap();
    let read = policy.manifest();
    assert_eq!(
        (read.contract.as_str(), read.name.as_str(), read.producer.as_str()),
        ("0.1.0", "hostile", "tests")
    );
    assert!(read.can_rewrite && read.footprint.iter().all(|entry| entry.optional));
    let attributes = read.footprint.iter().map(|entry| &entry.attribute).collect::<Vec<_>>();
    assert_eq!(attributes[0].path, ["owner", "team"]);
    assert_eq!(attributes[0].declared.as_ref().unwrap().to_string(), "Set<String>");
    assert_eq!((attributes[1].path.len(), &attributes[1].declared), (2, &None));
}

#[test]
fn a_policy_knows_its_bytes_and_its_limits() {
    let bytes = Module::good().component();
    let policy = load(bytes.clone(), patient()).unwrap();
    assert_eq!((policy.component().len(), policy.digest()), (bytes.len(), Digest::of(&bytes)));
    assert_eq!(policy.limits(), &patient());
}

/// A component whose last section shows another manifest.
fn showing(component: &[u8], manifest: &str) -> Vec<u8> {
    let name = tamis_contract::MANIFEST_SECTION;
    let (name_size, size) = (u8::try_from(name.len()).unwrap(), 1 + name.len() + manifest.len());
    let mut section = vec![0, (size & 0x7f) as u8 | 0x80, (size >> 7) as u8, name_size];
    section.extend(name.bytes().chain(manifest.bytes()));
    [component, &section].concat()
}

#[test]
fn what_its_bytes_show_is_what_it_says_of_itself() {
    let policies = Named { name: "p", text: "@id(\"all\") permit(principal, action, resource);" };
    let component = tamis_compiler::compile("p", policies, None).unwrap().component;
    let shown = Outline::of(&component).unwrap().manifest.unwrap();
    load(component.clone(), patient()).unwrap();
    load(showing(&component, &shown), patient()).unwrap();
    for lie in ["", "{", "{}", &shown.replace("all", "none"), &shown.replace("p\"", "q\"")] {
        let message = "its section `tamis:manifest` shows something else";
        assert_load_refused(showing(&component, lie), patient(), "contract", message);
    }
}

/// What a component in it would import, or show, is not its own.
#[test]
fn what_is_shown_is_of_the_whole() {
    let outline = |text: &str| Outline::of(&wat::parse_str(text).unwrap()).unwrap();
    let inner = r#"(import "inner" (func)) (@custom "tamis:manifest" "inner")"#;
    let own = r#"(import "own" (func)) (@custom "tamis:manifest" "own")"#;
    let none = Outline { manifest: None, imports: vec![] };
    assert_eq!(outline(&format!("(component (component {inner}))")), none);
    assert_eq!(outline(r#"(component (core module (@custom "tamis:manifest" "inner")))"#), none);
    let both = Outline { manifest: Some("own".to_owned()), imports: vec!["own".to_owned()] };
    assert_eq!(outline(&format!("(component {own} (component {inner}))")), both);
    assert_eq!(outline(&format!("(component (component {inner}) {own})")), both);
}

/// The compiler and the host spell a record in ways of their own.
#[test]
fn types_of_records_are_shown_as_they_are_said() {
    let policies =
        Named { name: "p", text: "permit(principal, action, resource) when { resource.place.room == 4 };" };
    let schema = r#"entity User; entity Chunk { place: { room: Long, of?: Set<{ "a b": String, a: Bool }> } };
        action "retrieve", "index" appliesTo { principal: User, resource: Chunk };"#;
    let schema = Named { name: "s", text: schema };
    let component = tamis_compiler::compile("p", policies, Some(schema)).unwrap().component;
    load(component.clone(), patient()).unwrap();
    let shown = Outline::of(&component).unwrap().manifest.unwrap();
    let message = "its section `tamis:manifest` shows something else";
    assert_load_refused(showing(&component, &shown.replace("Long", "Bool")), patient(), "contract", message);
}

#[test]
fn another_version_of_the_contract_is_refused() {
    for version in ["", "0.1", "0.1.1", "0.2.0", "0.1.0 "] {
        let message = format!("it implements version `{version}`; this host speaks 0.1.0");
        refused(Manifest { contract: text(version), ..Manifest::good() }, "contract", &message);
    }
}

#[test]
fn a_footprint_names_readable_attributes_once() {
    let deep = format!("{}Long{}", "Set<".repeat(1000), ">".repeat(1000));
    let cases: &[(&[Entry<'_>], &str)] = &[
        (&[(&["a"], Some("Strin"))], "attribute `a`: `Strin` is not a type"),
        (&[(&["a"], Some(""))], "attribute `a`: `` is not a type"),
        (&[(&["a", "b"], Some(&deep))], "it nests too deep"),
        (&[(&["a"], None), (&["a"], None)], "its footprint names the attribute `a` twice"),
        (
            &[(&["a"], None), (&["b"], None), (&["a", "b"], None)],
            "its footprint names the attribute `a` twice",
        ),
        (&[(&["a", "b"], None), (&["a"], None)], "twice, or a part of it"),
        (&[(&[], None)], "an attribute has no name"),
    ];
    for (entries, message) in cases {
        refused(Manifest { footprint: footprint(entries), ..Manifest::good() }, "contract", message);
    }
}

#[test]
fn a_large_footprint_is_refused() {
    let of = |count: usize| {
        let names = (0..count).map(|number| format!("{number:05}")).collect::<Vec<_>>();
        let paths = names.iter().map(|name| [name.as_str()]).collect::<Vec<_>>();
        let entries = paths.iter().map(|path| (path.as_slice(), None)).collect::<Vec<_>>();
        Manifest { footprint: footprint(&entries), ..Manifest::good() }
    };
    let largest = load(Module { manifest: of(1000), ..Module::good() }.component(), patient()).unwrap();
    assert_eq!(largest.manifest().footprint.len(), 1000);
    refused(of(1001), "limit", "its footprint has 1001 attributes; at most 1000 are allowed");
    // A valid one of 3 MB. The deadline of the policy ends where the host begins to check it.
    refused(of(40_000), "limit", "its footprint has 40000 attributes; at most 1000 are allowed");
    assert_others_work();
}

#[test]
fn an_error_quotes_little_of_the_policy_and_nothing_that_a_terminal_obeys() {
    let version = format!("0.2.0\n\x1b[2J{}", "x".repeat(1 << 20));
    let bad_type = format!("T{}", "x".repeat(1 << 20));
    let name = format!("a\n\x1b[2J{}", "x".repeat(1 << 20));
    for manifest in [
        Manifest { contract: text(&version), ..Manifest::good() },
        Manifest { footprint: footprint(&[(&["a"], Some(&bad_type))]), ..Manifest::good() },
        Manifest { footprint: footprint(&[(&[&name], Some("T"))]), ..Manifest::good() },
    ] {
        let error =
            load(Module { manifest, ..Module::good() }.component(), patient()).unwrap_err().to_string();
        let start = error.chars().take(100).collect::<String>();
        assert!(error.len() < 2000, "{} bytes of {start:?}", error.len());
        assert!(!error.contains(char::is_control), "{start:?}");
    }
}

#[test]
fn a_manifest_that_cannot_be_read_is_refused() {
    for (manifest, kind, message) in [
        (Manifest { contract: Abi::Text(vec![0xff]), ..Manifest::good() }, "contract", "utf-8"),
        (Manifest { footprint: span(1024, 1 << 31), ..Manifest::good() }, "contract", "out of bounds"),
        (Manifest { footprint: span(0x7fff_0000, 1), ..Manifest::good() }, "contract", "out of bounds"),
    ] {
        refused(manifest, kind, message);
    }
}

#[test]
fn a_policy_that_fails_to_describe_itself_is_refused() {
    for (describe, limits, kind, message) in [
        (TRAP, patient(), "trap", "unreachable"),
        (FOREVER, hasty(), "limit", "it took longer than 50 ms"),
        ("(i32.const 0x7ffffff0)", patient(), "contract", "out of bounds"),
    ] {
        assert_load_refused(Module { describe, ..Module::good() }.component(), limits, kind, message);
    }
}
