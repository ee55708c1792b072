//! One run as it is printed for machines, saved, and compared with later.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::measure::{Measured, Subject};
use crate::input;

/// Of the form below. Fields may be added; if one changes its meaning, this does.
const VERSION: u32 = 1;

/// One run.
#[derive(Deserialize, Serialize)]
pub(super) struct Record {
    version: u32,
    pub(super) policy: String,
    pub(super) digest: String,
    pub(super) chunks: usize,
    pub(super) allowed: usize,
    pub(super) measured: Vec<Row>,
    /// Of the process that measured; `null` where the system does not say.
    pub(super) peak_memory_bytes: Option<u64>,
}

/// One line of it.
#[derive(Deserialize, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    /// What one unit of work is: `chunk` or `call`.
    pub(super) per: String,
    /// Chunks in a call, where that is asked.
    #[serde(default)]
    pub(super) batch: Option<u32>,
    pub(super) p25_ns: f64,
    pub(super) p50_ns: f64,
    pub(super) p75_ns: f64,
    pub(super) p99_ns: f64,
    pub(super) samples: usize,
    /// What the policy runs for each unit: the same on every machine.
    pub(super) instructions: Option<f64>,
}

impl Record {
    pub(super) fn of(subject: &Subject, measured: Vec<Measured>) -> Result<Self> {
        let Subject { policy, request, chunks, .. } = subject;
        let allowed = policy.filter(request, chunks)?.iter().filter(|decision| decision.allow).count();
        Ok(Self {
            version: VERSION,
            policy: policy.manifest().name.clone(),
            digest: policy.digest().to_string(),
            chunks: chunks.len(),
            allowed,
            measured: measured.into_iter().map(Row::of).collect(),
            peak_memory_bytes: peak_memory(),
        })
    }

    /// An earlier run.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let name = || path.display().to_string();
        let record: Self = serde_json::from_str(&input::text(path)?)
            .with_context(|| format!("{}: this is no run that `tamis bench --save` has written", name()))?;
        if record.version != VERSION {
            bail!("{}: its form is {}, and only {VERSION} can be compared with", name(), record.version);
        }
        Ok(record)
    }

    /// Whether batches of all these sizes were measured.
    pub(super) fn has_batches(&self, batches: &[u32]) -> bool {
        batches.iter().all(|batch| self.measured.iter().any(|row| row.batch == Some(*batch)))
    }

    /// The row about the largest batches.
    pub(super) fn largest(&self) -> Option<&Row> {
        self.measured.iter().filter(|row| row.batch.is_some()).max_by_key(|row| row.batch)
    }
}

impl Row {
    fn of(measured: Measured) -> Self {
        let percentile = |percent| measured.samples.percentile(percent);
        Self {
            per: measured.per.to_owned(),
            batch: measured.batch,
            p25_ns: percentile(25),
            p50_ns: percentile(50),
            p75_ns: percentile(75),
            p99_ns: percentile(99),
            samples: measured.samples.count(),
            instructions: measured.instructions,
            name: measured.name,
        }
    }
}

/// The most memory that this process ever had resident, where the system says so.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}
