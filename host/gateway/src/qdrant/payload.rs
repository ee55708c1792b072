//! What a client wants to see of payloads, cut out of what it may see.

use serde_json::{Map, Value as Json};
use tamis_core::decision::Path;

use super::key;
use crate::answer::Refusal;

/// Keys of one choice: each is looked for in each point that is shown.
const MAX_KEYS: usize = 256;

/// Which members of payloads a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Nothing,
    Everything,
    Only(Vec<Path>),
    Without(Vec<Path>),
}

impl Wanted {
    /// Reads `true`, `["a"]`, `{"include": ["a"]}` or `{"exclude": ["a"]}`.
    pub(super) fn read(json: Option<Json>, otherwise: Self) -> Result<Self, Refusal> {
        let bad = || Refusal::bad("`with_payload` is neither true or false nor a choice of keys");
        Ok(match json {
            None => otherwise,
            Some(Json::Bool(true)) => Self::Everything,
            Some(Json::Bool(false)) => Self::Nothing,
            Some(Json::Array(keys)) => Self::Only(paths(&keys)?),
            Some(Json::Object(choice)) => match choice.iter().next() {
                Some((name, Json::Array(keys))) if name == "include" && choice.len() == 1 => {
                    Self::Only(paths(keys)?)
                }
                Some((name, Json::Array(keys))) if name == "exclude" && choice.len() == 1 => {
                    Self::Without(paths(keys)?)
                }
                _ => return Err(bad()),
            },
            Some(_) => return Err(bad()),
        })
    }

    /// What is wanted of a payload; `None` if nothing is.
    pub(super) fn of(&self, payload: Map<String, Json>) -> Option<Json> {
        match self {
            Self::Nothing => None,
            Self::Everything => Some(Json::Object(payload)),
            Self::Only(paths) => {
                let paths: Vec<&[String]> = paths.iter().map(Vec::as_slice).collect();
                Some(Json::Object(only(&payload, &paths)))
            }
            Self::Without(paths) => {
                let mut payload = Json::Object(payload);
                paths.iter().for_each(|path| remove(&mut payload, path));
                Some(payload)
            }
        }
    }
}

fn paths(keys: &[Json]) -> Result<Vec<Path>, Refusal> {
    if keys.len() > MAX_KEYS {
        return Err(Refusal::too_much(format!("`with_payload` has more than {MAX_KEYS} keys")));
    }
    let path = |key: &Json| {
        let key = key.as_str().ok_or_else(|| Refusal::bad("`with_payload` has a key that is no text"))?;
        // Whether it is an element or all of them, the whole array would be meant by what follows.
        if key.contains('[') && !key.contains("[]") {
            return Err(Refusal::bad(format!("`{key}`: single elements cannot be chosen")));
        }
        key::path(key)
    };
    keys.iter().map(path).collect()
}

fn only(object: &Map<String, Json>, paths: &[&[String]]) -> Map<String, Json> {
    let mut kept = Map::new();
    for (name, value) in object {
        let inside: Vec<&[String]> = paths
            .iter()
            .filter_map(|path| path.split_first())
            .filter(|(first, _)| *first == name)
            .map(|(_, rest)| rest)
            .collect();
        if inside.iter().any(|rest| rest.is_empty()) {
            kept.insert(name.clone(), value.clone());
        } else if !inside.is_empty()
            && let Some(part) = within(value, &inside)
        {
            kept.insert(name.clone(), part);
        }
    }
    kept
}

fn within(value: &Json, paths: &[&[String]]) -> Option<Json> {
    match value {
        Json::Object(object) => Some(Json::Object(only(object, paths))),
        Json::Array(elements) => {
            Some(Json::Array(elements.iter().filter_map(|element| within(element, paths)).collect()))
        }
        _ => None,
    }
}

fn remove(value: &mut Json, path: &[String]) {
    match (value, path) {
        (Json::Array(elements), path) => elements.iter_mut().for_each(|element| remove(element, path)),
        (Json::Object(object), [name]) => {
            object.remove(name);
        }
        (Json::Object(object), [name, rest @ ..]) => {
            if let Some(inner) = object.get_mut(name) {
                remove(inner, rest);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn payloads_are_cut() {
        let payload = json!({"a": 1, "o": {"x": 1, "y": 2}, "rows": [{"n": 1, "m": 2}, 5]});
        for (wanted, expected) in [
            (json!(true), payload.clone()),
            (json!(["a"]), json!({"a": 1})),
            (json!({"include": ["o.x", "none"]}), json!({"o": {"x": 1}})),
            (json!(["rows[].n"]), json!({"rows": [{"n": 1}]})),
            (json!({"exclude": ["o.x", "rows", "none.x"]}), json!({"a": 1, "o": {"y": 2}})),
            (json!([]), json!({})),
        ] {
            let cut = Wanted::read(Some(wanted.clone()), Wanted::Nothing).unwrap();
            assert_eq!(cut.of(payload.as_object().unwrap().clone()), Some(expected), "{wanted}");
        }
        let nothing = Wanted::read(Some(json!(false)), Wanted::Everything).unwrap();
        assert_eq!(nothing.of(payload.as_object().unwrap().clone()), None);
        for bad in
            [json!(1), json!([1]), json!({"include": ["a"], "exclude": []}), json!({}), json!(["a[0]"])]
        {
            assert!(Wanted::read(Some(bad.clone()), Wanted::Nothing).is_err(), "{bad}");
        }
    }

    /// Millions of keys fit in a body, and would be looked for in every member of every point.
    #[test]
    fn a_choice_has_so_many_keys() {
        let keys = |count| vec!["a"; count];
        for (choice, taken) in [
            (json!(keys(MAX_KEYS)), true),
            (json!(keys(MAX_KEYS + 1)), false),
            (json!({"include": keys(MAX_KEYS + 1)}), false),
            (json!({"exclude": keys(MAX_KEYS + 1)}), false),
        ] {
            assert_eq!(Wanted::read(Some(choice), Wanted::Nothing).is_ok(), taken);
        }
    }
}
