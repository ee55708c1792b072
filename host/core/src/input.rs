//! Reading JSON that strangers wrote: strict, with errors that name the place.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value as Json};

/// Input that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", Self::prefix(place))]
pub struct InputError {
    /// Where: `subject.id`, `line 3 column 7`. Empty if it is the input as a whole.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

impl InputError {
    /// An error at `place`.
    pub fn new(place: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { place: place.into(), message: message.to_string() }
    }

    /// The same error inside `outer`.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        let place = if self.place.is_empty() { outer.to_owned() } else { format!("{outer}: {}", self.place) };
        Self { place, message: self.message }
    }

    fn prefix(place: &str) -> String {
        if place.is_empty() { String::new() } else { format!("{place}: ") }
    }
}

/// Parses JSON text, refusing what `serde_json` would let pass and a policy must not guess about: a key that
/// occurs twice in one object. Nesting is limited to 127 levels.
///
/// # Errors
/// With the line and column of the first offence.
pub fn parse_json(text: &str) -> Result<Json, InputError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let json = Strict
        .deserialize(&mut deserializer)
        .and_then(|json| deserializer.end().map(|()| json))
        .map_err(json_error)?;
    Ok(json)
}

/// Parses JSON text into `T`.
///
/// # Errors
/// As [`parse_json`], and with the path of a field that `T` does not know, lacks, or wants to be of another type.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, InputError> {
    from_json(parse_json(text)?)
}

/// Reads `T` from JSON that [`parse_json`] produced.
///
/// # Errors
/// With the path of the offending field.
pub fn from_json<T: DeserializeOwned>(json: Json) -> Result<T, InputError> {
    serde_path_to_error::deserialize(json).map_err(|error| {
        let place = error.path().to_string();
        InputError::new(if place == "." { String::new() } else { place }, error.inner())
    })
}

fn json_error(error: serde_json::Error) -> InputError {
    let place = format!("line {} column {}", error.line(), error.column());
    let message = error.to_string();
    let suffix = format!(" at {place}");
    InputError::new(place, message.strip_suffix(&suffix).unwrap_or(&message))
}

/// Builds a JSON tree and refuses duplicate keys.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
        Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = access.next_element_seed(Strict)? {
            elements.push(element);
        }
        Ok(Json::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut object = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format!("the key `{key}` occurs twice")));
            }
            let value = access.next_value_seed(Strict)?;
            object.insert(key, value);
        }
        Ok(Json::Object(object))
    }
}

/// A `T` that is written as a JSON object. Derived readers take an array of the fields as well, which nobody means.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = T;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(access))
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Object)
    }
}

/// A type and an id, as JSON writes them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawUid {
    #[serde(rename = "type")]
    entity_type: String,
    id: String,
}

impl From<RawUid> for crate::EntityUid {
    fn from(raw: RawUid) -> Self {
        Self { entity_type: raw.entity_type, id: raw.id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_json_names_the_place() {
        for (text, message) in [
            ("", "line 1 column 0: EOF while parsing a value"),
            ("{\n \"a\": }", "line 2 column 7: expected value"),
            ("{\"a\": NaN}", "line 1 column 7: expected value"),
            ("{\"a\":1,\"a\":2}", "line 1 column 10: the key `a` occurs twice"),
            ("{\"x\":{\"a\":1,\"a\":2}}", "line 1 column 15: the key `a` occurs twice"),
            ("{} {}", "line 1 column 4: trailing characters"),
            ("1e999", "line 1 column 5: number out of range"),
            ("\"\\ud800\"", "line 1 column 8: unexpected end of hex escape"),
        ] {
            assert_eq!(parse_json(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error() {
        let deep = "[".repeat(100_000);
        assert!(parse_json(&deep).unwrap_err().message.contains("recursion limit"));
    }

    #[test]
    fn numbers_keep_their_value() {
        for text in ["9223372036854775807", "-9223372036854775808", "18446744073709551615", "1.5", "0"] {
            assert_eq!(parse_json(text).unwrap().to_string(), text);
        }
    }
}
