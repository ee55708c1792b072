//! `tamis inspect`: what a policy component is.

use anyhow::{Context, Result};
use serde_json::{Value as Json, json};
use tamis_core::decision::path_text;
use tamis_runtime::{Digest, Error, Outline, Policy};

use crate::args::{Format, InspectArgs};
use crate::exit::Outcome;
use crate::source::{self, Validation};
use crate::{input, output};

pub(crate) fn run(args: &InspectArgs) -> Result<Outcome> {
    let bytes = source::component(&args.policy, args.schema.as_ref(), Validation::Required)?;
    let place = || args.policy.display().to_string();
    let mut manifest = manifest(args, &bytes).with_context(place)?;
    if let Some(object) = manifest.as_object_mut() {
        object.insert("digest".to_owned(), json!(Digest::of(&bytes).to_string()));
        object.insert("size".to_owned(), json!(bytes.len()));
        // A component with imports is none to inspect.
        object.insert("imports".to_owned(), json!([]));
    }
    match args.format {
        Format::Json => output::json_line(&manifest)?,
        Format::Text => print(&manifest)?,
    }
    Ok(Outcome::Done)
}

/// What the component says of itself: in the section that its compiler left, so that nothing is run, or else by loading it.
fn manifest(args: &InspectArgs, bytes: &[u8]) -> Result<Json> {
    let outline = Outline::of(bytes)?;
    if !outline.imports.is_empty() {
        let names = outline.imports.join("`, `");
        return Err(Error::Artifact(format!("it imports `{names}`; a policy imports nothing")).into());
    }
    match outline.manifest {
        Some(text) => tamis_core::input::parse_json(&text).context("its section `tamis:manifest`"),
        None => {
            let policy = Policy::load(&input::runtime(&args.host)?, bytes, &input::limits(&args.host))?;
            Ok(policy.manifest().to_json())
        }
    }
}

fn print(manifest: &Json) -> Result<()> {
    let text = |name: &str| {
        let text = manifest.get(name).and_then(Json::as_str).filter(|text| !text.is_empty());
        output::printable(text.unwrap_or("-"))
    };
    let list = |name: &str| manifest.get(name).and_then(Json::as_array).into_iter().flatten();
    let rewrites = manifest.get("can_rewrite").and_then(Json::as_bool) == Some(true);
    output::line(&format!("{}  {}", output::bold(&text("name")), output::dim(&text("producer"))))?;
    output::line(&format!("  digest    {}", text("digest")))?;
    output::line(&format!("  source    {}", text("source_digest")))?;
    output::line(&format!("  schema    {}", text("schema_digest")))?;
    output::line(&format!("  contract  tamis:policy@{}", text("contract")))?;
    output::line(&format!("  size      {} bytes", manifest.get("size").and_then(Json::as_u64).unwrap_or(0)))?;
    output::line("  imports   none")?;
    output::line(&format!(
        "  rewrite   {}",
        if rewrites { "narrows searches" } else { "filters results only" }
    ))?;
    let rules: Vec<&str> = list("policies").filter_map(|rule| rule.get("id")?.as_str()).collect();
    output::line(&format!("  rules     {}", output::printable(&rules.join(", "))))?;
    output::line("")?;
    let mut table = output::Table::new(["footprint", "type", ""]);
    for entry in list("footprint") {
        let path = entry.get("attr").and_then(Json::as_array).into_iter().flatten();
        let path: Vec<String> = path.filter_map(|name| name.as_str().map(str::to_owned)).collect();
        let declared = entry.get("type").and_then(Json::as_str).unwrap_or("any");
        let optional = entry.get("optional").and_then(Json::as_bool) == Some(true);
        table.row([
            path_text(&path),
            declared.to_owned(),
            if optional { "may be absent" } else { "required" }.to_owned(),
        ]);
    }
    output::line(&table.text())
}
