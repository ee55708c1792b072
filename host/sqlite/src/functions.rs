//! The SQL functions.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Result};
use serde_json::{Map, Number, Value as Json, json};
use tamis_core::admit::footprint_faults;
use tamis_core::{Attributes, Chunk, input};
use tamis_runtime::Session;

use crate::chunks::UNREADABLE;
use crate::connection::Shared;
use crate::error::Error;
use crate::policies::{self, Stored};
use crate::{protect, write};

/// What changes something is for statements as they come from the application: no view or trigger may call it. None of these has the flag
/// of functions whose result depends on their arguments alone, so that SQLite calls them for each row.
const DIRECT: FunctionFlags = FunctionFlags::SQLITE_UTF8.union(FunctionFlags::SQLITE_DIRECTONLY);
/// What only decides may stand in views and triggers of a schema that is not trusted.
const DECIDES: FunctionFlags = FunctionFlags::SQLITE_UTF8.union(FunctionFlags::SQLITE_INNOCUOUS);
/// A function of any number of arguments.
const ANY: i32 = -1;

/// Makes all functions known.
pub(crate) fn register(connection: &Connection, shared: &Arc<Shared>) -> Result<()> {
    let add = |name: &'static str,
               arguments: i32,
               flags,
               call: fn(&Arc<Shared>, &Context<'_>) -> Result<Value, Error>| {
        let shared = Arc::clone(shared);
        connection.create_scalar_function(name, arguments, flags, move |context| {
            if context.is_empty() && arguments == ANY {
                return Err(Error::Argument(format!("`{name}` wants arguments")).into());
            }
            Ok(call(&shared, context)?)
        })
    };
    add("tamis_load", 2, DIRECT, load)?;
    add("tamis_load", 3, DIRECT, load)?;
    add("tamis_drop", 1, DIRECT, |shared, context| {
        policies::forget(shared, &text(context, 0)?).map(|()| Value::Null)
    })?;
    add("tamis_protect", 2, DIRECT, protect)?;
    add("tamis_protect", 3, DIRECT, protect)?;
    add("tamis_unprotect", 1, DIRECT, |shared, context| {
        protect::unprotect(shared, &text(context, 0)?).map(|()| Value::Null)
    })?;
    add("tamis_lock", 0, DIRECT, |shared, _| {
        let ticket = shared.access().lock()?;
        shared.guard()?;
        Ok(Value::Text(ticket))
    })?;
    add("tamis_request", 1, DIRECT, request)?;
    add("tamis_request", 2, DIRECT, request)?;
    add("tamis_end", 1, DIRECT, |shared, context| {
        let ticket = optional(context, 0)?;
        shared.access().end(ticket.as_deref()).map(Value::Text)
    })?;
    add("tamis_allowed", ANY, DECIDES | FunctionFlags::SQLITE_SUBTYPE, allowed)?;
    add("tamis_rewrite", 1, DECIDES, |shared, context| {
        policies::rewrite(shared, &text(context, 0)?).map(Value::Text)
    })?;
    add("tamis_internal_admit", 3, DECIDES, |shared, context| {
        let Value::Integer(row) = value(context, 1)? else {
            return Err(Error::Argument("a rowid is a whole number".to_owned()));
        };
        write::admit(shared, &text(context, 0)?, row, &text(context, 2)?).map(Value::Integer)
    })
}

fn load(shared: &Arc<Shared>, context: &Context<'_>) -> Result<Value, Error> {
    let schema = if context.len() > 2 { optional(context, 2)? } else { None };
    policies::store(shared, &text(context, 0)?, &value(context, 1)?, schema.as_deref()).map(Value::Integer)
}

fn protect(shared: &Arc<Shared>, context: &Context<'_>) -> Result<Value, Error> {
    let options = if context.len() > 2 { optional(context, 2)? } else { None };
    let options = options.unwrap_or_else(|| "{}".to_owned());
    protect::protect(shared, &text(context, 0)?, &text(context, 1)?, &options).map(|()| Value::Null)
}

fn request(shared: &Arc<Shared>, context: &Context<'_>) -> Result<Value, Error> {
    let ticket = if context.len() > 1 { optional(context, 1)? } else { None };
    let json = match value(context, 0)? {
        Value::Text(json) => Some(json),
        // Whatever is no text is no request, and ends the one before.
        _ => None,
    };
    let ticket = shared.access().set(json.as_deref(), ticket.as_deref())?;
    shared.guard()?;
    Ok(Value::Text(ticket))
}

/// One policy and one request, for as long as a statement runs.
struct Prepared {
    stored: Stored,
    session: Session,
    epoch: u64,
}

/// `tamis_allowed(policy, json)` and `tamis_allowed(policy, name, value, …)`.
fn allowed(shared: &Arc<Shared>, context: &Context<'_>) -> Result<Value, Error> {
    let name = text(context, 0)?;
    let mut chunk = Chunk::new("");
    chunk.attributes = attributes(context)?;
    // SQLite keeps this with the statement, as long as the policy's name is a constant.
    let known = context.get_aux::<Mutex<Option<Prepared>>>(0).ok().flatten();
    let prepared = match known {
        Some(prepared) => prepared,
        None => {
            let (request, epoch) = shared.access().request()?;
            let stored = policies::find(shared, "main", &name)?;
            if let Some(fact) = stored.policy.facts().first() {
                let message = format!(
                    "the policy `{name}` reads the {fact} of a chunk, which `tamis_allowed` is not told"
                );
                return Err(Error::Argument(message));
            }
            let session = stored.policy.session(&request);
            let kept = context.set_aux(0, Mutex::new(Some(Prepared { stored, session, epoch })));
            kept.map_err(|error| Error::Argument(error.to_string()))?
        }
    };
    let mut prepared = prepared.lock().unwrap_or_else(PoisonError::into_inner);
    let answer = match prepared.as_mut() {
        Some(Prepared { stored, session, epoch }) if shared.access().is_at(*epoch) => {
            // A rule that fails on what is missing could be the one that forbids.
            let readable = footprint_faults(&chunk, &stored.policy.manifest().footprint).is_empty();
            let chunks: &[Chunk] = if readable { &[chunk] } else { &[] };
            session.filter(chunks).map_err(|error| stored.failed(error))
        }
        _ => Err(Error::RequestChanged),
    };
    if answer.is_err() {
        // A session that failed answers nothing more.
        *prepared = None;
    }
    // Where something is to be withheld, a yes alone would hand it out.
    let yes = answer?.first().is_some_and(|decision| {
        decision.allow && !decision.redaction.text && decision.redaction.attributes.is_empty()
    });
    Ok(Value::Integer(i64::from(yes)))
}

fn attributes(context: &Context<'_>) -> Result<Attributes, Error> {
    if context.len() == 2 {
        let json = match value(context, 1)? {
            Value::Text(json) => input::parse_json(&json),
            _ => return Err(Error::Argument("the metadata is not a JSON object as text".to_owned())),
        };
        return match json {
            Ok(Json::Object(object)) => Ok(object),
            Ok(_) => Err(Error::Argument("the metadata is not a JSON object".to_owned())),
            Err(error) => Err(Error::Argument(format!("the metadata: {error}"))),
        };
    }
    if context.len().is_multiple_of(2) {
        return Err(Error::Argument(
            "after the policy come names and values, in pairs, or one JSON object".to_owned(),
        ));
    }
    let mut attributes = Map::new();
    for index in (1..context.len()).step_by(2) {
        let name = text(context, index)?;
        let json = match context.get_raw(index + 1) {
            ValueRef::Null => continue,
            ValueRef::Integer(number) => json!(number),
            ValueRef::Real(number) => {
                Number::from_f64(number).map_or_else(|| json!(UNREADABLE), Json::Number)
            }
            // What SQLite's JSON functions return is JSON, not a text.
            ValueRef::Text(_) if context.get_subtype(index + 1) == JSON_SUBTYPE => {
                input::parse_json(&text(context, index + 1)?)
                    .map_err(|error| Error::Argument(error.to_string()))?
            }
            ValueRef::Text(_) => json!(text(context, index + 1)?),
            ValueRef::Blob(_) => json!(UNREADABLE),
        };
        if attributes.insert(name.clone(), json).is_some() {
            return Err(Error::Argument(format!("`{name}` is given twice")));
        }
    }
    Ok(attributes)
}

/// `J`: how SQLite marks the results of its JSON functions.
const JSON_SUBTYPE: u32 = 74;

fn value(context: &Context<'_>, index: usize) -> Result<Value, Error> {
    if index >= context.len() {
        return Ok(Value::Null);
    }
    Value::try_from(context.get_raw(index)).map_err(|_| Error::Argument("a text is not UTF-8".to_owned()))
}

fn text(context: &Context<'_>, index: usize) -> Result<String, Error> {
    optional(context, index)?.ok_or_else(|| Error::Argument(format!("argument {} is NULL", index + 1)))
}

fn optional(context: &Context<'_>, index: usize) -> Result<Option<String>, Error> {
    match value(context, index)? {
        Value::Null => Ok(None),
        Value::Text(text) => Ok(Some(text)),
        _ => Err(Error::Argument(format!("argument {} is not a text", index + 1))),
    }
}
