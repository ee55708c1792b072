//! Policies that misbehave where batches are decided.

use tamis_core::Chunk;
use tamis_tests::chunk;
use tamis_tests::hostile::abi::{Abi, span};
use tamis_tests::hostile::answers::{Decision, Manifest, column, footprint};
use tamis_tests::hostile::{Batch, FOREVER, Module, TRAP};
use tamis_tests::request;

use super::{assert_allows, assert_filter_refused, assert_load_refused, assert_refused, bob, chunks, hasty};
use super::{load, patient, returns};

/// A policy whose filter gate allows everything by the typed call, so that whatever goes unnoticed shows.
fn deciding(filter_chunks: &'static str) -> Module {
    Module::batching(Batch { filter_chunks, ..Batch::good() })
}

#[test]
fn a_good_batch_is_asked() {
    assert_allows(&load(Module::batching(Batch::good()).component(), patient()).unwrap());
    // What it denies and the typed call allows shows which of the two was asked.
    let denying = deciding("(call $codes (i32.load (local.get $frame)) (i32.const 0))");
    let policy = load(denying.component(), patient()).unwrap();
    assert!(policy.filter(&bob(), &chunks()).unwrap().iter().all(|decision| !decision.allow));
    assert!(policy.explain(&bob(), &chunks()).unwrap().iter().all(|decision| decision.allow));
}
