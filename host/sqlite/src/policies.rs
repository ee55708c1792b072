//! Policies: stored in the database, compiled once in a process.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::types::Value;
use serde_json::json;
use tamis_compiler::Named;
use tamis_core::{Filter, Query, Rewrite};
use tamis_dialect::{Dialect, Sqlite};
use tamis_runtime::{Digest, Limits, Policy, PolicyHandle, Runtime, RuntimeConfig};

use crate::connection::{Shared, text};
use crate::error::Error;

/// Larger components are refused before they are stored, as the runtime would refuse them.
const MAX_BYTES: usize = 16 << 20;
/// Policy text beyond this is no policy that anyone wrote; a megabyte is ten thousand rules.
const MAX_SOURCE: usize = 4 << 20;
/// A name is for people.
const MAX_NAME: usize = 200;
/// Compiled policies that a process keeps: more than an application has in use at once.
const KEPT: usize = 64;

const CREATE: &str = "CREATE TABLE IF NOT EXISTS main.tamis_internal_policies (
    name TEXT PRIMARY KEY, generation INTEGER NOT NULL, digest TEXT NOT NULL, component BLOB NOT NULL, manifest TEXT NOT NULL)";

/// A policy of one database, as one statement sees it.
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) policy: Policy,
}

impl Stored {
    /// Blames the policy for what it failed at.
    pub(crate) fn failed(&self, source: tamis_runtime::Error) -> Error {
        Error::Policy { name: self.name.clone(), source }
    }
}

/// The policy with this name in a schema, compiled.
pub(crate) fn find(shared: &Arc<Shared>, schema: &str, name: &str) -> Result<Stored, Error> {
    let missing = || Error::NoPolicy(name.to_owned());
    let table = format!("{}.tamis_internal_policies", tamis_dialect::quoted(schema));
    let column = |column: &str| {
        let sql = format!("SELECT {column} FROM {table} WHERE name = ?");
        shared.query(&sql, &[text(name)])?.ok_or_else(missing)?.value(0)
    };
    let digest = match column("digest") {
        // Before the first policy there is no table.
        Err(Error::Sqlite { message, .. }) if message.starts_with("no such table") => return Err(missing()),
        digest => digest?,
    };
    let Value::Text(digest) = digest else { return Err(missing()) };
    let stored = |policy| Stored { name: name.to_owned(), policy };
    if let Some(policy) = compiled(&digest) {
        return Ok(stored(policy));
    }
    let Value::Blob(component) = column("component")? else { return Err(missing()) };
    if Digest::of(&component).to_string() != digest {
        let source = tamis_runtime::Error::Artifact("its bytes are not those that were loaded".to_owned());
        return Err(Error::Policy { name: name.to_owned(), source });
    }
    load(name, &component).map(stored)
}

/// Whether a schema has a table, whatever temporary tables are called.
pub(crate) fn has_table(shared: &Arc<Shared>, schema: &str, table: &str) -> Result<bool, Error> {
    let sql = format!("SELECT 1 FROM {}.sqlite_master WHERE name = ?", tamis_dialect::quoted(schema));
    Ok(shared.query(&sql, &[text(table)])?.is_some())
}

/// `tamis_load(name, policy [, schema])`: stores a policy, which serves from the next statement that sees it. Returns its generation.
pub(crate) fn store(
    shared: &Arc<Shared>,
    name: &str,
    policy: &Value,
    schema: Option<&str>,
) -> Result<i64, Error> {
    shared.administer("tamis_load")?;
    let result = prepare(name, policy, schema).and_then(|(component, policy)| {
        crate::protect::check_policy(shared, name, &policy)?;
        shared.atomically(|| keep(shared, name, component, &policy))
    });
    let mut errors = ERRORS.lock().unwrap_or_else(PoisonError::into_inner);
    let place = (shared.file(), name.to_owned());
    match &result {
        Ok(_) => errors.remove(&place),
        Err(error) => errors.insert(place, error.to_string()),
    };
    result
}

fn prepare(name: &str, policy: &Value, schema: Option<&str>) -> Result<(Vec<u8>, Policy), Error> {
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        let message = format!("a policy's name has 1 to {MAX_NAME} bytes and no control characters");
        return Err(Error::Argument(message));
    }
    let component = match (policy, schema) {
        (Value::Blob(bytes), None) if !bytes.starts_with(b"\0asm") => {
            let message = "the BLOB is not WebAssembly; Cedar is text, `CAST(readfile('policy.cedar') AS TEXT)` in the shell";
            return Err(Error::Argument(message.to_owned()));
        }
        (Value::Blob(bytes), None) if bytes.len() <= MAX_BYTES => bytes.clone(),
        (Value::Blob(bytes), None) => {
            let message = format!("the component has {} bytes; at most {MAX_BYTES} are allowed", bytes.len());
            return Err(Error::Argument(message));
        }
        (Value::Blob(_), Some(_)) => {
            return Err(Error::Argument(
                "a component has its schema; one is given with Cedar text only".to_owned(),
            ));
        }
        (Value::Text(source), schema) => compile(name, source, schema)?,
        _ => return Err(Error::Argument("a policy is a component (BLOB) or Cedar text".to_owned())),
    };
    let policy = load(name, &component)?;
    Ok((component, policy))
}

fn compile(name: &str, source: &str, schema: Option<&str>) -> Result<Vec<u8>, Error> {
    let failed = |message: String| Error::Source { name: name.to_owned(), message };
    // A policy has brackets, and a path has not.
    if !source.contains('(') && [".cedar", ".wasm"].iter().any(|end| source.ends_with(end)) {
        let message =
            "this is the name of a file; what is wanted is what is in it, `readfile(…)` in the shell";
        return Err(failed(message.to_owned()));
    }
    if source.len() > MAX_SOURCE || schema.is_some_and(|schema| schema.len() > MAX_SOURCE) {
        return Err(failed(format!("it has more than {MAX_SOURCE} bytes")));
    }
    let policies = Named { name: "policy", text: source };
    let schema = schema.map(|text| Named { name: "schema", text });
    let compiled =
        tamis_compiler::compile(name, policies, schema).map_err(|error| failed(error.to_string()))?;
    let errors: Vec<String> =
        compiled.validation.iter().filter(|problem| !problem.is_warning()).map(ToString::to_string).collect();
    if errors.is_empty() { Ok(compiled.component) } else { Err(failed(errors.join("; "))) }
}

fn keep(shared: &Arc<Shared>, name: &str, component: Vec<u8>, policy: &Policy) -> Result<i64, Error> {
    shared.execute(CREATE, &[])?;
    let digest = policy.digest().to_string();
    let manifest = policy.manifest().to_json().to_string();
    // The same bytes again are no new generation.
    let sql = "INSERT INTO main.tamis_internal_policies VALUES (?1, 1, ?2, ?3, ?4)
        ON CONFLICT (name) DO UPDATE SET generation = generation + (digest <> ?2), digest = ?2, component = ?3, manifest = ?4";
    shared.execute(sql, &[text(name), text(digest), Value::Blob(component), text(manifest)])?;
    let sql = "SELECT generation FROM main.tamis_internal_policies WHERE name = ?";
    match shared.query(sql, &[text(name)])?.map(|row| row.value(0)) {
        Some(Ok(Value::Integer(generation))) => Ok(generation),
        _ => Err(Error::NoPolicy(name.to_owned())),
    }
}

/// `tamis_drop(name)`: forgets a policy that no table is protected by.
pub(crate) fn forget(shared: &Arc<Shared>, name: &str) -> Result<(), Error> {
    shared.administer("tamis_drop")?;
    if !has_table(shared, "main", "tamis_internal_policies")? {
        return Err(Error::NoPolicy(name.to_owned()));
    }
    if let Some(table) = crate::protect::protected_by(shared, name)? {
        return Err(Error::table(
            &table,
            format!("the policy `{name}` protects it; `tamis_unprotect` comes first"),
        ));
    }
    let sql = "DELETE FROM main.tamis_internal_policies WHERE name = ? RETURNING name";
    let mut deleted = shared.query(sql, &[text(name)])?.ok_or_else(|| Error::NoPolicy(name.to_owned()))?;
    while deleted.step()? {}
    Ok(())
}

/// `tamis_rewrite(policy)`: what the policy's filter comes to for the request.
pub(crate) fn rewrite(shared: &Arc<Shared>, name: &str) -> Result<String, Error> {
    let (request, _) = shared.access().request()?;
    let stored = find(shared, "main", name)?;
    let query = Query { collection: String::new(), k: 0 };
    let rewrite = stored.policy.rewrite(&request, &query).map_err(|error| stored.failed(error))?;
    let translation = Sqlite::default().translate(&rewrite.filter);
    let Rewrite { filter, exact, .. } = rewrite;
    let filter: &Filter = &filter;
    Ok(json!({
        "filter": filter.to_json(),
        "exact": exact && translation.is_exact(),
        "sql": translation.native.text,
        "parameters": translation.native.parameters,
    })
    .to_string())
}

/// One row of `tamis_policies`.
pub(crate) fn list(shared: &Arc<Shared>) -> Result<Vec<Vec<Value>>, Error> {
    let path = shared.file();
    // They can quote the policy.
    let mut errors: BTreeMap<String, String> = if shared.access().is_locked() {
        BTreeMap::new()
    } else {
        let errors = ERRORS.lock().unwrap_or_else(PoisonError::into_inner);
        errors
            .iter()
            .filter(|((at, _), _)| *at == path)
            .map(|((_, name), error)| (name.clone(), error.clone()))
            .collect()
    };
    let mut rows = Vec::new();
    if has_table(shared, "main", "tamis_internal_policies")? {
        let sql = "SELECT name, digest, generation, json_extract(manifest, '$.footprint')
            FROM main.tamis_internal_policies ORDER BY name";
        let mut next = shared.query(sql, &[])?;
        while let Some(mut row) = next {
            let mut values = (0..4).map(|column| row.value(column)).collect::<Result<Vec<_>, _>>()?;
            let name = match values.first() {
                Some(Value::Text(name)) => name.clone(),
                _ => String::new(),
            };
            values.push(errors.remove(&name).map_or(Value::Null, Value::Text));
            rows.push(values);
            next = row.step()?.then_some(row);
        }
    }
    // Those of which no version was ever good.
    rows.extend(
        errors
            .into_iter()
            .map(|(name, error)| vec![text(name), Value::Null, Value::Null, Value::Null, text(error)]),
    );
    Ok(rows)
}

/// Why the last attempt to load failed, by file and name.
static ERRORS: Mutex<BTreeMap<(String, String), String>> = Mutex::new(BTreeMap::new());

/// What this process has compiled, the newest last.
struct Compiled {
    process: u32,
    runtime: Runtime,
    policies: VecDeque<(String, Policy)>,
}

static COMPILED: Mutex<Option<Compiled>> = Mutex::new(None);

fn compiled(digest: &str) -> Option<Policy> {
    let compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let compiled = compiled.as_ref().filter(|compiled| compiled.process == std::process::id())?;
    compiled.policies.iter().find(|(known, _)| known == digest).map(|(_, policy)| policy.clone())
}

/// Compiles a component and lets it show that it answers, unless this process did before.
fn load(name: &str, component: &[u8]) -> Result<Policy, Error> {
    let digest = Digest::of(component).to_string();
    if let Some(policy) = compiled(&digest) {
        return Ok(policy);
    }
    let failed = |source| Error::Policy { name: name.to_owned(), source };
    let runtime = runtime().map_err(failed)?;
    let handle = PolicyHandle::new(&runtime, component, Limits::default()).map_err(failed)?;
    let policy = handle.current().policy().clone();
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(compiled) = compiled.as_mut() {
        compiled.policies.push_back((digest, policy.clone()));
        if compiled.policies.len() > KEPT {
            compiled.policies.pop_front();
        }
    }
    Ok(policy)
}

/// The runtime of this process. A process that was forked has no clock thread, so that its parent's would never interrupt a policy.
fn runtime() -> Result<Runtime, tamis_runtime::Error> {
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    match compiled.as_ref() {
        Some(known) if known.process == process => Ok(known.runtime.clone()),
        known => {
            let first = known.is_none();
            let runtime = if first { Runtime::shared() } else { Runtime::new(RuntimeConfig::default()) }?;
            // What the parent made is not torn down here: threads that would be waited for are not there.
            std::mem::forget(compiled.take());
            *compiled = Some(Compiled { process, runtime: runtime.clone(), policies: VecDeque::new() });
            Ok(runtime)
        }
    }
}
