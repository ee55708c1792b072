//! From JSON metadata to values, by a declared type or by Cedar's JSON conventions, and back to JSON.
//!
//! | JSON | with a declared type | without |
//! |---|---|---|
//! | absent, `null` | absent | absent |
//! | `true` | `Bool` | `Bool` |
//! | whole number within 64 bits | `Long`, `decimal` | `Long` |
//! | number with a fraction or exponent, `-0` | `decimal` if it fits | ill-typed |
//! | string | `String`, `decimal`, `datetime`, `duration`, `ipaddr`, `Entity<T>` (its id) | `String` |
//! | array | `Set<T>` | a set |
//! | `{"__entity":{"type","id"}}` | `Entity<T>` of that type | an entity |
//! | `{"__extn":{"fn","arg"}}`, `{"__extn":{"fn","args"}}` | the type that `fn` makes | what `fn` makes |
//! | `{"type","id"}` | `Entity<T>` of that type, or a record | a record |
//! | what only looks like an escape | a record with the declared fields | a record |
//! | any other object | a record, its fields as declared | a record |
//!
//! Anything else is **ill-typed**: present, but reading it is an error. Nothing is converted silently, and nothing odd
//! becomes absent.

use serde_json::{Map, Number, Value as Json, json};

use crate::entity::EntityUid;
use crate::extension::{IpNetwork, datetime, decimal, duration};
use crate::types::{FieldType, Type};
use crate::value::{Record, Value};

/// Reads `json` as `declared`, or by Cedar's JSON conventions if nothing is declared. `None` is an absent value.
///
/// Recursion follows the nesting of `json`, which [`crate::input::parse_json`] limits.
pub fn read(json: &Json, declared: Option<&Type>) -> Option<Value> {
    match (json, declared) {
        (Json::Null, _) => None,
        (json, None) => Some(read_untyped(json)),
        (json, Some(declared)) => Some(read_typed(json, declared)),
    }
}

/// Reads an object's members by Cedar's JSON conventions. Members that are null are absent.
pub fn read_record(object: &Map<String, Json>) -> Record {
    object.iter().filter_map(|(name, json)| Some((name.clone(), read(json, None)?))).collect()
}

fn read_untyped(json: &Json) -> Value {
    match json {
        Json::Null => Value::IllTyped("null inside an array".to_owned()),
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(value) => Value::Long(value),
            None => Value::IllTyped(format!("the number {number} is not a 64-bit whole number")),
        },
        Json::String(text) => Value::String(text.clone()),
        Json::Array(elements) => Value::set(elements.iter().map(read_untyped)),
        Json::Object(object) => match Escape::of(object) {
            Escape::Entity(uid) => Value::Entity(uid),
            Escape::Extension(value) => value,
            Escape::Malformed(reason) => Value::IllTyped(reason),
            Escape::None => Value::Record(read_record(object)),
        },
    }
}

fn read_typed(json: &Json, declared: &Type) -> Value {
    let value = match (declared, json) {
        (Type::Bool, Json::Bool(value)) => Some(Value::Bool(*value)),
        (Type::Long, Json::Number(number)) => number.as_i64().map(Value::Long),
        (Type::String, Json::String(text)) => Some(Value::String(text.clone())),
        (Type::Decimal, Json::Number(number)) => return read_decimal_number(number),
        (Type::Decimal, Json::String(text)) => return read_extension("decimal", text),
        (Type::Datetime, Json::String(text)) => return read_extension("datetime", text),
        (Type::Duration, Json::String(text)) => return read_extension("duration", text),
        (Type::Ip, Json::String(text)) => return read_extension("ip", text),
        (Type::Entity(entity_type), Json::String(id)) => {
            Some(Value::Entity(EntityUid::new(entity_type.clone(), id.clone())))
        }
        (Type::Entity(entity_type), Json::Object(object)) => {
            let uid = match Escape::of(object) {
                Escape::Entity(uid) => Some(uid),
                Escape::None => uid_of(object),
                Escape::Extension(_) | Escape::Malformed(_) => None,
            };
            uid.filter(|uid| uid.entity_type == *entity_type).map(Value::Entity)
        }
        (Type::Set(element), Json::Array(elements)) => {
            return Value::set(elements.iter().map(|json| match json {
                Json::Null => read_untyped(json),
                json => read_typed(json, element),
            }));
        }
        (Type::Record(fields), Json::Object(object)) => return read_typed_record(object, fields),
        (Type::Decimal | Type::Datetime | Type::Duration | Type::Ip, Json::Object(object)) => {
            match Escape::of(object) {
                Escape::Extension(value) => Some(value).filter(|value| value.kind() == declared.to_string()),
                _ => None,
            }
        }
        _ => None,
    };
    value.unwrap_or_else(|| Value::IllTyped(format!("{} where {declared} is declared", describe(json))))
}

fn read_typed_record(
    object: &Map<String, Json>,
    fields: &std::collections::BTreeMap<String, FieldType>,
) -> Value {
    let field = |(name, json): (&String, &Json)| {
        let declared = fields.get(name).map(|field| &field.field_type);
        Some((name.clone(), read(json, declared)?))
    };
    Value::Record(object.iter().filter_map(field).collect())
}

/// What of `json` is not as declared, though it reads: a record that lacks a field or has another one.
pub fn misshapen(json: &Json, declared: &Type) -> Option<String> {
    match (json, declared) {
        (Json::Array(elements), Type::Set(element)) => {
            elements.iter().find_map(|json| misshapen(json, element))
        }
        (Json::Object(object), Type::Record(fields)) => {
            let present = |name: &String| object.get(name).filter(|json| !json.is_null());
            let missing = fields.iter().find(|(name, field)| !field.optional && present(name).is_none());
            if let Some((name, _)) = missing {
                return Some(format!("a record without the field `{name}`"));
            }
            let undeclared =
                object.iter().find(|(name, json)| !json.is_null() && !fields.contains_key(*name));
            if let Some((name, _)) = undeclared {
                return Some(format!("a record with the undeclared field `{name}`"));
            }
            fields.iter().find_map(|(name, field)| misshapen(object.get(name)?, &field.field_type))
        }
        _ => None,
    }
}

/// A number as a decimal: by its shortest decimal form, so that `1.1` is 1.1 and not the nearest binary fraction.
fn read_decimal_number(number: &Number) -> Value {
    let text = number.to_string();
    let text = if number.is_f64() { text } else { format!("{text}.0") };
    read_extension("decimal", &text)
}

fn read_extension(function: &str, argument: &str) -> Value {
    let read = match function {
        "decimal" => decimal::parse(argument).map(Value::Decimal),
        "datetime" => datetime::parse(argument).map(Value::Datetime),
        "duration" => duration::parse(argument).map(Value::Duration),
        "ip" => argument.parse::<IpNetwork>().map(Value::Ip),
        _ => return Value::IllTyped(format!("no extension function `{function}` is known")),
    };
    read.unwrap_or_else(|error| Value::IllTyped(error.to_string()))
}

/// Cedar's ways to write, in JSON, a value that JSON has no type for.
enum Escape {
    None,
    Entity(EntityUid),
    Extension(Value),
    Malformed(String),
}

impl Escape {
    fn of(object: &Map<String, Json>) -> Self {
        let mut members = object.iter();
        let (Some((name, json)), None) = (members.next(), members.next()) else {
            return Self::None;
        };
        match name.as_str() {
            "__entity" => match json.as_object().and_then(named_uid) {
                Some(uid) => Self::Entity(uid),
                None => Self::None,
            },
            "__extn" => read_call(json).map_or(Self::None, Self::Extension),
            "__expr" if json.is_string() => Self::Malformed("`__expr` is not supported".to_owned()),
            // What is no escape is a record, as Cedar has it.
            _ => Self::None,
        }
    }
}

/// The value of `{"fn","arg"}` or `{"fn","args"}`; `None` for what is no call.
fn read_call(json: &Json) -> Option<Value> {
    let call = json.as_object()?;
    let function = call.get("fn")?.as_str()?;
    let arguments = match call.get("arg") {
        Some(argument) => std::slice::from_ref(argument),
        None => call.get("args")?.as_array()?.as_slice(),
    };
    Some(match (function, arguments) {
        (function, [Json::String(argument)]) => read_extension(function, argument),
        // Cedar writes a point in time so: as another one, moved.
        ("offset", [start, by]) => {
            match (read_typed(start, &Type::Datetime), read_typed(by, &Type::Duration)) {
                (Value::Datetime(start), Value::Duration(by)) => match start.checked_add(by) {
                    Some(moved) => Value::Datetime(moved),
                    None => Value::IllTyped("a datetime that does not fit into 64 bits".to_owned()),
                },
                _ => Value::IllTyped("`offset` wants a datetime and a duration".to_owned()),
            }
        }
        (function, _) => Value::IllTyped(format!("no extension function `{function}` takes these arguments")),
    })
}

/// The entity that `type` and `id` name.
fn named_uid(object: &Map<String, Json>) -> Option<EntityUid> {
    let text = |name| object.get(name).and_then(Json::as_str);
    Some(EntityUid::new(text("type")?, text("id")?))
}

/// The entity that an object of nothing but `type` and `id` stands for.
fn uid_of(object: &Map<String, Json>) -> Option<EntityUid> {
    named_uid(object).filter(|_| object.len() == 2)
}

fn describe(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(number) if number.is_f64() => "a number with a fraction",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

/// Writes a value so that [`read`] without a declared type gives it back. An ill-typed value has no such form
/// and becomes null, which reads as absent.
pub fn write(value: &Value) -> Json {
    let extension = |function: &str, argument: String| json!({"__extn": {"fn": function, "arg": argument}});
    match value {
        Value::Bool(value) => json!(value),
        Value::Long(value) => json!(value),
        Value::String(text) => json!(text),
        Value::Entity(uid) => json!({"__entity": {"type": uid.entity_type, "id": uid.id}}),
        Value::Decimal(value) => extension("decimal", decimal::format(*value)),
        Value::Datetime(value) => extension("datetime", datetime::format(*value)),
        Value::Duration(value) => extension("duration", duration::format(*value)),
        Value::Ip(network) => extension("ip", network.to_string()),
        Value::Set(elements) => elements.iter().map(write).collect(),
        Value::Record(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), write(value))).collect::<Map<_, _>>().into()
        }
        Value::IllTyped(_) => Json::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(entity_type: &str, id: &str) -> Value {
        Value::Entity(EntityUid::new(entity_type, id))
    }

    #[test]
    fn values_read_by_declared_type() {
        let user = json!({"type": "User", "id": "a"});
        for (json, declared, value) in [
            (json!(true), "Bool", Value::Bool(true)),
            (json!(-3), "Long", Value::Long(-3)),
            (json!("x"), "String", "x".into()),
            (json!("1.5"), "decimal", Value::Decimal(15000)),
            (json!(1.1), "decimal", Value::Decimal(11000)),
            (json!(2), "decimal", Value::Decimal(20000)),
            (json!("1970-01-02"), "datetime", Value::Datetime(86_400_000)),
            (json!("1s"), "duration", Value::Duration(1000)),
            (json!("10.0.0.0/8"), "ipaddr", Value::Ip("10.0.0.0/8".parse().unwrap())),
            (json!({"__extn": {"fn": "ip", "arg": "::1"}}), "ipaddr", Value::Ip("::1".parse().unwrap())),
            (json!({"__extn": {"fn": "ip", "args": ["::1"]}}), "ipaddr", Value::Ip("::1".parse().unwrap())),
            (
                json!({"__extn": {"fn": "offset", "args": [
                    {"__extn": {"fn": "datetime", "arg": "1970-01-02"}}, {"__extn": {"fn": "duration", "arg": "-1d1ms"}}
                ]}}),
                "datetime",
                Value::Datetime(-1),
            ),
            (json!("a"), "Entity<User>", uid("User", "a")),
            (user.clone(), "Entity<User>", uid("User", "a")),
            (json!({"__entity": user}), "Entity<User>", uid("User", "a")),
            (json!(["a", "b"]), "Set<Entity<User>>", Value::set([uid("User", "a"), uid("User", "b")])),
            (json!([]), "Set<Long>", Value::set([])),
            (
                json!({"a": 1, "b": null}),
                "{a: Long, b?: Long}",
                Value::Record([("a".into(), Value::Long(1))].into()),
            ),
        ] {
            assert_eq!(read(&json, Some(&declared.parse().unwrap())), Some(value), "{json} as {declared}");
        }
    }

    #[test]
    fn what_does_not_fit_is_ill_typed_and_never_absent() {
        for (json, declared) in [
            (json!(1), Some("Bool")),
            (json!(1.0), Some("Long")),
            (json!("1"), Some("Long")),
            (json!(u64::MAX), Some("Long")),
            (json!(1), Some("String")),
            (json!(1.00001), Some("decimal")),
            (json!(1e300), Some("decimal")),
            (json!("yesterday"), Some("datetime")),
            (json!(0), Some("datetime")),
            (json!({"__extn": {"fn": "ip", "arg": "::1"}}), Some("decimal")),
            (json!({"type": "Group", "id": "a"}), Some("Entity<User>")),
            (json!({"type": "User", "id": "a", "x": 1}), Some("Entity<User>")),
            (json!(["a", 1]), Some("Set<String>")),
            (json!(["a", null]), Some("Set<String>")),
            (json!("a"), Some("Set<String>")),
            (json!([]), Some("{a: Long}")),
            (json!(1.5), None),
            (json!(u64::MAX), None),
            (json!([1, 1.5]), None),
            (json!([null]), None),
            (json!({"__extn": {"fn": "rm", "arg": "x"}}), None),
            (json!({"__extn": {"fn": "ip", "args": ["::1", "::2"]}}), None),
            (json!({"__extn": {"fn": "ip", "args": []}}), None),
            (json!({"__extn": {"fn": "offset", "args": ["1970-01-01", 1]}}), None),
            (json!({"__extn": {"fn": "ip", "arg": 1}}), None),
            (json!({"__extn": {"fn": "ip", "arg": "x"}}), None),
            (json!({"__expr": "1"}), None),
        ] {
            let declared: Option<Type> = declared.map(|text| text.parse().unwrap());
            let value = read(&json, declared.as_ref());
            assert!(matches!(value, Some(Value::IllTyped(_))), "{json} as {declared:?}: {value:?}");
        }
    }

    #[test]
    fn fields_of_records_are_read_one_by_one() {
        let declared: Type = "{a: Long, b?: decimal, c?: {d: String}}".parse().unwrap();
        for (json, misshapen) in [
            (json!({"a": 1}), None),
            (json!({"a": "x", "b": null}), None),
            (json!({"a": 1, "c": {"d": "x"}}), None),
            (json!({}), Some("without the field `a`")),
            (json!({"a": null}), Some("without the field `a`")),
            (json!({"a": 1, "x": 1.5}), Some("undeclared field `x`")),
            (json!({"a": 1, "c": {}}), Some("without the field `d`")),
        ] {
            let Some(Value::Record(record)) = read(&json, Some(&declared)) else { panic!("{json}") };
            for (name, value) in &record {
                let field = declared_field(&declared, name);
                assert_eq!(Some(value), read(&json[name], field.as_ref()).as_ref(), "{name} of {json}");
            }
            let found = super::misshapen(&json, &declared);
            assert_eq!(found.is_some(), misshapen.is_some(), "{json}");
            assert!(found.unwrap_or_default().contains(misshapen.unwrap_or_default()), "{json}");
        }
        let several: Type = "Set<{a: Long}>".parse().unwrap();
        assert!(misshapen(&json!([{"a": 1}, {}]), &several).is_some());
        assert_eq!(misshapen(&json!([{"a": 1}]), &several), None);
    }

    fn declared_field(declared: &Type, name: &str) -> Option<Type> {
        match declared {
            Type::Record(fields) => fields.get(name).map(|field| field.field_type.clone()),
            _ => None,
        }
    }

    #[test]
    fn what_only_looks_like_an_escape_is_a_record() {
        for json in [
            json!({"__entity": "a"}),
            json!({"__entity": {"type": "User"}}),
            json!({"__extn": {"fn": "ip"}}),
            json!({"__extn": {"fn": 1, "arg": "::1"}}),
            json!({"__expr": 1}),
            json!({"__entity": {"type": "User", "id": "a"}, "more": 1}),
        ] {
            assert!(matches!(read(&json, None), Some(Value::Record(_))), "{json}");
        }
        let entity = json!({"__entity": {"type": "User", "id": "a", "more": 1}});
        assert_eq!(read(&entity, None), Some(uid("User", "a")));
    }

    #[test]
    fn the_reason_says_what_was_found() {
        for (json, declared, reason) in [
            (json!(1.5), Type::String, "a number with a fraction where String is declared"),
            (json!(1), Type::String, "a number where String is declared"),
            (json!([]), Type::Bool, "an array where Bool is declared"),
        ] {
            assert_eq!(read(&json, Some(&declared)), Some(Value::IllTyped(reason.to_owned())));
        }
    }

    #[test]
    fn null_is_absent() {
        assert_eq!(read(&Json::Null, None), None);
        assert_eq!(read(&Json::Null, Some(&Type::Long)), None);
        assert_eq!(read(&json!({"a": null}), None), Some(Value::Record(Record::new())));
    }

    #[test]
    fn untyped_values_read_back_as_written() {
        for json in [
            json!(true),
            json!(i64::MIN),
            json!("\u{0}é\u{1F600}"),
            json!({"__entity": {"type": "A::B", "id": ""}}),
            json!({"__extn": {"fn": "decimal", "arg": "-1.25"}}),
            json!({"__extn": {"fn": "datetime", "arg": "2026-01-02T03:04:05.678Z"}}),
            json!({"__extn": {"fn": "duration", "arg": "1d2h"}}),
            json!({"__extn": {"fn": "ip", "arg": "10.0.0.0/8"}}),
            json!([1, 2, 3]),
            json!({"a": {"b": [{"c": "d"}]}, "type": "x", "id": "y"}),
        ] {
            let value = read(&json, None).unwrap();
            assert_eq!(value.ill_typed(), None, "{json}");
            assert_eq!(read(&write(&value), None), Some(value), "{json}");
        }
    }
}
