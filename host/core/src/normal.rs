//! One spelling for each value: how the admit gate has attributes stored, so that databases can compare them.
//!
//! Metadata may spell a value in several ways: an entity as its id or as an object, a point in time in several zones, a set in any
//! order. A database compares spellings. So what is stored of an attribute with a declared type is the one below; attributes without
//! a declared type stay as they are.
//!
//! | type | stored as |
//! |---|---|
//! | `Bool`, `Long`, `String` | what they are |
//! | `Entity<T>` | its id |
//! | `datetime` | UTC with milliseconds, `2026-01-31T00:00:00.000Z`: texts in the order of time |
//! | `duration` | milliseconds, `86400000ms` |
//! | `decimal` | a number |
//! | `ipaddr` | Cedar's text |
//! | `Set<T>` | an array without duplicates |
//! | a record | an object |
//!
//! A value that has no such spelling (a year beyond 9999, a decimal of more digits than a double-precision number holds, anything
//! ill-typed) stays as it is. A filter then misses it, which the filter gate would not have: fewer results, never more.

use serde_json::{Map, Value as Json, json};

use crate::chunk::{Attributes, Chunk};
use crate::extension::datetime;
use crate::manifest::FootprintAttribute;
use crate::metadata;
use crate::types::Type;
use crate::value::Value;

/// Decimals, in ten-thousandths, up to which double-precision numbers tell neighbours apart.
const MAX_DECIMAL: i64 = 1 << 53;
/// 0000-01-01T00:00:00Z, the first instant that has a text.
const FIRST_INSTANT: i64 = -62_167_219_200_000;
/// 9999-12-31T23:59:59.999Z, the last one.
const LAST_INSTANT: i64 = 253_402_300_799_999;

/// Rewrites the attributes that the footprint declares a type for.
pub fn normalise(chunk: &mut Chunk, footprint: &[FootprintAttribute]) {
    for entry in footprint {
        let Some(declared) = &entry.attribute.declared else { continue };
        let Some(stored) = place(&mut chunk.attributes, &entry.attribute.path) else { continue };
        if let Some(normal) =
            metadata::read(stored, Some(declared)).and_then(|value| spelling(&value, declared))
        {
            *stored = normal;
        }
    }
}

/// How a value of a declared type is stored; `None` if it has no such spelling, or is not of that type.
pub fn spelling(value: &Value, declared: &Type) -> Option<Json> {
    Some(match (declared, value) {
        (Type::Bool, Value::Bool(value)) => json!(value),
        (Type::Long, Value::Long(number)) => json!(number),
        (Type::String, Value::String(text)) => json!(text),
        (Type::Entity(entity_type), Value::Entity(uid)) if uid.entity_type == *entity_type => json!(uid.id),
        (Type::Decimal, Value::Decimal(number)) if number.unsigned_abs() <= MAX_DECIMAL.unsigned_abs() => {
            json!(*number as f64 / 10_000.0)
        }
        (Type::Datetime, Value::Datetime(millis)) if (FIRST_INSTANT..=LAST_INSTANT).contains(millis) => {
            json!(datetime::format(*millis))
        }
        (Type::Duration, Value::Duration(millis)) => json!(format!("{millis}ms")),
        (Type::Ip, Value::Ip(network)) => json!(network.to_string()),
        (Type::Set(element), Value::Set(elements)) => {
            let elements: Option<Vec<Json>> = elements.iter().map(|value| spelling(value, element)).collect();
            Json::Array(elements?)
        }
        (Type::Record(fields), Value::Record(record)) => {
            let field = |(name, value): (&String, &Value)| {
                Some((name.clone(), spelling(value, &fields.get(name)?.field_type)?))
            };
            Json::Object(record.iter().map(field).collect::<Option<Map<_, _>>>()?)
        }
        _ => return None,
    })
}

/// What is stored at a path.
fn place<'a>(attributes: &'a mut Attributes, path: &[String]) -> Option<&'a mut Json> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(attributes.get_mut(first)?, |json, name| json.as_object_mut()?.get_mut(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Attribute;

    fn entry(path: &[&str], declared: Option<&str>) -> FootprintAttribute {
        let path = path.iter().map(ToString::to_string).collect();
        let declared = declared.map(|text| text.parse().unwrap());
        FootprintAttribute { attribute: Attribute { path, declared }, optional: true }
    }

    #[test]
    fn every_value_has_one_spelling() {
        let user = json!({"type": "User", "id": "a"});
        for (declared, spellings, normal) in [
            ("Bool", vec![json!(true)], json!(true)),
            ("Long", vec![json!(5)], json!(5)),
            ("String", vec![json!("é")], json!("é")),
            ("Entity<User>", vec![json!("a"), user.clone(), json!({"__entity": user})], json!("a")),
            (
                "datetime",
                vec![
                    json!("2026-01-02"),
                    json!("2026-01-02T01:00:00+0100"),
                    json!("2026-01-02T00:00:00.000Z"),
                ],
                json!("2026-01-02T00:00:00.000Z"),
            ),
            (
                "duration",
                vec![json!("1d"), json!("24h"), json!({"__extn": {"fn": "duration", "arg": "1d"}})],
                json!("86400000ms"),
            ),
            ("decimal", vec![json!("1.50"), json!(1.5)], json!(1.5)),
            ("decimal", vec![json!(2), json!("2.0")], json!(2.0)),
            ("ipaddr", vec![json!("10.0.0.0/8")], json!("10.0.0.0/8")),
            ("Set<Long>", vec![json!([2, 1, 2]), json!([1, 2])], json!([1, 2])),
            ("Set<Entity<User>>", vec![json!(["a", {"type": "User", "id": "a"}])], json!(["a"])),
            ("{a: decimal, b?: Long}", vec![json!({"a": "0.1", "b": null})], json!({"a": 0.1})),
        ] {
            for spelt in spellings {
                let mut chunk = Chunk::new("c");
                chunk.attributes.insert("x".to_owned(), spelt.clone());
                normalise(&mut chunk, &[entry(&["x"], Some(declared))]);
                assert_eq!(chunk.attributes["x"], normal, "{spelt} as {declared}");
                let read = |json| metadata::read(json, Some(&declared.parse().unwrap()));
                assert_eq!(read(&spelt), read(&normal), "{spelt} and {normal} are one {declared}");
            }
        }
    }

    #[test]
    fn what_has_no_spelling_stays() {
        for (declared, stored) in [
            (Some("Long"), json!("5")),
            (Some("Long"), json!(null)),
            (Some("decimal"), json!("922337203685477.5807")),
            (Some("datetime"), json!("9999-12-31T23:59:59-2359")),
            (Some("Set<Long>"), json!([1, "a"])),
            (Some("Entity<User>"), json!({"type": "Group", "id": "a"})),
            (None, json!({"type": "User", "id": "a"})),
        ] {
            let mut chunk = Chunk::new("c");
            chunk.attributes.insert("x".to_owned(), stored.clone());
            normalise(&mut chunk, &[entry(&["x"], declared), entry(&["y", "z"], Some("Long"))]);
            assert_eq!(chunk.attributes["x"], stored);
        }
    }

    #[test]
    fn times_are_in_the_order_of_their_texts() {
        let texts =
            [FIRST_INSTANT, -1, 0, 1, 999, 1000, 1_700_000_000_000, LAST_INSTANT].map(datetime::format);
        assert!(texts.is_sorted() && texts.iter().all(|text| text.len() == 24), "{texts:?}");
    }

    #[test]
    fn paths_are_followed() {
        let mut chunk = Chunk::new("c");
        chunk.attributes.insert("owner".to_owned(), json!({"id": {"type": "User", "id": "a"}}));
        normalise(&mut chunk, &[entry(&["owner", "id"], Some("Entity<User>"))]);
        assert_eq!(chunk.attributes["owner"], json!({"id": "a"}));
    }
}
