//! The user's own filter: read so far that nothing unknown is in it, and that it is known which members of payloads it tests. It is passed
//! on as it is, inside of the policy's.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};
use tamis_core::decision::Path;

use super::key;
use crate::answer::Refusal;

/// Levels of filters in filters.
const MAX_DEPTH: usize = 16;
/// Conditions in one filter.
const MAX_CONDITIONS: usize = 1_000;
/// Bytes that one filter takes here, about: 15 000 UUIDs. Each stage of a search has those of all stages above it.
const MAX_SIZE: usize = 1 << 20;
/// What a value takes besides its text.
const VALUE: usize = 32;
/// Ways to choose the conditions of a `min_should`: versions of Qdrant list them all, until no memory is left (its issue 7974).
const MAX_CHOICES: u64 = 10_000;

/// A filter that a client sent.
#[derive(Clone, Debug)]
pub(super) struct UserFilter {
    pub(super) json: Json,
    /// Members of payloads that it tests.
    pub(super) tested: BTreeSet<Path>,
}

impl UserFilter {
    /// Reads a filter.
    pub(super) fn read(json: Json) -> Result<Self, Refusal> {
        if size(&json) > MAX_SIZE {
            return Err(Refusal::too_much(format!("the filter takes more than {MAX_SIZE} bytes")));
        }
        let mut reader = Reader { tested: BTreeSet::new(), conditions: 0 };
        reader.filter(&json, &[], 0)?;
        Ok(Self { json, tested: reader.tested })
    }

    /// What this and another one match.
    pub(super) fn and(&self, other: Option<&Self>) -> Self {
        let Some(other) = other else { return self.clone() };
        Self {
            json: all([self.json.clone(), other.json.clone()]),
            tested: self.tested.union(&other.tested).cloned().collect(),
        }
    }
}

/// What all of these match: those of the policy first, and nothing beside them.
pub(super) fn all(parts: impl IntoIterator<Item = Json>) -> Json {
    json!({"must": parts.into_iter().collect::<Vec<_>>()})
}

/// What has one of these ids: nothing, if there are none.
pub(super) fn one_of(ids: &[Json]) -> Json {
    json!({"has_id": ids})
}

struct Reader {
    tested: BTreeSet<Path>,
    conditions: usize,
}

impl Reader {
    fn filter(&mut self, json: &Json, within: &[String], depth: usize) -> Result<(), Refusal> {
        if depth > MAX_DEPTH {
            return Err(Refusal::bad(format!("the filter has more than {MAX_DEPTH} levels")));
        }
        for (name, part) in object(json, "a filter")? {
            match name.as_str() {
                "must" | "should" | "must_not" => self.conditions(part, within, depth)?,
                "min_should" => {
                    let part = object(part, "`min_should`")?;
                    only(part, &["conditions", "min_count"])?;
                    let conditions = part.get("conditions").unwrap_or(&Json::Null);
                    check_choices(conditions, part.get("min_count"))?;
                    self.conditions(conditions, within, depth)?;
                }
                _ => return Err(unknown(name)),
            }
        }
        Ok(())
    }

    fn conditions(&mut self, json: &Json, within: &[String], depth: usize) -> Result<(), Refusal> {
        match json {
            Json::Null => Ok(()),
            Json::Array(conditions) => {
                conditions.iter().try_for_each(|condition| self.condition(condition, within, depth))
            }
            condition => self.condition(condition, within, depth),
        }
    }

    fn condition(&mut self, json: &Json, within: &[String], depth: usize) -> Result<(), Refusal> {
        self.conditions += 1;
        if self.conditions > MAX_CONDITIONS {
            return Err(Refusal::too_much(format!("the filter has more than {MAX_CONDITIONS} conditions")));
        }
        let condition = object(json, "a condition")?;
        if condition.contains_key("key") {
            return self.field(condition, within);
        }
        let single = condition.iter().next().filter(|_| condition.len() == 1);
        match single.map(|(name, part)| (name.as_str(), part)) {
            Some(("has_id", Json::Array(ids))) => {
                ids.iter().try_for_each(|id| super::point::id(id).map(drop))
            }
            Some(("has_vector", Json::String(_))) => Ok(()),
            Some(("is_empty" | "is_null", part)) => {
                let part = object(part, "`is_empty` or `is_null`")?;
                only(part, &["key"])?;
                self.key(part, within).map(drop)
            }
            Some(("nested", part)) => {
                let part = object(part, "`nested`")?;
                only(part, &["key", "filter"])?;
                let within = self.key(part, within)?;
                self.filter(part.get("filter").unwrap_or(&Json::Null), &within, depth + 1)
            }
            _ => self.filter(json, within, depth + 1),
        }
    }

    /// A condition on one member.
    fn field(&mut self, condition: &Map<String, Json>, within: &[String]) -> Result<(), Refusal> {
        self.key(condition, within)?;
        for (name, test) in condition {
            match name.as_str() {
                "key" => {}
                "is_empty" | "is_null" if test.is_boolean() || test.is_null() => {}
                "match" | "range" | "geo_bounding_box" | "geo_radius" | "geo_polygon" | "values_count" => {
                    check_test(name, test)?;
                }
                _ => return Err(unknown(name)),
            }
        }
        Ok(())
    }

    fn key(&mut self, holder: &Map<String, Json>, within: &[String]) -> Result<Path, Refusal> {
        let key = holder.get("key").and_then(Json::as_str);
        let path = key::path(key.ok_or_else(|| Refusal::bad("the filter has a `key` that is no text"))?)?;
        let path = [within, &path].concat();
        self.tested.insert(path.clone());
        Ok(path)
    }
}

/// Whether a test has known members only. None of these can name another member of the payload.
fn check_test(name: &str, test: &Json) -> Result<(), Refusal> {
    if test.is_null() {
        return Ok(());
    }
    let test = object(test, name)?;
    match name {
        "match" => {
            only(test, &["value", "any", "except", "text", "text_any", "phrase", "prefix", "substring"])?;
            if !test.values().filter_map(Json::as_array).flatten().all(is_plain) {
                return Err(Refusal::bad("the filter compares with what is no single value"));
            }
            if test.values().any(Json::is_object) {
                return Err(Refusal::bad("the filter compares with an object"));
            }
            Ok(())
        }
        "range" => {
            only(test, &["lt", "lte", "gt", "gte"])?;
            if test.values().all(is_plain) { Ok(()) } else { Err(Refusal::bad("a range has no such bound")) }
        }
        "values_count" => only(test, &["lt", "lte", "gt", "gte"]),
        "geo_bounding_box" => only(test, &["top_left", "bottom_right"]),
        "geo_radius" => only(test, &["center", "radius"]),
        _ => only(test, &["exterior", "interiors"]),
    }
}

fn is_plain(json: &Json) -> bool {
    !json.is_array() && !json.is_object()
}

fn object<'a>(json: &'a Json, what: &str) -> Result<&'a Map<String, Json>, Refusal> {
    json.as_object().ok_or_else(|| Refusal::bad(format!("{what} is no object")))
}

fn only(object: &Map<String, Json>, known: &[&str]) -> Result<(), Refusal> {
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(unknown(name)),
    }
}

/// Whether so many of these conditions may be asked for.
fn check_choices(conditions: &Json, count: Option<&Json>) -> Result<(), Refusal> {
    let count =
        count.and_then(Json::as_u64).ok_or_else(|| Refusal::bad("`min_should` has no `min_count`"))?;
    let given = conditions.as_array().map_or(1, Vec::len) as u64;
    if count > given {
        return Err(Refusal::bad("`min_should` has a `min_count` of more conditions than there are"));
    }
    let mut choices: u64 = 1;
    for chosen in 0..count.min(given - count) {
        choices = choices.saturating_mul(given - chosen) / (chosen + 1);
        if choices > MAX_CHOICES {
            return Err(Refusal::too_much(format!(
                "`min_should` chooses {count} of {given} conditions: in more than {MAX_CHOICES} ways"
            )));
        }
    }
    Ok(())
}

fn size(json: &Json) -> usize {
    VALUE
        + match json {
            Json::String(text) => text.len(),
            Json::Array(values) => values.iter().map(size).sum(),
            Json::Object(members) => members.iter().map(|(name, value)| name.len() + size(value)).sum(),
            Json::Null | Json::Bool(_) | Json::Number(_) => 0,
        }
}

fn unknown(name: &str) -> Refusal {
    Refusal::bad(format!("the filter has `{name}`, which is not known here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tested_is_known() {
        let text = r#"{
            "must": {"key": "a.b", "match": {"value": 1}},
            "should": [{"is_empty": {"key": "c[]"}}, {"must_not": [{"key": "\"d e\"", "range": {"gt": 1.5}}]}, {"has_id": [1]}],
            "must_not": [{"nested": {"key": "rows", "filter": {"must": [{"key": "pay", "match": {"any": [1]}}]}}}],
            "min_should": {"conditions": [{"is_null": {"key": "f"}}, {"key": "g", "is_empty": true}], "min_count": 1}
        }"#;
        let filter = UserFilter::read(serde_json::from_str(text).unwrap()).unwrap();
        let tested: Vec<String> = filter.tested.iter().map(|path| path.join("/")).collect();
        assert_eq!(tested, ["a/b", "c", "d e", "f", "g", "rows", "rows/pay"]);
    }

    #[test]
    fn unknown_shapes_are_refused() {
        for text in [
            r#"[]"#,
            r#"{"musst": []}"#,
            r#"{"must": [{"key": "a", "match": {"value": 1}, "or": []}]}"#,
            r#"{"must": [{"key": "a", "match": {"regex": "x"}}]}"#,
            r#"{"must": [{"key": "a", "match": {"value": {"x": 1}}}]}"#,
            r#"{"must": [{"key": "a", "match": {"any": [[1]]}}]}"#,
            r#"{"must": [{"key": 5, "match": {"value": 1}}]}"#,
            r#"{"must": [{"has_id": [1], "should": []}]}"#,
            r#"{"must": [{"has_id": "1"}]}"#,
            r#"{"must": [{"has_id": [{"a": 1}]}]}"#,
            r#"{"must": [{"slice": {"total": 2, "index": 0}}]}"#,
            r#"{"must": [{"nested": {"key": "a", "filter": {"x": []}}}]}"#,
            r#"{"must": [5]}"#,
            r#"{"min_should": {"conditions": []}}"#,
            r#"{"must": [{"is_empty": {"key": "a", "x": 1}}]}"#,
        ] {
            let error = UserFilter::read(serde_json::from_str(text).unwrap());
            assert!(error.is_err(), "{text}");
        }
        for (given, count, taken) in [
            (0, 0, true),
            (0, 1, false),
            (12, 5, true),
            (40, 20, false),
            (1000, 1, true),
            (1000, 999, true),
            (3, u64::MAX, false),
        ] {
            let conditions = vec![json!({"has_id": [1]}); given];
            let filter = json!({"min_should": {"conditions": conditions, "min_count": count}});
            assert_eq!(UserFilter::read(filter).is_ok(), taken, "{count} of {given}");
        }
        let deep = (0..20).fold(json!({"must": []}), |inner, _| json!({"must": [inner]}));
        assert!(UserFilter::read(deep).is_err());
    }

    #[test]
    fn a_filter_takes_so_much() {
        let ids = |count| json!({"must": [{"has_id": vec![json!(1); count]}]});
        let points = vec![json!({"lon": 1, "lat": 1}); 20_000];
        for (filter, taken) in [
            (ids(10_000), true),
            (ids(100_000), false),
            (json!({"must": vec![ids(10_000); 5]}), false),
            (json!({"must": [{"key": "x", "match": {"value": "x".repeat(MAX_SIZE)}}]}), false),
            (json!({"must": [{"key": "x", "geo_polygon": {"exterior": {"points": points}}}]}), false),
        ] {
            assert_eq!(UserFilter::read(filter).is_ok(), taken);
        }
    }
}
