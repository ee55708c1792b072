//! What was measured: each program leaves its figures in a file, and `results` makes tables and plots of all.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// What a number counts.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Time, in nanoseconds.
    Time,
    /// Memory, in bytes.
    Bytes,
    /// Things, or things for each thing.
    Count,
    /// Things in a second.
    Rate,
}

/// One number of a table.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Figure {
    /// The table.
    pub group: String,
    /// The row.
    pub row: String,
    /// The column: a number where things can be plotted over it.
    pub column: String,
    /// The number.
    pub value: f64,
    /// What it counts.
    pub unit: Unit,
}

/// The figures of one program.
#[derive(Debug, Default)]
pub struct Figures(Vec<Figure>);

impl Figures {
    /// Keeps one.
    pub fn put(&mut self, group: &str, row: &str, column: impl ToString, value: f64, unit: Unit) {
        let column = column.to_string();
        eprintln!("{group} / {row} / {column}: {}", show(value, unit));
        self.0.push(Figure { group: group.to_owned(), row: row.to_owned(), column, value, unit });
    }

    /// Leaves them for `results`, in place of those of an earlier run of the program `name`.
    pub fn save(&self, name: &str) {
        let folder = built().join("figures");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{name}.json")), serde_json::to_vec_pretty(&self.0).unwrap()).unwrap();
    }
}

/// The folder that cargo builds into.
pub fn built() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder))
}

/// The median time of a call in nanoseconds, from as many calls as are made in `time`, five at least, after one that is not counted.
pub fn median(time: Duration, call: impl FnMut()) -> f64 {
    percentile(&mut samples(time, 5, call), 50.0)
}

/// The times of calls in nanoseconds.
pub fn samples(time: Duration, least: usize, mut call: impl FnMut()) -> Vec<f64> {
    call();
    let (begun, mut samples) = (Instant::now(), Vec::new());
    while samples.len() < least || begun.elapsed() < time {
        let start = Instant::now();
        call();
        samples.push(nanoseconds(start.elapsed()));
    }
    samples
}

/// A duration in nanoseconds.
pub fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

/// The smallest of `samples` that so many of a hundred do not exceed.
pub fn percentile(samples: &mut [f64], percent: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let position = (samples.len() as f64 * percent / 100.0).ceil() as usize;
    samples[position.clamp(1, samples.len()) - 1]
}

/// A number for people.
pub fn show(value: f64, unit: Unit) -> String {
    let scaled = |value: f64, steps: &[(f64, &str)]| {
        let (divisor, name) =
            steps.iter().rev().find(|(from, _)| value >= *from).or_else(|| steps.first()).unwrap();
        let digits = |value: f64| match value {
            value if value == value.trunc() && value < 10.0 && *divisor == 1.0 => format!("{value:.0}"),
            value if value < 10.0 => format!("{value:.2}"),
            value => format!("{value:.1}"),
        };
        format!("{} {name}", digits(value / divisor)).trim_end().to_owned()
    };
    match unit {
        Unit::Time => scaled(value, &[(1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")]),
        Unit::Bytes => {
            scaled(value, &[(1.0, "B"), (1024.0, "KiB"), (1_048_576.0, "MiB"), (1_073_741_824.0, "GiB")])
        }
        Unit::Count => scaled(value, &[(1.0, ""), (1e3, "k"), (1e6, "M")]),
        Unit::Rate => scaled(value, &[(1.0, "/s"), (1e3, "k/s"), (1e6, "M/s")]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let mut samples: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        for (percent, expected) in [(0.0, 1.0), (50.0, 100.0), (99.0, 198.0), (99.9, 200.0), (100.0, 200.0)] {
            assert_eq!(percentile(&mut samples, percent), expected, "{percent}");
        }
        assert_eq!(percentile(&mut [7.0], 50.0), 7.0);
    }

    #[test]
    fn numbers_are_shown_with_the_largest_unit_that_fits() {
        for (value, unit, expected) in [
            (0.5, Unit::Time, "0.50 ns"),
            (12.34, Unit::Time, "12.3 ns"),
            (1_500.0, Unit::Time, "1.50 µs"),
            (2e9, Unit::Time, "2.00 s"),
            (0.0, Unit::Count, "0"),
            (0.03, Unit::Count, "0.03"),
            (1_048_576.0, Unit::Bytes, "1.00 MiB"),
            (5e6, Unit::Rate, "5.00 M/s"),
        ] {
            assert_eq!(show(value, unit), expected);
        }
    }
}
