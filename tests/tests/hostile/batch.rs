//! Policies that misbehave where batches are decided.

use tamis_core::{Chunk, Decision as CoreDecision, Request};
use tamis_runtime::{Admission, Limits, PolicyHandle, Runtime, Verdict};
use tamis_tests::hostile::abi::{Abi, texts};
use tamis_tests::hostile::answers::{Decision, Entry, Manifest, column, footprint};
use tamis_tests::hostile::{Batch, FOREVER, Module, TRAP};
use tamis_tests::{chunk, request};

use super::{assert_allows, assert_filter_refused, assert_load_refused, assert_others_work, assert_refused};
use super::{bob, chunks, hasty, load, patient, query, returns};

const LATE: &str = "it took longer than 50 ms";
const OUT_OF_MEMORY: &str = "it wanted more than 16777216 bytes of memory";
const CODES: u8 = 0;
const LONGS: u8 = 1;
const TEXTS: u8 = 2;

/// A policy whose typed call allows everything, so that whatever goes unnoticed shows. It wants ids: every chunk is a row.
fn deciding(filter_chunks: &'static str) -> Module {
    Module::batching(Batch { filter_chunks, wanted: vec![column(2, 0, TEXTS)], ..Batch::good() })
}

fn preparing(prepare: &'static str) -> Module {
    Module::batching(Batch { prepare, ..Batch::good() })
}

/// As many codes as there are chunks, all of them this one.
fn answering(code: u8) -> Module {
    deciding(format!("(call $codes (i32.load (local.get $frame)) (i32.const {code}))").leak())
}

/// A user with two agents.
fn bob_with_agents() -> Request {
    request(
        r#"{"subject":{"type":"User","id":"bob"},"actor":[{"type":"Agent","id":"a"},{"type":"Agent","id":"b"}],
            "action":{"name":"retrieve"}}"#,
    )
}

#[test]
fn a_good_batch_is_asked() {
    let policy = load(Module::batching(Batch::good()).component(), patient()).unwrap();
    assert!(policy.has_batch());
    assert_allows(&policy);
    assert!(!load(Module::good().component(), patient()).unwrap().has_batch());
    // What it denies and the typed call allows shows which of the two was asked.
    let policy = load(answering(0).component(), patient()).unwrap();
    assert!(policy.filter(&bob(), &chunks()).unwrap().iter().all(|decision| !decision.allow));
    assert!(policy.explain(&bob(), &chunks()).unwrap().iter().all(|decision| decision.allow));
    assert_eq!(policy.filter(&bob(), &[]).unwrap(), []);
}

#[test]
fn chunks_that_a_policy_cannot_tell_apart_are_one_row_and_asked_about_once() {
    // Wants to see nothing, and allows the first frame of one row that it sees.
    let filter_chunks = "(global.set $calls (i32.add (global.get $calls) (i32.load (local.get $frame))))
        (if (i32.ne (global.get $calls) (i32.const 1)) (then (unreachable)))
        (call $codes (i32.load (local.get $frame)) (i32.const 1))";
    let module = Module::batching(Batch { filter_chunks, ..Batch::good() });
    let policy = load(module.component(), patient()).unwrap();
    let mut session = policy.session(&bob());
    for _ in 0..2 {
        assert!(session.filter(&chunks()).unwrap().iter().all(|decision| decision.allow));
        assert_eq!(session.verdict(&chunks()[0]).unwrap(), Verdict::Allow);
    }
    assert_eq!(session.verdicts(&chunks()).unwrap(), [Verdict::Allow; 2]);
    // What came before an answer that is none is not known either.
    let module = Module::batching(Batch { filter_chunks: TRAP, ..Batch::good() });
    let mut session = load(module.component(), patient()).unwrap().session(&bob());
    for _ in 0..2 {
        assert_refused(session.verdict(&chunks()[0]), "trap", "unreachable");
    }
}

#[test]
fn one_code_for_each_chunk_or_none_is_allowed() {
    for (count, found) in [
        ("(i32.const 0)", "0 codes for 2 chunks"),
        ("(i32.const 1)", "1 codes for 2 chunks"),
        ("(i32.const 3)", "3 codes for 2 chunks"),
        ("(i32.const 100000)", "100000 codes for 2 chunks"),
    ] {
        let module = deciding(format!("(call $codes {count} (i32.const 1))").leak());
        assert_filter_refused(&module, patient(), "contract", found);
    }
}

#[test]
fn codes_are_those_of_the_contract() {
    for code in 0..=255_u8 {
        let policy = load(answering(code).component(), patient()).unwrap();
        let answer = policy.filter(&bob(), &chunks());
        match code {
            0 | 4 => assert!(answer.unwrap().iter().all(|decision| !decision.allow), "{code}"),
            1 | 5 => assert!(answer.unwrap().iter().all(|decision| decision.allow), "{code}"),
            // The typed call redacts nothing.
            3 | 7 => assert_refused(answer, "contract", "by itself denies it or redacts nothing"),
            _ => assert_refused(answer, "contract", &format!("it answers with the code {code}")),
        }
    }
    // One bad code is enough, and nothing before it is allowed.
    let module = deciding(
        "(drop (call $codes (i32.load (local.get $frame)) (i32.const 1)))
        (i32.store8 (i32.add (i32.load (i32.const 8)) (i32.const 1)) (i32.const 2))
        (i32.const 8)",
    );
    assert_filter_refused(&module, patient(), "contract", "it answers with the code 2");
}

#[test]
fn a_batch_that_gives_up_is_a_trap() {
    assert_filter_refused(&deciding(TRAP), patient(), "trap", "unreachable");
    assert_filter_refused(&preparing(TRAP), patient(), "trap", "unreachable");
    assert_load_refused(
        Module::batching(Batch { columns: TRAP, ..Batch::good() }).component(),
        patient(),
        "trap",
        "unreachable",
    );
    // The frame does not fit where it was told to go.
    let module = Module { realloc: "(i32.const 0x7ffffff0)", ..answering(1) };
    assert_filter_refused(&module, patient(), "contract", "realloc return: beyond end of memory");
}

#[test]
fn a_batch_that_never_ends_is_interrupted() {
    assert_filter_refused(&deciding(FOREVER), hasty(), "limit", LATE);
    assert_filter_refused(&preparing(FOREVER), hasty(), "limit", LATE);
    assert_load_refused(
        Module::batching(Batch { columns: FOREVER, ..Batch::good() }).component(),
        hasty(),
        "limit",
        LATE,
    );
}

#[test]
fn all_frames_of_a_batch_have_one_deadline() {
    // A loop that ends, some milliseconds later; every frame by itself is in time.
    let slow = "(local $left i32) (local.set $left (i32.const 3000000))
        (loop $again (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (global.set $heap (global.get $unused))
        (call $codes (i32.load (local.get $frame)) (i32.const 1))";
    let policy = load(deciding(slow).component(), hasty()).unwrap();
    let many = vec![chunks()[0].clone(); 500_000];
    assert_refused(returns(move || policy.filter(&bob(), &many)), "limit", LATE);
}

#[test]
fn memory_is_limited_in_batches() {
    let growing =
        "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)";
    assert_filter_refused(&deciding(growing), patient(), "limit", OUT_OF_MEMORY);
    assert_filter_refused(&preparing(growing), patient(), "limit", OUT_OF_MEMORY);
}

#[test]
fn fuel_is_limited_in_batches() {
    let runtime = Runtime::new(tamis_runtime::RuntimeConfig { fuel: true, cache: None }).unwrap();
    let limits = Limits { fuel: Some(10_000), ..patient() };
    for module in [deciding(FOREVER), preparing(FOREVER)] {
        let policy = tamis_runtime::Policy::load(&runtime, &module.component(), &limits).unwrap();
        assert_refused(returns(move || policy.filter(&bob(), &chunks())), "limit", "its fuel of 10000");
    }
}

#[test]
fn an_answer_larger_than_the_limit_is_refused() {
    let module = deciding(
        "(drop (memory.grow (i32.const 100)))
        (i32.store (i32.const 8) (i32.const 1024)) (i32.store (i32.const 12) (i32.const 5000000)) (i32.const 8)",
    );
    assert_filter_refused(&module, patient(), "limit", "its answer is larger than 4194304 bytes");
    for (answer, message) in [
        ("(i32.const 0x7ffffff0)", "out of bounds"),
        ("(i32.const 9)", "aligned"),
        (
            "(i32.store (i32.const 8) (i32.const 0x7fffff00)) (i32.store (i32.const 12) (i32.const 2)) (i32.const 8)",
            "out of bounds",
        ),
    ] {
        assert_filter_refused(&deciding(answer), patient(), "contract", message);
    }
}

fn wanting(entries: &[Entry<'_>], wanted: Vec<Abi>) -> Module {
    let manifest = Manifest { footprint: footprint(entries), ..Manifest::good() };
    Module { manifest, ..Module::batching(Batch { wanted, ..Batch::good() }) }
}

#[test]
fn columns_are_those_of_the_contract() {
    let entries: &[Entry<'_>] = &[(&["s"], Some("String")), (&["n"], Some("Long")), (&["u"], None)];
    let all = vec![
        column(0, 0, CODES),
        column(0, 1, CODES),
        column(0, 1, LONGS),
        column(0, 2, CODES),
        column(1, 0, CODES),
        column(2, 0, TEXTS),
        column(3, 0, CODES),
        column(4, 0, CODES),
    ];
    assert_allows(&load(wanting(entries, all.clone()).component(), patient()).unwrap());
    for (wanted, message) in [
        (vec![column(0, 3, CODES)], "its column 0 is an attribute that is not in its footprint"),
        (vec![column(0, u32::MAX, CODES)], "its column 0 is an attribute that is not in its footprint"),
        (vec![column(0, 0, LONGS)], "longs of an attribute that is not declared as a kind of number"),
        (vec![column(0, 2, LONGS)], "longs of an attribute that is not declared as a kind of number"),
        (vec![column(0, 0, TEXTS)], "its column 0 holds texts of an attribute"),
        (vec![column(1, 0, LONGS)], "a form that its source does not have"),
        (vec![column(1, 0, TEXTS)], "a form that its source does not have"),
        (vec![column(2, 0, CODES)], "a form that its source does not have"),
        (vec![column(3, 0, TEXTS)], "a form that its source does not have"),
        (vec![column(4, 0, LONGS)], "a form that its source does not have"),
        (vec![column(2, 0, TEXTS), column(2, 0, TEXTS)], "its column 1 is there twice"),
        (all.iter().chain(&all).cloned().collect(), "its column 8 is there twice"),
        (vec![column(5, 0, CODES)], "unexpected discriminant: 5"),
        (vec![column(1, 0, 3)], "unexpected discriminant: 3"),
    ] {
        assert_load_refused(wanting(entries, wanted).component(), patient(), "contract", message);
    }
    for kind in ["decimal", "datetime", "duration"] {
        load(wanting(&[(&["a"], Some(kind))], vec![column(0, 0, LONGS)]).component(), patient()).unwrap();
    }
    for kind in ["Bool", "ipaddr", "Set<Long>", "Entity<User>", "{a: Long}"] {
        let module = wanting(&[(&["a"], Some(kind))], vec![column(0, 0, LONGS)]);
        assert_load_refused(module.component(), patient(), "contract", "not declared as a kind of number");
    }
}

#[test]
fn columns_that_cannot_be_read_are_refused() {
    for (columns, kind, message) in [
        ("(i32.const 0x7ffffff0)", "contract", "out of bounds"),
        ("(i32.add (global.get $columns) (i32.const 1))", "contract", "aligned"),
        // The same million columns again and again: more than an answer may occupy.
        (
            "(drop (memory.grow (i32.const 240))) (i32.store (i32.const 8) (i32.const 1024))
            (i32.store (i32.const 12) (i32.const 1000000)) (i32.const 8)",
            "limit",
            "its answer is larger than 4194304 bytes",
        ),
    ] {
        let module = Module::batching(Batch { columns, ..Batch::good() });
        assert_load_refused(module.component(), patient(), kind, message);
    }
}

#[test]
fn columns_are_asked_once() {
    // From the second call on in an instance it would want the first byte of its memory as a list of a million columns.
    let columns = "(if (global.get $calls) (then (unreachable)))
        (global.set $calls (i32.const 1)) (global.get $columns)";
    let policy = load(Module::batching(Batch { columns, ..Batch::good() }).component(), patient()).unwrap();
    let mut session = policy.session(&bob());
    for _ in 0..3 {
        assert!(session.filter(&chunks()).unwrap().iter().all(|decision| decision.allow));
    }
}

#[test]
fn an_interface_that_is_not_the_contracts_is_refused() {
    let contract = include_str!("../../../wit/policy.wit");
    let module = Module::batching(Batch::good());
    assert_allows(&load(module.component_of(contract), patient()).unwrap());
    let types = [
        ("prepare: func(request: list<u8>) -> u32", "prepare: func(request: list<u8>) -> s32"),
        ("frame: list<u8>) -> list<u8>", "frame: list<s8>) -> list<u8>"),
        ("enum form {", "enum form { other,"),
    ];
    for (theirs, ours) in types {
        let other = contract.replace(theirs, ours);
        assert_ne!(other, contract);
        assert_load_refused(module.component_of(&other), patient(), "contract", "type mismatch");
    }
    let lacking = contract.replace("prepare: func(request: list<u8>) -> u32;", "");
    let message = "it does not export `tamis:policy/batch`";
    assert_load_refused(module.component_of(&lacking), patient(), "artifact", message);
}

#[test]
fn every_principal_gets_a_number_of_its_own() {
    let same = preparing("(i32.const 7)");
    let policy = load(same.component(), patient()).unwrap();
    assert_allows(&policy);
    assert_refused(
        policy.filter(&bob_with_agents(), &chunks()),
        "contract",
        "it prepares for two principals under the same number, 7",
    );
    // Any numbers will do.
    let odd = preparing("(i32.sub (i32.const -1) (i32.load (local.get $request)))");
    let policy = load(odd.component(), patient()).unwrap();
    assert!(policy.filter(&bob_with_agents(), &chunks()).unwrap().iter().all(|decision| decision.allow));
}

#[test]
fn everyone_must_be_allowed() {
    // Entities are in the order of their uids: the agents are 0 and 1, bob is 2.
    for denied in 0..3 {
        let one = format!(
            "(call $codes (i32.load (local.get $frame)) (i32.ne (local.get $prepared) (i32.const {denied})))"
        );
        let policy = load(deciding(one.leak()).component(), patient()).unwrap();
        let decisions = policy.filter(&bob_with_agents(), &chunks()).unwrap();
        assert!(decisions.iter().all(|decision| !decision.allow), "{denied}");
    }
}

#[test]
fn what_is_redacted_in_a_batch_is_asked_for() {
    let redacting = |code: u8| {
        let decision = Decision { redact: Abi::List(vec![texts(&["salary"])]), ..Decision::allow() };
        load(Module { decision, ..answering(code) }.component(), patient()).unwrap()
    };
    for code in [3, 7] {
        let decisions = redacting(code).filter(&bob(), &chunks()).unwrap();
        assert!(decisions.iter().all(|decision| decision.allow));
        assert_eq!(decisions[1].redaction.attributes, [vec!["salary".to_owned()]].into());
    }
    // For one of the principals is enough, whichever is asked first.
    for redacted in 0..3 {
        let one = format!(
            "(call $codes (i32.load (local.get $frame))
                (select (i32.const 3) (i32.const 1) (i32.eq (local.get $prepared) (i32.const {redacted}))))"
        );
        let decision = Decision { redact: Abi::List(vec![texts(&["salary"])]), ..Decision::allow() };
        let policy = load(Module { decision, ..deciding(one.leak()) }.component(), patient()).unwrap();
        let decisions = policy.filter(&bob_with_agents(), &chunks()).unwrap();
        let is_redacted =
            |decision: &CoreDecision| decision.allow && decision.redaction.attributes.len() == 1;
        assert!(decisions.iter().all(is_redacted), "{redacted}");
    }
}

#[test]
fn what_a_batch_allows_and_the_typed_call_denies_is_refused() {
    let redacts_what_is_denied = Module { filter_chunk: "(global.get $deny)", ..answering(3) };
    assert_filter_refused(
        &redacts_what_is_denied,
        patient(),
        "contract",
        "by itself denies it or redacts nothing",
    );
    // The other way round it shows where reasons are wanted.
    let policy = load(answering(0).component(), patient()).unwrap();
    assert_refused(
        policy.admit(&bob(), &chunks()),
        "contract",
        "it denies a chunk in a batch, and allows it",
    );
    let denying = Module { filter_chunk: "(global.get $deny)", ..answering(0) };
    let policy = load(denying.component(), patient()).unwrap();
    let admissions = policy.admit(&bob(), &chunks()).unwrap();
    assert!(admissions.iter().all(|admission| matches!(admission, Admission::Denied(_))));
}

#[test]
fn a_policy_that_contradicts_itself_does_not_serve() {
    let runtime = Runtime::shared().unwrap();
    let bytes = answering(0).component();
    let message = "it decides otherwise in a batch than on one chunk";
    assert_refused(PolicyHandle::new(&runtime, &bytes, patient()), "contract", message);
    let handle = PolicyHandle::new(&runtime, &Module::good().component(), patient()).unwrap();
    assert_refused(handle.replace(&bytes), "contract", message);
    assert_eq!(handle.current().number(), 1);
}

#[test]
fn a_session_whose_batch_failed_answers_only_its_error() {
    // Fails for a frame of one row.
    let module = deciding(
        "(if (i32.eq (i32.load (local.get $frame)) (i32.const 1)) (then (unreachable)))
        (call $codes (i32.load (local.get $frame)) (i32.const 1))",
    );
    let policy = load(module.component(), patient()).unwrap();
    let mut session = policy.session(&bob());
    assert!(session.filter(&chunks()).unwrap()[0].allow);
    let error = session.filter(&chunks()[..1]).unwrap_err();
    assert_refused(Err::<(), _>(error.clone()), "trap", "unreachable");
    assert_eq!(session.filter(&chunks()).unwrap_err(), error);
    assert_eq!(session.explain(&chunks()).unwrap_err(), error);
    assert_eq!(session.rewrite(&query()).unwrap_err(), error);
    assert_eq!(session.admit(&chunks()).unwrap_err(), error);
    assert_allows(&policy);
    assert_others_work();
}

#[test]
fn no_batch_of_one_session_is_known_to_another() {
    // Allows from the second frame on that an instance sees.
    let filter_chunks = "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (call $codes (i32.load (local.get $frame)) (i32.gt_u (global.get $calls) (i32.const 1)))";
    let policy = load(deciding(filter_chunks).component(), patient()).unwrap();
    for round in 0..20 {
        let (mut first, mut second) = (policy.session(&bob()), policy.session(&bob()));
        let mut ask = |first_not_second| {
            let session = if first_not_second { &mut first } else { &mut second };
            session.filter(&chunks()).unwrap()[0].allow
        };
        let answers = [ask(true), ask(true), ask(false), ask(false), ask(true)];
        assert_eq!(answers, [false, true, false, true, true], "round {round}");
    }
}

/// A policy in a memory of 4 MiB, which has room for an eighth of these values at a time.
#[test]
fn an_instance_makes_way_before_its_dictionaries_fill_its_memory() {
    // Traps if what it knows of its one column is not what the frame says, and allows.
    let filter_chunks =
        "(if (i32.ne (i32.load offset=4 (local.get $frame)) (global.get $calls)) (then (unreachable)))
        (global.set $calls (i32.add (global.get $calls) (i32.load offset=8 (local.get $frame))))
        (call $codes (i32.load (local.get $frame)) (i32.const 1))";
    let batch = Batch { filter_chunks, wanted: vec![column(0, 0, CODES)], ..Batch::good() };
    let manifest = Manifest { footprint: footprint(&[(&["a"], None)]), ..Manifest::good() };
    let module = Module { pages: 48, manifest, ..Module::batching(batch) };
    let policy = load(module.component(), Limits { memory: 4 << 20, ..patient() }).unwrap();
    let mut session = policy.session(&bob());
    for number in 0..320 {
        let own = format!(r#"{{"id":"c","attributes":{{"a":"{number}{}"}}}}"#, "x".repeat(100_000));
        let own: [Chunk; 1] = [chunk(&own)];
        assert!(session.filter(&own).unwrap()[0].allow, "{number}");
    }
}

/// Fuel tells to the instruction what time only tells roughly.
#[test]
fn new_instances_in_one_call_have_one_budget() {
    // A start of 60 000 instructions, and a batch of a few.
    let start = "(local $left i32) (local.set $left (i32.const 10000))
        (loop $again (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))";
    let batch = Batch { wanted: vec![column(0, 0, CODES)], ..Batch::good() };
    let manifest = Manifest { footprint: footprint(&[(&["a"], None)]), ..Manifest::good() };
    let module = Module { start, manifest, ..Module::batching(batch) };
    let runtime = Runtime::new(tamis_runtime::RuntimeConfig { fuel: true, cache: None }).unwrap();
    let limits = Limits { memory: 4 << 20, fuel: Some(200_000), ..patient() };
    let policy = tamis_runtime::Policy::load(&runtime, &module.component(), &limits).unwrap();
    // Each fills the dictionaries of an instance.
    let large = |number: usize| {
        chunk(&format!(r#"{{"id":"c","attributes":{{"a":"{number}{}"}}}}"#, "x".repeat(300_000)))
    };
    let many: Vec<Chunk> = (0..10).map(large).collect();
    assert_eq!(policy.filter(&bob(), &many[..2]).unwrap().len(), 2);
    assert_refused(policy.filter(&bob(), &many), "limit", "its fuel of 200000");
    // Of a new call it has all again.
    let mut session = policy.session(&bob());
    for one in many.chunks(1) {
        assert!(session.filter(one).unwrap()[0].allow);
    }
}

#[test]
fn a_new_instance_has_the_room_of_the_one_before() {
    let batch = Batch { wanted: vec![column(0, 0, CODES)], ..Batch::good() };
    let manifest = Manifest { footprint: footprint(&[(&["a"], None)]), ..Manifest::good() };
    let module = Module { manifest, ..Module::batching(batch) };
    let runtime = Runtime::new(tamis_runtime::RuntimeConfig::default()).unwrap();
    let limits = Limits { memory: 4 << 20, ..patient() };
    let policy = tamis_runtime::Policy::load(&runtime, &module.component(), &limits).unwrap();
    // All the room that there is.
    let mut sessions = Vec::new();
    let refusal = loop {
        let mut session = policy.session(&bob());
        match session.filter(&chunks()) {
            Ok(_) if sessions.len() == 10_000 => return, // This machine has no pool.
            Ok(_) => sessions.push(session),
            Err(error) => break error,
        }
    };
    assert_refused(Err::<(), _>(refusal), "host", "too many policy calls at once");
    let session = &mut sessions[0];
    for number in 0..5 {
        let large = format!(r#"{{"id":"c","attributes":{{"a":"{number}{}"}}}}"#, "x".repeat(300_000));
        assert!(session.filter(&[chunk(&large)]).unwrap()[0].allow, "{number}");
    }
}
