//! `tamis rewrite`: the filter that narrows a search.

use anyhow::{Context, Result, anyhow};
use serde_json::{Value as Json, json};
use tamis_core::{Query, Rewrite};
use tamis_dialect::{Fields, Translation};

use crate::args::RewriteArgs;
use crate::exit::Outcome;
use crate::{input, output};

/// The filter itself, in no database's language.
const AST: &str = "ast";

pub(crate) fn run(args: &RewriteArgs) -> Result<Outcome> {
    let mut fields = match &args.fields {
        None => Fields::default(),
        Some(path) => Fields::from_json(&input::text(path)?).with_context(|| path.display().to_string())?,
    };
    if let Some(path) = args.fields.as_ref().filter(|_| args.emit == AST) {
        let path = path.display();
        output::note!(
            "{path} is not used: a filter that is no database's names attributes as the policy does"
        );
    }
    let handle = input::policy(&args.asked.policy)?;
    fields.require(&handle.current().policy().manifest().footprint);
    let request = input::request(&args.asked.request)?;
    let query = Query { collection: args.collection.clone(), k: args.k };
    let rewrite = handle.rewrite(&request, &query)?.value;
    for error in &rewrite.errors {
        output::note!(
            "{}",
            output::printable(&format!("policy error in {}: {}", error.policy, error.message))
        );
    }
    let translation = translate(&rewrite, &args.emit, fields)?;
    if args.explain {
        let native = (args.emit != AST).then_some((args.emit.as_str(), &translation));
        output::line(&tamis_dialect::explain(&rewrite, native))?;
        return Ok(Outcome::Done);
    }
    for left_out in &translation.widened {
        output::note!("left to the filter gate: {left_out}");
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
    if emit == AST {
        return Ok(Translation { native: rewrite.filter.to_json(), widened: Vec::new() });
    }
    let dialect =
        tamis_dialect::dialect(emit, fields).ok_or_else(|| anyhow!("no dialect `{emit}` is known"))?;
    Ok(dialect.emit(&rewrite.filter))
}
