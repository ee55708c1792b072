//! The runtime in a process that is somebody else's: no thread, no signal handler, and policies are stopped all the same.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is a failure of the test")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tamis_core::Chunk;
use tamis_runtime::{Error, InProcess, Limits, Policy, Runtime, RuntimeConfig};
use tamis_tests::hostile::{FOREVER, Module};
use tamis_tests::user;

static STOP: AtomicBool = AtomicBool::new(false);

fn stopped() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// What a policy answers while something ticks, and after how long.
fn answer(runtime: &Runtime, module: &Module, limits: Limits) -> (Result<usize, Error>, Duration) {
    let policy = Policy::load(runtime, &module.component(), &limits).unwrap();
    let began = Instant::now();
    let done = AtomicBool::new(false);
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                runtime.tick();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let result = policy.filter(&user("u", "t", 1, &[]), &[Chunk::new("c")]);
        done.store(true, Ordering::Relaxed);
        result
    });
    (result.map(|decisions| decisions.iter().filter(|decision| decision.allow).count()), began.elapsed())
}

/// All in one, as it looks at what the whole process has.
#[test]
fn a_policy_runs_and_is_stopped_without_threads_and_signals() {
    let handlers = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        status.lines().find(|line| line.starts_with("SigCgt")).unwrap().to_owned()
    };
    let handled = handlers();
    let runtime = Runtime::in_process(RuntimeConfig::default(), InProcess { interrupted: stopped }).unwrap();
    assert_eq!(answer(&runtime, &Module::good(), Limits::default()).0, Ok(1));

    let limits = Limits { deadline: Duration::from_millis(50), ..Limits::default() };
    let (late, after) = answer(&runtime, &Module::filtering(FOREVER), limits);
    assert!(
        matches!(late, Err(Error::Limit(text)) if text.contains("50 ms")) && after < Duration::from_secs(2)
    );

    // What signals stop elsewhere is stopped by checks.
    let beyond = Module::filtering("(drop (i32.load (i32.const -8))) (unreachable)");
    assert!(
        matches!(answer(&runtime, &beyond, Limits::default()).0, Err(Error::Trap(text)) if text.contains("out of bounds"))
    );
    let deep =
        Module { more: "(func $deep (call $deep))", ..Module::filtering("(call $deep) (unreachable)") };
    assert!(
        matches!(answer(&runtime, &deep, Limits::default()).0, Err(Error::Limit(text)) if text.contains("too deep"))
    );
    let large = Module::filtering("(drop (memory.grow (i32.const 60000))) (unreachable)");
    assert!(
        matches!(answer(&runtime, &large, Limits::default()).0, Err(Error::Limit(text)) if text.contains("memory"))
    );
    // A memory that may grow does.
    let grows = Module::filtering(
        "(if (i32.eq (memory.grow (i32.const 100)) (i32.const -1)) (then (unreachable))) (global.get $allow)",
    );
    assert_eq!(answer(&runtime, &grows, Limits::default()).0, Ok(1));

    STOP.store(true, Ordering::Relaxed);
    let patient = Limits { deadline: Duration::from_secs(600), ..Limits::default() };
    let (interrupted, after) = answer(&runtime, &Module::filtering(FOREVER), patient);
    assert_eq!(interrupted, Err(Error::Host("the call was interrupted".to_owned())));
    assert!(after < Duration::from_secs(2));

    assert_eq!(handlers(), handled, "a signal handler was set");
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let name = std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default();
        assert!(!name.contains("tamis-clock"), "{name}");
    }
}
