//! `tamis index`: store chunks, through the admit gate.

use anyhow::Result;
use serde_json::json;
use tamis_retrieve::Store;

use crate::args::IndexArgs;
use crate::exit::Outcome;
use crate::input::{self, Lines};
use crate::output::{self, progress};

pub(crate) fn run(args: &IndexArgs) -> Result<Outcome> {
    let handle = input::policy(&args.policy)?;
    let request = input::request(&args.request)?;
    let mut unreadable = 0_usize;
    let mut lines = Lines::open(args.chunks.chunks.as_ref())?;
    let chunks = lines.all_chunks(|message| {
        unreadable += 1;
        output::note!("{message}");
    })?;
    let mut store = Store::create(&args.db)?;
    let bar = progress("indexing", chunks.len());
    let report =
        tamis_retrieve::index(&mut store, &handle, &request, chunks, |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    for rejected in &report.rejected {
        output::json_line(&json!({"id": rejected.id, "rejected": rejected.reasons}))?;
    }
    output::note!("{} stored, {} rejected, {unreadable} unreadable", report.stored, report.rejected.len());
    Ok(if unreadable == 0 { Outcome::Done } else { Outcome::PartlyUnreadable })
}
