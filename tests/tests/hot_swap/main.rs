//! Replacing a policy while it serves: every answer is that of one generation, and what is no good never serves.

mod concurrency;
mod refusal;
mod watch;

use std::sync::Arc;

use tamis_core::filter::{Attribute, Filter, Operand, Test};
use tamis_core::{Chunk, Decision, Query, Request, Value};
use tamis_runtime::{PolicyHandle, Runtime};
use tamis_tests::hostile::Module;
use tamis_tests::hostile::abi::{Abi, texts};
use tamis_tests::hostile::answers::{self, Rewrite, node, operand, value};
use tamis_tests::request;
use tamis_tests::{chunk, patient};

/// A policy that allows everything if its number is odd, denies everything if it is even, and names itself in every
/// decision and every filter.
fn policy(number: u64) -> Vec<u8> {
    let name = name(number);
    let decision = answers::Decision {
        allow: Abi::U8(allows(number).into()),
        reasons: texts(&[&name]),
        ..answers::Decision::allow()
    };
    let rewrite = Rewrite {
        operands: vec![operand::attribute(&["policy"], Some("String"))],
        ..Rewrite::of_values(node::equals(0), vec![value::string(&name)])
    };
    Module { decision, rewrite, ..Module::good() }.component()
}

fn name(number: u64) -> String {
    format!("policy-{number}")
}

fn allows(number: u64) -> bool {
    number % 2 == 1
}

/// The filter of `policy(number)`.
fn filter_of(number: u64) -> Filter {
    let attribute = Attribute { path: vec!["policy".to_owned()], declared: Some("String".parse().unwrap()) };
    Filter::Test(Operand::Attribute(attribute.into()), Test::Equals(Value::String(name(number))))
}

/// Which policy decided, if all decisions are those of one.
#[track_caller]
fn decider(decisions: &[Decision]) -> u64 {
    let first = decisions.first().unwrap();
    assert!(decisions.iter().all(|decision| decision == first), "a mixture: {decisions:?}");
    assert_eq!(first.reasons.len(), 1);
    let number = first.reasons.first().unwrap().strip_prefix("policy-").unwrap().parse().unwrap();
    assert_eq!(first.allow, allows(number));
    number
}

fn handle(number: u64) -> PolicyHandle {
    PolicyHandle::new(&Runtime::shared().unwrap(), &policy(number), patient()).unwrap()
}

fn bob() -> Request {
    request(r#"{"subject":{"type":"User","id":"bob"},"action":{"name":"retrieve"}}"#)
}

fn chunks(count: usize) -> Vec<Chunk> {
    (0..count).map(|id| chunk(&format!(r#"{{"id":"{id}"}}"#))).collect()
}

fn query() -> Query {
    Query { collection: "docs".into(), k: 10 }
}

#[test]
fn a_session_goes_on_with_the_generation_it_began_with() {
    let handle = handle(1);
    let mut session = handle.current().policy().session(&bob());
    assert_eq!(*session.rewrite(&query()).unwrap().filter, filter_of(1));

    handle.replace(&policy(2)).unwrap();
    assert_eq!(decider(&session.filter(&chunks(5)).unwrap()), 1);
    assert_eq!(*session.rewrite(&query()).unwrap().filter, filter_of(1));
    assert_eq!(decider(&handle.filter(&bob(), &chunks(5)).unwrap().value), 2);

    handle.replace(&policy(3)).unwrap();
    assert_eq!(decider(&session.filter(&chunks(5)).unwrap()), 1);
}

#[test]
fn the_same_bytes_are_no_new_generation() {
    let handle = handle(1);
    let first = handle.current();
    let again = handle.replace(&policy(1)).unwrap();
    assert!(Arc::ptr_eq(&first, &again) && Arc::ptr_eq(&first, &handle.current()));

    // Bytes that mean the same but are others are one: the digest names what serves.
    let custom_section = [0, 2, 1, b'x'];
    let longer = [policy(1), custom_section.to_vec()].concat();
    let second = handle.replace(&longer).unwrap();
    assert_eq!(second.number(), 2);
    assert_ne!(second.policy().digest(), first.policy().digest());
    // And so are those of a generation that served before.
    assert_eq!(handle.replace(&policy(1)).unwrap().number(), 3);
}

#[test]
fn a_generation_is_freed_once_nobody_holds_it() {
    let handle = handle(1);
    let generations: Vec<_> = (2..=20)
        .map(|number| {
            let generation = Arc::downgrade(&handle.current());
            handle.filter(&bob(), &chunks(1)).unwrap();
            handle.replace(&policy(number)).unwrap();
            generation
        })
        .collect();
    assert!(generations.iter().all(|generation| generation.upgrade().is_none()));

    let held = handle.current();
    handle.replace(&policy(21)).unwrap();
    assert_eq!(Arc::strong_count(&held), 1, "only this test holds it");
    assert_eq!(decider(&held.policy().filter(&bob(), &chunks(1)).unwrap()), 20);
}
