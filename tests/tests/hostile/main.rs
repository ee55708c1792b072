//! Components that misbehave. Whatever they do, the host returns, says what is wrong, decides nothing, and goes on
//! serving others.

// What these tests share stands outside of test functions, where Clippy would not allow it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod answers;
mod batch;
mod bytes;
mod isolation;
mod manifest;
mod prepared;
mod resources;
mod rewrite;
mod swap;

use std::sync::OnceLock;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use tamis_core::{Chunk, Query, Request};
use tamis_runtime::{Error, Limits, Policy, Runtime};
use tamis_tests::hostile::Module;
use tamis_tests::{chunk, request};

fn bob() -> Request {
    request(r#"{"subject":{"type":"User","id":"bob"},"action":{"name":"retrieve"}}"#)
}

fn chunks() -> Vec<Chunk> {
    vec![chunk(r#"{"id":"a"}"#), chunk(r#"{"id":"b"}"#)]
}

fn query() -> Query {
    Query { collection: "docs".into(), k: 10 }
}

/// Limits with a deadline that no test meets by accident, however busy the machine.
fn patient() -> Limits {
    Limits { deadline: Duration::from_secs(20), ..Limits::default() }
}

/// Limits for policies that never end.
fn hasty() -> Limits {
    Limits { deadline: Duration::from_millis(50), ..Limits::default() }
}

/// Runs `call` in a thread, and fails if it does not return.
fn returns<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = channel();
    let thread = std::thread::spawn(move || drop(sender.send(call())));
    match receiver.recv_timeout(Duration::from_secs(30)) {
        Ok(value) => value,
        Err(RecvTimeoutError::Timeout) => panic!("the host did not return within 30 s"),
        Err(RecvTimeoutError::Disconnected) => std::panic::resume_unwind(thread.join().unwrap_err()),
    }
}

fn load(bytes: Vec<u8>, limits: Limits) -> Result<Policy, Error> {
    returns(move || Policy::load(&Runtime::shared().unwrap(), &bytes, &limits))
}

#[track_caller]
fn assert_refused<T>(result: Result<T, Error>, kind: &str, text: &str) {
    match result {
        Err(error) if error.kind() == kind && error.to_string().contains(text) => {}
        Err(error) => panic!("expected {kind} with {text:?}; got {} with {error}", error.kind()),
        Ok(_) => panic!("expected {kind} with {text:?}; got an answer"),
    }
}

/// The bytes do not load, and others go on working.
#[track_caller]
fn assert_load_refused(bytes: Vec<u8>, limits: Limits, kind: &str, text: &str) {
    assert_refused(load(bytes, limits), kind, text);
    assert_others_work();
}

/// Nothing that the filter and admit gates are asked is answered, time and again, and others go on working.
#[track_caller]
fn assert_filter_refused(module: &Module, limits: Limits, kind: &str, text: &str) {
    let policy = load(module.component(), limits).unwrap();
    for _ in 0..2 {
        let filtering = policy.clone();
        assert_refused(returns(move || filtering.filter(&bob(), &chunks())), kind, text);
        let admitting = policy.clone();
        assert_refused(returns(move || admitting.admit(&bob(), &chunks())), kind, text);
    }
    assert_others_work();
}

/// As [`assert_filter_refused`] for the rewrite gate, while the filter gate of the same policy works.
#[track_caller]
fn assert_rewrite_refused(module: &Module, limits: Limits, kind: &str, text: &str) {
    let policy = load(module.component(), limits).unwrap();
    for _ in 0..2 {
        let rewriting = policy.clone();
        assert_refused(returns(move || rewriting.rewrite(&bob(), &query())), kind, text);
        assert_allows(&policy);
    }
    assert_others_work();
}

/// A good policy on the same runtime still answers.
#[track_caller]
fn assert_others_work() {
    static GOOD: OnceLock<Policy> = OnceLock::new();
    assert_allows(GOOD.get_or_init(|| load(Module::good().component(), patient()).unwrap()));
}

#[track_caller]
fn assert_allows(policy: &Policy) {
    let decisions = policy.filter(&bob(), &chunks()).unwrap();
    assert!(decisions.len() == 2 && decisions.iter().all(|decision| decision.allow), "{decisions:?}");
}
