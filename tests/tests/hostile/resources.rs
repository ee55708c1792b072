//! Policies that use up time, fuel, memory or stack, and policies that give up.

use std::time::Duration;

use tamis_runtime::{Error, Limits, Policy, Runtime, RuntimeConfig};
use tamis_tests::hostile::{FOREVER, Module, TRAP, with_instances};

use super::{assert_allows, assert_others_work, bob, chunks, hasty, load, patient, returns};
use super::{assert_filter_refused, assert_load_refused, assert_refused, assert_rewrite_refused};

const LATE: &str = "it took longer than 50 ms";
const OUT_OF_MEMORY: &str = "it wanted more than 16777216 bytes of memory";

#[test]
fn a_policy_that_never_ends_is_interrupted() {
    let good = Module::good();
    // These load: what never ends does not run before there is a request.
    assert_filter_refused(&Module::filtering(FOREVER), hasty(), "limit", LATE);
    assert_filter_refused(&Module { realloc: FOREVER, ..good.clone() }, hasty(), "limit", LATE);
    assert_filter_refused(&Module { post_return: FOREVER, ..good.clone() }, hasty(), "limit", LATE);
    assert_rewrite_refused(&Module { rewrite_query: FOREVER, ..good.clone() }, hasty(), "limit", LATE);
    assert_load_refused(Module { start: FOREVER, ..good.clone() }.component(), hasty(), "limit", LATE);
    assert_load_refused(Module { describe: FOREVER, ..good }.component(), hasty(), "limit", LATE);
}

#[test]
fn a_batch_has_one_deadline() {
    // A loop that ends, some milliseconds later; every chunk by itself is in time.
    let slow = "(local $left i32) (local.set $left (i32.const 3000000))
        (loop $again (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (global.get $allow)";
    let policy = load(Module::filtering(slow).component(), hasty()).unwrap();
    let many = vec![chunks()[0].clone(); 10_000];
    assert_refused(returns(move || policy.filter(&bob(), &many)), "limit", LATE);
}

#[test]
fn memory_is_limited() {
    let growing =
        "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)";
    assert_filter_refused(&Module::filtering(growing), patient(), "limit", OUT_OF_MEMORY);
    let at_once = "(drop (memory.grow (i32.const 16384))) (unreachable)";
    assert_filter_refused(&Module::filtering(at_once), patient(), "limit", OUT_OF_MEMORY);

    // 32 MiB are more than a policy may have; 1 GiB is more than the engine has.
    assert_load_refused(
        Module { pages: 512, ..Module::good() }.component(),
        patient(),
        "limit",
        OUT_OF_MEMORY,
    );
    assert_load_refused(
        Module { pages: 16383, ..Module::good() }.component(),
        patient(),
        "artifact",
        "minimum byte size of 1073741824 which exceeds the limit",
    );
}

#[test]
fn memory_is_limited_over_all_instances_of_a_component() {
    let good = Module::good().component();
    // Eight times half of what a policy may have.
    assert_load_refused(with_instances(&good, "(module (memory 128))", 8), patient(), "limit", "memor");
}

#[test]
fn a_policy_that_is_refused_memory_can_go_on() {
    let modest = "(drop (memory.grow (i32.const 16384))) (global.get $allow)";
    assert_allows(&load(Module::filtering(modest).component(), patient()).unwrap());
}

#[test]
fn tables_and_instances_are_limited() {
    let growing = Module {
        more: "(table $t 0 funcref)",
        filter_chunk: "(drop (table.grow $t (ref.null func) (i32.const 20001))) (unreachable)",
        ..Module::good()
    };
    assert_filter_refused(&growing, patient(), "limit", "it wanted a table of more than 20000 elements");
    let huge = Module { more: "(table 1000000000 funcref)", ..Module::good() };
    assert_load_refused(
        huge.component(),
        patient(),
        "artifact",
        "minimum element size of 1000000000 which exceeds the limit",
    );

    let good = Module::good().component();
    load(with_instances(&good, "(module)", 2), patient()).unwrap();
    for module in ["(module)", "(module (table 0 funcref))", "(module (memory 0))"] {
        assert_load_refused(with_instances(&good, module, 8), patient(), "limit", "resource limit exceeded");
    }
}

#[test]
fn a_policy_of_many_parts_takes_no_room_from_others() {
    // As many instances and tables as a policy may have: one more of either, and it does not load.
    let widest = |instances| {
        let good = Module::good().component();
        (0..3).fold(with_instances(&good, "(module)", instances), |bytes, _| {
            with_instances(&bytes, "(module (table 0 funcref))", 1)
        })
    };
    let most = (0..8).take_while(|instances| load(widest(*instances), patient()).is_ok()).last().unwrap();
    let runtime = Runtime::new(RuntimeConfig::default()).unwrap();
    let wide = Policy::load(&runtime, &widest(most), &patient()).unwrap();
    let good = Policy::load(&runtime, &Module::good().component(), &patient()).unwrap();
    let asked = |_| {
        let mut session = wide.session(&bob());
        session.filter(&chunks()).unwrap();
        session
    };
    let _sessions: Vec<_> = (0..250).map(asked).collect();
    assert_allows(&good);
}

#[test]
fn a_function_that_takes_long_to_compile_is_refused() {
    let long = |instructions| Module {
        more: format!("(func (result i32) (i32.const 0) {})", "(i32.eqz) ".repeat(instructions)).leak(),
        ..Module::good()
    };
    // Besides the instructions of a byte each: the count of locals, a constant of two bytes, and the end.
    load(long(32_768 - 4).component(), patient()).unwrap();
    let text = "bytes long; at most 32768 are allowed";
    assert_load_refused(long(32_768 - 3).component(), patient(), "artifact", text);
    assert_load_refused(long(40_000).component(), patient(), "artifact", text);
}

#[test]
fn code_that_takes_long_to_compile_is_refused() {
    let functions = |count: usize, instructions: usize| Module {
        more: format!("(func {})", "(nop) ".repeat(instructions)).repeat(count).leak(),
        ..Module::good()
    };
    load(functions(19_000, 1).component(), patient()).unwrap();
    load(functions(65, 30_000).component(), patient()).unwrap();
    for module in [functions(20_001, 1), functions(70, 30_000)] {
        let text = "at most 20000 of 2097152 are allowed";
        assert_load_refused(module.component(), patient(), "artifact", text);
    }
}

#[test]
fn limits_may_be_as_wide_as_the_host_is() {
    let good = Module::good().component();
    let unending = Limits { deadline: Duration::MAX, output: usize::MAX, memory: 64 << 20, ..patient() };
    assert_allows(&load(good.clone(), unending).unwrap());
    let wider = Limits { memory: (64 << 20) + 1, ..patient() };
    assert_load_refused(good, wider, "host", "at most 67108864 can be had");
}

#[test]
fn a_limit_met_before_does_not_explain_what_fails_later() {
    // The first call is refused memory and goes on; the second gives up.
    let module = Module::filtering(
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (if (i32.eq (global.get $calls) (i32.const 1))
            (then (drop (memory.grow (i32.const 16384))))
            (else (unreachable)))
        (global.get $allow)",
    );
    let policy = load(module.component(), patient()).unwrap();
    let mut session = policy.session(&bob());
    session.filter(&chunks()[..1]).unwrap();
    assert_refused(session.filter(&chunks()[..1]), "trap", "unreachable");
}

#[test]
fn a_policy_that_gives_up_is_a_trap() {
    let table = "(type $f (func (result i32))) (table 1 funcref)";
    for (filter_chunk, kind, message) in [
        (TRAP, "trap", "unreachable"),
        ("(i32.load (i32.const -8))", "trap", "out of bounds memory access"),
        (
            "(i32.store (i32.const 0x7fffffff) (i32.const 1)) (global.get $allow)",
            "trap",
            "out of bounds memory access",
        ),
        ("(i32.div_u (i32.const 1) (i32.const 0))", "trap", "divide by zero"),
        ("(i32.trunc_f64_s (f64.const nan))", "trap", "invalid conversion to integer"),
        ("(call_indirect (type $f) (i32.const 0))", "trap", "uninitialized element"),
        ("(call_indirect (type $f) (i32.const 9))", "trap", "undefined element: out of bounds table access"),
        ("(call $deeper)", "limit", "it recursed too deep"),
    ] {
        let more = format!("{table} (func $deeper (result i32) (call $deeper))");
        let module = Module { filter_chunk, more: more.leak(), ..Module::good() };
        assert_filter_refused(&module, patient(), kind, message);
    }
    assert_rewrite_refused(
        &Module { rewrite_query: TRAP, ..Module::good() },
        patient(),
        "trap",
        "unreachable",
    );
    assert_filter_refused(&Module { realloc: TRAP, ..Module::good() }, patient(), "trap", "unreachable");
    assert_filter_refused(&Module { post_return: TRAP, ..Module::good() }, patient(), "trap", "unreachable");
    assert_load_refused(
        Module { start: TRAP, ..Module::good() }.component(),
        patient(),
        "trap",
        "unreachable",
    );
}

#[test]
fn fuel_is_limited_and_counted_the_same_everywhere() {
    let with_fuel = || Runtime::new(RuntimeConfig { fuel: true, cache: None }).unwrap();
    let (here, there) = (with_fuel(), with_fuel());
    let bytes = Module::filtering(FOREVER).component();
    let policy = Policy::load(&here, &bytes, &Limits { fuel: Some(10_000), ..patient() }).unwrap();
    assert_refused(
        returns(move || policy.filter(&bob(), &chunks())),
        "limit",
        "its fuel of 10000 instructions",
    );

    // The least fuel that a policy needs is the same, to the instruction, on two engines.
    let bytes = Module::good().component();
    let suffices = |runtime: &Runtime, fuel| {
        let limits = Limits { fuel: Some(fuel), ..patient() };
        Policy::load(runtime, &bytes, &limits).and_then(|policy| policy.filter(&bob(), &chunks())).is_ok()
    };
    let (mut too_little, mut enough) = (0, 10_000);
    assert!(suffices(&here, enough) && !suffices(&here, too_little));
    while enough - too_little > 1 {
        let middle = (too_little + enough) / 2;
        if suffices(&here, middle) { enough = middle } else { too_little = middle }
    }
    assert!(suffices(&there, enough) && !suffices(&there, too_little), "{enough}");
}

#[test]
fn a_runtime_that_counts_fuel_needs_no_limit() {
    let runtime = Runtime::new(RuntimeConfig { fuel: true, cache: None }).unwrap();
    assert_allows(&Policy::load(&runtime, &Module::good().component(), &patient()).unwrap());
}

#[test]
fn fuel_needs_a_runtime_that_counts_it() {
    let limits = Limits { fuel: Some(10_000), ..patient() };
    let bytes = Module::good().component();
    assert_load_refused(bytes, limits, "host", "a fuel limit needs a runtime with fuel");
}

#[test]
fn more_sessions_than_the_host_has_room_for_are_not_the_policys_fault() {
    let runtime = Runtime::new(RuntimeConfig::default()).unwrap();
    let policy = Policy::load(&runtime, &Module::good().component(), &patient()).unwrap();
    let mut sessions = Vec::new();
    let refusal = loop {
        // One that asks nothing needs no room.
        let (mut idle, mut session) = (policy.session(&bob()), policy.session(&bob()));
        assert_eq!(idle.filter(&[]), Ok(Vec::new()));
        match session.filter(&chunks()) {
            Ok(_) if sessions.len() == 10_000 => return, // This machine has no pool.
            Ok(_) => sessions.extend([idle, session]),
            Err(error) => break error,
        }
    };
    assert!(matches!(refusal, Error::Host(_)), "after {}: {refusal:?}", sessions.len());
    drop(sessions);
    assert_allows(&policy);
    assert_others_work();
}
