//! What happens around decisions: preparing a request, loading a policy, replacing one that serves.

use std::hint::black_box;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use tamis_benches::cedar::{CLEARANCE, component};
use tamis_benches::{chunks, clearance, company, request};
use tamis_runtime::{Cache, Limits, Policy, PolicyHandle, Runtime, RuntimeConfig};

fn instantiate(criterion: &mut Criterion) {
    let (request, chunks) = (request(), chunks(1));
    let policy =
        Policy::load(&Runtime::shared().expect("runtime"), &clearance(), &Limits::default()).expect("policy");
    criterion.bench_function("lifecycle/a new request, asked about one chunk", |bencher| {
        bencher.iter(|| policy.filter(black_box(&request), &chunks).expect("decision"));
    });
}

fn load(criterion: &mut Criterion) {
    let component = clearance();
    let compiling = Runtime::shared().expect("runtime");
    let folder = tempfile::tempdir().expect("folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).expect("mode");
    let cache = Cache::open(folder.path()).expect("cache");
    let caching = Runtime::new(RuntimeConfig { fuel: false, cache: Some(cache) }).expect("runtime");
    let mut group = criterion.benchmark_group("lifecycle/load");
    group.sample_size(20);
    for (name, runtime) in [("compiled", &compiling), ("from the cache", &caching)] {
        Policy::load(runtime, &component, &Limits::default()).expect("policy");
        group.bench_function(name, |bencher| {
            bencher
                .iter(|| Policy::load(runtime, black_box(&component), &Limits::default()).expect("policy"));
        });
    }
    group.finish();
}

fn replace(criterion: &mut Criterion) {
    let components = [clearance(), company()];
    let runtime = Runtime::shared().expect("runtime");
    let handle = PolicyHandle::new(&runtime, &components[0], Limits::default()).expect("policy");
    let mut group = criterion.benchmark_group("lifecycle/replace");
    group.sample_size(20);
    let mut next = 0;
    group.bench_function("another policy, compiled and self-tested", |bencher| {
        bencher.iter(|| {
            next = 1 - next;
            handle.replace(&components[next]).expect("replaced")
        });
    });
    group.finish();
}

/// Policies from Cedar share their engine, whose functions are compiled once in a process.
fn replace_cedar(criterion: &mut Criterion) {
    let policy = |level: u64| {
        CLEARANCE.replace("resource.access_level <=", &format!("resource.access_level + {level} <="))
    };
    let runtime = Runtime::shared().expect("runtime");
    let handle = PolicyHandle::new(&runtime, &component(CLEARANCE), Limits::default()).expect("policy");
    let mut group = criterion.benchmark_group("lifecycle/replace Cedar");
    group.sample_size(20);
    let mut next = 0;
    group.bench_function("policies that were never seen, from source to serving", |bencher| {
        bencher.iter(|| {
            next += 1;
            handle.replace(&component(&policy(next))).expect("replaced")
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .nresamples(2000);
    targets = instantiate, load, replace, replace_cedar
}
criterion_main!(benches);
