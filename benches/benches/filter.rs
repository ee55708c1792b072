//! One decision per chunk under a policy in Rust: native, by bare wasmtime, and by Tamis in batches of several sizes. All on the same chunks.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tamis_benches::bare::{Bare, BareChunk};
use tamis_benches::native::{Document, Person, on_json, on_struct};
use tamis_benches::{chunks, clearance, queries, request};
use tamis_runtime::{Limits, Policy, Runtime};

fn filter(criterion: &mut Criterion) {
    let request = request();
    let chunks = chunks(1000);
    let component = clearance();
    let policy =
        Policy::load(&Runtime::shared().expect("runtime"), &component, &Limits::default()).expect("policy");
    let person = Person::of(&request);
    let documents: Vec<Document> = chunks.iter().map(Document::of).collect();
    let mut bare = Bare::new(&component, &request);
    let bare_chunks: Vec<BareChunk> = chunks.iter().map(BareChunk::of).collect();

    // The same answers, or the figures mean nothing.
    let decisions = policy.filter(&request, &chunks).expect("decisions");
    let explained = policy.explain(&request, &chunks).expect("decisions");
    for (number, (decision, explained)) in decisions.iter().zip(explained).enumerate() {
        assert_eq!(decision.allow, explained.allow);
        assert_eq!(decision.allow, on_struct(&person, &documents[number]));
        assert_eq!(Some(decision.allow), on_json(&person, &chunks[number].attributes));
        assert_eq!(decision.allow, bare.allows(&bare_chunks[number]));
    }

    let mut group = criterion.benchmark_group("decide, a policy in Rust");
    for batch in [1_usize, 10, 100, 1000] {
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_with_input(BenchmarkId::new("native, struct", batch), &batch, |bencher, batch| {
            bencher.iter(|| {
                let allowed =
                    documents[..*batch].iter().filter(|document| on_struct(&person, black_box(document)));
                allowed.count()
            });
        });
        group.bench_with_input(BenchmarkId::new("native, JSON map", batch), &batch, |bencher, batch| {
            bencher.iter(|| {
                let allows =
                    |chunk: &&tamis_core::Chunk| on_json(&person, black_box(&chunk.attributes)) == Some(true);
                chunks[..*batch].iter().filter(allows).count()
            });
        });
        group.bench_with_input(BenchmarkId::new("bare wasmtime, typed", batch), &batch, |bencher, batch| {
            bencher
                .iter(|| bare_chunks[..*batch].iter().filter(|chunk| bare.allows(black_box(chunk))).count());
        });
        let mut session = policy.session(&request);
        group.bench_with_input(
            BenchmarkId::new("tamis, typed, with reasons", batch),
            &batch,
            |bencher, batch| {
                bencher.iter(|| session.explain(black_box(&chunks[..*batch])).expect("decisions").len());
            },
        );
        group.bench_with_input(BenchmarkId::new("tamis, JSON map", batch), &batch, |bencher, batch| {
            bencher.iter(|| session.filter(black_box(&chunks[..*batch])).expect("decisions").len());
        });
        group.bench_with_input(
            BenchmarkId::new("tamis, JSON map, new request", batch),
            &batch,
            |bencher, batch| {
                bencher
                    .iter(|| policy.filter(&request, black_box(&chunks[..*batch])).expect("decisions").len());
            },
        );
    }
    group.finish();
}

fn rewrite(criterion: &mut Criterion) {
    let request = request();
    let policy =
        Policy::load(&Runtime::shared().expect("runtime"), &clearance(), &Limits::default()).expect("policy");
    let mut query = queries();
    let mut session = policy.session(&request);
    let mut group = criterion.benchmark_group("rewrite, a policy in Rust");
    group.bench_function("prepared request", |bencher| {
        bencher.iter(|| session.rewrite(&query()).expect("rewrite"))
    });
    group.bench_function("new request", |bencher| {
        bencher.iter(|| policy.rewrite(black_box(&request), &query()).expect("rewrite"));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .nresamples(2000);
    targets = filter, rewrite
}
criterion_main!(benches);
