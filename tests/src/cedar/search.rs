//! Looks through many seeds for a case that is not decided as by Cedar.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::case::Case;
use super::coverage::Tally;
use super::differ::{Difference, differ};
use super::draft::Draft;
use super::generate::{self, Knobs};
use super::oracle::{Explained, Verdict};
use super::shrink::shrink;

/// A difference, as small as it could be made.
#[derive(Clone, Debug)]
pub struct Found {
    /// The seed of the case that it was found in.
    pub seed: u64,
    /// The small case.
    pub draft: Draft,
    /// The difference in the small case.
    pub difference: Difference,
}

/// What a thread may put on its stack: Cedar refuses to evaluate with less than a megabyte left.
const STACK: usize = 16 << 20;

/// The case of a seed and Cedar's verdicts on it.
///
/// # Errors
///
/// The difference, if there is one.
pub fn check(
    seed: u64,
    knobs: &Knobs,
    ours: impl Fn(&Case) -> Result<Vec<Verdict>, String>,
) -> Result<(Draft, Vec<Explained>), Box<Found>> {
    let draft = generate::draft(seed, knobs);
    match differ(&draft.case(), &ours) {
        Ok(verdicts) => Ok((draft, verdicts)),
        Err(_) => {
            let draft = shrink(draft, |smaller| differ(&smaller.case(), &ours).is_err());
            let difference = differ(&draft.case(), &ours).expect_err("only cases with one are kept");
            Err(Box::new(Found { seed, draft, difference: *difference }))
        }
    }
}

/// Checks the seeds on several threads until one shows a difference, and tells `progress` after each.
pub fn search(
    seeds: Range<u64>,
    threads: usize,
    knobs: impl Fn(u64) -> Knobs + Sync,
    ours: impl Fn(&Case) -> Result<Vec<Verdict>, String> + Sync,
    progress: impl Fn() + Sync,
) -> (Tally, Option<Found>) {
    let next = AtomicU64::new(seeds.start);
    let stop = AtomicBool::new(false);
    let total = Mutex::new((Tally::default(), None::<Found>));
    let work = || {
        let mut tally = Tally::default();
        let mut found = None;
        while !stop.load(Ordering::Relaxed) && found.is_none() {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            match check(seed, &knobs(seed), &ours) {
                Ok((draft, verdicts)) => tally.add(&draft, &verdicts),
                Err(difference) => {
                    stop.store(true, Ordering::Relaxed);
                    found = Some(*difference);
                }
            }
            progress();
        }
        let mut total = total.lock().expect("no thread panics");
        total.0.merge(tally);
        total.1 = total.1.take().or(found);
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let thread = std::thread::Builder::new().stack_size(STACK);
            thread.spawn_scoped(scope, work).expect("a thread can be started");
        }
    });
    total.into_inner().expect("no thread panics")
}
