//! Replacements that must not happen, while others use the policy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tamis_runtime::{Error, PolicyHandle, Runtime, SelfTest};
use tamis_tests::hostile::{Module, TRAP};

use super::{bob, chunks, decider, handle, patient, policy};

/// The policy with this number serves, as this generation.
#[track_caller]
fn assert_serves(handle: &PolicyHandle, number: u64, generation: u64) {
    let answer = handle.filter(&bob(), &chunks(3)).unwrap();
    assert_eq!((decider(&answer.value), answer.generation), (number, generation));
}

#[test]
fn no_part_of_a_policy_replaces_it() {
    let handle = handle(1);
    let whole = policy(2);
    let refused = (0..whole.len()).step_by(7).take_while(|length| match handle.replace(&whole[..*length]) {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), "artifact", "the first {length} bytes: {error}");
            assert_eq!(handle.last_error(), Some(error.into()));
            assert_eq!(handle.current().number(), 1);
            true
        }
    });
    // What may be missing says who made it: the last section, which nobody reads.
    let refused = refused.count() * 7;
    assert!(refused > whole.len() - 200, "the first {refused} bytes of {} are a policy", whole.len());

    handle.replace(&whole).unwrap();
    assert_eq!(handle.last_error(), None);
    assert_eq!(decider(&handle.filter(&bob(), &chunks(3)).unwrap().value), 2);
}

#[test]
fn whoever_uses_the_policy_notices_nothing_of_what_is_refused() {
    let handle = handle(1);
    let garbage = vec![0x5a; 4096];
    let behind_magic = [b"\0asm\x0d\0\x01\0".as_slice(), &garbage].concat();
    let trapping = Module { filter_chunk: TRAP, ..Module::good() }.component();
    let replacing = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while replacing.load(Ordering::SeqCst) {
                assert_serves(&handle, 1, 1);
            }
        });
        let kinds: Vec<&str> = [&garbage, &behind_magic, &trapping]
            .iter()
            .cycle()
            .take(60)
            .map(|bytes| handle.replace(bytes).map_or_else(|error| error.kind(), |_| "none"))
            .collect();
        replacing.store(false, Ordering::SeqCst);
        reader.join().unwrap();
        assert_eq!(kinds, ["artifact", "artifact", "trap"].repeat(20));
    });
    // The error stays until a replacement succeeds; the policy that serves, offered again, is one.
    assert!(handle.last_error().is_some());
    assert_serves(&handle, 1, 1);
    assert_eq!(handle.replace(&policy(1)).unwrap().number(), 1);
    assert_eq!(handle.last_error(), None);
}

/// A handle whose policies must deny.
fn denying(number: u64, how: fn(bool) -> Result<(), String>) -> Result<PolicyHandle, Error> {
    let test: SelfTest = Arc::new(move |candidate| {
        let decisions = candidate.filter(&bob(), &chunks(1)).map_err(|error| error.to_string())?;
        how(decisions[0].allow)
    });
    PolicyHandle::with_self_test(&Runtime::shared().unwrap(), &policy(number), patient(), Some(test))
}

fn complain(allows: bool) -> Result<(), String> {
    if allows { Err("it allows".to_owned()) } else { Ok(()) }
}

/// As people write tests.
fn assert_denial(allows: bool) -> Result<(), String> {
    assert!(!allows, "it allows");
    Ok(())
}

#[test]
fn a_policy_that_does_not_pass_the_self_test_never_serves() {
    for how in [complain, assert_denial] {
        let first = denying(1, how).unwrap_err();
        let handle = denying(2, how).unwrap();
        let next = handle.replace(&policy(3)).unwrap_err();
        for error in [&first, &next] {
            assert_eq!(error.kind(), "self-test");
            assert!(error.to_string().contains("it allows"), "{error}");
        }
        assert_eq!(handle.last_error().as_deref(), Some(&next));
        assert_serves(&handle, 2, 1);

        handle.replace(&policy(4)).unwrap();
        assert_eq!(handle.last_error(), None);
        assert_serves(&handle, 4, 2);
    }
}
