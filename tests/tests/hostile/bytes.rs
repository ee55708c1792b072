//! Bytes that are no policy component, or not quite.

use tamis_runtime::{Policy, Runtime};
use tamis_tests::example;
use tamis_tests::hostile::{Module, padded};

use super::{assert_load_refused, assert_others_work, bob, chunks, load, patient, query, returns};

/// How every component begins.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const MAX_BYTES: usize = 16 << 20;

/// Bytes without sense, the same every time.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let places = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(from.as_bytes())).collect::<Vec<_>>();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

#[test]
fn what_is_no_component_is_refused() {
    for (bytes, text) in [
        (vec![], "the bytes are not WebAssembly"),
        (b"permit (principal, action, resource);".to_vec(), "the bytes are not WebAssembly"),
        (noise(4096), "the bytes are not WebAssembly"),
        (b"\0asm".to_vec(), "it is not valid: "),
        (b"\0asm\xff\xff\xff\xff".to_vec(), "it is not valid: "),
        ([COMPONENT, &noise(4096)].concat(), "it is not valid: "),
        (
            component(r#"(component (component $c) (export "tamis:policy/gates@0.1.0" (component $c)))"#),
            "it is not valid: ",
        ),
        (component("(module)"), "it is a core module; `tamis build` makes components"),
    ] {
        assert_load_refused(bytes, patient(), "artifact", text);
    }
}

/// A component whose functions have the right names and return a number.
fn with_functions(names: &[&str]) -> String {
    let exports = names.iter().map(|name| format!(r#"(export "{name}" (func $f))"#)).collect::<String>();
    format!(
        r#"(component
            (core module $m (func (export "f") (result i32) (i32.const 0)))
            (core instance $i (instantiate $m))
            (func $f (result u32) (canon lift (core func $i "f")))
            (instance $gates {exports})
            (export "tamis:policy/gates@0.1.0" (instance $gates)))"#
    )
}

#[test]
fn a_component_with_functions_of_other_types_is_refused() {
    let bytes = component(&with_functions(&["describe", "filter-chunk", "rewrite-query"]));
    assert_load_refused(
        bytes,
        patient(),
        "contract",
        "type mismatch with results: expected `record` found `u32`",
    );
}

#[test]
fn a_component_without_the_contract_is_refused() {
    let good = Module::good().component();
    for bytes in [
        component("(component)"),
        component(r#"(component (instance $gates) (export "tamis:policy/gates@0.1.0" (instance $gates)))"#),
        component(&with_functions(&["describe", "filter-chunk"])),
        replaced(&good, "tamis:policy/gates@0.1.0", "tamis:policy/gates@0.2.0"),
        replaced(&good, "tamis:policy/gates@0.1.0", "other:policy/gates@0.1.0"),
    ] {
        assert_load_refused(bytes, patient(), "artifact", "it does not export `tamis:policy/gates`: ");
    }
}

#[test]
fn a_component_with_imports_is_refused_and_all_are_named() {
    let clock = r#"(import "wasi:clocks/monotonic-clock@0.2.0" (instance
        (export "now" (func (result u64))) (export "resolution" (func (result u64)))))"#;
    for (declarations, names) in [
        (r#"(import "secret" (func))"#, &["`secret`"][..]),
        (
            clock,
            &["`wasi:clocks/monotonic-clock@0.2.0.now`", "`wasi:clocks/monotonic-clock@0.2.0.resolution`"],
        ),
        (r#"(import "nothing" (instance))"#, &["`nothing`"]),
        (r#"(import "code" (core module))"#, &["`code`"]),
        (r#"(import "handle" (type (sub resource)))"#, &["`handle`"]),
        (r#"(import "a" (func)) (import "b" (func (param "x" string)))"#, &["`a`", "`b`"]),
    ] {
        let bytes = component(&format!("(component {declarations})"));
        let imports = Policy::imports(&Runtime::shared().unwrap(), &bytes).unwrap();
        assert_eq!(imports.iter().map(|import| format!("`{}`", import.0)).collect::<Vec<_>>(), names);
        let text = format!("it imports {}; a policy imports nothing", names.join(", "));
        assert_load_refused(bytes, patient(), "artifact", &text);
    }
}

/// Proposals that wasmtime takes by itself, and no policy needs.
#[test]
fn what_policies_do_not_need_is_off() {
    for (module, message) in [
        ("(memory i64 1)", "memory64 must be enabled"),
        ("(memory 1) (memory 1)", "multiple memories"),
        ("(memory 1 1 shared)", "threads must be enabled"),
        ("(type (struct))", "gc"),
        ("(tag)", "exceptions proposal not enabled"),
    ] {
        let bytes = component(&format!("(component (core module {module}))"));
        assert_load_refused(bytes, patient(), "artifact", message);
    }
}

#[test]
fn size_is_limited() {
    let good = Module::good().component();
    load(padded(&good, MAX_BYTES), patient()).unwrap();
    let text = "it is 16777217 bytes long; at most 16777216 are allowed";
    assert_load_refused(padded(&good, MAX_BYTES + 1), patient(), "artifact", text);
    // Refused for its size before anything looks into it.
    assert_load_refused(vec![0; MAX_BYTES + 1], patient(), "artifact", text);
}

/// Loads what may or may not be a policy and, if it is one, asks it everything.
fn survives(bytes: Vec<u8>) -> bool {
    let Ok(policy) = load(bytes, patient()) else {
        return false;
    };
    // Whatever it answers now, it answers.
    returns(move || {
        let _ = policy.filter(&bob(), &chunks());
        let _ = policy.rewrite(&bob(), &query());
    });
    true
}

#[test]
fn no_prefix_of_a_component_loads() {
    let good = example("clearance");
    for cut in 0..200 {
        let length = good.len() * cut / 200;
        // A prefix that ends between two sections is a valid component, but the contract is exported last.
        assert!(load(good[..length].to_vec(), patient()).is_err(), "the first {length} bytes");
    }
    assert!(load(good[..good.len() - 1].to_vec(), patient()).is_err());
    assert!(survives(good));
    assert_others_work();
}

#[test]
fn a_damaged_component_loads_or_does_not() {
    for good in [example("clearance"), Module::good().component()] {
        let loaded = (0..100).filter(|flip| {
            let mut damaged = good.clone();
            damaged[good.len() * flip / 100] ^= 1 << (flip % 8);
            survives(damaged)
        });
        // Both happen, or the damage tests nothing.
        let loaded = loaded.count();
        assert!((1..100).contains(&loaded), "{loaded} of 100");
    }
    assert_others_work();
}

#[test]
fn types_cannot_unfold_into_huge_ones() {
    let doubled = |level| format!("(type $t{} (tuple $t{level} $t{level}))", level + 1);
    let types = (0..40).map(doubled).collect::<String>();
    let bytes = component(&format!("(component (type $t0 (tuple u32 u32)) {types})"));
    assert_load_refused(bytes, patient(), "artifact", "effective type size exceeds the limit");
}

#[test]
fn components_in_components_cannot_unfold_into_many() {
    // Each holds the one before it twice: a kilobyte that stands for eight million instances.
    let doubled = |inner: String, level: u32| {
        let twice = format!("(instance (instantiate $c{level})) (instance (instantiate $c{level}))");
        format!("(component $c{} {inner} {twice})", level + 1)
    };
    let bytes = component(&(0..23).fold("(component $c0)".to_owned(), doubled));
    assert!(bytes.len() < 1500);
    assert_load_refused(bytes, patient(), "artifact", "components in it nest deeper than 2 levels");
}

#[test]
fn components_are_counted_and_their_depth_is_measured() {
    // What passes is no policy yet, which is found out later.
    let (fits, too_much) =
        ("it does not export `tamis:policy/gates`", "components in it nest deeper than 2 levels");
    let many = |components: usize, instances: usize| {
        let components = "(component)".repeat(components - 1) + "(component $c)";
        format!("(component {components} {})", "(instance (instantiate $c))".repeat(instances))
    };
    for (text, message) in [
        ("(component (component (component)))".to_owned(), fits),
        ("(component (component (core module)))".to_owned(), fits),
        ("(component (component (component (component))))".to_owned(), too_much),
        ("(component (component (component (core module))))".to_owned(), too_much),
        // A module that is over makes nothing after it less deep.
        (
            "(component (core module) (component (core module) (component (core module))))".to_owned(),
            too_much,
        ),
        ("(component (core module) (component (core module) (component (component))))".to_owned(), too_much),
        (many(16, 0), fits),
        (many(17, 0), too_much),
        (many(1, 15), fits),
        (many(1, 16), too_much),
        (many(8, 8), fits),
        (many(8, 9), too_much),
    ] {
        assert_load_refused(component(&text), patient(), "artifact", message);
    }
}

/// What the compiler makes of a call from one component to another is nowhere in the bytes, and may be of any size; and it gives up over
/// one that passes anything by memory.
#[test]
fn components_do_not_call_one_another() {
    let calling = |passed: &str| {
        component(&format!(
            r#"(component
                (component $inner
                    (core module $m
                        (memory (export "m") 1)
                        (func (export "f") (param {passed}))
                        (func (export "r") (param i32 i32 i32 i32) (result i32) (unreachable)))
                    (core instance $i (instantiate $m))
                    (func $f (param "x" {lifted})
                        (canon lift (core func $i "f") (memory $i "m") (realloc (func $i "r"))))
                    (export "f" (func $f)))
                (instance $a (instantiate $inner))
                (core module $memory (memory (export "m") 1))
                (core instance $memory (instantiate $memory))
                (core func $f (canon lower (func $a "f") (memory $memory "m")))
                (core module $use (import "" "f" (func (param {passed}))))
                (core instance (instantiate $use (with "" (instance (export "f" (func $f)))))))"#,
            lifted = if passed == "i32" { "u32" } else { "string" },
        ))
    };
    for passed in ["i32", "i32 i32"] {
        assert_load_refused(calling(passed), patient(), "artifact", "components in it call one another");
    }
}

#[test]
fn functions_that_are_lifted_are_counted() {
    let lifting = |count: usize| {
        let lifted = r#"(func (canon lift (core func $i "f")))"#.repeat(count);
        component(&format!(
            r#"(component (core module $m (func (export "f"))) (core instance $i (instantiate $m)) {lifted})"#
        ))
    };
    assert_load_refused(lifting(100), patient(), "artifact", "it does not export `tamis:policy/gates`");
    assert_load_refused(lifting(101), patient(), "artifact", "at most 100 are allowed");
}
