//! Points: their ids, and the vectors that clients send.

use serde_json::{Map, Value as Json, json};

use crate::answer::Refusal;

/// Numbers in all vectors of one point.
const MAX_NUMBERS: usize = 1 << 20;
/// The largest of them. Qdrant computes in single precision and takes larger ones all the same: where products of them overflow, the score
/// is no number, which ranks above all others, and leads searches of other points astray.
const MAX_NUMBER: f64 = 1e15;

/// An id as Qdrant answers it: a whole number, or a UUID in its usual spelling.
pub(super) fn id(json: &Json) -> Result<Json, Refusal> {
    match json {
        Json::Number(number) if number.is_u64() => Some(json.clone()),
        Json::String(text) => uuid(text).map(Json::String),
        _ => None,
    }
    .ok_or_else(|| Refusal::bad(format!("{json} is no id of a point: neither a whole number nor a UUID")))
}

/// An id in a path.
pub(super) fn id_in_path(text: &str) -> Result<Json, Refusal> {
    match text.parse::<u64>() {
        Ok(number) => Ok(json!(number)),
        Err(_) => id(&json!(text)),
    }
}

fn uuid(text: &str) -> Option<String> {
    let hyphens = [8, 13, 18, 23];
    let digits: String = match text.len() {
        32 => text.to_owned(),
        36 if hyphens.iter().all(|&place| text.as_bytes().get(place) == Some(&b'-')) => text.replace('-', ""),
        _ => return None,
    };
    if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut spelt = String::with_capacity(36);
    for (place, digit) in digits.to_ascii_lowercase().chars().enumerate() {
        if [8, 12, 16, 20].contains(&place) {
            spelt.push('-');
        }
        spelt.push(digit);
    }
    Some(spelt)
}

/// A list of ids.
pub(super) fn ids(json: Json, limit: usize) -> Result<Vec<Json>, Refusal> {
    let Json::Array(ids) = json else { return Err(Refusal::bad("the ids are no list")) };
    if ids.len() > limit {
        return Err(Refusal::too_much(format!("more than {limit} ids")));
    }
    ids.iter().map(id).collect()
}

/// Whether this is a vector to rank by: of numbers, of several such, or sparse.
pub(super) fn is_vector(json: &Json) -> bool {
    let numbers = |json: &Json| {
        json.as_array().is_some_and(|list| {
            !list.is_empty() && list.len() <= MAX_NUMBERS && list.iter().all(is_component)
        })
    };
    match json {
        Json::Array(rows) => {
            let total: usize = rows.iter().filter_map(Json::as_array).map(Vec::len).sum();
            numbers(json) || (!rows.is_empty() && total <= MAX_NUMBERS && rows.iter().all(numbers))
        }
        Json::Object(sparse) => {
            let part = |name| sparse.get(name).and_then(Json::as_array);
            let (Some(indices), Some(values)) = (part("indices"), part("values")) else { return false };
            sparse.len() == 2
                && indices.len() == values.len()
                && indices.len() <= MAX_NUMBERS
                && indices.iter().all(Json::is_u64)
                && values.iter().all(is_component)
        }
        _ => false,
    }
}

fn is_component(json: &Json) -> bool {
    json.as_f64().is_some_and(|number| number.abs() <= MAX_NUMBER)
}

/// Whether this is what a point to store has as its vector: one, or several by name. What is to be made a vector by a model that the
/// database asks is none.
pub(super) fn is_stored_vector(json: &Json) -> bool {
    let by_name = |vectors: &Map<String, Json>| vectors.values().all(is_vector);
    (json.is_array() && is_vector(json)) || json.as_object().is_some_and(by_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_spelling() {
        let spelt = json!("5f0c3d92-1111-4abc-8def-0123456789ab");
        for text in ["5F0C3D92-1111-4ABC-8DEF-0123456789AB", "5f0c3d9211114abc8def0123456789ab"] {
            assert_eq!(id(&json!(text)).unwrap(), spelt);
        }
        assert_eq!(id_in_path("17").unwrap(), json!(17));
        for bad in [
            json!(-1),
            json!(1.5),
            json!("x"),
            json!(null),
            json!([1]),
            json!("5f0c3d92_1111-4abc-8def-0123456789ab"),
        ] {
            assert!(id(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn vectors_are_numbers() {
        for good in [json!([1, 0.5]), json!([[1], [2]]), json!({"indices": [1], "values": [0.5]})] {
            assert!(is_vector(&good), "{good}");
        }
        for bad in [
            json!([]),
            json!(["a"]),
            json!([[1], ["a"]]),
            json!({"text": "x", "model": "m"}),
            json!({"indices": [1], "values": []}),
            json!({"indices": [1], "values": [1], "x": 1}),
            json!(5),
            json!([1e300, 0]),
            json!([[0, 1], [-1e39, 0]]),
            json!({"indices": [1], "values": [1e30]}),
            json!([u64::MAX]),
        ] {
            assert!(!is_vector(&bad), "{bad}");
        }
        assert!(is_stored_vector(&json!({"a": [1.0], "b": {"indices": [1], "values": [1]}})));
        assert!(!is_stored_vector(&json!({"a": {"text": "x", "model": "m"}})));
    }
}
