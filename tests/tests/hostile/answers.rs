//! Answers of the filter gate that break the contract, or only stretch it.

use tamis_core::{Decision as CoreDecision, PolicyError};
use tamis_runtime::{Error, Limits, Verdict};
use tamis_tests::hostile::Module;
use tamis_tests::hostile::abi::{Abi, span, text, texts};
use tamis_tests::hostile::answers::{Decision, policy_error};

use super::{assert_filter_refused, assert_refused, bob, chunks, load, patient, returns};

const TOO_LARGE: &str = "its answer is larger than 4194304 bytes";

fn answering(decision: Decision) -> Module {
    Module { decision, ..Module::good() }
}

fn answer(decision: Decision) -> Result<CoreDecision, Error> {
    let policy = load(Module { pages: 64, ..answering(decision) }.component(), patient()).unwrap();
    returns(move || policy.filter(&bob(), &chunks()[..1]).map(|mut decisions| decisions.remove(0)))
}

#[test]
fn an_answer_that_is_not_there_is_refused() {
    for (filter_chunk, message) in [
        ("(i32.const 0x7ffffff0)", "out of bounds"),
        ("(i32.const -4)", "out of bounds"),
        // The last bytes of memory: it begins inside and ends outside.
        ("(i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 16))", "out of bounds"),
        ("(i32.add (global.get $allow) (i32.const 1))", "aligned"),
    ] {
        assert_filter_refused(&Module::filtering(filter_chunk), patient(), "contract", message);
    }
}

#[test]
fn memory_that_cannot_hold_the_arguments_is_refused() {
    for (realloc, message) in [
        ("(i32.const 0x7ffffff0)", "realloc return: beyond end of memory"),
        ("(i32.const -16)", "realloc return: beyond end of memory"),
        ("(i32.or (global.get $unused) (i32.const 1))", "realloc return: result not aligned"),
    ] {
        assert_filter_refused(&Module { realloc, ..Module::good() }, patient(), "contract", message);
    }
}

#[test]
fn a_decision_that_cannot_be_read_is_refused() {
    let allow = Decision::allow;
    for (decision, kind, message) in [
        (Decision { reasons: span(1024, 1 << 31), ..allow() }, "contract", "out of bounds"),
        (Decision { reasons: span(0x7fff_0000, 1), ..allow() }, "contract", "out of bounds"),
        (Decision { reasons: span(1025, 1), ..allow() }, "contract", "aligned"),
        (Decision { reasons: Abi::List(vec![span(1024, u32::MAX)]), ..allow() }, "contract", "out of bounds"),
        (Decision { reasons: Abi::List(vec![Abi::Text(vec![b'a', 0xff])]), ..allow() }, "contract", "utf-8"),
        (Decision { errors: span(1024, 1 << 31), ..allow() }, "contract", "out of bounds"),
        (
            Decision { redact: Abi::List(vec![texts(&[])]), ..allow() },
            "contract",
            "redacts an attribute without a name",
        ),
    ] {
        assert_filter_refused(&answering(decision), patient(), kind, message);
    }
}

#[test]
fn a_small_answer_cannot_unfold_into_a_huge_one() {
    // All the same 100 KB of zeros behind the answers: a valid text, or empty texts.
    let zeros = 1_000_000;
    let strings = Abi::List(vec![span(zeros, 100_000); 100_000]);
    let paths = Abi::List(vec![span(zeros, 12_500); 100_000]);
    for decision in [
        Decision { reasons: strings.clone(), ..Decision::allow() },
        Decision { redact: Abi::List(vec![strings]), ..Decision::allow() },
        Decision { redact: paths, ..Decision::allow() },
    ] {
        assert_filter_refused(&Module { pages: 16, ..answering(decision) }, patient(), "limit", TOO_LARGE);
    }
}

#[test]
fn an_answer_is_read_up_to_the_limit_of_its_size() {
    let reasons =
        |length| Decision { reasons: Abi::List(vec![text(&"r".repeat(length))]), ..Decision::allow() };
    assert_eq!(answer(reasons(3 << 20)).unwrap().reasons.first().unwrap().len(), 3 << 20);
    assert_filter_refused(&answering(reasons(5 << 20)), patient(), "limit", TOO_LARGE);
}

#[test]
fn all_answers_of_a_call_together_have_a_limit() {
    let large = Abi::List(vec![text(&"r".repeat(3 << 20))]);
    let module = answering(Decision { reasons: large, ..Decision::allow() });
    let policy = load(Module { pages: 64, ..module }.component(), patient()).unwrap();
    let many = vec![chunks()[0].clone(); 100];
    let message = "its answers are larger than 67108864 bytes";
    let (filtering, explaining, admitting) = (policy.clone(), policy.clone(), policy.clone());
    let (few, one, two) = (many[..20].to_vec(), many.clone(), many.clone());
    assert_eq!(returns(move || policy.filter(&bob(), &few)).unwrap().len(), 20);
    assert_refused(returns(move || filtering.filter(&bob(), &many)), "limit", message);
    assert_refused(returns(move || explaining.explain(&bob(), &one)), "limit", message);
    assert_refused(returns(move || admitting.admit(&bob(), &two)), "limit", message);

    // What is small may be given as often as there are chunks; and what nobody keeps is no matter.
    let reason_of = |length: usize, limits| {
        let reasons = Abi::List(vec![text(&"r".repeat(length))]);
        // Gives back what it was passed.
        let filter_chunk = "(global.set $heap (global.get $unused)) (global.get $allow)";
        let module = answering(Decision { reasons, ..Decision::allow() });
        load(Module { filter_chunk, ..module }.component(), limits).unwrap()
    };
    let narrow = || Limits { output: 2048, ..patient() };
    let (small, large) = (reason_of(900, narrow()), reason_of(1900, narrow()));
    let many = vec![chunks()[0].clone(); 1000];
    assert_eq!(small.filter(&bob(), &many).unwrap().len(), 1000);
    assert_eq!(large.session(&bob()).verdicts(&many).unwrap().len(), 1000);
    assert_refused(large.filter(&bob(), &many), "limit", "its answers are larger than 32768 bytes");
}

#[test]
fn a_bool_is_true_unless_it_is_zero() {
    // So the canonical ABI has it.
    assert!(answer(Decision { allow: Abi::U8(7), ..Decision::allow() }).unwrap().allow);
    assert!(!answer(Decision { allow: Abi::U8(0), ..Decision::allow() }).unwrap().allow);
}

#[test]
fn an_allowance_with_errors_is_an_allowance() {
    // A rule that fails is left out; another one can allow.
    let errors = Abi::List(vec![policy_error("rule", "overflow")]);
    let decision = answer(Decision { errors, ..Decision::allow() }).unwrap();
    assert!(decision.allow);
    assert_eq!(decision.errors, [PolicyError { policy: "rule".into(), message: "overflow".into() }].into());
}

#[test]
fn odd_names_and_repetitions_are_no_breach() {
    let decision = Decision {
        reasons: texts(&["", "a", "a"]),
        redact: Abi::List(vec![texts(&["", "x"])]),
        ..Decision::allow()
    };
    let decision = answer(decision).unwrap();
    assert_eq!(decision.reasons, ["".to_owned(), "a".to_owned()].into());
    assert_eq!(decision.redaction.attributes, [vec![String::new(), "x".to_owned()]].into());
}

/// Of a policy without batches a verdict says as much as its decision.
#[test]
fn verdicts_say_what_decisions_say() {
    let paths = Abi::List(vec![texts(&["salary"])]);
    for (decision, verdict) in [
        (Decision::deny(), Verdict::Deny),
        (Decision::allow(), Verdict::Allow),
        (Decision { redact: paths.clone(), ..Decision::allow() }, Verdict::Redact),
        (Decision { redact_text: Abi::U8(1), ..Decision::allow() }, Verdict::Redact),
        (Decision { redact: paths, ..Decision::deny() }, Verdict::Deny),
    ] {
        let mut session = load(answering(decision.clone()).component(), patient()).unwrap().session(&bob());
        assert_eq!(session.verdict(&chunks()[0]).unwrap(), verdict, "{decision:?}");
        assert_eq!(session.verdicts(&chunks()).unwrap(), [verdict; 2], "{decision:?}");
    }
}
