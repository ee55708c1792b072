//! How much of the store a filter can match: what the index of terms says, or else a sample.

use super::{View, terms};
use crate::error::Error;

/// One row of so many is little: to fetch more of them one by one takes as long as to go through all.
const LITTLE: usize = 10;
/// How many rows are tested to see how much a filter matches.
const SAMPLE: i64 = 64;
/// So many rows are tested in less time than it takes to find out whether that is needed.
const SMALL: i64 = 1_000;
/// Of all rows so many are ranked for a filter to be tested on. To rank more takes longer than to find out first what it matches.
const MAX_GUESS: usize = 256;

/// Rows among which all are that the filter matches, in order; `None` if it may match much, or says nothing that can be looked up.
pub(super) fn covered(view: &View<'_>) -> Result<Option<Vec<i64>>, Error> {
    let Some(cover) = view.condition.as_ref().and_then(|condition| condition.cover.as_ref()) else {
        return Ok(None);
    };
    let most = little(view);
    let rows = view.sqlite(terms::rows(&view.snapshot, cover, most))?;
    if let Some(rows) = &rows {
        tracing::debug!(way = "terms", rows = rows.len(), most, "what can match was looked up");
    }
    Ok(rows)
}

/// Of how many rows so many are likely to match as are `wanted`; `None` if these would be too many.
pub(super) fn guess(view: &View<'_>, wanted: usize) -> Result<Option<usize>, Error> {
    if view.condition.is_none() || view.rows <= SMALL {
        return Ok(None);
    }
    let sample: Vec<i64> = (1..=SAMPLE).map(|part| view.rows * part / SAMPLE).collect();
    let matching = view.matching(Some(&sample))?.len();
    // Half as many again, as what is near may match less often.
    let count = wanted.saturating_mul(sample.len() * 3).checked_div(matching * 2);
    let count = count.filter(|count| *count <= MAX_GUESS);
    if let Some(count) = count {
        tracing::debug!(way = "sample", matching, rows = count, "the nearest rows are tested");
    }
    Ok(count)
}

/// Whether so many rows are little of all.
pub(super) fn is_little(view: &View<'_>, rows: usize) -> bool {
    rows <= little(view)
}

fn little(view: &View<'_>) -> usize {
    usize::try_from(view.rows).unwrap_or(0) / LITTLE
}
