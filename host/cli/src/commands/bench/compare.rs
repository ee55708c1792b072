//! Whether something takes longer than it did, or than it may.

use super::record::{Record, Row};
use crate::args::{BenchArgs, Judge};

/// One line against the same line of an earlier run.
pub(super) struct Change {
    pub(super) name: String,
    /// The median of the earlier run.
    pub(super) before_ns: f64,
    /// Percent by which the median is longer now.
    pub(super) time: f64,
    /// Whether the middle halves of both runs' samples overlap, so that nothing can be said.
    pub(super) noise: bool,
    /// Percent by which instructions are more now.
    pub(super) instructions: Option<f64>,
}

/// A limit that is exceeded, in words.
pub(super) type Verdict = String;

/// Lines that both runs have.
pub(super) fn changes(earlier: &Record, now: &Record) -> Vec<Change> {
    if (earlier.chunks, earlier.allowed) != (now.chunks, now.allowed) {
        crate::output::note!(
            "the earlier run allowed {} of {} chunks, this one {} of {}: part of a change may come from that",
            earlier.allowed,
            earlier.chunks,
            now.allowed,
            now.chunks
        );
    }
    let change = |row: &Row| {
        let before = earlier.measured.iter().find(|before| before.name == row.name)?;
        Some(Change {
            name: row.name.clone(),
            before_ns: before.p50_ns,
            time: percent(before.p50_ns, row.p50_ns),
            noise: before.p25_ns <= row.p75_ns && row.p25_ns <= before.p75_ns,
            instructions: before.instructions.zip(row.instructions).map(|(before, now)| percent(before, now)),
        })
    };
    now.measured.iter().filter_map(change).collect()
}

fn percent(before: f64, now: f64) -> f64 {
    if before == now { 0.0 } else { (now / before - 1.0) * 100.0 }
}

/// Limits of the command line that are exceeded.
pub(super) fn judge(args: &BenchArgs, now: &Record, changes: &[Change]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    if let Some(allowed) = args.fail_over {
        let judges = |what| args.judge == Judge::Both || args.judge == what;
        for change in changes {
            // What is within the noise is no regression, however large it looks.
            if judges(Judge::Time) && exceeds(change.time, allowed) && !change.noise {
                verdicts
                    .push(format!("{}: {:+.1} % of time, at most +{allowed} %", change.name, change.time));
            }
            let instructions = change.instructions.filter(|_| judges(Judge::Instructions));
            if let Some(more) = instructions.filter(|more| exceeds(*more, allowed)) {
                verdicts.push(format!("{}: {more:+.1} % instructions, at most +{allowed} %", change.name));
            }
        }
    }
    let Some(largest) = now.largest() else { return verdicts };
    if let Some(most) = args.max_ns.filter(|most| exceeds(largest.p50_ns, *most)) {
        verdicts.push(format!("{}: {:.0} ns for each chunk, at most {most}", largest.name, largest.p50_ns));
    }
    let instructions = largest.instructions.unwrap_or(f64::NAN);
    if let Some(most) = args.max_instructions.filter(|most| exceeds(instructions, *most)) {
        verdicts
            .push(format!("{}: {instructions:.0} instructions for each chunk, at most {most}", largest.name));
    }
    verdicts
}

/// Whether a number is too large. One that is none is.
fn exceeds(value: f64, most: f64) -> bool {
    value.is_nan() || value > most
}
