//! Replacements that must not happen: the last good policy goes on serving.

use tamis_runtime::{Error, Limits, PolicyHandle, Runtime};
use tamis_tests::hostile::abi::text;
use tamis_tests::hostile::answers::{Manifest, Rewrite};
use tamis_tests::hostile::{FOREVER, Module, TRAP};

use super::{assert_refused, bob, chunks, patient, returns};

/// What a test tries to replace a good policy with, and the kind of error that says why it may not.
fn unfit() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = Module::good;
    let manifest = Manifest { contract: text("0.2.0"), ..Manifest::good() };
    let import = wat::parse_str(r#"(component (import "secret" (func)))"#).unwrap();
    vec![
        ("nothing", vec![], "artifact"),
        ("half a component", good().component()[..500].to_vec(), "artifact"),
        ("an import", import, "artifact"),
        ("another contract", Module { manifest, ..good() }.component(), "contract"),
        ("a start that never ends", Module { start: FOREVER, ..good() }.component(), "limit"),
        ("a describe that traps", Module { describe: TRAP, ..good() }.component(), "trap"),
        ("a filter gate that traps", Module::filtering(TRAP).component(), "trap"),
        ("a filter gate that never ends", Module::filtering(FOREVER).component(), "limit"),
        ("a rewrite gate that traps", Module { rewrite_query: TRAP, ..good() }.component(), "trap"),
        ("an empty filter", Module { rewrite: Rewrite::of(vec![]), ..good() }.component(), "contract"),
        ("too much memory", Module { pages: 512, ..good() }.component(), "limit"),
    ]
}

#[test]
fn an_unfit_replacement_changes_nothing() {
    let limits = Limits { deadline: std::time::Duration::from_millis(500), ..patient() };
    let handle = PolicyHandle::new(&Runtime::shared().unwrap(), &Module::good().component(), limits).unwrap();
    let handle = std::sync::Arc::new(handle);
    let digest = handle.current().policy().digest();
    let serves = |generation| {
        let answer = handle.filter(&bob(), &chunks()).unwrap();
        assert_eq!(answer.generation, generation);
        assert!(answer.value.iter().all(|decision| decision.allow));
        answer.digest
    };
    for (what, bytes, kind) in unfit() {
        let replacing = std::sync::Arc::clone(&handle);
        let result = returns(move || replacing.replace(&bytes));
        let error = result.unwrap_err();
        assert_eq!(error.kind(), kind, "{what}: {error}");
        assert_eq!(handle.last_error().as_deref(), Some(&error), "{what}");
        assert_eq!(serves(1), digest, "{what}");
    }

    let better = Module { pages: 9, ..Module::good() }.component();
    assert_eq!(handle.replace(&better).unwrap().number(), 2);
    assert_eq!(handle.last_error(), None);
    assert_ne!(serves(2), digest);
}

#[test]
fn an_unfit_first_policy_makes_no_handle() {
    for (what, bytes, kind) in unfit() {
        let limits = Limits { deadline: std::time::Duration::from_millis(500), ..patient() };
        let handle = returns(move || PolicyHandle::new(&Runtime::shared().unwrap(), &bytes, limits));
        assert_eq!(handle.unwrap_err().kind(), kind, "{what}");
    }
}

#[test]
fn the_hosts_own_test_has_the_last_word() {
    let test: tamis_runtime::SelfTest = std::sync::Arc::new(|policy| {
        let decisions = policy.filter(&bob(), &chunks()).map_err(|error: Error| error.to_string())?;
        if decisions[0].allow { Ok(()) } else { Err("`a` must be allowed".to_owned()) }
    });
    let runtime = Runtime::shared().unwrap();
    let handle =
        PolicyHandle::with_self_test(&runtime, &Module::good().component(), patient(), Some(test)).unwrap();
    let denying = Module::filtering("(global.get $deny)").component();
    assert_refused(handle.replace(&denying), "self-test", "`a` must be allowed");
    assert_eq!(handle.current().number(), 1);
    assert!(handle.last_error().is_some());
    // The same good bytes again: nothing to do, nothing wrong any more.
    assert_eq!(handle.replace(&Module::good().component()).unwrap().number(), 1);
    assert_eq!(handle.last_error(), None);
}
