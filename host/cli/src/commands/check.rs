//! `tamis check`: what is wrong with policies, and what is probably not meant.

use anyhow::Result;
use serde_json::{Value as Json, json};
use tamis_compiler::{Error, Problem};

use crate::args::{CheckArgs, Format};
use crate::exit::Outcome;
use crate::output;
use crate::source::{Sources, show};

pub(crate) fn run(args: &CheckArgs) -> Result<Outcome> {
    let sources = Sources::read(&args.source, args.schema.as_ref())?;
    let problems = match tamis_compiler::check(sources.policies(), sources.schema()) {
        Ok(problems) => problems,
        Err(Error::Source(problems)) => problems.0,
        Err(other) => return Err(other.into()),
    };
    let errors = problems.iter().filter(|problem| !problem.is_warning()).count();
    let warnings = problems.len() - errors;
    match args.format {
        Format::Json => {
            let problems: Vec<Json> = problems.iter().map(to_json).collect();
            output::json_line(&json!({"errors": errors, "warnings": warnings, "problems": problems}))?;
        }
        Format::Text => {
            problems.iter().for_each(show);
            output::note!("{errors} errors, {warnings} warnings");
        }
    }
    Ok(if errors > 0 || (args.deny_warnings && warnings > 0) { Outcome::Invalid } else { Outcome::Done })
}

fn to_json(problem: &Problem) -> Json {
    let (line, column) = problem.place().unzip();
    json!({
        "severity": if problem.is_warning() { "warning" } else { "error" },
        "message": problem.to_string(),
        "help": problem.advice(),
        "file": problem.source_name(),
        "line": line,
        "column": column,
    })
}
