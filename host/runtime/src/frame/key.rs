//! What dictionaries know their entries by: the metadata as it is stored, so that finding a code reads and builds nothing.
//!
//! Two keys are one only if both read as the same value, whatever type is declared. The converse does not hold: `[1,2]` and
//! `[2,1]` are one set and two keys (and where objects keep the order of their fields, so are two orders), which costs an entry and
//! no more.

use std::hash::{Hash, Hasher};

use hashbrown::Equivalent;
use serde_json::{Map, Number, Value as Json};

/// Metadata to look up. The same value is the same in all forms.
#[derive(Clone, Copy)]
pub(super) enum Stored<'a> {
    Json(&'a Json),
    Text(&'a str),
    Texts(&'a [&'a str]),
    Long(i64),
    Bool(bool),
}

impl Stored<'_> {
    /// The metadata as JSON.
    pub(super) fn to_json(self) -> Json {
        match self {
            Self::Json(json) => json.clone(),
            Self::Text(text) => text.into(),
            Self::Texts(texts) => texts.into(),
            Self::Long(number) => number.into(),
            Self::Bool(value) => value.into(),
        }
    }
}

/// Named metadata to look up.
#[derive(Clone, Copy)]
pub(super) struct StoredFields<'a>(pub(super) &'a Map<String, Json>);

/// Metadata that has a code.
#[derive(Debug)]
pub(super) struct Key(pub(super) Json);

/// Named metadata that has a code.
#[derive(Debug)]
pub(super) struct FieldsKey(pub(super) Map<String, Json>);

impl Key {
    /// How many bytes it takes up, roughly.
    pub(super) fn size(&self) -> usize {
        size(&self.0)
    }
}

impl FieldsKey {
    /// How many bytes it takes up, roughly.
    pub(super) fn size(&self) -> usize {
        size_of_fields(&self.0)
    }
}

impl Equivalent<Key> for Stored<'_> {
    #[inline]
    fn equivalent(&self, key: &Key) -> bool {
        match (*self, &key.0) {
            (Self::Json(Json::String(text)), Json::String(key)) => text == key,
            (Self::Json(json), key) => same(json, key),
            (Self::Text(text), Json::String(key)) => text == key,
            (Self::Texts(texts), Json::Array(key)) => {
                texts.len() == key.len() && texts.iter().zip(key).all(|(text, key)| key == text)
            }
            (Self::Long(number), Json::Number(key)) => key.as_i64() == Some(number),
            (Self::Bool(value), Json::Bool(key)) => value == *key,
            _ => false,
        }
    }
}

impl Equivalent<FieldsKey> for StoredFields<'_> {
    fn equivalent(&self, key: &FieldsKey) -> bool {
        same_fields(self.0, &key.0)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

impl Eq for Key {}

impl PartialEq for FieldsKey {
    fn eq(&self, other: &Self) -> bool {
        same_fields(&self.0, &other.0)
    }
}

impl Eq for FieldsKey {}

impl Hash for Stored<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        match *self {
            Self::Json(Json::String(text)) => text.hash(state),
            Self::Json(json) => hash(json, state),
            Self::Text(text) => text.hash(state),
            Self::Texts(texts) => {
                state.write_usize(texts.len());
                texts.iter().for_each(|text| text.hash(state));
            }
            Self::Long(number) => state.write_i64(number),
            Self::Bool(value) => hash_bool(value, state),
        }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(&self.0, state);
    }
}

impl Hash for StoredFields<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_fields(self.0, state);
    }
}

impl Hash for FieldsKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_fields(&self.0, state);
    }
}

fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Null, Json::Null) => true,
        (Json::Bool(a), Json::Bool(b)) => a == b,
        (Json::Number(a), Json::Number(b)) => same_number(a, b),
        (Json::String(a), Json::String(b)) => a == b,
        (Json::Array(a), Json::Array(b)) => {
            let same = |(a, b): (&Json, &Json)| match (a, b) {
                (Json::String(a), Json::String(b)) => a == b,
                _ => same(a, b),
            };
            a.len() == b.len() && a.iter().zip(b).all(same)
        }
        (Json::Object(a), Json::Object(b)) => same_fields(a, b),
        _ => false,
    }
}

/// Not only equal: 0.0 equals -0.0, and is written differently.
fn same_number(a: &Number, b: &Number) -> bool {
    let bits = |number: &Number| number.is_f64().then(|| number.as_f64().map(f64::to_bits));
    a == b && bits(a) == bits(b)
}

fn same_fields(a: &Map<String, Json>, b: &Map<String, Json>) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|((a_name, a), (b_name, b))| a_name == b_name && same(a, b))
}

/// Keys of different kinds may share a hash; few of them meet in one dictionary.
fn hash<H: Hasher>(json: &Json, state: &mut H) {
    match json {
        Json::Null => state.write_u8(0),
        Json::Bool(value) => hash_bool(*value, state),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => state.write_i64(value),
            (None, value) => state.write_u64(value.unwrap_or_default().to_bits()),
        },
        Json::String(text) => text.hash(state),
        Json::Array(elements) => {
            state.write_usize(elements.len());
            for element in elements {
                // Most are, and need no call.
                if let Json::String(text) = element { text.hash(state) } else { hash(element, state) }
            }
        }
        Json::Object(fields) => hash_fields(fields, state),
    }
}

fn size(json: &Json) -> usize {
    size_of::<Json>()
        + match json {
            Json::String(text) => text.len(),
            Json::Array(elements) => elements.iter().map(size).sum(),
            Json::Object(fields) => size_of_fields(fields),
            Json::Null | Json::Bool(_) | Json::Number(_) => 0,
        }
}

fn size_of_fields(fields: &Map<String, Json>) -> usize {
    fields.iter().map(|(name, json)| size_of::<String>() + name.len() + size(json)).sum()
}

fn hash_bool<H: Hasher>(value: bool, state: &mut H) {
    state.write_u8(1 + u8::from(value));
}

fn hash_fields<H: Hasher>(fields: &Map<String, Json>, state: &mut H) {
    state.write_usize(fields.len());
    for (name, json) in fields {
        name.hash(state);
        hash(json, state);
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use hashbrown::DefaultHashBuilder;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_reads_the_same_is_one_key() {
        let all = [
            json!(null),
            json!(false),
            json!(true),
            json!(0),
            json!(1),
            json!(-1),
            json!(0.0),
            json!(-0.0),
            json!(1.0),
            json!(1.5),
            json!(i64::MAX),
            json!(i64::MAX as u64 + 1),
            json!(u64::MAX),
            json!(9_223_372_036_854_775_808.0_f64),
            json!(""),
            json!("0"),
            json!("1"),
            json!("1.0"),
            json!("true"),
            json!([]),
            json!({}),
            json!([1]),
            json!([1.0]),
            json!(["1"]),
            json!([true]),
            json!([[1]]),
            json!([1, 2]),
            json!([2, 1]),
            json!([[1], [2]]),
            json!([[1, 2]]),
            json!([null]),
            json!({"a": 1}),
            json!({"a": 1.0}),
            json!({"b": 1}),
            json!({"a": null}),
            json!({"a": {"b": 1}}),
            json!({"a": [1], "b": 1}),
        ];
        for (a, one) in all.iter().enumerate() {
            for (b, other) in all.iter().enumerate() {
                assert_eq!(Stored::Json(one).equivalent(&Key(other.clone())), a == b, "{one} and {other}");
                assert_eq!(Key(one.clone()) == Key(other.clone()), a == b, "{one} and {other}");
            }
        }
    }

    #[test]
    fn what_is_one_key_has_one_hash() {
        let hasher = DefaultHashBuilder::default();
        for (one, other) in [
            (r#"{"a":1,"b":[true,null]}"#, r#"{ "a": 1, "b": [true, null] }"#),
            ("1", "1"),
            ("1.0", "1e0"),
            ("-0", "-0.0"),
            (r#""é""#, r#""\u00e9""#),
        ] {
            let (one, other): (Json, Json) =
                (serde_json::from_str(one).unwrap(), serde_json::from_str(other).unwrap());
            assert!(same(&one, &other), "{one} and {other}");
            assert_eq!(hasher.hash_one(Stored::Json(&one)), hasher.hash_one(Key(other)), "{one}");
        }
    }

    #[test]
    fn one_value_is_one_key_in_every_form() {
        let texts = [&["a", "b"][..], &["a"], &[], &["ab"], &["b", "a"]];
        let forms = texts.map(Stored::Texts).into_iter();
        let forms = forms.chain([Stored::Text("a"), Stored::Text(""), Stored::Long(1), Stored::Bool(true)]);
        let forms: Vec<Stored<'_>> = forms.collect();
        let hasher = DefaultHashBuilder::default();
        for (i, form) in forms.iter().enumerate() {
            let json = form.to_json();
            assert_eq!(hasher.hash_one(form), hasher.hash_one(Stored::Json(&json)), "{json}");
            assert_eq!(hasher.hash_one(form), hasher.hash_one(Key(json.clone())), "{json}");
            for (j, other) in forms.iter().enumerate() {
                assert_eq!(other.equivalent(&Key(json.clone())), i == j, "{json}, {}", other.to_json());
            }
        }
        assert!(!Stored::Texts(&["1"]).equivalent(&Key(json!([1]))));
        assert!(!Stored::Texts(&["1"]).equivalent(&Key(json!("1"))));
    }
}
