//! `tamis filter`: which chunks a request may read.

use anyhow::Result;
use serde_json::{Value as Json, json};
use tamis_core::{Chunk, Decision};

use crate::args::{FilterArgs, Format};
use crate::exit::Outcome;
use crate::input::{self, Line, Lines};
use crate::output;

/// Chunks per gate call.
const BATCH: usize = 256;

pub(crate) fn run(args: &FilterArgs) -> Result<Outcome> {
    let generation = input::policy(&args.asked.policy)?.current();
    let request = input::request(&args.asked.request)?;
    let mut session = generation.policy().session(&request);
    let mut lines = Lines::open(args.chunks.chunks.as_ref())?;
    let mut counts = Counts::default();
    loop {
        let batch = lines.chunks(BATCH)?;
        if batch.is_empty() {
            break;
        }
        let chunks: Vec<Chunk> = batch.iter().filter_map(|line| line.parsed.as_ref().ok()).cloned().collect();
        let decisions = if args.explain { session.explain(&chunks) } else { session.filter(&chunks) };
        let mut decisions = decisions?.into_iter();
        for line in batch {
            // Unreadable lines have no decision; a readable one without would be denied.
            let decision = line.parsed.is_ok().then(|| decisions.next().unwrap_or_default());
            write(args, &lines.name, line, decision, &mut counts)?;
        }
    }
    counts.report(args.format);
    Ok(if counts.unreadable == 0 { Outcome::Done } else { Outcome::PartlyUnreadable })
}

#[derive(Default)]
struct Counts {
    allowed: usize,
    denied: usize,
    unreadable: usize,
}

impl Counts {
    fn report(&self, format: Format) {
        let Self { allowed, denied, unreadable } = self;
        match format {
            Format::Json => {
                output::note!("{}", json!({"allowed": allowed, "denied": denied, "unreadable": unreadable}))
            }
            Format::Text if *unreadable == 0 => output::note!("{allowed} allowed, {denied} denied"),
            Format::Text => {
                output::note!("{allowed} allowed, {denied} denied, {unreadable} unreadable and so denied")
            }
        }
    }
}

fn write(
    args: &FilterArgs,
    name: &str,
    line: Line<Chunk>,
    decision: Option<Decision>,
    counts: &mut Counts,
) -> Result<()> {
    match (line.parsed, decision) {
        (Ok(chunk), Some(decision)) => {
            if decision.allow {
                counts.allowed += 1;
            } else {
                counts.denied += 1;
            }
            if args.explain {
                output::json_line(&explanation(&chunk, &decision))?;
            } else if decision.allow {
                output::line(&allowed_line(&line.text, chunk, &decision))?;
            }
        }
        (Err(error), _) => {
            counts.unreadable += 1;
            output::note!("{name}:{}: {}", line.number, output::printable(&error.to_string()));
            if args.explain {
                let errors = [error.to_string()];
                let place = line.number;
                output::json_line(
                    &json!({"id": null, "line": place, "decision": "deny", "reasons": [], "errors": errors}),
                )?;
            }
        }
        (Ok(_), None) => {}
    }
    Ok(())
}

/// `{"id","decision","reasons","errors"}`: each error with the rule that failed and why.
fn explanation(chunk: &Chunk, decision: &Decision) -> Json {
    let errors: Vec<Json> = decision
        .errors
        .iter()
        .map(|error| json!({"policy": error.policy, "message": error.message}))
        .collect();
    let word = if decision.allow { "allow" } else { "deny" };
    json!({"id": chunk.uid.id, "decision": word, "reasons": decision.reasons, "errors": errors})
}

/// The line as it was, less what the decision redacts.
fn allowed_line(text: &str, mut chunk: Chunk, decision: &Decision) -> String {
    let redaction = &decision.redaction;
    if redaction.attributes.is_empty() && !redaction.text {
        return text.to_owned();
    }
    chunk.redact(redaction);
    // It was read from this text, so it is an object.
    let mut json = serde_json::from_str::<Json>(text).unwrap_or_default();
    if let Some(object) = json.as_object_mut() {
        object.insert("attributes".to_owned(), Json::Object(chunk.attributes));
        if redaction.text {
            object.remove("text");
        }
    }
    json.to_string()
}
