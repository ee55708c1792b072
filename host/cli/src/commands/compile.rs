//! `tamis compile`: Cedar policies to a policy component.

use anyhow::{Context, Result};
use serde_json::json;
use tamis_compiler::Compiled;
use tamis_runtime::Digest;

use crate::args::{CompileArgs, Format};
use crate::exit::Outcome;
use crate::output;
use crate::source::{Sources, Validation};

pub(crate) fn run(args: &CompileArgs) -> Result<Outcome> {
    let validation = if args.no_validate { Validation::Reported } else { Validation::Required };
    let compiled = Sources::read(&args.source, args.schema.as_ref())?.compile(validation)?;
    if let Some(folder) = args.output.parent() {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    output::replace_file(&args.output, &compiled.component)?;
    let digest = Digest::of(&compiled.component);
    match args.format {
        Format::Json => {
            let mut json = compiled.manifest.to_json();
            if let Some(object) = json.as_object_mut() {
                object.insert("digest".to_owned(), json!(digest.to_string()));
                object.insert("size".to_owned(), json!(compiled.component.len()));
            }
            output::json_line(&json)?;
        }
        Format::Text => print(args, &compiled, digest)?,
    }
    Ok(Outcome::Done)
}

fn print(args: &CompileArgs, compiled: &Compiled, digest: Digest) -> Result<()> {
    let Compiled { manifest, component, .. } = compiled;
    output::line(&output::bold(&args.output.display().to_string()))?;
    output::line(&format!("  digest    {digest}"))?;
    output::line(&format!("  size      {} bytes", component.len()))?;
    output::line(&format!("  policies  {}", manifest.policies.len()))?;
    output::line("")?;
    let mut table = output::Table::new(["footprint", "type", ""]);
    for entry in &manifest.footprint {
        let declared = entry.declared.as_deref().unwrap_or("any");
        table.row([entry.name.as_str(), declared, if entry.optional { "may be absent" } else { "required" }]);
    }
    output::line(&table.text())
}
