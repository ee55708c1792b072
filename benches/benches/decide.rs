//! One decision per chunk by every way there is, all on the same chunks, for the same request, under the same policies.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tamis_benches::ways::{Setting, Way, check};

const BATCHES: [usize; 5] = [1, 10, 100, 1000, 10_000];

fn decide(criterion: &mut Criterion) {
    let setting = Setting::new(10_000);
    for (name, ways) in [("decide, three policies", setting.three()), ("decide, ten policies", setting.ten())]
    {
        // The same answers, or the figures mean nothing.
        check(&ways);
        measure(criterion, name, &ways);
    }
}

fn measure(criterion: &mut Criterion, name: &str, ways: &[Way]) {
    let mut group = criterion.benchmark_group(name);
    for way in ways {
        for batch in BATCHES.into_iter().filter(|batch| *batch <= way.most) {
            group.throughput(Throughput::Elements(batch as u64));
            // A call that takes long is not made a hundred times.
            group.sample_size(if batch >= 1000 { 10 } else { 30 });
            let mut decide = way.of(batch);
            group.bench_function(BenchmarkId::new(way.name, batch), |bencher| {
                bencher.iter(|| black_box(decide()))
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .nresamples(2000);
    targets = decide
}
criterion_main!(benches);
