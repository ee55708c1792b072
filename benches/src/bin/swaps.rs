//! Starting, swapping and reloading policies, as a program that serves sees it.
//!
//! ```text
//! swaps                    everything, into the figures
//! swaps start P.wasm DIR   from nothing to the first decision in this process, with compiled policies cached in DIR: nanoseconds
//! ```

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tamis_benches::cedar::{CLEARANCE, component, many};
use tamis_benches::figures::{Figures, Unit, median, nanoseconds, percentile};
use tamis_benches::machine::status;
use tamis_benches::{chunks, request, ways};
use tamis_runtime::{Cache, Error, Limits, Policy, PolicyHandle, Runtime, RuntimeConfig};

const STARTS: usize = 15;
const SWAPS: usize = 300;
const RELOADS: usize = 30;
const INSTANCES: usize = 200;
const POLICIES: usize = 200;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [_, policy, cache] = &arguments[..] {
        println!("{}", start(Path::new(policy), Path::new(cache)));
        return;
    }
    let mut figures = Figures::default();
    instances(&mut figures);
    starts(&mut figures);
    swaps(&mut figures);
    reloads(&mut figures);
    figures.save("swaps");
}

/// A program that has just begun: reads a policy, loads it, and decides on one chunk.
fn start(policy: &Path, cache: &Path) -> f64 {
    let (request, chunks) = (request(), chunks(1));
    let begun = Instant::now();
    let runtime = caching(cache);
    let policy = Policy::load(&runtime, &std::fs::read(policy).unwrap(), &Limits::default()).unwrap();
    policy.filter(&request, &chunks).unwrap();
    nanoseconds(begun.elapsed())
}

fn starts(figures: &mut Figures) {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("p.wasm");
    std::fs::write(&policy, component(&many(10, 10))).unwrap();
    let begin = |cache: &Path| -> f64 {
        let program = std::env::current_exe().unwrap();
        let output = Command::new(program).arg("start").arg(&policy).arg(cache).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    };
    let cold = (0..STARTS).map(|number| begin(&private(folder.path().join(number.to_string()))));
    put(figures, "start, to the first decision", "cold: compiled", cold.collect());
    let cache = private(folder.path().join("warm"));
    begin(&cache);
    put(
        figures,
        "start, to the first decision",
        "warm: from the cache",
        (0..STARTS).map(|_| begin(&cache)).collect(),
    );
}

/// Puts the median and the tail.
fn put(figures: &mut Figures, group: &str, row: &str, mut samples: Vec<f64>) {
    for (column, percent) in [("p50", 50.0), ("p99", 99.0), ("longest", 100.0)] {
        figures.put(group, row, column, percentile(&mut samples, percent), Unit::Time);
    }
}

/// What the threads that decide see of a swap.
fn swaps(figures: &mut Figures) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = caching(&private(folder.path().join("cache")));
    let components = [component(CLEARANCE), component(&many(10, 10))];
    let handle = PolicyHandle::new(&runtime, &components[0], Limits::default()).unwrap();
    handle.replace(&components[1]).unwrap();
    let (request, chunks, stop) = (request(), chunks(10), AtomicBool::new(false));
    let serve = || {
        let (mut seen, mut last) = (Vec::new(), 0);
        while !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let generation = handle.current();
            let got = begun.elapsed();
            generation.policy().filter(&request, &chunks).unwrap();
            seen.push((got, begun.elapsed(), generation.number() != last));
            last = generation.number();
        }
        seen
    };
    let at_rest = std::thread::scope(|scope| {
        let serving = scope.spawn(serve);
        std::thread::sleep(Duration::from_secs(1));
        stop.store(true, Ordering::Relaxed);
        serving.join().unwrap()
    });
    stop.store(false, Ordering::Relaxed);
    let swapped = std::thread::scope(|scope| {
        let serving = scope.spawn(serve);
        for number in 0..SWAPS {
            handle.replace(&components[number % 2]).unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
        stop.store(true, Ordering::Relaxed);
        serving.join().unwrap()
    });
    let group = "swap, as a thread that decides on ten chunks a call sees it";
    let mut show = |row: &str,
                    seen: &[(Duration, Duration, bool)],
                    what: fn(&(Duration, Duration, bool)) -> Duration| {
        put(figures, group, row, seen.iter().map(|seen| nanoseconds(what(seen))).collect());
    };
    show("getting the policy that serves, at rest", &at_rest, |seen| seen.0);
    show("getting the policy that serves, while others are swapped in", &swapped, |seen| seen.0);
    show("a call, at rest", &at_rest, |seen| seen.1);
    show("a call, while others are swapped in", &swapped, |seen| seen.1);
    let first: Vec<_> = swapped.iter().skip(1).filter(|seen| seen.2).copied().collect();
    assert!(first.len() > SWAPS / 2, "the thread saw {} of {SWAPS} swaps", first.len());
    show("the first call on a new policy", &first, |seen| seen.1);
    show("getting a policy that was just swapped in", &first, |seen| seen.0);
}

/// From the change of a file to the first answer of the new policy.
fn reloads(figures: &mut Figures) {
    let folder = tempfile::tempdir().unwrap();
    let source = |number: usize| {
        CLEARANCE.replace("resource.access_level <=", &format!("resource.access_level + {number} <="))
    };
    let compile =
        |bytes: Vec<u8>| -> Result<Vec<u8>, Error> { Ok(component(std::str::from_utf8(&bytes).unwrap())) };
    let runtime = caching(&private(folder.path().join("cache")));
    let first = component(&source(1_000_000));
    let handle = Arc::new(PolicyHandle::new(&runtime, &first, Limits::default()).unwrap());
    let path = folder.path().join("policy.cedar");
    std::fs::write(&path, source(1_000_000)).unwrap();
    let _watch = handle.watch_with(&path, compile).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let mut reload = |row: &str, number: &dyn Fn(usize) -> usize| {
        let times = (0..RELOADS).map(|round| {
            let (before, text) = (handle.current().number(), source(number(round)));
            let aside = folder.path().join("aside");
            std::fs::write(&aside, text).unwrap();
            let begun = Instant::now();
            std::fs::rename(&aside, &path).unwrap();
            while handle.current().number() == before {
                assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", handle.last_error());
                std::thread::sleep(Duration::from_micros(100));
            }
            nanoseconds(begun.elapsed())
        });
        let times = times.collect();
        put(figures, "reload, from the change of a Cedar file to the new policy serving", row, times);
    };
    reload("a policy that was never seen", &|round| round);
    reload("a policy that is in the cache", &|round| round % 2);
}

/// What a request that waits for its next call takes up, and what making one costs.
fn instances(figures: &mut Figures) {
    let policy = ways::policy(&component(&many(10, 10)));
    let (request, chunks) = (request(), chunks(100));
    let warm = || {
        let mut session = policy.session(&request);
        session.filter(&chunks).unwrap();
        session
    };
    drop(warm());
    let before = status("VmRSS").unwrap();
    let sessions: Vec<_> = (0..INSTANCES).map(|_| warm()).collect();
    let each = status("VmRSS").unwrap().saturating_sub(before) as f64 / INSTANCES as f64;
    drop(sessions);
    figures.put("a warm instance, ten policies, asked about 100 chunks", "memory", "each", each, Unit::Bytes);
    let time = median(Duration::from_millis(300), || drop(policy.filter(&request, &chunks[..1])));
    figures.put(
        "a warm instance, ten policies, asked about 100 chunks",
        "making one, asked about one chunk",
        "each",
        time,
        Unit::Time,
    );
    // As a host keeps them that has a policy for each tenant: sources that differ, in one process.
    let components: Vec<_> =
        (0..POLICIES).map(|number| component(&format!("{CLEARANCE}\n{}", tenant(number)))).collect();
    let load = |component: &Vec<u8>| {
        Policy::load(&Runtime::shared().unwrap(), component, &Limits::default()).unwrap()
    };
    drop(load(&components[0]));
    let before = status("VmRSS").unwrap();
    let policies: Vec<_> = components.iter().map(load).collect();
    let each = status("VmRSS").unwrap().saturating_sub(before) as f64 / POLICIES as f64;
    drop(policies);
    figures.put("a loaded policy, as one of 200 that differ", "memory", "each", each, Unit::Bytes);
}

/// A policy of its own for a tenant.
fn tenant(number: usize) -> String {
    format!(
        "forbid(principal, action, resource) when {{ resource.access_level == {number} && principal.clearance < {number} }};"
    )
}

fn caching(cache: &Path) -> Runtime {
    Runtime::new(RuntimeConfig { fuel: false, cache: Some(Cache::open(cache).unwrap()) }).unwrap()
}

/// A folder that only this user may look into.
fn private(path: PathBuf) -> PathBuf {
    std::fs::create_dir_all(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}
