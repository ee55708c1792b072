//! Cedar policies: compiling them, and one decision per chunk against Cedar's own authorizer and native Rust.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tamis_benches::cedar::{CLEARANCE, Cedar, Partial, component, many};
use tamis_benches::native::{Document, Person, on_json, on_struct};
use tamis_benches::{chunks, queries, request, request_in_groups};
use tamis_core::Query;
use tamis_runtime::{Limits, Policy, Runtime};

fn load(policies: &str) -> Policy {
    Policy::load(&Runtime::shared().expect("runtime"), &component(policies), &Limits::default())
        .expect("policy")
}

fn decide(criterion: &mut Criterion) {
    let request = request();
    let chunks = chunks(1000);
    let policy = load(CLEARANCE);
    let cedar = Cedar::new(CLEARANCE, &request, &chunks);
    let person = Person::of(&request);
    let documents: Vec<Document> = chunks.iter().map(Document::of).collect();
    // The same answers, or the figures mean nothing.
    for (number, decision) in policy.filter(&request, &chunks).expect("decisions").iter().enumerate() {
        assert_eq!(decision.allow, on_struct(&person, &documents[number]));
        assert_eq!(decision.allow, cedar.allows(number));
    }
    let mut group = criterion.benchmark_group("cedar decide");
    for batch in [1_usize, 10, 100, 1000] {
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_with_input(BenchmarkId::new("cedar-policy", batch), &batch, |bencher, batch| {
            bencher.iter(|| (0..*batch).filter(|chunk| cedar.allows(black_box(*chunk))).count());
        });
        group.bench_with_input(BenchmarkId::new("native json", batch), &batch, |bencher, batch| {
            let allows =
                |chunk: &&tamis_core::Chunk| on_json(&person, black_box(&chunk.attributes)) == Some(true);
            bencher.iter(|| chunks[..*batch].iter().filter(allows).count());
        });
        let mut session = policy.session(&request).expect("session");
        group.bench_with_input(BenchmarkId::new("tamis", batch), &batch, |bencher, batch| {
            bencher.iter(|| session.filter(black_box(&chunks[..*batch])).expect("decisions").len());
        });
        // As Cedar's entities are built beforehand, and Rust's structures.
        let coded = policy.code(&chunks[..batch]).expect("codes");
        group.bench_with_input(BenchmarkId::new("native struct", batch), &batch, |bencher, batch| {
            let allows = |document: &&Document| on_struct(&person, black_box(document));
            bencher.iter(|| documents[..*batch].iter().filter(allows).count());
        });
        group.bench_with_input(BenchmarkId::new("tamis, coded", batch), &batch, |bencher, _| {
            bencher.iter(|| session.filter_coded(black_box(&coded)).expect("verdicts").len());
        });
        group.bench_with_input(BenchmarkId::new("tamis, new request", batch), &batch, |bencher, batch| {
            bencher.iter(|| policy.filter(&request, black_box(&chunks[..*batch])).expect("decisions").len());
        });
    }
    group.finish();
}

fn policies(criterion: &mut Criterion) {
    let request = request();
    let chunks = chunks(100);
    let mut group = criterion.benchmark_group("cedar policies, ten live");
    group.throughput(Throughput::Elements(chunks.len() as u64));
    for count in [10_usize, 100, 1000, 10_000] {
        let policy = load(&many(count, 10));
        let mut session = policy.session(&request).expect("session");
        group.bench_with_input(BenchmarkId::new("prepared request", count), &count, |bencher, _| {
            bencher.iter(|| session.filter(black_box(&chunks)).expect("decisions").len());
        });
        group.bench_with_input(BenchmarkId::new("new request", count), &count, |bencher, _| {
            bencher.iter(|| policy.filter(&request, black_box(&chunks)).expect("decisions").len());
        });
    }
    group.finish();
}

fn compile(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cedar compile");
    group.sample_size(10);
    for count in [10_usize, 100, 1000, 10_000] {
        let text = many(count, 10);
        println!("{count} policies: {} bytes compiled", component(&text).len());
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
    let policy = load(&text);
    let mut group = criterion.benchmark_group("cedar rewrite");
    let partial = Partial::new(&text, &request);
    group.bench_function("cedar-policy, partial evaluation", |bencher| bencher.iter(|| partial.residuals()));
    let mut other = queries();
    let mut session = policy.session(&request).expect("session");
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

criterion_group!(benches, decide, policies, rewrite, compile);
criterion_main!(benches);
