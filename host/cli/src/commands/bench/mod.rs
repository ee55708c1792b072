//! `tamis bench`: what a policy costs per chunk, on the user's own policy and data, and whether that is more than it was.

mod compare;
mod measure;
mod record;
mod report;

pub(crate) use report::time;

use std::time::Duration;

use anyhow::{Result, bail};
use tamis_runtime::{Policy, Runtime, RuntimeConfig};

use self::measure::Subject;
use self::record::Record;
use crate::args::{BenchArgs, PolicyArgs};
use crate::exit::Outcome;
use crate::input::{self, Lines};
use crate::output;
use crate::source::{self, Validation};

/// Batch sizes that are measured unless one is asked for.
const BATCHES: [u32; 4] = [1, 10, 100, 1000];

pub(crate) fn run(args: &BenchArgs) -> Result<Outcome> {
    let batches = args.batch.map_or(BATCHES.to_vec(), |batch| vec![batch]);
    // Before anything takes time.
    let earlier = earlier(args, &batches)?;
    let PolicyArgs { policy, schema, host } = &args.asked.policy;
    let bytes = source::component(policy, schema.as_ref(), Validation::Required)?;
    let limits = input::limits(host);
    let request = input::request(&args.asked.request)?;
    let mut unreadable = 0_usize;
    let chunks = Lines::open(args.chunks.chunks.as_ref())?.all_chunks(|message| {
        unreadable += 1;
        output::note!("{message}");
    })?;
    if chunks.is_empty() {
        bail!("there are no chunks to measure with");
    }
    let runtime = Runtime::new(RuntimeConfig::default())?;
    let subject = Subject {
        policy: Policy::load(&runtime, &bytes, &limits)?,
        counting: Policy::load(&Runtime::new(RuntimeConfig { fuel: true, cache: None })?, &bytes, &limits)?,
        runtime,
        bytes,
        request,
        chunks,
        time: Duration::from_secs_f64(args.seconds),
    };
    let record = Record::of(&subject, measure::all(&subject, &batches)?)?;
    let changes = earlier.as_ref().map(|earlier| compare::changes(earlier, &record));
    let verdicts = compare::judge(args, &record, changes.as_deref().unwrap_or_default());
    report::print(args.format, &record, changes.as_deref(), &verdicts)?;
    if let Some(path) = &args.save {
        output::replace_file(path, format!("{}\n", serde_json::to_string(&record)?).as_bytes())?;
    }
    Ok(match unreadable {
        _ if !verdicts.is_empty() => Outcome::TestFailed,
        0 => Outcome::Done,
        _ => Outcome::PartlyUnreadable,
    })
}

/// The run to compare with. A file that this run will write need not be there yet.
fn earlier(args: &BenchArgs, batches: &[u32]) -> Result<Option<Record>> {
    let Some(path) = &args.compare else { return Ok(None) };
    if args.save.as_ref() == Some(path) && !path.try_exists()? {
        output::note!("{}: nothing to compare with yet", path.display());
        return Ok(None);
    }
    let earlier = Record::read(path)?;
    // What is not compared would pass for what is fast enough.
    if args.fail_over.is_some() && !earlier.has_batches(batches) {
        bail!("{}: it was measured with other batches: ask for the same --batch", path.display());
    }
    Ok(Some(earlier))
}
