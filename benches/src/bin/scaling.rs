//! What grows with what: chunks, policies, groups, attributes that are read, threads.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tamis_benches::cedar::{component, many};
use tamis_benches::figures::{Figures, Unit, median};
use tamis_benches::scale::{self, Case};
use tamis_benches::{chunks, queries, request, ways};
use tamis_core::{Chunk, Request};
use tamis_runtime::{Policy, PolicyHandle, Runtime};

/// How long each measurement goes on.
const TIME: Duration = Duration::from_millis(500);
const BATCH: usize = 100;
/// More chunks than this are these over again, each coded by itself: a million with all their metadata would take gigabytes.
const DISTINCT: usize = 100_000;

fn main() {
    let mut figures = Figures::default();
    by_chunks(&mut figures);
    by_policies(&mut figures);
    by_groups(&mut figures);
    by_footprint(&mut figures);
    by_threads(&mut figures);
    figures.save("scaling");
}

/// Whole calls about so many chunks.
fn by_chunks(figures: &mut Figures) {
    let (policy, request) = (ways::policy(&component(&many(10, 10))), request());
    let distinct = chunks(DISTINCT);
    for exponent in 0..=6 {
        let count = 10_usize.pow(exponent);
        let parts: Vec<&[Chunk]> =
            distinct.chunks(count.min(DISTINCT)).cycle().take(count.div_ceil(DISTINCT)).collect();
        let mut put = |row: &str, value| {
            figures.put("scaling with chunks, each", row, count, value / count as f64, Unit::Time);
        };
        let mut session = policy.session(&request);
        put(
            "JSON map",
            median(TIME, || {
                for part in &parts {
                    session.filter(part).unwrap();
                }
            }),
        );
        let coded: Vec<_> = parts.iter().map(|part| policy.code(part).unwrap()).collect();
        let mut sessions: Vec<_> = coded.iter().map(|_| policy.session(&request)).collect();
        put(
            "coded",
            median(TIME, || {
                for (coded, session) in coded.iter().zip(&mut sessions) {
                    session.filter_coded(coded).unwrap();
                }
            }),
        );
    }
}

/// Policies of which at most ten can apply to the request.
fn by_policies(figures: &mut Figures) {
    for count in [1, 10, 100, 1000, 10_000] {
        let text = many(count, 10);
        let group = "scaling with policies, ten live";
        let component = component(&text);
        figures.put(group, "component", count, component.len() as f64, Unit::Bytes);
        case(figures, group, count, &ways::policy(&component), &request(), &chunks(BATCH));
    }
}

fn by_groups(figures: &mut Figures) {
    for count in [1, 10, 100, 1000, 10_000] {
        let Case { component, request, chunks } = scale::groups(count, BATCH);
        case(
            figures,
            "scaling with the subject's groups",
            count,
            &ways::policy(&component),
            &request,
            &chunks,
        );
    }
}

fn by_footprint(figures: &mut Figures) {
    for count in [1, 2, 4, 8, 16, 32, 64] {
        let Case { component, request, chunks } = scale::footprint(count, BATCH);
        case(figures, "scaling with attributes read", count, &ways::policy(&component), &request, &chunks);
    }
}

/// The four things that a policy does, at one point of a scale.
fn case(
    figures: &mut Figures,
    group: &str,
    column: usize,
    policy: &Policy,
    request: &Request,
    chunks: &[Chunk],
) {
    let mut put = |row: &str, value| figures.put(group, row, column, value, Unit::Time);
    let each = chunks.len() as f64;
    let mut session = policy.session(request);
    put("each chunk, JSON map", median(TIME, || drop(session.filter(chunks).unwrap())) / each);
    let coded = policy.code(chunks).unwrap();
    let mut session = policy.session(request);
    put("each chunk, coded", median(TIME, || drop(session.filter_coded(&coded).unwrap())) / each);
    let one = policy.code(&chunks[..1]).unwrap();
    put(
        "preparing a request",
        median(TIME, || {
            policy.session(request).filter_coded(&one).unwrap();
        }),
    );
    let mut query = queries();
    put("rewrite, new request", median(TIME, || drop(policy.rewrite(request, &query()).unwrap())));
}

/// Threads that share one handle, each with requests of its own: what all of them together decide.
fn by_threads(figures: &mut Figures) {
    let component = component(&many(10, 10));
    let handle = PolicyHandle::new(&Runtime::shared().unwrap(), &component, ways::limits()).unwrap();
    let (request, chunks) = (request(), chunks(BATCH));
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    for threads in [1, 2, 4, 8, 16].into_iter().filter(|threads| *threads <= cores.max(2)) {
        let mut put = |row: &str, batches: usize, decide: &(dyn Fn() + Sync)| {
            let rate = together(threads, decide) * (batches * chunks.len()) as f64;
            figures.put("scaling with threads, chunks decided", row, threads, rate, Unit::Rate);
        };
        put("JSON map, a new request for each batch of 100", 1, &|| {
            drop(handle.filter(&request, &chunks).unwrap())
        });
        let policy = handle.current().policy().clone();
        let coded = policy.code(&chunks).unwrap();
        put("coded, a new request for ten batches of 100", 10, &|| {
            let mut session = policy.session(&request);
            for _ in 0..10 {
                session.filter_coded(&coded).unwrap();
            }
        });
    }
}

/// Calls in a second, of so many threads.
fn together(threads: usize, call: &(dyn Fn() + Sync)) -> f64 {
    let (calls, stop, ready) = (AtomicUsize::new(0), AtomicBool::new(false), Barrier::new(threads + 1));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                ready.wait();
                while !stop.load(Ordering::Relaxed) {
                    call();
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        ready.wait();
        let begun = Instant::now();
        std::thread::sleep(2 * TIME);
        let rate = calls.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        rate
    })
}
