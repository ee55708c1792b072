//! `tamis bench`: what a policy costs per chunk, on the user's own policy and data.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value as Json, json};
use tamis_core::{Chunk, Query, Request, request};
use tamis_runtime::{Policy, Runtime, RuntimeConfig};

use crate::args::{BenchArgs, Format, PolicyArgs};
use crate::exit::Outcome;
use crate::input::{self, Lines};
use crate::output;
use crate::source::{self, Validation};

/// Batch sizes that are measured unless one is asked for.
const BATCHES: [u32; 4] = [1, 10, 100, 1000];
/// Each measurement goes on for about this long.
const TIME: Duration = Duration::from_millis(700);
/// And for at least this many samples, so that a 99th percentile means something.
const MIN_SAMPLES: usize = 200;

/// Nanoseconds, sorted.
struct Samples(Vec<f64>);

impl Samples {
    /// Calls `sample` until there is enough. It returns how many units of work it did; the first call warms up.
    fn take(mut sample: impl FnMut() -> Result<usize>) -> Result<Self> {
        sample()?;
        let begun = Instant::now();
        let mut samples = Vec::new();
        while samples.len() < MIN_SAMPLES || begun.elapsed() < TIME {
            let start = Instant::now();
            let units = sample()?.max(1);
            samples.push(start.elapsed().as_secs_f64() * 1e9 / units as f64);
            // A slow policy gets fewer samples rather than minutes.
            if begun.elapsed() > TIME * 10 {
                break;
            }
        }
        samples.sort_by(f64::total_cmp);
        Ok(Self(samples))
    }

    fn percentile(&self, percent: usize) -> f64 {
        let position = (self.0.len().saturating_sub(1)) * percent / 100;
        self.0.get(position).copied().unwrap_or(f64::NAN)
    }
}

pub(crate) fn run(args: &BenchArgs) -> Result<Outcome> {
    let PolicyArgs { policy, schema, .. } = &args.asked.policy;
    let bytes = source::component(policy, schema.as_ref(), Validation::Required)?;
    let limits = input::limits(&args.asked.policy.host);
    let runtime = Runtime::new(RuntimeConfig::default())?;
    let policy = Policy::load(&runtime, &bytes, &limits)?;
    let request = input::request(&args.asked.request)?;
    let mut unreadable = 0_usize;
    let chunks = Lines::open(args.chunks.chunks.as_ref())?.all_chunks(|message| {
        unreadable += 1;
        eprintln!("{message}");
    })?;
    if chunks.is_empty() {
        bail!("there are no chunks to measure with");
    }
    let allowed = policy.filter(&request, &chunks)?.iter().filter(|decision| decision.allow).count();
    let mut rows = Vec::new();
    for batch in args.batch.map_or(BATCHES.to_vec(), |batch| vec![batch]) {
        rows.push((
            format!("filter, batches of {batch}"),
            "chunk",
            filter(&policy, &request, &chunks, batch as usize)?,
        ));
    }
    rows.push((
        "first chunk of a new request".to_owned(),
        "call",
        Samples::take(|| Ok(policy.filter(&request, chunks.get(..1).unwrap_or_default())?.len()))?,
    ));
    let query = |k| Query { collection: String::new(), k };
    let mut k = 0;
    let anew = Samples::take(|| {
        k += 1;
        policy.rewrite(&request, &query(k)).map(|_| 1).map_err(Into::into)
    });
    rows.push(("rewrite, new request".to_owned(), "call", anew?));
    let again = Samples::take(|| policy.rewrite(&request, &query(1)).map(|_| 1).map_err(Into::into));
    rows.push(("rewrite, asked before".to_owned(), "call", again?));
    rows.push(("load, compiled anew".to_owned(), "call", load(&runtime, &bytes, &limits)?));
    report(args.format, &policy, &chunks, allowed, &rows)?;
    Ok(if unreadable == 0 { Outcome::Done } else { Outcome::PartlyUnreadable })
}

/// One request, prepared once; `batch` chunks a call.
fn filter(policy: &Policy, request: &Request, chunks: &[Chunk], batch: usize) -> Result<Samples> {
    let request = request.clone().with_action(request::RETRIEVE);
    let mut session = policy.session(&request)?;
    let chunks: Vec<Chunk> = chunks.iter().cycle().take(chunks.len().max(batch)).cloned().collect();
    let mut windows = chunks.chunks_exact(batch).cycle();
    Samples::take(|| Ok(session.filter(windows.next().unwrap_or_default())?.len()))
}

fn load(runtime: &Runtime, bytes: &[u8], limits: &tamis_runtime::Limits) -> Result<Samples> {
    let mut samples = Vec::new();
    for _ in 0..10 {
        let start = Instant::now();
        Policy::load(runtime, bytes, limits)?;
        samples.push(start.elapsed().as_secs_f64() * 1e9);
    }
    samples.sort_by(f64::total_cmp);
    Ok(Samples(samples))
}

fn report(
    format: Format,
    policy: &Policy,
    chunks: &[Chunk],
    allowed: usize,
    rows: &[(String, &str, Samples)],
) -> Result<()> {
    let memory = peak_memory();
    if format == Format::Json {
        let measured = rows.iter().map(|(name, unit, samples)| {
            let (p50, p99) = (samples.percentile(50), samples.percentile(99));
            json!({"name": name, "per": unit, "p50_ns": p50, "p99_ns": p99, "samples": samples.0.len()})
        });
        return output::json_line(&json!({
            "version": 1,
            "policy": policy.manifest().name,
            "digest": policy.digest().to_string(),
            "chunks": chunks.len(),
            "allowed": allowed,
            "measured": measured.collect::<Vec<Json>>(),
            "peak_memory_bytes": memory,
        }));
    }
    output::line(&format!("{}  {}", output::bold(&policy.manifest().name), policy.digest()))?;
    output::line(&format!("  {} chunks, {allowed} of them allowed\n", chunks.len()))?;
    let mut table = output::Table::new(["", "p50", "p99", "per"]);
    for (name, unit, samples) in rows {
        table.row([
            name.clone(),
            time(samples.percentile(50)),
            time(samples.percentile(99)),
            (*unit).to_owned(),
        ]);
    }
    output::line(&table.text())?;
    if let Some(bytes) = memory {
        output::line(&format!(
            "\n  peak memory of this process: {:.1} MiB",
            bytes as f64 / f64::from(1 << 20)
        ))?;
    }
    Ok(())
}

/// Nanoseconds for people.
pub(crate) fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{:.1} µs", ns / 1e3),
        ns => format!("{:.1} ms", ns / 1e6),
    }
}

/// The most memory that this process ever had resident, where the system says so.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}
