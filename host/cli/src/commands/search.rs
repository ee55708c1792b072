//! `tamis search`: the best chunks that a request may read.

use anyhow::{Context, Result};
use serde_json::{Value as Json, json};
use tamis_retrieve::{By, Found, Question, Store, search};

use crate::args::{Format, SearchArgs};
use crate::exit::Outcome;
use crate::{input, output};

pub(crate) fn run(args: &SearchArgs) -> Result<Outcome> {
    let handle = input::policy(&args.asked.policy)?;
    let request = input::request(&args.asked.request)?;
    let filter = args.filter.as_deref().map(input::filter).transpose()?;
    let vector = args.by.vector.as_deref().map(read_vector).transpose()?;
    let by = match (&vector, &args.by.text) {
        (Some(vector), _) => By::Vector(vector),
        (None, text) => By::Text(text.as_deref().unwrap_or_default()),
    };
    let store = Store::open(&args.db)?;
    let question = Question {
        filter: filter.as_ref(),
        budget: args.budget,
        // Only this form has room for reasons.
        explain: matches!(args.format, Format::Json),
        ..Question::new(&request, by, args.k)
    };
    let found = search(&store, &handle, &question)?;
    match args.format {
        Format::Json => output::json_line(&to_json(&found))?,
        Format::Text => print(&found)?,
    }
    Ok(Outcome::Done)
}

fn read_vector(path: &std::path::Path) -> Result<Vec<f32>> {
    tamis_core::input::parse(&input::text(path)?).with_context(|| path.display().to_string())
}

fn to_json(found: &Found) -> Json {
    let hits = found.hits.iter().map(|hit| {
        json!({
            "id": hit.chunk.uid.id,
            "distance": hit.distance,
            "attributes": hit.chunk.attributes,
            "text": hit.chunk.text,
            "reasons": hit.decision.reasons,
        })
    });
    json!({
        "hits": hits.collect::<Vec<_>>(),
        "complete": found.complete,
        "examined": found.examined,
        "denied": found.denied,
        "exact": found.exact,
        "generation": found.generation,
        "digest": found.digest.to_string(),
    })
}

fn print(found: &Found) -> Result<()> {
    for (place, hit) in found.hits.iter().enumerate() {
        let title = hit.chunk.attributes.get("title").and_then(Json::as_str).unwrap_or(&hit.chunk.uid.id);
        let heading = format!("{:>2}. {}", place + 1, output::printable(title));
        output::line(&format!(
            "{}  {}",
            output::bold(&heading),
            output::dim(&format!("{:.3}", hit.distance))
        ))?;
        if let Some(text) = &hit.chunk.text {
            output::line(&format!("    {}", output::shortened(text, 200)))?;
        }
    }
    let exact = if found.exact { "exact" } else { "a superset" };
    let complete = if found.complete { "complete" } else { "incomplete: the budget ran out" };
    output::note!(
        "{} found, {complete}; {} examined, {} denied; filter {exact}; generation {}",
        found.hits.len(),
        found.examined,
        found.denied,
        found.generation
    );
    Ok(())
}
