//! What one session does is nothing to another: no state passes, no failure spreads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tamis_core::Chunk;
use tamis_runtime::{Limits, Policy, Runtime};
use tamis_tests::chunk;
use tamis_tests::hostile::{FOREVER, Module};

use super::{assert_allows, assert_others_work, assert_refused, bob, chunks, load, patient, query, returns};

/// Allows from the second call on in the same instance, by what it finds where its first call wrote.
const REMEMBERING: [(&str, &str); 5] = [
    (
        "a global",
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (select (global.get $allow) (global.get $deny) (i32.gt_u (global.get $calls) (i32.const 1)))",
    ),
    (
        "memory that the component initialises",
        "(select (global.get $allow) (global.get $deny) (i32.load (i32.const 16)))
        (i32.store (i32.const 16) (i32.const 1))",
    ),
    (
        "memory that it does not initialise",
        "(select (global.get $allow) (global.get $deny) (i32.load (i32.const 400000)))
        (i32.store (i32.const 400000) (i32.const 1))",
    ),
    (
        "memory that it asks for",
        "(drop (memory.grow (i32.sub (i32.const 100) (memory.size))))
        (select (global.get $allow) (global.get $deny) (i32.load (i32.const 6000000)))
        (i32.store (i32.const 6000000) (i32.const 1))",
    ),
    (
        "a table",
        "(select (global.get $deny) (global.get $allow) (ref.is_null (table.get $t (i32.const 1))))
        (table.set $t (i32.const 1) (table.get $t (i32.const 0)))",
    ),
];

fn one() -> Vec<Chunk> {
    vec![chunk(r#"{"id":"a"}"#)]
}

#[test]
fn no_state_passes_between_sessions() {
    let more = "(table $t 2 funcref) (func $f) (elem (table $t) (i32.const 0) func $f)";
    for (place, filter_chunk) in REMEMBERING {
        let policy = load(Module { filter_chunk, more, ..Module::good() }.component(), patient()).unwrap();
        for round in 0..20 {
            let (mut first, mut second) = (policy.session(&bob()), policy.session(&bob()));
            let mut ask = |first_not_second| {
                let session = if first_not_second { &mut first } else { &mut second };
                session.filter(&one()).unwrap()[0].allow
            };
            let answers = [ask(true), ask(true), ask(false), ask(false), ask(true)];
            assert_eq!(answers, [false, true, false, true, true], "{place}, round {round}");
            assert!(!policy.filter(&bob(), &one()).unwrap()[0].allow, "{place}, round {round}");
        }
    }
}

#[test]
fn a_session_that_failed_answers_only_its_error() {
    // Fails for the chunk `fail`, whose id is the only one of four bytes.
    let filter_chunk =
        "(if (i32.eq (i32.load offset=68 (local.get $arguments)) (i32.const 4)) (then (unreachable)))
        (global.get $allow)";
    let policy = load(Module::filtering(filter_chunk).component(), patient()).unwrap();
    let mixed = [chunk(r#"{"id":"a"}"#), chunk(r#"{"id":"fail"}"#), chunk(r#"{"id":"b"}"#)];
    let mut session = policy.session(&bob());
    let mut other = policy.session(&bob());
    assert!(session.filter(&chunks()).unwrap()[0].allow);
    let error = session.filter(&mixed).unwrap_err();
    assert_refused(Err::<(), _>(error.clone()), "trap", "unreachable");
    assert_eq!(session.filter(&chunks()).unwrap_err(), error);
    assert_eq!(session.filter(&[]).unwrap_err(), error);
    assert_eq!(session.rewrite(&query()).unwrap_err(), error);
    assert_eq!(session.admit(&chunks()).unwrap_err(), error);
    // Nor what is remembered.
    policy.rewrite(&bob(), &query()).unwrap();
    assert_eq!(session.rewrite(&query()).unwrap_err(), error);

    assert!(other.filter(&chunks()).unwrap()[0].allow);
    assert_allows(&policy);
    assert_others_work();
}

#[test]
fn a_policy_that_never_ends_does_not_keep_others_from_answering() {
    let runtime = Runtime::shared().unwrap();
    let limits = Limits { deadline: Duration::from_millis(20), ..Limits::default() };
    let endless = Module::filtering(FOREVER).component();
    let endless = Policy::load(&runtime, &endless, &limits).unwrap();
    let only_b = "(select (global.get $allow) (global.get $deny)
        (i32.eq (i32.load8_u (i32.load offset=64 (local.get $arguments))) (i32.const 98)))";
    let good = Module::filtering(only_b).component();
    let good = Policy::load(&runtime, &good, &patient()).unwrap();

    let done = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&done);
    let asking = std::thread::spawn(move || {
        let mut answers = 0;
        while !stop.load(Ordering::Relaxed) {
            let allowed: Vec<bool> =
                good.filter(&bob(), &chunks()).unwrap().iter().map(|d| d.allow).collect();
            assert_eq!(allowed, [false, true]);
            answers += 1;
        }
        answers
    });
    returns(move || {
        let call =
            move || assert_refused(endless.filter(&bob(), &chunks()), "limit", "it took longer than 20 ms");
        let calls = move || (0..50).for_each(|_| call());
        let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(calls.clone())).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    done.store(true, Ordering::Relaxed);
    assert!(asking.join().unwrap() > 100);
}
