//! `tamis demo`: the three gates over real documents, then a policy swapped while queries run.

mod corpus;
mod swap;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value as Json, json};
use tamis_compiler::Named;
use tamis_core::{Chunk, Filter, Request};
use tamis_dialect::{Dialect, Sqlite};
use tamis_retrieve::{By, Found, Hit, Question, Store, VectorSource, index, search};
use tamis_runtime::{Cache, Limits, PolicyHandle, Runtime, RuntimeConfig};

use super::bench::time;
use crate::args::DemoArgs;
use crate::exit::Outcome;
use crate::output::{self, bold, dim, green, line, progress};
use corpus::{Asked, Person};

/// Hits for each person.
const K: u32 = 4;
/// How far down the unfiltered ranking the demo looks to show what is withheld.
const WITHHELD: usize = 20;
/// For one gate call: enough for a thousand chunks in an unoptimised build on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);
/// The policies that are swapped: the second treats agents and minors apart.
const POLICIES: [&str; 2] =
    [include_str!("../../../demo/clearance.cedar"), include_str!("../../../demo/company.cedar")];
const SCHEMA: &str = include_str!("../../../demo/demo.cedarschema");
const POLICY_FILE: &str = "policy.cedar";
const SCHEMA_FILE: &str = "policy.cedarschema";
const STORE: &str = "chunks.sqlite";
/// The two tenants of the corpus, each with a loader of its own.
const TENANTS: [&str; 2] = ["acme", "globex"];

/// The files that the demo works on.
pub(super) struct Workspace {
    folder: PathBuf,
    /// What nobody wants to keep, deleted at the end.
    temporary: tempfile::TempDir,
}

impl Workspace {
    fn new(keep: Option<&PathBuf>) -> Result<Self> {
        let temporary = tempfile::tempdir().context("a folder for the demo")?;
        let folder = match keep {
            Some(folder) => {
                claim(folder).with_context(|| folder.display().to_string())?;
                folder.clone()
            }
            None => temporary.path().to_owned(),
        };
        Ok(Self { folder, temporary })
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Makes sure that the demo overwrites no files but its own.
fn claim(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    if std::fs::read_dir(folder)?.next().is_some() && Store::open(&folder.join(STORE)).is_err() {
        bail!(
            "other files are there; the demo keeps its own in a new folder, or in one that it kept them in before"
        );
    }
    Ok(())
}

pub(crate) fn run(args: &DemoArgs) -> Result<Outcome> {
    let asked = corpus::question(&args.question)?;
    let people = corpus::people()?;
    let workspace = Workspace::new(args.keep.as_ref())?;
    let policy = workspace.file(POLICY_FILE);
    std::fs::write(&policy, POLICIES[0]).with_context(|| policy.display().to_string())?;
    let schema = workspace.file(SCHEMA_FILE);
    std::fs::write(&schema, SCHEMA).with_context(|| schema.display().to_string())?;
    let runtime = runtime(&workspace)?;
    let limits = Limits { deadline: DEADLINE, ..Limits::default() };
    let handle = Arc::new(PolicyHandle::new(&runtime, &compile(POLICIES[0])?, limits)?);
    let watch = handle.watch_with(&policy, |source| {
        let source =
            String::from_utf8(source).map_err(|error| tamis_runtime::Error::Source(error.to_string()))?;
        compile(&source).map_err(|error| tamis_runtime::Error::Source(error.to_string()))
    })?;

    let chunks = corpus::chunks()?;
    let store = admit(&workspace, &handle, &chunks)?;
    let shown = ask(&store, &handle, &people, &asked)?;
    explain(&store, &handle, &people, &asked, &chunks)?;
    let swap = swap::Swap { workspace: &workspace, handle: &handle, people: &people, asked: &asked };
    swap.run(POLICIES, &shown)?;
    drop(watch);
    close(args, &workspace, &people)?;
    Ok(Outcome::Done)
}

/// A runtime with a cache of its own, so that the first load of each policy compiles and later ones do not.
fn runtime(workspace: &Workspace) -> Result<Runtime> {
    let cache = Cache::open(&workspace.temporary.path().join("cache"))?;
    Ok(Runtime::new(RuntimeConfig { fuel: false, cache: Some(cache) })?)
}

/// The component of one of the demo's policies.
pub(super) fn compile(source: &str) -> Result<Vec<u8>, tamis_compiler::Error> {
    let schema = Named { name: SCHEMA_FILE, text: SCHEMA };
    let policies = Named { name: POLICY_FILE, text: source };
    Ok(tamis_compiler::compile("company", policies, Some(schema))?.component)
}

/// Gate 1: each tenant's loader offers all documents; the policy stores those of its own tenant.
fn admit(workspace: &Workspace, handle: &PolicyHandle, chunks: &[Chunk]) -> Result<Store> {
    line(&bold("1. Index: what may be stored"))?;
    line(&format!(
        "   {} chunks of the PostgreSQL manual with all-MiniLM-L6-v2 embeddings; policy in Cedar, {} bytes compiled",
        chunks.len(),
        handle.current().policy().component().len()
    ))?;
    let path = workspace.file(STORE);
    for suffix in ["", "-wal", "-shm"] {
        // Left over from an earlier run in the same folder, or not there.
        let _ = std::fs::remove_file(workspace.file(&format!("{STORE}{suffix}")));
    }
    let mut store = Store::create(&path)?;
    // A chunk without its access level, as a careless pipeline would send it.
    let mut careless = chunks.first().cloned().context("the corpus is empty")?;
    careless.uid.id = "careless".to_owned();
    careless.attributes.remove("access_level");
    for tenant in TENANTS {
        let offered: Vec<Chunk> = chunks.iter().cloned().chain([careless.clone()]).collect();
        let bar = progress(&format!("indexing for {tenant}"), offered.len());
        let start = Instant::now();
        let report =
            index(&mut store, handle, &loader(tenant)?, offered, |done| bar.set_position(done as u64))?;
        bar.finish_and_clear();
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for reason in report.rejected.iter().flat_map(|rejected| &rejected.reasons) {
            *reasons.entry(reason).or_default() += 1;
        }
        let reasons: Vec<String> =
            reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        line(&format!(
            "   loader of {tenant:<7} {:>5} stored, {:>4} refused: {}  {}",
            report.stored,
            report.rejected.len(),
            reasons.join("; "),
            dim(&format!("{:.1} s", start.elapsed().as_secs_f64()))
        ))?;
    }
    line("")?;
    Ok(store)
}

fn loader(tenant: &str) -> Result<Request> {
    let json = json!({
        "subject": {"type": "Service", "id": "loader", "properties": {"tenant": tenant, "roles": ["indexer"]}},
        "action": {"name": "index"},
    });
    Ok(Request::from_json(&json.to_string())?)
}

/// Gates 2 and 3: the same question, by several people.
fn ask(store: &Store, handle: &PolicyHandle, people: &[Person], asked: &Asked) -> Result<Vec<Found>> {
    line(&bold(&format!("2. Search: \"{}\"", asked.text)))?;
    people.iter().map(|person| show(store, handle, person, asked, None)).collect()
}

/// What one person gets, what is withheld from them, and what of an earlier answer they no longer get.
fn show(
    store: &Store,
    handle: &PolicyHandle,
    person: &Person,
    asked: &Asked,
    earlier: Option<&Found>,
) -> Result<Found> {
    let found = search(store, handle, &Question::new(&person.request, by(asked), K))?;
    line(&format!("   {}  {}", bold(&person.name), dim(&person.about)))?;
    let mut table =
        output::Table::new(["    near", "title", "tenant", "level", "roles", "agents", "min. age"]);
    for hit in &found.hits {
        table.row(row(
            hit,
            &if asked.vector.is_some() { format!("{:.2}", 1.0 - hit.distance) } else { String::new() },
        ));
    }
    let is_gone = |hit: &&Hit| found.hits.iter().all(|now| now.chunk.uid != hit.chunk.uid);
    for hit in earlier.iter().flat_map(|earlier| &earlier.hits).filter(is_gone) {
        table.row(row(hit, "gone"));
    }
    line(&table.text())?;
    line(&format!("      {}", dim(&withheld(store, handle, person, asked, &found)?)))?;
    line("")?;
    Ok(found)
}

fn row(hit: &Hit, near: &str) -> [String; 7] {
    let text = |name: &str| plain(hit.chunk.attributes.get(name));
    [
        format!("    {near}"),
        output::shortened(&text("title"), 46),
        text("tenant"),
        text("access_level"),
        text("user_roles"),
        text("agent_usable"),
        text("min_age"),
    ]
}

/// By which rule the nearest chunks of all are withheld. Only the operator of a system sees this.
fn withheld(
    store: &Store,
    handle: &PolicyHandle,
    person: &Person,
    asked: &Asked,
    found: &Found,
) -> Result<String> {
    let mut all = store.open(by(asked), &Filter::Always)?.candidates;
    let nearest: Vec<Chunk> =
        all.next_page(WITHHELD)?.into_iter().map(|candidate| candidate.chunk).collect::<Result<_, _>>()?;
    let mut rules: BTreeMap<String, usize> = BTreeMap::new();
    for decision in handle.explain(&person.request, &nearest)?.value {
        if !decision.allow {
            let rule =
                decision.reasons.first().map_or_else(|| "no permit".to_owned(), |rule| format!("by {rule}"));
            *rules.entry(rule).or_default() += 1;
        }
    }
    let denied: usize = rules.values().sum();
    let rules: Vec<String> = rules.into_iter().map(|(rule, count)| format!("{count} {rule}")).collect();
    Ok(format!(
        "withheld of the {} best of all: {denied} ({}); examined {}, denied by the filter gate {}",
        nearest.len(),
        rules.join(", "),
        found.examined,
        found.denied
    ))
}

/// The rewritten query of the first person, and what everything costs.
fn explain(
    store: &Store,
    handle: &PolicyHandle,
    people: &[Person],
    asked: &Asked,
    chunks: &[Chunk],
) -> Result<()> {
    let Some(person) = people.iter().find(|person| !person.request.actors().is_empty()).or(people.first())
    else {
        return Ok(());
    };
    line(&bold(&format!("3. Rewrite: what the database is asked for {}", person.name)))?;
    let question = Question::new(&person.request, by(asked), K);
    let found = search(store, handle, &question)?;
    if found.filter == Filter::Always {
        line(
            "   everything: this policy does not narrow searches, so the filter gate looks at every candidate",
        )?;
    } else {
        line(&format!("   {}", found.filter))?;
    }
    let sql = Sqlite::default().translate(&found.filter).native;
    line(&format!(
        "   {}",
        dim(&format!("in SQLite: {} parameters, {}", sql.parameters.len(), output::shortened(&sql.text, 84)))
    ))?;
    line("")?;

    line(&bold("4. Cost"))?;
    let chunks = chunks.get(..1000).unwrap_or(chunks);
    let policy = handle.current().policy().clone();
    let mut session = policy.session(&person.request);
    let principals = person.request.principals().count();
    let filter = best(|| session.filter(chunks).map(|_| ()).map_err(Into::into))? / chunks.len() as f64;
    // What was asked before is remembered, so each asks for another k.
    let mut k = K;
    let rewrite = best(|| {
        k += 1;
        let query = tamis_core::Query { collection: String::new(), k };
        policy.rewrite(&person.request, &query).map(|_| ()).map_err(Into::into)
    })?;
    let whole = best(|| search(store, handle, &question).map(|_| ()).map_err(Into::into))?;
    let mut table =
        output::Table::new([format!("for {} ({principals} principals)", person.name), String::new()]);
    table.row(["filter, per chunk in a batch of 1000".to_owned(), time(filter)]);
    table.row(["rewrite, in a new instance".to_owned(), time(rewrite)]);
    table.row(["search, all gates and the database".to_owned(), time(whole)]);
    line(&table.text())?;
    line("")
}

/// The best of several runs, in nanoseconds: what it costs when nothing else gets in the way.
fn best(mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut shortest = Duration::MAX;
    for _ in 0..20 {
        let start = Instant::now();
        run()?;
        shortest = shortest.min(start.elapsed());
    }
    Ok(shortest.as_secs_f64() * 1e9)
}

fn close(args: &DemoArgs, workspace: &Workspace, people: &[Person]) -> Result<()> {
    if args.keep.is_none() {
        return line(&dim(
            "Ask another question with `--question 7` or `--question \"your own words\"`; `--keep DIR` keeps all files.",
        ));
    }
    for person in people {
        let name = person.name.to_lowercase().replace(' ', "-");
        let path = workspace.file(&format!("{name}.json"));
        std::fs::write(&path, &person.json).with_context(|| path.display().to_string())?;
    }
    let folder = workspace.folder.display();
    line(&format!(
        "{} tamis search --db {folder}/{STORE} --policy {folder}/{POLICY_FILE} --schema {folder}/{SCHEMA_FILE} --request {folder}/bob.json --text \"vacuum\"",
        green("Try:")
    ))
}

fn by(asked: &Asked) -> By<'_> {
    match &asked.vector {
        Some(vector) => By::Vector(vector),
        None => By::Text(&asked.text),
    }
}

fn plain(json: Option<&Json>) -> String {
    match json {
        None => "-".to_owned(),
        Some(Json::String(text)) => text.clone(),
        Some(Json::Array(elements)) => {
            elements.iter().map(|element| plain(Some(element))).collect::<Vec<_>>().join(" ")
        }
        Some(json) => json.to_string(),
    }
}
