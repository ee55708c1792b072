//! `tamis rewrite`: the filter that narrows a search.

use anyhow::Result;
use serde_json::{Value as Json, json};
use tamis_core::{Query, Rewrite};
use tamis_dialect::{Dialect, Sqlite};

use crate::args::{Emit, RewriteArgs};
use crate::exit::Outcome;
use crate::{input, output};

pub(crate) fn run(args: &RewriteArgs) -> Result<Outcome> {
    let handle = input::policy(&args.asked.policy)?;
    let request = input::request(&args.asked.request)?;
    let query = Query { collection: args.collection.clone(), k: args.k };
    let rewrite = handle.rewrite(&request, &query)?.value;
    for error in &rewrite.errors {
        eprintln!("policy error in {}: {}", error.policy, error.message);
    }
    output::json_line(&match args.emit {
        Emit::Ast => rewrite.to_json(),
        Emit::Sqlite => in_sqlite(&rewrite),
    })?;
    Ok(Outcome::Done)
}

/// `{"filter":{"sql","parameters"},"exact","needs"}`.
pub(crate) fn in_sqlite(rewrite: &Rewrite) -> Json {
    let translation = Sqlite::default().translate(&rewrite.filter);
    for left_out in &translation.widened {
        eprintln!("left to the filter gate: {left_out}");
    }
    let mut json = rewrite.to_json();
    if let Some(object) = json.as_object_mut() {
        object.insert("exact".to_owned(), json!(rewrite.exact && translation.is_exact()));
        object.insert("filter".to_owned(), json!(translation.native));
    }
    json
}
