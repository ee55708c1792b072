//! Taking times and counting instructions.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tamis_core::{Chunk, Query, Request, request};
use tamis_runtime::{Policy, Runtime, Session};

use crate::output;

/// Each measurement has at least this many samples, so that a 99th percentile means something.
const MIN_SAMPLES: usize = 200;
/// A slow policy gets fewer samples rather than more time than this, or ten times what was asked for.
const SLOW: Duration = Duration::from_secs(7);
/// A policy takes so long to load that fewer samples must do.
const LOADS: usize = 10;
/// Instructions are the same every time, so that they are counted over this many chunks at most.
const COUNTED: usize = 10_000;

/// What is measured.
pub(super) struct Subject {
    pub(super) policy: Policy,
    /// The same policy, compiled so that it counts instructions.
    pub(super) counting: Policy,
    pub(super) runtime: Runtime,
    pub(super) bytes: Vec<u8>,
    pub(super) request: Request,
    pub(super) chunks: Vec<Chunk>,
    /// Each measurement goes on for about this long.
    pub(super) time: Duration,
}

/// One line of the result.
pub(super) struct Measured {
    pub(super) name: String,
    /// What one unit of work is.
    pub(super) per: &'static str,
    /// How many of them one call does.
    pub(super) batch: Option<u32>,
    pub(super) samples: Samples,
    /// What the policy runs for each unit.
    pub(super) instructions: Option<f64>,
}

/// Nanoseconds, sorted.
pub(super) struct Samples(Vec<f64>);

impl Samples {
    /// Calls `sample` until there is enough. It returns how many units of work it did; the first call warms up.
    fn take(time: Duration, mut sample: impl FnMut() -> Result<usize>) -> Result<Self> {
        Self::timed(time, || {
            let start = Instant::now();
            let units = sample()?;
            Ok((start.elapsed(), units))
        })
    }

    /// As [`Self::take`], of what says itself how long it took.
    fn timed(time: Duration, mut sample: impl FnMut() -> Result<(Duration, usize)>) -> Result<Self> {
        sample()?;
        let begun = Instant::now();
        let mut samples = Vec::new();
        while samples.len() < MIN_SAMPLES || begun.elapsed() < time {
            let (took, units) = sample()?;
            samples.push(took.as_secs_f64() * 1e9 / units.max(1) as f64);
            if begun.elapsed() > SLOW.max(time * 10) {
                break;
            }
        }
        Ok(Self::of(samples))
    }

    fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        Self(samples)
    }

    pub(super) fn percentile(&self, percent: usize) -> f64 {
        let position = (self.0.len().saturating_sub(1)) * percent / 100;
        self.0.get(position).copied().unwrap_or(f64::NAN)
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

/// How a line is measured that needs no more than the subject.
type Measure = fn(&Subject) -> Result<Measured>;

/// Everything, with a bar on a terminal.
pub(super) fn all(subject: &Subject, batches: &[u32]) -> Result<Vec<Measured>> {
    let progress = output::progress("measuring", batches.len() + 4);
    let mut measured = Vec::new();
    for batch in batches {
        measured.push(filter(subject, *batch).with_context(|| format!("a batch of {batch} chunks"))?);
        progress.inc(1);
    }
    let calls: [(&str, Measure); 4] = [
        ("the first chunk of a request", first_chunk),
        ("a rewrite", rewrite_anew),
        ("a rewrite that was asked before", rewrite_again),
        ("loading the policy", load),
    ];
    for (what, measure) in calls {
        measured.push(measure(subject).context(what)?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(measured)
}

/// One request, prepared once; `batch` chunks a call. A session knows the chunks that it was asked about, so that each time round there is a
/// new one.
fn filter(subject: &Subject, batch: u32) -> Result<Measured> {
    let size = batch as usize;
    let request = subject.request.clone().with_action(request::RETRIEVE);
    let count = subject.chunks.len().max(size);
    let chunks: Vec<Chunk> = subject.chunks.iter().cycle().take(count).cloned().collect();
    let prepared = || {
        let mut session = subject.policy.session(&request);
        session.filter(chunks.get(..1).unwrap_or_default())?;
        anyhow::Ok(session)
    };
    let (mut session, mut windows) = (prepared()?, chunks.chunks_exact(size));
    let samples = Samples::timed(subject.time, || {
        let window = match windows.next() {
            Some(window) => window,
            None => {
                (session, windows) = (prepared()?, chunks.chunks_exact(size));
                windows.next().unwrap_or_default()
            }
        };
        let start = Instant::now();
        let units = session.filter(window)?.len();
        Ok((start.elapsed(), units))
    })?;
    let (mut instructions, mut units) = (0, 0);
    let mut session = subject.counting.session(&request);
    for window in chunks.chunks_exact(size).take(COUNTED.div_ceil(size)) {
        instructions += deciding(&subject.counting, &mut session, window)?;
        units += window.len();
    }
    Ok(Measured {
        name: format!("filter, batches of {batch}"),
        per: "chunk",
        batch: Some(batch),
        samples,
        instructions: Some(instructions as f64 / units.max(1) as f64),
    })
}

/// What the policy runs to decide on chunks of which it was told all values before.
fn deciding(policy: &Policy, session: &mut Session, chunks: &[Chunk]) -> Result<u64> {
    if policy.has_batch() {
        // These are asked about in every call.
        let coded = policy.code(chunks)?;
        session.filter_coded(&coded)?;
        session.filter_coded(&coded)?;
    } else {
        session.filter(chunks)?;
    }
    Ok(session.instructions().unwrap_or_default())
}

fn call(name: &str, samples: Samples, instructions: Option<u64>) -> Measured {
    let instructions = instructions.map(|instructions| instructions as f64);
    Measured { name: name.to_owned(), per: "call", batch: None, samples, instructions }
}

fn first_chunk(subject: &Subject) -> Result<Measured> {
    let Subject { policy, counting, request, chunks, .. } = subject;
    let chunk = chunks.get(..1).unwrap_or_default();
    let samples = Samples::take(subject.time, || Ok(policy.filter(request, chunk)?.len()))?;
    let mut session = counting.session(request);
    session.filter(chunk)?;
    Ok(call("first chunk of a new request", samples, session.instructions()))
}

fn query(k: u32) -> Query {
    Query { collection: String::new(), k }
}

fn rewrite_anew(subject: &Subject) -> Result<Measured> {
    let Subject { policy, counting, request, .. } = subject;
    // What was asked before is remembered: each asks for another k.
    let mut k = 0;
    let samples = Samples::take(subject.time, || {
        k += 1;
        Ok(policy.rewrite(request, &query(k)).map(|_| 1)?)
    })?;
    let mut session = counting.session(request);
    session.rewrite(&query(1))?;
    Ok(call("rewrite, new request", samples, session.instructions()))
}

fn rewrite_again(subject: &Subject) -> Result<Measured> {
    let Subject { policy, request, .. } = subject;
    let samples = Samples::take(subject.time, || Ok(policy.rewrite(request, &query(1)).map(|_| 1)?))?;
    // The policy is not asked.
    Ok(call("rewrite, asked before", samples, None))
}

fn load(subject: &Subject) -> Result<Measured> {
    let mut samples = Vec::new();
    for _ in 0..LOADS {
        let start = Instant::now();
        Policy::load(&subject.runtime, &subject.bytes, subject.policy.limits())?;
        samples.push(start.elapsed().as_secs_f64() * 1e9);
    }
    Ok(call("load, compiled anew", Samples::of(samples), None))
}
