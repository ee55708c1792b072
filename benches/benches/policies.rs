//! Cedar policies: compiling them, and what can be said of chunks before there are any.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use tamis_benches::cedar::{Partial, component, many};
use tamis_benches::{queries, request_in_groups, ways};
use tamis_core::Query;

fn compile(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compile, Cedar policies");
    group.sample_size(10);
    // Ten compilations of 10 000 policies, rather than one, two, three and so on.
    group.sampling_mode(SamplingMode::Flat);
    for count in [10_usize, 100, 1000, 10_000] {
        let text = many(count, 10);
        group.bench_with_input(BenchmarkId::from_parameter(count), &text, |bencher, text| {
            bencher.iter(|| component(black_box(text)).len());
        });
    }
    group.finish();
}

/// What can be said of chunks before there are any: ten policies, a subject in twenty groups.
fn rewrite(criterion: &mut Criterion) {
    let request = request_in_groups(20);
    let (text, query) = (many(10, 10), Query { collection: String::new(), k: 10 });
    let policy = ways::policy(&component(&text));
    let mut group = criterion.benchmark_group("rewrite, ten policies");
    let partial = Partial::new(&text, &request);
    group.bench_function("cedar-policy, partial evaluation", |bencher| bencher.iter(|| partial.residuals()));
    let mut other = queries();
    let mut session = policy.session(&request);
    group.bench_function("tamis, prepared request", |bencher| {
        bencher.iter(|| session.rewrite(black_box(&other())).expect("rewrite"));
    });
    group.bench_function("tamis, new request", |bencher| {
        bencher.iter(|| policy.rewrite(&request, black_box(&other())).expect("rewrite"));
    });
    group.bench_function("tamis, asked before", |bencher| {
        bencher.iter(|| policy.rewrite(&request, black_box(&query)).expect("rewrite"));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .nresamples(2000);
    targets = rewrite, compile
}
criterion_main!(benches);
