//! Filters in words, for people.

use std::fmt;

use super::{Comparison, Filter, Operand, Test};
use crate::decision::path_text;
use crate::extension::{datetime, decimal, duration};
use crate::value::Value;

/// Longer lists are cut, with a count of what is left out.
const MAX_LISTED: usize = 12;

/// `tenant = "acme" and access_level <= 3 and not (min_age exists)`. For people; [`Filter::to_json`] is for machines.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("everything"),
            Self::Never => f.write_str("nothing"),
            Self::And(filters) => join(f, filters, " and ", "everything"),
            Self::Or(filters) => join(f, filters, " or ", "nothing"),
            Self::Not(inner) => write!(f, "not ({inner})"),
            Self::Test(operand, test) => write!(f, "{operand} {test}"),
        }
    }
}

fn join(f: &mut fmt::Formatter<'_>, filters: &[Filter], word: &str, none: &str) -> fmt::Result {
    if filters.is_empty() {
        return f.write_str(none);
    }
    for (index, filter) in filters.iter().enumerate() {
        if index > 0 {
            f.write_str(word)?;
        }
        match filter {
            Filter::And(_) | Filter::Or(_) => write!(f, "({filter})")?,
            _ => write!(f, "{filter}")?,
        }
    }
    Ok(())
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute(attribute) => f.write_str(&path_text(&attribute.path)),
            Self::Id => f.write_str("the chunk"),
            Self::EntityType => f.write_str("its type"),
            Self::Ancestors => f.write_str("its ancestors"),
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists => f.write_str("exists"),
            Self::Readable => f.write_str("is readable"),
            Self::Equals(value) => write!(f, "= {value}"),
            Self::OneOf(values) => write!(f, "is one of ({})", List(values)),
            Self::Compare(Comparison::Less, value) => write!(f, "< {value}"),
            Self::Compare(Comparison::LessOrEqual, value) => write!(f, "<= {value}"),
            Self::Compare(Comparison::Greater, value) => write!(f, "> {value}"),
            Self::Compare(Comparison::GreaterOrEqual, value) => write!(f, ">= {value}"),
            Self::ContainsAny(values) => write!(f, "contains any of ({})", List(values)),
            Self::ContainsAll(values) => write!(f, "contains all of ({})", List(values)),
            Self::StartsWith(prefix) => write!(f, "starts with {prefix:?}"),
        }
    }
}

struct List<'a>(&'a [Value]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, value) in self.0.iter().take(MAX_LISTED).enumerate() {
            write!(f, "{}{value}", if index > 0 { ", " } else { "" })?;
        }
        match self.0.len().checked_sub(MAX_LISTED) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, ", and {more} more"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Long(value) => write!(f, "{value}"),
            Self::String(text) => write!(f, "{text:?}"),
            Self::Entity(uid) => write!(f, "{uid}"),
            Self::Decimal(value) => f.write_str(&decimal::format(*value)),
            Self::Datetime(value) => f.write_str(&datetime::format(*value)),
            Self::Duration(value) => f.write_str(&duration::format(*value)),
            Self::Ip(network) => write!(f, "{network}"),
            Self::Set(elements) => {
                let elements: Vec<String> = elements.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", elements.join(", "))
            }
            Self::Record(fields) => {
                let fields: Vec<String> =
                    fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
                write!(f, "{{{}}}", fields.join(", "))
            }
            Self::IllTyped(_) => f.write_str("(unreadable)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_read_as_prose() {
        for (json, text) in [
            (r#"{"op":"never"}"#, "nothing"),
            (r#"{"op":"and","args":[]}"#, "everything"),
            (
                r#"{"op":"and","args":[{"op":"equals","attr":["a","b"],"value":"x"},{"op":"or","args":[
                    {"op":"less","attr":["n"],"value":3},{"op":"not","arg":{"op":"exists","attr":["m"]}}]}]}"#,
                r#"a.b = "x" and (n < 3 or not (m exists))"#,
            ),
            (
                r#"{"op":"contains-any","on":"ancestors","values":[{"__entity":{"type":"Folder","id":"f"}}]}"#,
                r#"its ancestors contains any of (Folder::"f")"#,
            ),
            (
                r#"{"op":"one-of","attr":["a"],"values":[1,2,3,4,5,6,7,8,9,10,11,12,13,14]}"#,
                "a is one of (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, and 2 more)",
            ),
        ] {
            assert_eq!(Filter::from_json(json).unwrap().to_string(), text);
        }
    }
}
