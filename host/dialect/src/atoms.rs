//! From a test of an attribute, whose type is known or not, to tests of the field that it is stored in: what types mean is settled here.

use serde_json::Value as Json;
use tamis_core::filter::Test;
use tamis_core::{Type, Value, normal};

use crate::plan::{Atom, Kind, Scalar};

/// A value as a database compares it; `None` if no stored value of the type can equal it.
type Compared = Result<Option<Scalar>, &'static str>;

/// Tests of one field that together say what a test of an attribute says.
pub(crate) enum Atoms {
    Any(Vec<Atom>),
    All(Vec<Atom>),
}

const NEVER: Atoms = Atoms::Any(Vec::new());

/// What a test of an attribute of a type comes to, or why that cannot be said.
pub(crate) fn atoms(declared: Option<&Type>, test: &Test) -> Result<Atoms, &'static str> {
    Ok(match test {
        Test::Exists => Atoms::All(vec![Atom::Present]),
        Test::Readable => match declared {
            None => return Err(UNTYPED),
            Some(Type::Set(element)) => match Kind::of(element) {
                Some(kind) => Atoms::All(vec![Atom::IsArray(kind)]),
                None => return Err("whether a set of sets or records can be read"),
            },
            Some(declared) => match Kind::of(declared) {
                Some(kind) => Atoms::All(vec![Atom::Is(kind)]),
                None => return Err("whether a record can be read"),
            },
        },
        Test::Equals(value) => one_of(declared, std::slice::from_ref(value))?,
        Test::OneOf(values) => one_of(declared, values)?,
        Test::Compare(comparison, bound) => match (declared, bound) {
            (None | Some(Type::Long), Value::Long(number)) => {
                Atoms::All(vec![Atom::Compare(*comparison, Scalar::Integer(*number))])
            }
            (Some(Type::Decimal), Value::Decimal(_)) | (Some(Type::Datetime), Value::Datetime(_)) => {
                match compared(declared, bound)? {
                    Some(bound) => Atoms::All(vec![Atom::Compare(*comparison, bound)]),
                    None => NEVER,
                }
            }
            (Some(Type::Duration), Value::Duration(_)) => return Err("the order of durations"),
            (None, Value::Decimal(_) | Value::Datetime(_) | Value::Duration(_)) => return Err(UNTYPED),
            _ => NEVER,
        },
        Test::ContainsAny(values) => match elements(declared, values)? {
            None => NEVER,
            Some((lists, kind)) => {
                Atoms::Any(lists.into_iter().map(|list| Atom::ContainsAny(list, kind)).collect())
            }
        },
        Test::ContainsAll(values) => match (elements(declared, values)?, declared) {
            (None, _) => NEVER,
            (Some((lists, _)), _) if lists.iter().map(Vec::len).sum::<usize>() < values.len() => NEVER,
            (Some((lists, Some(kind))), _) if lists.is_empty() => Atoms::All(vec![Atom::IsArray(kind)]),
            (Some((lists, None)), _) if lists.is_empty() => return Err("whether it is a set"),
            (Some((lists, kind)), _) => {
                Atoms::All(lists.into_iter().map(|list| Atom::ContainsAll(list, kind)).collect())
            }
        },
        Test::StartsWith(prefix) => match declared {
            None | Some(Type::String) if prefix.is_empty() => Atoms::All(vec![Atom::Is(Kind::Text)]),
            None | Some(Type::String) => Atoms::All(vec![Atom::StartsWith(prefix.clone())]),
            _ => NEVER,
        },
    })
}

/// Whether not all that is stored as values of a type are is a value of that type.
pub(crate) fn is_loose(declared: &Type) -> bool {
    match declared {
        Type::Decimal | Type::Datetime | Type::Duration | Type::Ip => true,
        Type::Set(element) => is_loose(element),
        Type::Bool | Type::Long | Type::String | Type::Entity(_) | Type::Record(_) => false,
    }
}

const UNTYPED: &str = "a value that JSON has no type for, where no type is declared";

fn one_of(declared: Option<&Type>, values: &[Value]) -> Result<Atoms, &'static str> {
    if matches!(declared, Some(Type::Set(_) | Type::Record(_))) {
        let may_equal = |value: &Value| matches!(value, Value::Set(_) | Value::Record(_));
        return if values.iter().any(may_equal) {
            Err("the equality of sets and records")
        } else {
            Ok(NEVER)
        };
    }
    let lists = by_kind(values.iter().map(|value| compared(declared, value)))?;
    Ok(Atoms::Any(lists.into_iter().map(Atom::OneOf).collect()))
}

/// Lists of elements, each of one kind, and the kind that is declared; `None` if what is declared is no set.
#[allow(clippy::type_complexity, reason = "read in one place")]
fn elements(
    declared: Option<&Type>,
    values: &[Value],
) -> Result<Option<(Vec<Vec<Scalar>>, Option<Kind>)>, &'static str> {
    let (element, kind) = match declared {
        None => (None, None),
        Some(Type::Set(element)) => match Kind::of(element) {
            Some(kind) => (Some(&**element), Some(kind)),
            None => return Err("the elements of a set of sets or records"),
        },
        Some(_) => return Ok(None),
    };
    Ok(Some((by_kind(values.iter().map(|value| compared(element, value)))?, kind)))
}

fn by_kind(values: impl Iterator<Item = Compared>) -> Result<Vec<Vec<Scalar>>, &'static str> {
    let mut lists: Vec<Vec<Scalar>> = Vec::new();
    for value in values {
        let Some(value) = value? else { continue };
        let known = lists.iter_mut().find(|list| list.first().map(Scalar::kind) == Some(value.kind()));
        match known {
            Some(list) => list.push(value),
            None => lists.push(vec![value]),
        }
    }
    Ok(lists)
}

fn compared(declared: Option<&Type>, value: &Value) -> Compared {
    let Some(declared) = declared else {
        return match value {
            Value::Bool(value) => Ok(Some(Scalar::Boolean(*value))),
            Value::Long(number) => Ok(Some(Scalar::Integer(*number))),
            Value::String(text) => Ok(Some(Scalar::Text(text.clone()))),
            _ => Err(UNTYPED),
        };
    };
    match (declared, value) {
        (Type::Decimal, Value::Decimal(_)) | (Type::Datetime, Value::Datetime(_)) => {
            match normal::spelling(value, declared) {
                Some(spelling) => Ok(scalar(&spelling)),
                None => Err("a value that is not stored in one spelling"),
            }
        }
        _ => Ok(normal::spelling(value, declared).as_ref().and_then(scalar)),
    }
}

fn scalar(json: &Json) -> Option<Scalar> {
    match json {
        Json::Bool(value) => Some(Scalar::Boolean(*value)),
        Json::String(text) => Some(Scalar::Text(text.clone())),
        Json::Number(number) if number.is_f64() => number.as_f64().map(Scalar::Number),
        Json::Number(number) => number.as_i64().map(Scalar::Integer),
        _ => None,
    }
}
