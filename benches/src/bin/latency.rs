//! How long single calls take, not on average: the median, and what one in a hundred and one in a thousand exceed.
//!
//! Reading the clock is part of each figure; what that takes has a row of its own.

use std::time::Duration;

use tamis_benches::figures::{Figures, Unit, percentile, samples};
use tamis_benches::ways::{Setting, check};

const TIME: Duration = Duration::from_millis(600);
const PERCENTILES: [(&str, f64); 3] = [("p50", 50.0), ("p99", 99.0), ("p99.9", 99.9)];

fn main() {
    let ways = Setting::new(1000).ten();
    check(&ways);
    let mut figures = Figures::default();
    for batch in [1, 100] {
        let group = format!("latency of one call about {batch} chunk{}", if batch == 1 { "" } else { "s" });
        let mut put = |row: &str, call: &mut dyn FnMut()| {
            let mut samples = samples(TIME, 1000, call);
            for (column, percent) in PERCENTILES {
                figures.put(&group, row, column, percentile(&mut samples, percent), Unit::Time);
            }
        };
        put("reading the clock", &mut || {});
        for way in ways.iter().filter(|way| way.most >= batch) {
            let mut decide = way.of(batch);
            put(way.name, &mut || {
                std::hint::black_box(decide());
            });
        }
    }
    figures.save("latency");
}
