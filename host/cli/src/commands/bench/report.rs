//! Printing a run: a table for people, one line of JSON for machines.

use anyhow::Result;
use serde_json::{Value as Json, json};

use super::compare::{Change, Verdict};
use super::record::{Record, Row};
use crate::args::Format;
use crate::output;

/// Prints a run, with what changed if it is compared with another.
pub(super) fn print(
    format: Format,
    record: &Record,
    changes: Option<&[Change]>,
    verdicts: &[Verdict],
) -> Result<()> {
    match format {
        Format::Json => machines(record, changes, verdicts)?,
        Format::Text => people(record, changes)?,
    }
    for verdict in verdicts {
        output::note!("too slow: {verdict}");
    }
    Ok(())
}

fn machines(record: &Record, changes: Option<&[Change]>, verdicts: &[Verdict]) -> Result<()> {
    let mut json = serde_json::to_value(record)?;
    if let (Some(object), Some(changes)) = (json.as_object_mut(), changes) {
        let change = |change: &Change| {
            json!({
                "name": change.name,
                "before_p50_ns": change.before_ns,
                "time_percent": change.time,
                "noise": change.noise,
                "instructions_percent": change.instructions,
            })
        };
        object.insert("compared".to_owned(), changes.iter().map(change).collect::<Vec<Json>>().into());
    }
    if let Some(object) = json.as_object_mut() {
        object.insert("too_slow".to_owned(), verdicts.into());
    }
    output::json_line(&json)
}

fn people(record: &Record, changes: Option<&[Change]>) -> Result<()> {
    output::line(&format!("{}  {}", output::bold(&record.policy), record.digest))?;
    output::line(&format!("  {} chunks, {} of them allowed\n", record.chunks, record.allowed))?;
    let mut header = vec!["", "p50", "p99", "instructions", "per"];
    if changes.is_some() {
        header.extend(["earlier", "time", "instructions"]);
    }
    let mut table = output::Table::new(header);
    for row in &record.measured {
        let mut cells = cells(row);
        if let Some(changes) = changes {
            let change = changes.iter().find(|change| change.name == row.name);
            cells.extend(change.map_or(["new", "", ""].map(str::to_owned), changed));
        }
        table.row(cells);
    }
    output::line(&table.text())?;
    if let Some(bytes) = record.peak_memory_bytes {
        output::line(&format!(
            "\n  peak memory of this process: {:.1} MiB",
            bytes as f64 / f64::from(1 << 20)
        ))?;
    }
    Ok(())
}

fn cells(row: &Row) -> Vec<String> {
    let instructions = row.instructions.map_or_else(|| "-".to_owned(), |count| format!("{count:.0}"));
    vec![row.name.clone(), time(row.p50_ns), time(row.p99_ns), instructions, row.per.clone()]
}

fn changed(change: &Change) -> [String; 3] {
    let percent = |percent: f64| format!("{percent:+.1} %");
    let said = percent(change.time) + if change.noise { " (noise)" } else { "" };
    let instructions = change.instructions.map_or_else(|| "-".to_owned(), percent);
    [time(change.before_ns), said, instructions]
}

/// Nanoseconds for people.
pub(crate) fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{:.1} µs", ns / 1e3),
        ns => format!("{:.1} ms", ns / 1e6),
    }
}
