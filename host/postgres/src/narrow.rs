//! Which rows a request can be allowed, as a condition that indexes serve: the policy's rewrite in the dialect of PostgreSQL.

use std::collections::BTreeMap;

use tamis_core::manifest::FootprintAttribute;
use tamis_core::{Query, Type};
use tamis_dialect::{Dialect, Fields, Parameter, Place, Postgres, PostgresAttributes, Sql};

use crate::error::Failure;
use crate::layout::{Column, Layout};
use crate::request;
use crate::server::clock::Ticking;
use crate::server::value::{Element, Kind};
use crate::server::{process, table};
use crate::serving::{self, Served};

/// What a policy is told of a search. The table is what it is asked about anyway, and all rows that match are wanted.
const K: u32 = u32::MAX;

/// A condition, and the policy that it follows from.
pub(crate) struct Condition {
    /// SQL that is never NULL. Every row that can be allowed fulfils it.
    pub(crate) text: String,
    pub(crate) served: Served,
    pub(crate) digest: String,
}

/// The condition for the current request on rows of a layout, whose columns have these kinds and names. `None` if there is no
/// request: then there are no rows either.
pub(crate) fn condition(
    policy: &str,
    layout: &Layout,
    kinds: &[Kind],
    names: &[String],
) -> Result<Option<Condition>, Failure> {
    let Some(request) = request::current() else { return Ok(None) };
    let name = policy;
    let served = serving::policy(name)?;
    let policy = &served.policy;
    let digest = format!("{:x}", policy.digest());
    let _ticking = Ticking::start();
    let query = Query { collection: String::new(), k: K };
    let rewrite = policy.rewrite(&request, &query).map_err(|error| {
        process::check_interrupts();
        Failure::undecided(name, &digest, &error)
    })?;
    let table = dialect(layout, kinds, names, &policy.manifest().footprint);
    let sql = table.translate(&rewrite.filter).native;
    // What cannot be written narrows nothing.
    let text = written(&sql).unwrap_or_else(|| "TRUE".to_owned());
    Ok(Some(Condition { text, served, digest }))
}

/// What a condition can ask for of each row. The rest is left to the policy.
fn dialect(layout: &Layout, kinds: &[Kind], names: &[String], footprint: &[FootprintAttribute]) -> Postgres {
    let named = |wanted: &dyn Fn(&Column, Kind) -> bool| {
        let mut columns = layout.columns.iter().zip(kinds).zip(names);
        columns.find(|((column, kind), _)| wanted(column, **kind)).map(|(_, name)| name.clone())
    };
    let field = |name: Option<String>| name.map_or(Place::Absent, Place::Field);
    let has_columns = layout.columns.iter().any(|column| matches!(column, Column::Attribute(_)));
    let document = named(&|column, _| *column == Column::Attributes)
        .filter(|_| !has_columns && layout.absent.is_empty());
    let place = |entry: &FootprintAttribute| {
        let FootprintAttribute { attribute, .. } = entry;
        let is_it = |column: &Column, kind: Kind| {
            *column == Column::Attribute(attribute.path.clone())
                && attribute.declared.as_ref().is_some_and(|declared| is_stored_as(declared, kind))
        };
        // A path, which columns do not have, is not asked for.
        let nowhere = || vec![String::new(), String::new()];
        (attribute.path.clone(), named(&is_it).map_or_else(nowhere, |name| vec![name]))
    };
    let attributes = match &document {
        Some(_) => BTreeMap::new(),
        None => footprint.iter().map(place).collect(),
    };
    Postgres {
        attributes: document.map_or(PostgresAttributes::Columns, PostgresAttributes::Json),
        fields: Fields {
            attributes,
            entity_type: Place::Constant(layout.entity_type.clone()),
            id: field(named(&|column, kind| *column == Column::Id && kind == Kind::Text)),
            ancestors: field(named(&|column, _| *column == Column::Ancestors)),
            ..Fields::default()
        },
    }
}

/// Whether a column of this kind holds attributes of this type as the dialect compares them.
fn is_stored_as(declared: &Type, kind: Kind) -> bool {
    match declared {
        Type::Bool => kind == Kind::Bool,
        Type::Long => matches!(kind, Kind::Int2 | Kind::Int4 | Kind::Int8),
        Type::Decimal => kind == Kind::Float8,
        Type::String | Type::Entity(_) | Type::Datetime | Type::Duration | Type::Ip => kind == Kind::Text,
        Type::Set(element) => match **element {
            Type::Bool => kind == Kind::Array(Element::Bool),
            Type::Long => kind == Kind::Array(Element::Int8),
            Type::Decimal => kind == Kind::Array(Element::Float8),
            Type::Set(_) | Type::Record(_) => false,
            _ => kind == Kind::Array(Element::Text),
        },
        Type::Record(_) => false,
    }
}

/// What the dialect writes for the values of a list, around the number of the parameter.
const LIST: (&str, &str) = ("(SELECT jsonb_array_elements_text($", "::text::jsonb)::");

/// The text of a condition with its values in their places, and lists as arrays, which indexes and the planner's estimates know.
/// `None` if there is a place without a value.
fn written(sql: &Sql) -> Option<String> {
    let (mut text, mut rest) = (String::new(), sql.text.as_str());
    loop {
        let Some(at) = rest.find(['$', '"', '\'', '(']) else { return Some(text + rest) };
        let (before, after) = rest.split_at(at);
        text.push_str(before);
        if let Some((list, after)) = list(after, sql) {
            // `IN (SELECT …)` or `ARRAY(SELECT …)`.
            if let Some(tested) = text.strip_suffix(" IN ") {
                text = format!("{tested} = ANY ({list})");
            } else {
                text = format!("{}({list})", text.strip_suffix("ARRAY")?);
            }
            rest = after;
        } else if let Some(number) = after.strip_prefix('$') {
            let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
            let (number, after) = number.split_at(digits);
            text.push_str(&table::literal(&plain(parameter(number, sql)?))?);
            rest = after;
        } else if let Some(after) = after.strip_prefix('(') {
            text.push('(');
            rest = after;
        } else {
            // A name or a constant, up to the quote that ends it. One that is doubled begins another, which is the same.
            let quote = after.chars().next()?;
            let end = after.get(1..)?.find(quote)? + 2;
            let (quoted, after) = after.split_at(end);
            text.push_str(quoted);
            rest = after;
        }
    }
}

/// The array that a list at the beginning of `text` is, and what follows.
fn list<'a>(text: &'a str, sql: &Sql) -> Option<(String, &'a str)> {
    let (number, rest) = text.strip_prefix(LIST.0)?.split_once(LIST.1)?;
    let (type_name, rest) = rest.split_once(')')?;
    let Parameter::Text(list) = parameter(number, sql)? else { return None };
    let elements: Vec<serde_json::Value> = serde_json::from_str(list).ok()?;
    let elements: Vec<String> = elements.iter().map(element).collect();
    let array = table::literal(&format!("{{{}}}", elements.join(",")))?;
    Some((format!("{array}::{type_name}[]"), rest))
}

/// An element as the text of an array has it.
fn element(value: &serde_json::Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn parameter<'a>(number: &str, sql: &'a Sql) -> Option<&'a Parameter> {
    sql.parameters.get(number.parse::<usize>().ok()?.checked_sub(1)?)
}

/// A value as a constant that is cast where it stands.
fn plain(parameter: &Parameter) -> String {
    match parameter {
        Parameter::Text(text) => text.clone(),
        Parameter::Integer(number) => number.to_string(),
        Parameter::Real(number) => number.to_string(),
    }
}
