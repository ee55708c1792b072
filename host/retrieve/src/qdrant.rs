//! A collection in Qdrant as a source, over its REST interface.
//!
//! Qdrant itself chooses, by how much a filter matches, whether to go along its index or to rank all that matches. When its index has no
//! more, the rest is ranked exactly. It has no view of one moment: what is written while a search goes on may be in a later page of
//! it, and no chunk is in two.

use std::collections::HashSet;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use tamis_core::{Chunk, EntityUid, Filter, InputError, Redaction};
use tamis_dialect::{Dialect, Place, Qdrant as Language, Translation};
use ureq::Agent;

use crate::error::Error;
use crate::source::{By, Candidate, Candidates, Opened, VectorSource, read_ancestors};

/// An answer is not waited for any longer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// An answer is read up to here: a page of 1024 chunks with long texts.
const MAX_ANSWER: u64 = 256 << 20;
/// How many points the index looks at, at least: Qdrant's default of 128 finds 97 of a hundred of the nearest.
const REACH: usize = 256;
/// More points than this with one score are asked for once: each page has them all again.
const MAX_TIED: usize = 1024;

/// Where chunks are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QdrantCollection {
    /// The server: `http://127.0.0.1:6333`.
    pub url: String,
    /// The collection's name.
    pub name: String,
    /// The key that the server asks for, if it does.
    pub api_key: Option<String>,
    /// The vectors to rank by, where points have several with names.
    pub vector: Option<String>,
    /// The member of a payload that is the text, if there is one.
    pub text: Option<String>,
    /// Where in the payload everything else is. Where the id is absent, it is the point's own.
    pub language: Language,
}

impl QdrantCollection {
    /// A collection with one vector for each point, whose payloads hold chunks as they are.
    pub fn new(url: &str, name: &str) -> Self {
        Self {
            url: url.to_owned(),
            name: name.to_owned(),
            api_key: None,
            vector: None,
            text: Some("text".to_owned()),
            language: Language::default(),
        }
    }

    /// What a point holds, by its own id and its payload, as a chunk without a vector.
    ///
    /// # Errors
    /// If the payload is none of a chunk, with the member that is wrong.
    pub fn chunk(&self, point_id: &str, payload: Map<String, Json>) -> Result<Chunk, InputError> {
        let fields = &self.language.fields;
        let text_at = |place: &Place, otherwise: &str| match place {
            Place::Constant(value) => Ok(value.clone()),
            Place::Absent => Ok(otherwise.to_owned()),
            Place::Field(name) => match payload.get(name) {
                Some(Json::String(text)) => Ok(text.clone()),
                _ => Err(InputError::new(name, "is not a text")),
            },
        };
        let (entity_type, id) = (text_at(&fields.entity_type, "Chunk")?, text_at(&fields.id, point_id)?);
        let ancestors = match &fields.ancestors {
            Place::Field(name) => match payload.get(name) {
                None | Some(Json::Null) => Vec::new(),
                Some(keys) => {
                    Vec::<String>::deserialize(keys).map_err(|error| InputError::new(name, error))?
                }
            },
            Place::Constant(_) | Place::Absent => Vec::new(),
        };
        let ancestors = read_ancestors(&ancestors)?;
        let text = match self.text.as_ref().and_then(|name| payload.get(name)) {
            None | Some(Json::Null) => None,
            Some(Json::String(text)) => Some(text.clone()),
            Some(_) => return Err(InputError::new("text", "is not a text")),
        };
        let mut attributes = fields.restore(payload);
        let places = [&fields.entity_type, &fields.id, &fields.ancestors];
        let own = places.into_iter().filter_map(|place| match place {
            Place::Field(name) => Some(name),
            Place::Constant(_) | Place::Absent => None,
        });
        for name in own.chain(&self.text) {
            if !fields.attributes.contains_key(std::slice::from_ref(name)) {
                attributes.remove(name);
            }
        }
        Ok(Chunk {
            uid: EntityUid { entity_type, id: id.clone() },
            attributes,
            ancestors,
            text,
            ..Chunk::new(id)
        })
    }
}

/// A collection to search.
#[derive(Debug)]
pub struct QdrantSource {
    agent: Agent,
    collection: QdrantCollection,
    /// Whether a greater score is a nearer point.
    similarity: Similarity,
}

/// What scores say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Similarity {
    /// 1 for the same direction, -1 for the opposite one.
    Cosine,
    /// Greater is nearer.
    Dot,
    /// Less is nearer.
    Distance,
}

impl QdrantSource {
    /// A collection to search.
    ///
    /// # Errors
    /// If the server cannot be asked, or has no such collection.
    pub fn new(collection: QdrantCollection) -> Result<Self, Error> {
        // These are what a path of a URL takes as they are.
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
        if collection.name.is_empty() || !collection.name.chars().all(plain) {
            return Err(Error::Question(format!(
                "the collection's name `{}` has other characters than letters, digits, `-`, `_`, `.` and `~`",
                collection.name
            )));
        }
        let config = Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false);
        let mut source = Self { agent: config.build().into(), collection, similarity: Similarity::Distance };
        let described = source.ask("", None)?;
        let vectors = described.pointer("/config/params/vectors");
        let vectors = match &source.collection.vector {
            None => vectors,
            Some(name) => vectors.and_then(|vectors| vectors.get(name)),
        };
        let metric = vectors.and_then(|vectors| vectors.get("distance")).and_then(Json::as_str);
        source.similarity = match metric {
            Some("Cosine") => Similarity::Cosine,
            Some("Dot") => Similarity::Dot,
            Some("Euclid" | "Manhattan") => Similarity::Distance,
            _ => {
                return Err(source.failed("it has no such vectors, or ranks them in a way that is not known"));
            }
        };
        Ok(source)
    }

    fn failed(&self, message: impl std::fmt::Display) -> Error {
        let QdrantCollection { url, name, .. } = &self.collection;
        Error::Store { path: format!("{url}/collections/{name}"), message: message.to_string() }
    }

    /// The `result` of an answer.
    fn ask(&self, path: &str, body: Option<&Json>) -> Result<Json, Error> {
        let QdrantCollection { url, name, api_key, .. } = &self.collection;
        let url = format!("{}/collections/{name}{path}", url.trim_end_matches('/'));
        let key = api_key.iter().map(|key| ("api-key", key.as_str()));
        let sent = match body {
            None => {
                let request =
                    key.fold(self.agent.get(&url), |request, (name, value)| request.header(name, value));
                request.call()
            }
            Some(body) => {
                let request =
                    key.fold(self.agent.post(&url), |request, (name, value)| request.header(name, value));
                request.content_type("application/json").send(body.to_string())
            }
        };
        let mut answer = sent.map_err(|error| self.failed(error))?;
        let status = answer.status();
        let text = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_string();
        let text = text.map_err(|error| self.failed(error))?;
        let mut json = tamis_core::input::parse_json(&text)
            .map_err(|error| self.failed(format!("it answered {status}, with what is no JSON: {error}")))?;
        if !status.is_success() {
            let reason = json.pointer("/status/error").and_then(Json::as_str).unwrap_or("without a reason");
            return Err(self.failed(format!("it answered {status}: {reason}")));
        }
        Ok(json.get_mut("result").map(Json::take).unwrap_or_default())
    }
}

impl VectorSource for QdrantSource {
    fn open<'a>(&'a self, by: By<'a>, filter: &Filter) -> Result<Opened<'a>, Error> {
        let vector = by.vector_only()?;
        let Translation { native, widened } = self.collection.language.translate(filter);
        let ranking = QdrantRanking::default();
        let pages =
            Pages { source: self, vector, filter: native, ranking, exact: false, seen: HashSet::new() };
        Ok(Opened { candidates: Box::new(pages), widened })
    }

    fn withheld(&self, redaction: &Redaction) -> Redaction {
        self.collection.language.fields.withheld(redaction)
    }
}

/// A search that goes on.
struct Pages<'a> {
    source: &'a QdrantSource,
    vector: &'a [f32],
    filter: Json,
    ranking: QdrantRanking,
    /// Whether this ranks all that matches.
    exact: bool,
    seen: HashSet<String>,
}

impl Candidates for Pages<'_> {
    fn next_page(&mut self, wanted: usize) -> Result<Vec<Candidate>, Error> {
        let mut page = Vec::new();
        while page.len() < wanted {
            let (limit, offset) = self.ranking.page(wanted - page.len());
            let points = self.points(limit, offset)?;
            let ended = points.len() < limit;
            self.ranking.advance(&points);
            for point in points {
                let (id, candidate) = self.source.candidate(point)?;
                if self.seen.insert(id) {
                    page.push(candidate);
                }
            }
            match (ended, self.exact) {
                (false, _) => {}
                (true, false) => (self.exact, self.ranking) = (true, QdrantRanking::default()),
                (true, true) => break,
            }
        }
        Ok(page)
    }
}

impl Pages<'_> {
    fn points(&self, limit: usize, offset: usize) -> Result<Vec<Json>, Error> {
        let reach = limit.saturating_add(offset).saturating_mul(2).max(REACH);
        let params = if self.exact { json!({"exact": true}) } else { json!({"hnsw_ef": reach}) };
        let mut body = json!({
            "query": self.vector,
            "filter": self.filter,
            "params": params,
            "limit": limit,
            "offset": offset,
            "with_payload": true,
        });
        if let (Some(name), Some(body)) = (&self.source.collection.vector, body.as_object_mut()) {
            body.insert("using".to_owned(), json!(name));
        }
        match self.source.ask("/points/query", Some(&body))?.get_mut("points").map(Json::take) {
            Some(Json::Array(points)) => Ok(points),
            _ => Err(self.source.failed("its answer has no points")),
        }
    }
}

/// How far a ranking of Qdrant's was answered, page by page. Which of several points of one score come first is another matter in each answer:
/// where a page began behind them, one of them could be in none. So it begins with those that were the last ones of the page before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QdrantRanking {
    /// How many points were answered.
    answered: usize,
    /// How many of them, the last ones, have one score.
    tied: usize,
}

impl QdrantRanking {
    /// How many points to ask for to have so many new ones, and how many to leave out before.
    pub fn page(&self, wanted: usize) -> (usize, usize) {
        (wanted + self.tied, self.answered - self.tied)
    }

    /// Goes on behind the page that was answered.
    pub fn advance(&mut self, points: &[Json]) {
        let tied = tied(points).min(MAX_TIED);
        (self.answered, self.tied) = (self.answered - self.tied + points.len(), tied);
    }

    /// The same where points of one score have an order.
    pub fn skip(&mut self, points: &[Json]) {
        (self.answered, self.tied) = (self.answered - self.tied + points.len(), 0);
    }
}

/// How many points at the end have the same score.
fn tied(points: &[Json]) -> usize {
    let score = |point: &Json| point.get("score").cloned();
    let last = points.last().map(score);
    points.iter().rev().take_while(|point| Some(score(point)) == last).count()
}

impl QdrantSource {
    /// A point, by its own id, as a candidate.
    fn candidate(&self, mut point: Json) -> Result<(String, Candidate), Error> {
        let point_id = match point.get("id") {
            Some(Json::String(id)) => id.clone(),
            Some(Json::Number(id)) => id.to_string(),
            _ => return Err(self.failed("its answer has a point without an id")),
        };
        let unreadable = |source: InputError| Error::Chunk {
            path: format!("{}/collections/{}", self.collection.url, self.collection.name),
            id: point_id.clone(),
            source,
        };
        let Some(score) = point.get("score").and_then(Json::as_f64) else {
            return Err(unreadable(InputError::new("score", "is missing")));
        };
        let distance = match self.similarity {
            Similarity::Cosine => 1.0 - score,
            Similarity::Dot => -score,
            Similarity::Distance => score,
        };
        let chunk = match point.get_mut("payload").map(Json::take) {
            Some(Json::Object(payload)) => self.collection.chunk(&point_id, payload),
            _ => Err(InputError::new("payload", "is missing")),
        };
        let candidate = Candidate { chunk: chunk.map_err(unreadable), distance };
        Ok((point_id, candidate))
    }
}
