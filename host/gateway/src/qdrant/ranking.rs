//! What a search ranks by: the `query` of Qdrant's searches, as far as it reveals nothing of points that may not be read.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use tamis_core::decision::Path;

use super::{key, point};
use crate::answer::Refusal;
use crate::members::Members;

/// Examples in one search.
const MAX_EXAMPLES: usize = 100;

/// What a search ranks by.
#[derive(Clone, Debug)]
pub(super) struct Ranking {
    pub(super) json: Json,
    /// Points whose vectors it uses: who asks must be able to read them.
    pub(super) examples: Vec<Json>,
    /// A member of payloads that it ranks by.
    pub(super) tested: BTreeSet<Path>,
    /// Whether this puts together what prefetches found.
    pub(super) fuses: bool,
    /// Whether it goes along an index of vectors, that may have no more before all is found.
    pub(super) approximate: bool,
}

impl Ranking {
    fn new(json: Json, approximate: bool) -> Self {
        Self { json, examples: Vec::new(), tested: BTreeSet::new(), fuses: false, approximate }
    }

    /// The nearest to a vector.
    pub(super) fn nearest(vector: Json) -> Result<Self, Refusal> {
        if point::is_vector(&vector) {
            return Ok(Self::new(vector, true));
        }
        Err(Refusal::bad("the vector is neither numbers nor sparse"))
    }

    /// Reads a `query`.
    pub(super) fn read(json: Json) -> Result<Self, Refusal> {
        if point::is_vector(&json) {
            return Self::nearest(json);
        }
        if json.is_array() {
            return Err(Refusal::bad("the `query` is no vector of numbers"));
        }
        if !json.is_object() {
            let id = point::id(&json)?;
            return Ok(Self { examples: vec![id.clone()], ..Self::new(id, true) });
        }
        let mut members = Members::of(json, "the `query`")?;
        let names: Vec<String> = members.names().map(str::to_owned).collect();
        let [name] = names.as_slice() else { return Err(not_served(&names.join("`, `"))) };
        let part = members.need(name)?;
        match name.as_str() {
            "nearest" => Self::read_nearest(part),
            "recommend" => {
                let mut ids = Vec::new();
                let mut members = Members::of(part.clone(), "`recommend`")?;
                for list in ["positive", "negative"] {
                    for input in list_of(members.json(list).unwrap_or_else(|| json!([])), list)? {
                        example(&input, &mut ids)?;
                    }
                }
                members.take::<String>("strategy")?;
                members.end()?;
                Ok(Self { examples: ids, ..Self::new(json!({"recommend": part}), true) })
            }
            "discover" => {
                let mut ids = Vec::new();
                let mut members = Members::of(part.clone(), "`discover`")?;
                example(&members.need("target")?, &mut ids)?;
                pairs(members.json("context").unwrap_or_else(|| json!([])), &mut ids)?;
                members.end()?;
                Ok(Self { examples: ids, ..Self::new(json!({"discover": part}), true) })
            }
            "context" => {
                let mut ids = Vec::new();
                pairs(part.clone(), &mut ids)?;
                Ok(Self { examples: ids, ..Self::new(json!({"context": part}), true) })
            }
            "fusion" if part == json!("rrf") || part == json!("dbsf") => {
                Ok(Self { fuses: true, ..Self::new(json!({"fusion": part}), false) })
            }
            "rrf" => {
                let mut members = Members::of(part, "`rrf`")?;
                let k: Option<u32> = members.take("k")?;
                let weights: Option<Vec<f64>> = members.take("weights")?;
                members.end()?;
                Ok(Self { fuses: true, ..Self::new(json!({"rrf": {"k": k, "weights": weights}}), false) })
            }
            "order_by" => Self::order(part),
            name => Err(not_served(name)),
        }
    }

    fn read_nearest(part: Json) -> Result<Self, Refusal> {
        if part.is_object() && !point::is_vector(&part) {
            return Err(not_served("nearest"));
        }
        Self::read(part)
    }

    /// The order of a member of payloads: of a point that does not show it, its place would tell what it is.
    fn order(part: Json) -> Result<Self, Refusal> {
        let (key, json) = match part {
            Json::String(key) => (key.clone(), json!({"order_by": key})),
            part => {
                let mut members = Members::of(part, "`order_by`")?;
                let key: String = members.take("key")?.unwrap_or_default();
                let direction: Option<String> = members.take("direction")?;
                members.end()?;
                let json = json!({"order_by": {"key": key, "direction": direction}});
                (key, json)
            }
        };
        Ok(Self { tested: [key::path(&key)?].into(), ..Self::new(json, false) })
    }
}

fn list_of(json: Json, name: &str) -> Result<Vec<Json>, Refusal> {
    match json {
        Json::Array(list) => Ok(list),
        _ => Err(Refusal::bad(format!("`{name}` is no list"))),
    }
}

/// Pairs of examples: one, or a list of them.
fn pairs(json: Json, ids: &mut Vec<Json>) -> Result<(), Refusal> {
    let pairs = if json.is_object() { vec![json] } else { list_of(json, "context")? };
    for pair in pairs {
        let mut members = Members::of(pair, "a pair of the `context`")?;
        for name in ["positive", "negative"] {
            example(&members.need(name)?, ids)?;
        }
        members.end()?;
    }
    Ok(())
}

/// One example: a point, which is kept, or a vector.
fn example(input: &Json, ids: &mut Vec<Json>) -> Result<(), Refusal> {
    if ids.len() >= MAX_EXAMPLES {
        return Err(Refusal::too_much(format!("more than {MAX_EXAMPLES} examples")));
    }
    if input.is_number() || input.is_string() {
        ids.push(point::id(input)?);
        return Ok(());
    }
    if point::is_vector(input) {
        return Ok(());
    }
    Err(Refusal::forbidden("examples are points or vectors of numbers"))
}

fn not_served(name: &str) -> Refusal {
    Refusal::forbidden(format!(
        "a `query` by `{name}` is not served by this gateway: only by a vector, a point, `nearest`, `recommend`, `discover`, `context`, \
         `order_by`, `fusion` and `rrf`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_found_wherever_they_are() {
        for (query, ids) in [
            (json!([0.5, 1]), json!([])),
            (json!(7), json!([7])),
            (json!({"nearest": 7}), json!([7])),
            (json!({"nearest": [0.5]}), json!([])),
            (json!({"recommend": {"positive": [1, 2], "negative": [[0.5, 0.1], 3]}}), json!([1, 2, 3])),
            (json!({"recommend": {"positive": [[1], 3], "strategy": "best_score"}}), json!([3])),
            (
                json!({"discover": {"target": 1, "context": [{"positive": 2, "negative": [0.5]}]}}),
                json!([1, 2]),
            ),
            (json!({"context": {"positive": 2, "negative": 4}}), json!([2, 4])),
        ] {
            let ranking = Ranking::read(query.clone()).unwrap();
            assert_eq!(Json::Array(ranking.examples), ids, "{query}");
        }
    }

    #[test]
    fn what_may_reveal_something_is_refused() {
        for query in [
            json!({"formula": {"sum": ["$score"]}}),
            json!({"sample": "random"}),
            json!({"nearest": [0.5], "mmr": {"diversity": 0.5}}),
            json!({"nearest": {"nearest": 1}}),
            json!({"text": "x", "model": "m"}),
            json!({"recommend": {"positive": [{"text": "x", "model": "m"}]}}),
            json!({"recommend": {"positive": [1], "lookup_from": {}}}),
            json!({"recommend": {"positive": {"x": 1}}}),
            json!({"context": [[1, 2]]}),
            json!({"relevance_feedback": {}}),
            json!({"fusion": "x"}),
            json!({"order_by": {"key": "a", "start_from": 5}}),
            json!({"order_by": {"key": "a["}}),
            json!({}),
            json!("x"),
            json!(true),
        ] {
            assert!(Ranking::read(query.clone()).is_err(), "{query}");
        }
    }
}
