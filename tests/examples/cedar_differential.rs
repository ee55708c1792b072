//! Compares our decisions with Cedar's on random cases until one differs, which is then made small, shown and kept.
//!
//! ```text
//! cargo run --release -p tamis-tests --example cedar_differential -- --cases 200000 --seed 1
//! ```
//!
//! Exits with 1 at a difference. The case goes to `tests/corpus/cedar`, where the tests run it from then on.

use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Instant;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use tamis_tests::cedar::differ::is_in_ours;
use tamis_tests::cedar::generate::Knobs;
use tamis_tests::cedar::ours;
use tamis_tests::cedar::search::{Found, search};

/// Compares our decisions with Cedar's on random cases.
#[derive(Parser)]
struct Options {
    /// How many cases to compare.
    #[arg(long, default_value_t = 100_000)]
    cases: u64,
    /// The seed of the first case; the next case has the next seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many threads to use [default: as many as there are cores].
    #[arg(long)]
    threads: Option<usize>,
    /// Only cases with a schema, or only cases without one [default: half of each].
    #[arg(long)]
    schema: Option<bool>,
    /// How many of a hundred expressions have another type than their place asks for.
    #[arg(long, default_value_t = 2)]
    ill_typed: u32,
    /// How many of a hundred requests are for no action of the case [default: 8 with a schema, 12 without].
    #[arg(long)]
    stray_requests: Option<u32>,
    /// Do not write the case that differs to the corpus.
    #[arg(long)]
    discard: bool,
}

impl Options {
    fn knobs(&self, seed: u64) -> Knobs {
        let knobs = match self.schema {
            Some(true) => Knobs::WITH_SCHEMA,
            Some(false) => Knobs::WITHOUT_SCHEMA,
            None => Knobs::alternating(seed),
        };
        let stray_requests = self.stray_requests.unwrap_or(knobs.stray_requests);
        Knobs { ill_typed: self.ill_typed, stray_requests, ..knobs }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let threads = options.threads.unwrap_or_else(|| available_parallelism().map_or(1, usize::from));
    let bar = ProgressBar::new(options.cases).with_style(
        ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} cases, {per_sec}, {eta} left")
            .expect("a valid template"),
    );
    // While a case that panics is made small there would be hundreds of messages.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !is_in_ours() {
            usual(panic);
        }
    }));
    let start = Instant::now();
    let seeds = options.seed..options.seed.saturating_add(options.cases);
    let (tally, found) = search(seeds, threads, |seed| options.knobs(seed), ours::decide, || bar.inc(1));
    bar.finish_and_clear();
    println!("{tally}");
    println!(
        "cases/s    {:>10.0}   on {threads} threads",
        tally.cases as f64 / start.elapsed().as_secs_f64()
    );
    match found {
        None => ExitCode::SUCCESS,
        Some(found) => {
            report(&found, !options.discard);
            ExitCode::FAILURE
        }
    }
}

fn report(found: &Found, keep: bool) {
    println!("\nseed {} differs:\n{}", found.seed, found.difference);
    if keep {
        match found.difference.case.keep(&format!("seed-{}", found.seed)) {
            Ok(path) => println!("kept as {}", path.display()),
            Err(error) => println!("not kept: {error}"),
        }
    }
}
