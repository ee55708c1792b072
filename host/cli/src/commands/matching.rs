//! `tamis match`: which chunks a filter matches, by the reference evaluator.

use anyhow::Result;
use serde_json::Value as Json;
use tamis_core::Chunk;

use crate::args::MatchArgs;
use crate::exit::Outcome;
use crate::input::{self, Lines};
use crate::output;

pub(crate) fn run(args: &MatchArgs) -> Result<Outcome> {
    let filter = input::filter(&args.filter)?;
    let mut lines = Lines::open(args.chunks.chunks.as_ref())?;
    let (mut matched, mut total, mut unreadable) = (0_usize, 0_usize, 0_usize);
    while let Some(line) = lines.next(Chunk::from_json)? {
        total += 1;
        match line.parsed {
            Ok(chunk) if filter.matches(&chunk) => {
                matched += 1;
                output::line(&one_line(chunk.uid.id))?;
            }
            Ok(_) => {}
            Err(error) => {
                unreadable += 1;
                output::note!("{}:{}: {}", lines.name, line.number, output::printable(&error.to_string()));
            }
        }
    }
    output::note!("{matched} of {total} match");
    Ok(if unreadable == 0 { Outcome::Done } else { Outcome::PartlyUnreadable })
}

/// An id as it is; as a JSON string where its line could be taken for several, or for such a string.
fn one_line(id: String) -> String {
    if id.starts_with('"') || id.contains(char::is_control) { Json::String(id).to_string() } else { id }
}
