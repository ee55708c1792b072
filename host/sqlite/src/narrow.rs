//! The policy's filter over a table's columns: what it asks for at least, in a form that indexes serve.
//!
//! Everything that is not said here is left to the filter gate.

use rusqlite::types::Value;
use serde_json::{Value as Json, json};
use tamis_core::filter::{Comparison, Operand, Test};
use tamis_core::manifest::FootprintAttribute;
use tamis_core::{Filter, Value as Attribute};
use tamis_dialect::{Dialect, Fields, Parameter, Place as FieldPlace, Sqlite};

use crate::chunks::Read;
use crate::layout::{Layout, Place};

/// A condition on the columns `c0`, `c1`, …, on `attributes` and `chunk_id`, with a value for each question mark.
pub(crate) struct Condition {
    pub(crate) sql: String,
    pub(crate) values: Vec<Value>,
}

/// What every row that the filter matches satisfies, if it has what the footprint wants; `None` if there is no such row.
pub(crate) fn narrow(
    filter: &Filter,
    footprint: &[FootprintAttribute],
    layout: &Layout,
    read: &Read,
) -> Option<Condition> {
    let filter = &assume(filter, footprint);
    if *filter == Filter::Never {
        return None;
    }
    let everything = Condition { sql: "1".to_owned(), values: Vec::new() };
    if *filter == Filter::Always {
        return Some(everything);
    }
    if matches!(layout.attributes, Place::Json(_)) {
        let fields = Fields {
            entity_type: FieldPlace::Constant(layout.entity_type.clone()),
            id: FieldPlace::Field("chunk_id".to_owned()),
            ancestors: FieldPlace::Absent,
            ..Fields::default()
        };
        let sql = Sqlite { fields, ..Sqlite::default() }.translate(filter).native;
        let value = |parameter| match parameter {
            Parameter::Text(text) => Value::Text(text),
            Parameter::Integer(number) => Value::Integer(number),
            Parameter::Real(number) => Value::Real(number),
        };
        return Some(Condition { sql: sql.text, values: sql.parameters.into_iter().map(value).collect() });
    }
    let mut values = Vec::new();
    let sql = columns(filter, layout, read, &mut values);
    Some(sql.map_or(everything, |sql| Condition { sql, values }))
}

/// The filter for rows that have what the footprint wants: no others are allowed. What is left is what indexes serve: a rule that forbids
/// does not apply where it fails, so that a filter also matches where what it reads is missing.
fn assume(filter: &Filter, footprint: &[FootprintAttribute]) -> Filter {
    let all =
        |parts: &[Filter]| -> Vec<Filter> { parts.iter().map(|part| assume(part, footprint)).collect() };
    match filter {
        Filter::And(parts) => Filter::and(all(parts)),
        Filter::Or(parts) => Filter::or(all(parts)),
        Filter::Not(inner) => Filter::negate(assume(inner, footprint)),
        Filter::Test(Operand::Attribute(attribute), Test::Exists | Test::Readable)
            if footprint.iter().any(|entry| !entry.optional && entry.attribute == **attribute) =>
        {
            Filter::Always
        }
        other => other.clone(),
    }
}

/// `None` stands for everything.
fn columns(filter: &Filter, layout: &Layout, read: &Read, values: &mut Vec<Value>) -> Option<String> {
    match filter {
        Filter::Never => Some("0".to_owned()),
        // Deep chains are no use to an index.
        Filter::And(parts) if parts.len() <= 64 => {
            let parts: Vec<String> =
                parts.iter().filter_map(|part| columns(part, layout, read, values)).collect();
            (!parts.is_empty()).then(|| format!("({})", parts.join(" AND ")))
        }
        Filter::Or(parts) if parts.len() <= 64 => {
            let before = values.len();
            let parts: Option<Vec<String>> =
                parts.iter().map(|part| columns(part, layout, read, values)).collect();
            if parts.is_none() {
                values.truncate(before);
            }
            parts.map(|parts| format!("({})", parts.join(" OR ")))
        }
        Filter::Test(Operand::Attribute(attribute), tested) => {
            let [name] = attribute.path.as_slice() else { return None };
            let (column, boolean) = layout.plain_column(read, name)?;
            test(&format!("c{column}"), tested, boolean, values)
        }
        _ => None,
    }
}

fn test(column: &str, test: &Test, boolean: bool, values: &mut Vec<Value>) -> Option<String> {
    match test {
        Test::Equals(value) => {
            values.push(plain(value)?);
            Some(format!("{column} = ?"))
        }
        Test::OneOf(wanted) if !boolean => {
            let list = wanted.iter().map(|value| match plain(value)? {
                Value::Text(text) => Some(json!(text)),
                Value::Integer(number) => Some(json!(number)),
                _ => None,
            });
            let list = Json::Array(list.collect::<Option<Vec<Json>>>()?).to_string();
            values.push(Value::Text(list));
            Some(format!("{column} IN (SELECT value FROM json_each(?))"))
        }
        Test::Compare(comparison, Attribute::Long(number)) => {
            values.push(Value::Integer(*number));
            let operator = match comparison {
                Comparison::Less => "<",
                Comparison::LessOrEqual => "<=",
                Comparison::Greater => ">",
                Comparison::GreaterOrEqual => ">=",
            };
            // A column of texts compares otherwise; there nothing is a number for the policy either.
            Some(format!("{column} {operator} ?"))
        }
        _ => None,
    }
}

/// A value that is stored as it is.
fn plain(value: &Attribute) -> Option<Value> {
    match value {
        Attribute::String(text) if !text.contains('\0') => Some(Value::Text(text.clone())),
        Attribute::Long(number) => Some(Value::Integer(*number)),
        Attribute::Bool(value) => Some(Value::Integer(i64::from(*value))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tamis_core::filter;

    fn attribute(name: &str) -> filter::Attribute {
        filter::Attribute { path: vec![name.to_owned()], declared: Some(tamis_core::Type::String) }
    }

    fn test(name: &str, test: Test) -> Filter {
        Filter::Test(Operand::Attribute(attribute(name).into()), test)
    }

    #[test]
    fn what_every_row_has_is_not_asked_for() {
        let footprint = [
            FootprintAttribute { attribute: attribute("tenant"), optional: false },
            FootprintAttribute { attribute: attribute("owner"), optional: true },
        ];
        let equals = |name| test(name, Test::Equals("x".into()));
        let unless = |name| Filter::or([equals(name), Filter::negate(test(name, Test::Readable))]);
        for (filter, expected) in [
            (unless("tenant"), equals("tenant")),
            (
                Filter::and([unless("tenant"), unless("owner")]),
                Filter::and([equals("tenant"), unless("owner")]),
            ),
            (unless("other"), unless("other")),
            (test("tenant", Test::Exists), Filter::Always),
            (Filter::negate(test("tenant", Test::Exists)), Filter::Never),
            (test("owner", Test::Exists), test("owner", Test::Exists)),
            (Filter::negate(equals("tenant")), Filter::negate(equals("tenant"))),
        ] {
            assert_eq!(assume(&filter, &footprint), expected);
        }
        let untyped = filter::Attribute { declared: None, ..attribute("tenant") };
        let readable = Filter::Test(Operand::Attribute(untyped.into()), Test::Readable);
        assert_eq!(assume(&readable, &footprint), readable);
    }
}
