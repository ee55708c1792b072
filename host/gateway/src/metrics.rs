//! Figures for Prometheus. They are of the gateway as a whole, and never of a user or a chunk.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tamis_runtime::{Error, PolicyHandle};

/// Upper bounds of the buckets of the latencies, in milliseconds.
const BUCKETS: [u64; 11] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000];
/// Statuses that are told apart.
const CLASSES: [&str; 4] = ["2xx", "4xx", "401", "5xx"];

/// What was counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: [AtomicU64; CLASSES.len()],
    decisions: AtomicU64,
    denied: AtomicU64,
    rejected: AtomicU64,
    latencies: [AtomicU64; BUCKETS.len() + 1],
    milliseconds: AtomicU64,
    reload_errors: AtomicU64,
    last_error: Mutex<Option<Arc<Error>>>,
}

impl Metrics {
    /// Decisions of the filter gate.
    pub(crate) fn decided(&self, decisions: usize, denied: usize) {
        self.decisions.fetch_add(decisions as u64, Relaxed);
        self.denied.fetch_add(denied as u64, Relaxed);
    }

    /// Decisions of the admit gate.
    pub(crate) fn admitted(&self, decisions: usize, rejected: usize) {
        self.decisions.fetch_add(decisions as u64, Relaxed);
        self.rejected.fetch_add(rejected as u64, Relaxed);
    }

    /// A request that was answered.
    pub(crate) fn answered(&self, status: u16, took: Duration) {
        let class = match status {
            200..=299 => 0,
            401 => 2,
            400..=499 => 1,
            _ => 3,
        };
        if let Some(count) = self.requests.get(class) {
            count.fetch_add(1, Relaxed);
        }
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let bucket = BUCKETS.iter().position(|bound| took <= Duration::from_millis(*bound));
        if let Some(count) = self.latencies.get(bucket.unwrap_or(BUCKETS.len())) {
            count.fetch_add(1, Relaxed);
        }
        self.milliseconds.fetch_add(milliseconds, Relaxed);
    }

    /// Counts the failure of the last replacement, if it is another than before.
    pub(crate) fn look_at(&self, handle: &PolicyHandle) {
        let mut known = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        let now = handle.last_error();
        let same = match (&*known, &now) {
            (Some(known), Some(now)) => Arc::ptr_eq(known, now),
            (None, None) => true,
            _ => false,
        };
        if !same && now.is_some() {
            self.reload_errors.fetch_add(1, Relaxed);
        }
        *known = now;
    }

    /// All of it, as Prometheus reads it.
    pub(crate) fn text(&self, handle: &PolicyHandle) -> String {
        self.look_at(handle);
        let mut text = String::new();
        let generation = handle.current().number();
        family(&mut text, "tamis_requests_total", "counter", "Requests, by status");
        for (class, count) in CLASSES.iter().zip(&self.requests) {
            line(&mut text, &format!("tamis_requests_total{{status=\"{class}\"}}"), count.load(Relaxed));
        }
        for (name, help, count) in [
            ("tamis_decisions_total", "Decisions on points, at all gates", self.decisions.load(Relaxed)),
            ("tamis_denied_total", "Points that the filter gate denied", self.denied.load(Relaxed)),
            ("tamis_rejected_total", "Points that the admit gate rejected", self.rejected.load(Relaxed)),
            ("tamis_policy_reloads_total", "Policies that replaced another", generation.saturating_sub(1)),
            (
                "tamis_policy_reload_errors_total",
                "Policies that did not load",
                self.reload_errors.load(Relaxed),
            ),
        ] {
            family(&mut text, name, "counter", help);
            line(&mut text, name, count);
        }
        for (name, help, value) in [
            ("tamis_generation", "The generation that serves", generation),
            (
                "tamis_policy_stale",
                "Whether the last policy did not load",
                u64::from(handle.last_error().is_some()),
            ),
        ] {
            family(&mut text, name, "gauge", help);
            line(&mut text, name, value);
        }
        let name = "tamis_request_seconds";
        family(&mut text, name, "histogram", "How long requests took");
        let mut below = 0;
        for (place, count) in self.latencies.iter().enumerate() {
            below += count.load(Relaxed);
            let bound = BUCKETS
                .get(place)
                .map_or_else(|| "+Inf".to_owned(), |bound| (*bound as f64 / 1e3).to_string());
            line(&mut text, &format!("{name}_bucket{{le=\"{bound}\"}}"), below);
        }
        let seconds = self.milliseconds.load(Relaxed) as f64 / 1e3;
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{name}_sum {seconds}\n{name}_count {below}");
        text
    }
}

fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}.\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, value: u64) {
    let _ = writeln!(text, "{name} {value}");
}
