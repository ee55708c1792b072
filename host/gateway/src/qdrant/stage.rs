//! Searches as clients send them, in stages: each may rank what others, its prefetches, found.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};
use tamis_core::decision::Path;

use super::filter::{UserFilter, all, one_of};
use super::ranking::Ranking;
use crate::answer::Refusal;
use crate::members::Members;

/// Prefetches in all of one search, and levels of them.
const MAX_STAGES: usize = 16;
const MAX_DEPTH: usize = 4;
/// What Qdrant takes if a client does not say.
const LIMIT: u32 = 10;
/// How many points the index looks at, at least: Qdrant's default of 128 finds 97 of a hundred of the nearest.
const REACH: u64 = 256;
/// More makes a search slower than ranking everything.
const MAX_REACH: u64 = 100_000;

/// One stage.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) prefetch: Vec<Stage>,
    pub(super) ranking: Option<Ranking>,
    pub(super) filter: Option<UserFilter>,
    using: Option<String>,
    params: Map<String, Json>,
    score_threshold: Option<f64>,
    /// How many of its points the next stage gets.
    pub(super) limit: u32,
    /// The only points that it may find, once it is known which these are.
    pub(super) only: Option<Vec<Json>>,
}

impl Stage {
    /// Reads the members that every stage has.
    pub(super) fn read(members: &mut Members) -> Result<Self, Refusal> {
        let mut stage = Self::read_at(members, 0, &mut 0)?;
        stage.hand_down();
        Ok(stage)
    }

    /// Puts the filter of each stage into those below, where Qdrant applies it as well: so what it asks about is asked there.
    fn hand_down(&mut self) {
        for stage in &mut self.prefetch {
            if let Some(filter) = &self.filter {
                stage.filter = Some(filter.and(stage.filter.as_ref()));
            }
            stage.hand_down();
        }
    }

    fn read_at(members: &mut Members, depth: usize, stages: &mut usize) -> Result<Self, Refusal> {
        let prefetch = match members.json("prefetch") {
            None => Vec::new(),
            Some(Json::Array(stages)) => stages,
            Some(stage) => vec![stage],
        };
        *stages += prefetch.len();
        if depth >= MAX_DEPTH && !prefetch.is_empty() || *stages > MAX_STAGES {
            return Err(Refusal::too_much(format!(
                "more than {MAX_STAGES} prefetches, or {MAX_DEPTH} levels of them"
            )));
        }
        let prefetch = prefetch.into_iter().map(|json| {
            let mut members = Members::of(json, "a prefetch")?;
            let stage = Self::read_at(&mut members, depth + 1, stages)?;
            members.end()?;
            Ok(stage)
        });
        let stage = Self {
            prefetch: prefetch.collect::<Result<_, Refusal>>()?,
            ranking: members.json("query").map(Ranking::read).transpose()?,
            filter: members.json("filter").map(UserFilter::read).transpose()?,
            using: members.take("using")?,
            params: members.json("params").map(params).transpose()?.unwrap_or_default(),
            score_threshold: members.take("score_threshold")?,
            limit: members.take("limit")?.unwrap_or(LIMIT),
            only: None,
        };
        if stage.ranking.as_ref().is_some_and(|ranking| ranking.fuses) && stage.prefetch.is_empty() {
            return Err(Refusal::bad("a fusion wants a `prefetch`"));
        }
        Ok(stage)
    }

    /// Reads the older form: `{"vector", "filter", …}`, where the vector may be one of several, by name.
    pub(super) fn read_search(members: &mut Members) -> Result<Self, Refusal> {
        let (vector, using) = match members.need("vector")? {
            Json::Object(mut named) if named.contains_key("name") => {
                let name = named.remove("name");
                let vector = named.remove("vector").filter(|_| named.is_empty());
                let name = name.as_ref().and_then(Json::as_str).map(str::to_owned);
                match (name, vector) {
                    (Some(name), Some(vector)) => (vector, Some(name)),
                    _ => return Err(Refusal::bad("the `vector` is no `name` with a `vector`")),
                }
            }
            vector => (vector, None),
        };
        if members.json("query").is_some()
            || members.json("prefetch").is_some()
            || members.json("using").is_some()
        {
            return Err(Refusal::bad("a search by `vector` has neither `query` nor `prefetch` nor `using`"));
        }
        let ranking = Some(Ranking::nearest(vector)?);
        Ok(Self { ranking, using, ..Self::read(members)? })
    }

    /// The largest limit of it and all below.
    pub(super) fn largest(&self) -> u32 {
        self.prefetch.iter().map(Self::largest).fold(self.limit, u32::max)
    }

    /// The points that it and all below it take as examples.
    pub(super) fn examples(&self) -> Vec<Json> {
        let own = self.ranking.iter().flat_map(|ranking| ranking.examples.clone());
        own.chain(self.prefetch.iter().flat_map(Self::examples)).collect()
    }

    /// The members of payloads that this stage itself asks about.
    pub(super) fn tested(&self) -> BTreeSet<Path> {
        let ranked = self.ranking.iter().flat_map(|ranking| &ranking.tested);
        ranked.chain(self.filter.iter().flat_map(|filter| &filter.tested)).cloned().collect()
    }

    /// Whether points come by how near they are to something.
    pub(super) fn by_nearness(&self) -> bool {
        self.ranking.as_ref().is_some_and(|ranking| ranking.approximate)
    }

    /// Whether to rank everything after the index has no more.
    pub(super) fn approximate(&self) -> bool {
        let exact = self.params.get("exact").and_then(Json::as_bool).unwrap_or(false);
        self.prefetch.is_empty() && self.by_nearness() && !exact
    }

    /// What the database is asked. The policy's filter is in every stage, and around the user's.
    pub(super) fn body(&self, policy: &Json, limit: usize, offset: usize, exact: bool) -> Json {
        let user = self.filter.as_ref().map(|filter| filter.json.clone());
        let only = self.only.as_ref().map(|ids| one_of(ids));
        let mut params = self.params.clone();
        if exact {
            params.insert("exact".to_owned(), json!(true));
        } else if self.by_nearness() {
            let asked = params.get("hnsw_ef").and_then(Json::as_u64).unwrap_or(0);
            let reach = (limit.saturating_add(offset) as u64).saturating_mul(2).max(REACH).max(asked);
            params.insert("hnsw_ef".to_owned(), json!(reach.min(MAX_REACH)));
        }
        let mut body = json!({
            "filter": all([policy.clone()].into_iter().chain(user).chain(only)),
            "limit": limit,
        });
        let prefetch = self.prefetch.iter().map(|stage| stage.body(policy, stage.limit as usize, 0, false));
        let members = [
            ("prefetch", Some(Json::Array(prefetch.collect())).filter(|_| !self.prefetch.is_empty())),
            ("query", self.ranking.as_ref().map(|ranking| ranking.json.clone())),
            ("using", self.using.as_ref().map(|name| json!(name))),
            ("params", Some(Json::Object(params)).filter(|params| *params != json!({}))),
            ("score_threshold", self.score_threshold.map(|score| json!(score))),
            ("offset", Some(json!(offset)).filter(|_| offset > 0)),
        ];
        if let Some(body) = body.as_object_mut() {
            let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
            body.extend(members);
        }
        body
    }
}

/// How to search. Nothing here can widen what is found.
fn params(json: Json) -> Result<Map<String, Json>, Refusal> {
    let Json::Object(params) = json else { return Err(Refusal::bad("`params` is no object")) };
    for (name, value) in &params {
        let known = match name.as_str() {
            "exact" | "indexed_only" => value.is_boolean() || value.is_null(),
            "hnsw_ef" => value.is_u64() || value.is_null(),
            "quantization" => flat(value, &["ignore", "rescore", "oversampling"]),
            "acorn" => flat(value, &["enable", "max_selectivity"]),
            _ => false,
        };
        if !known {
            return Err(Refusal::forbidden(format!("`params`: `{name}` is not served by this gateway")));
        }
    }
    Ok(params.into_iter().filter(|(_, value)| !value.is_null()).collect())
}

fn flat(json: &Json, known: &[&str]) -> bool {
    let plain = |(name, value): (&String, &Json)| {
        known.contains(&name.as_str()) && !value.is_object() && !value.is_array()
    };
    json.is_null() || json.as_object().is_some_and(|object| object.iter().all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(json: Json) -> Result<Stage, Refusal> {
        let mut members = Members::of(json, "the body")?;
        let stage = Stage::read(&mut members)?;
        members.end()?;
        Ok(stage)
    }

    #[test]
    fn the_policy_is_around_the_filter_of_every_stage() {
        let stage = stage(json!({
            "prefetch": [
                {"query": [0.5], "filter": {"should": [{"has_id": [1]}]}, "limit": 7},
                {"prefetch": {"query": [0.1]}, "query": [0.2], "using": "b"},
            ],
            "query": {"fusion": "rrf"},
            "filter": {"must_not": []},
            "limit": 3,
        }))
        .unwrap();
        let policy = json!({"must": [{"key": "p"}]});
        let body = stage.body(&policy, 5, 2, false);
        // As Qdrant itself does, a filter is handed down to what is below.
        let above = json!({"must_not": []});
        let below = json!({"must": [above, {"should": [{"has_id": [1]}]}]});
        assert_eq!(
            body,
            json!({
                "prefetch": [
                    {"query": [0.5], "filter": {"must": [policy, below]}, "limit": 7, "params": {"hnsw_ef": 256}},
                    {
                        "prefetch": [{"query": [0.1], "filter": {"must": [policy, above]}, "limit": 10, "params": {"hnsw_ef": 256}}],
                        "query": [0.2], "using": "b", "filter": {"must": [policy, above]}, "limit": 10, "params": {"hnsw_ef": 256},
                    },
                ],
                "query": {"fusion": "rrf"},
                "filter": {"must": [policy, above]},
                "limit": 5,
                "offset": 2,
            })
        );
    }

    #[test]
    fn what_reaches_elsewhere_is_refused() {
        for json in [
            json!({"query": [0.5], "lookup_from": {"collection": "other"}}),
            json!({"prefetch": [{"query": 5, "lookup_from": {"collection": "other"}}], "query": [0.5]}),
            json!({"prefetch": [{"query": [0.5], "offset": 5}], "query": [0.5]}),
            json!({"query": [0.5], "shard_key": "x"}),
            json!({"query": [0.5], "group_by": "x"}),
            json!({"query": [0.5], "params": {"idf": {}}}),
            json!({"query": [0.5], "params": {"exact": {"x": 1}}}),
            json!({"query": {"fusion": "rrf"}}),
            (0..8).fold(json!({"query": [0.5]}), |inner, _| json!({"prefetch": inner, "query": [0.5]})),
            json!({"prefetch": vec![json!({"query": [0.5]}); 20], "query": [0.5]}),
        ] {
            assert!(stage(json.clone()).is_err(), "{json}");
        }
    }
}
