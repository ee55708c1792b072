//! `tamis inspect`: what a policy component is.

use anyhow::{Context, Result};
use serde_json::json;
use tamis_core::decision::path_text;
use tamis_runtime::Policy;

use crate::args::{Format, InspectArgs};
use crate::exit::Outcome;
use crate::source::{self, Validation};
use crate::{input, output};

pub(crate) fn run(args: &InspectArgs) -> Result<Outcome> {
    let bytes = source::component(&args.policy, args.schema.as_ref(), Validation::Required)?;
    let policy = Policy::load(&input::runtime(&args.host)?, &bytes, &input::limits(&args.host))
        .with_context(|| args.policy.display().to_string())?;
    match args.format {
        Format::Json => {
            let mut json = policy.manifest().to_json();
            if let Some(object) = json.as_object_mut() {
                object.insert("digest".to_owned(), json!(policy.digest().to_string()));
                object.insert("size".to_owned(), json!(policy.size()));
                // A component with imports does not load.
                object.insert("imports".to_owned(), json!([]));
            }
            output::json_line(&json)?;
        }
        Format::Text => print(&policy)?,
    }
    Ok(Outcome::Done)
}

fn print(policy: &Policy) -> Result<()> {
    let manifest = policy.manifest();
    let rewrite = if manifest.can_rewrite { "narrows searches" } else { "filters results only" };
    output::line(&format!("{}  {}", output::bold(&manifest.name), output::dim(&manifest.producer)))?;
    output::line(&format!("  digest    {}", policy.digest()))?;
    output::line(&format!("  contract  tamis:policy@{}", manifest.contract))?;
    output::line(&format!("  size      {} bytes", policy.size()))?;
    output::line("  imports   none")?;
    output::line(&format!("  rewrite   {rewrite}"))?;
    let rules: Vec<&str> = manifest.policies.iter().map(|rule| rule.id.as_str()).collect();
    output::line(&format!("  rules     {}", rules.join(", ")))?;
    output::line("")?;
    let mut table = output::Table::new(["footprint", "type", ""]);
    for entry in &manifest.footprint {
        let declared =
            entry.attribute.declared.as_ref().map_or_else(|| "any".to_owned(), ToString::to_string);
        let optional = if entry.optional { "may be absent" } else { "required" };
        table.row([path_text(&entry.attribute.path), declared, optional.to_owned()]);
    }
    output::line(&table.text())
}
