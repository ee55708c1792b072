//! `tamis eval`: whole questions, one per line.

use anyhow::{Context, Result};
use serde_json::json;
use tamis_core::request::KnownEntities;
use tamis_core::{Decision, Request};

use crate::args::EvalArgs;
use crate::exit::Outcome;
use crate::input::{self, Lines};
use crate::output;
use crate::source::Validation;

pub(crate) fn run(args: &EvalArgs) -> Result<Outcome> {
    // Whoever asks what Cedar decides wants to know it of policies and questions that do not conform as well.
    let generation = input::policy_with(&args.policy, Validation::NotOfQuestions)?.current();
    let known = match &args.entities {
        None => KnownEntities::default(),
        Some(path) => {
            KnownEntities::from_json(&input::text(path)?).with_context(|| path.display().to_string())?
        }
    };
    let mut lines = Lines::open(args.requests.as_ref())?;
    let (mut allowed, mut denied, mut failed) = (0_usize, 0_usize, 0_usize);
    while let Some(line) = lines.next(|text| Request::evaluation_from_json(text, &known))? {
        let decided = line.parsed.map_err(anyhow::Error::from).and_then(|(request, chunk)| {
            let mut decisions = generation.policy().explain(&request, std::slice::from_ref(&chunk))?;
            Ok(decisions.pop().unwrap_or_default())
        });
        let decision = decided.unwrap_or_else(|error| {
            failed += 1;
            output::note!("{}:{}: {}", lines.name, line.number, output::printable(&format!("{error:#}")));
            Decision::default()
        });
        if decision.allow {
            allowed += 1;
        } else {
            denied += 1;
        }
        let word = if decision.allow { "allow" } else { "deny" };
        let errors: std::collections::BTreeSet<&str> =
            decision.errors.iter().map(|error| error.policy.as_str()).collect();
        output::json_line(&json!({"decision": word, "reasons": decision.reasons, "errors": errors}))?;
    }
    output::note!("{allowed} allowed, {denied} denied, {failed} of them for errors");
    Ok(match (failed, allowed + denied, denied) {
        (0, 1, 1) => Outcome::Denied,
        (0, ..) => Outcome::Done,
        _ => Outcome::PartlyUnreadable,
    })
}
