//! Cedar policies against Cedar itself: every decision, with its reasons and errors, is the same on both sides.
//!
//! `cargo run --release -p tamis-tests --example cedar_differential` does the same for as long as one likes.

use tamis_tests::cedar::differ::differ;
use tamis_tests::cedar::generate::{self, Knobs};
use tamis_tests::cedar::ours;

/// Cases per run: a few seconds without optimisation.
const CASES: u64 = 1_000;

#[test]
fn random_cases_are_decided_as_by_cedar() {
    for seed in 0..CASES {
        let draft = generate::draft(seed, &Knobs::alternating(seed));
        if let Err(difference) = differ(&draft.case(), ours::decide) {
            panic!("seed {seed}:\n{difference}");
        }
    }
}
