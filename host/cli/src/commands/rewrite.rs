//! `tamis rewrite`: the filter that narrows a search.

use anyhow::{Context, Result, anyhow};
use serde_json::{Value as Json, json};
use tamis_core::decision::path_text;
use tamis_core::{Filter, Query, Rewrite};
use tamis_dialect::{Fields, Translation};

use crate::args::RewriteArgs;
use crate::exit::Outcome;
use crate::{input, output};

pub(crate) fn run(args: &RewriteArgs) -> Result<Outcome> {
    let fields = match &args.fields {
        None => Fields::default(),
        Some(path) => Fields::from_json(&input::text(path)?).with_context(|| path.display().to_string())?,
    };
    let handle = input::policy(&args.asked.policy)?;
    let request = input::request(&args.asked.request)?;
    let query = Query { collection: args.collection.clone(), k: args.k };
    let rewrite = handle.rewrite(&request, &query)?.value;
    for error in &rewrite.errors {
        eprintln!("policy error in {}: {}", error.policy, error.message);
    }
    let translation = translate(&rewrite, &args.emit, fields)?;
    if args.explain {
        output::line(&explain(&rewrite, &args.emit, &translation))?;
        return Ok(Outcome::Done);
    }
    for left_out in &translation.widened {
        eprintln!("left to the filter gate: {left_out}");
    }
    let mut json = rewrite.to_json();
    if let Some(object) = json.as_object_mut() {
        object.insert("exact".to_owned(), json!(rewrite.exact && translation.is_exact()));
        object.insert("filter".to_owned(), translation.native);
    }
    output::json_line(&json)?;
    Ok(Outcome::Done)
}

fn translate(rewrite: &Rewrite, emit: &str, fields: Fields) -> Result<Translation<Json>> {
    if emit == "ast" {
        return Ok(Translation { native: rewrite.filter.to_json(), widened: Vec::new() });
    }
    let dialect =
        tamis_dialect::dialect(emit, fields).ok_or_else(|| anyhow!("no dialect `{emit}` is known"))?;
    Ok(dialect.emit(&rewrite.filter))
}

/// For people: what the database is asked for, and what is left to the filter gate.
fn explain(rewrite: &Rewrite, emit: &str, translation: &Translation<Json>) -> String {
    let exact = rewrite.exact && translation.is_exact();
    let mut text = match &rewrite.filter {
        Filter::Always => "The search is not narrowed.\n".to_owned(),
        Filter::Never => "Nothing can be allowed, so there is nothing to search.\n".to_owned(),
        filter => format!("The search looks only at chunks where\n  {filter}\n"),
    };
    if emit != "ast" {
        text += &format!("In {emit}:\n  {}\n", translation.native);
    }
    if exact {
        text += "The filter is exact: it matches what is allowed and nothing else. The filter gate checks all the same.\n";
    } else {
        text += "The filter matches more than is allowed; the filter gate decides on what it lets through:\n";
        if !rewrite.exact {
            let partial: Vec<String> = rewrite.partial.iter().map(|rule| format!("`{rule}`")).collect();
            match partial.len() {
                0 => text += "  by the policy: what it allows is not all a filter can say\n",
                _ => text += &format!("  by the policy: no filter can say all of {}\n", partial.join(", ")),
            }
        }
        for left_out in &translation.widened {
            text += &format!("  by {emit}: {left_out}\n");
        }
    }
    let needs: Vec<String> = rewrite.needs.iter().map(|attribute| path_text(&attribute.path)).collect();
    if needs.is_empty() {
        text += "The filter gate needs no attribute of the chunks.";
    } else {
        text += &format!("The filter gate needs back: {}", needs.join(", "));
    }
    text
}
