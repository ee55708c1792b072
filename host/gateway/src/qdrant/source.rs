//! One collection, as a source of the search loop that all of Tamis shares: whatever is handed out went through it.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Instant;

use hyper::Method;
use serde_json::{Map, Value as Json, json};
use tamis_core::decision::Path;
use tamis_core::{Filter, Redaction};
use tamis_dialect::{Dialect, Qdrant as Language, Translation};
use tamis_retrieve::{
    By, Candidate, Candidates, Error, Opened, QdrantCollection, QdrantRanking, VectorSource,
};

use super::filter::{UserFilter, all, one_of};
use super::key::overlap;
use super::stage::Stage;
use crate::answer::Refusal;
use crate::upstream::Upstream;

/// What is looked for, under the policy's filter.
#[derive(Clone, Copy)]
pub(super) enum Sought<'a> {
    /// What a search ranks.
    Ranked(&'a Stage),
    /// Points in the order of their ids.
    Listed { filter: Option<&'a UserFilter>, ids: Option<&'a [Json]>, from: Option<&'a Json> },
}

/// A collection that is asked for something.
pub(super) struct Source<'a> {
    pub(super) upstream: &'a Upstream,
    pub(super) collection: &'a QdrantCollection,
    /// Where in the payload things are, as the policy that serves needs them.
    pub(super) language: &'a Language,
    pub(super) sought: Sought<'a>,
    /// Members of payloads that the client asks about.
    pub(super) tested: BTreeSet<Path>,
    /// Which vectors the client wants.
    pub(super) vectors: Option<&'a Json>,
    pub(super) until: Instant,
    /// What the database answered, as long as it may be a hit: a candidate's distance is its place.
    pub(super) points: RefCell<Answered>,
    /// Why the database could not be asked.
    pub(super) refusal: RefCell<Option<Refusal>>,
}

/// Points that the database answered, by their places.
#[derive(Default)]
pub(super) struct Answered {
    /// Places that were given.
    given: usize,
    /// Those of which nothing was decided yet.
    new: HashMap<usize, Map<String, Json>>,
    /// Those that are hits.
    hits: HashMap<usize, Map<String, Json>>,
}

impl Answered {
    /// How many points were answered.
    pub(super) fn given(&self) -> usize {
        self.given
    }

    fn add(&mut self, point: Map<String, Json>) -> f64 {
        let place = self.given;
        self.given += 1;
        self.new.insert(place, point);
        place as f64
    }

    /// Whether the payload of one that is decided on has a member.
    fn has(&self, distance: f64, member: &str) -> bool {
        let payload = self.new.get(&(distance as usize)).and_then(|point| point.get("payload"));
        payload.is_some_and(|payload| payload.get(member).is_some())
    }

    fn keep(&mut self, distance: f64) {
        let place = distance as usize;
        if let Some(point) = self.new.remove(&place) {
            self.hits.insert(place, point);
        }
    }

    /// The point of a hit.
    pub(super) fn take(&mut self, distance: f64) -> Option<Map<String, Json>> {
        self.hits.remove(&(distance as usize))
    }
}

impl Source<'_> {
    fn ask(&self, path: &str, body: &Json) -> Result<Json, Error> {
        let path = format!("/collections/{}/points/{path}", self.collection.name);
        self.upstream.ask(Method::POST, &path, Some(body), self.until).map_err(|refusal| {
            let message = refusal.detail.clone().unwrap_or_default();
            *self.refusal.borrow_mut() = Some(refusal);
            Error::Store { path, message }
        })
    }

    fn unknown(&self, message: &str) -> Error {
        Error::Store { path: self.collection.name.clone(), message: message.to_owned() }
    }

    /// Whether a point has no text where points are said to have it: then it may be anywhere in it.
    fn lacks_text(&self, distance: f64) -> bool {
        let Some(text) = &self.collection.text else { return false };
        let points = self.points.borrow();
        let lacks = !points.has(distance, text);
        if lacks {
            let collection = &self.collection.name;
            tracing::warn!(
                collection,
                member = text,
                "a text that must be removed is not where it should be"
            );
        }
        lacks
    }

    /// A point, by its own id, as a candidate.
    fn candidate(&self, point: Json) -> Result<(String, Candidate), Error> {
        let Json::Object(point) = point else {
            return Err(self.unknown("its answer has a point that is no object"));
        };
        let id = match point.get("id") {
            Some(Json::String(id)) => id.clone(),
            Some(Json::Number(id)) => id.to_string(),
            _ => return Err(self.unknown("its answer has a point without an id")),
        };
        let payload = match point.get("payload") {
            Some(Json::Object(payload)) => payload.clone(),
            None | Some(Json::Null) => Map::new(),
            Some(_) => return Err(self.unknown("its answer has a payload that is no object")),
        };
        let chunk = self.collection.chunk(&id, payload);
        let path = || self.collection.name.clone();
        let chunk = chunk.map_err(|source| Error::Chunk { path: path(), id: id.clone(), source });
        let distance = self.points.borrow_mut().add(point);
        Ok((id, Candidate { chunk, distance }))
    }
}

impl VectorSource for Source<'_> {
    fn open<'a>(&'a self, _by: By<'a>, filter: &Filter) -> Result<Opened<'a>, Error> {
        let Translation { native, widened } = self.language.translate(filter);
        let pages = Pages {
            source: self,
            filter: native,
            ranking: QdrantRanking::default(),
            next: None,
            exact: false,
            ended: false,
            seen: HashSet::new(),
        };
        Ok(Opened { candidates: Box::new(pages), widened })
    }

    /// Everything that must go from a payload, under the database's names.
    fn withheld(&self, redaction: &Redaction) -> Redaction {
        let mut withheld = self.language.fields.withheld(redaction);
        if let (true, Some(text)) = (redaction.text, &self.collection.text) {
            withheld.attributes.insert(vec![text.clone()]);
        }
        withheld
    }

    fn shows(&self, distance: f64, withheld: &Redaction) -> bool {
        let asked = |removed: &Path| self.tested.iter().any(|tested| overlap(tested, removed));
        let hides = withheld.attributes.iter().any(asked) || withheld.text && self.lacks_text(distance);
        if !hides {
            self.points.borrow_mut().keep(distance);
        }
        !hides
    }
}

/// An answer that goes on.
struct Pages<'a> {
    source: &'a Source<'a>,
    filter: Json,
    ranking: QdrantRanking,
    /// Where the list goes on.
    next: Option<Json>,
    /// Whether everything is ranked, the index having no more.
    exact: bool,
    ended: bool,
    seen: HashSet<String>,
}

impl Candidates for Pages<'_> {
    fn next_page(&mut self, wanted: usize) -> Result<Vec<Candidate>, Error> {
        // The page before was decided on: what is no hit by now is none.
        self.source.points.borrow_mut().new.clear();
        let mut page = Vec::new();
        while page.len() < wanted && !self.ended {
            let missing = wanted - page.len();
            let points = match self.source.sought {
                Sought::Ranked(stage) => self.ranked(stage, missing)?,
                Sought::Listed { filter, ids, from } => self.listed(filter, ids, from, missing)?,
            };
            for point in points {
                let (id, candidate) = self.source.candidate(point)?;
                if self.seen.insert(id) {
                    page.push(candidate);
                }
            }
        }
        Ok(page)
    }
}

impl Pages<'_> {
    fn ranked(&mut self, stage: &Stage, missing: usize) -> Result<Vec<Json>, Error> {
        let (limit, offset) = self.ranking.page(missing);
        let body = stage.body(&self.filter, limit, offset, self.exact);
        let body = with_everything(body, self.source.vectors);
        let points = self.points("query", &body, limit, |_| ())?.0;
        if stage.by_nearness() {
            self.ranking.advance(&points);
        } else {
            self.ranking.skip(&points);
        }
        if points.len() < limit {
            if self.exact || !stage.approximate() {
                self.ended = true;
            } else {
                (self.exact, self.ranking) = (true, QdrantRanking::default());
            }
        }
        Ok(points)
    }

    fn listed(
        &mut self,
        filter: Option<&UserFilter>,
        ids: Option<&[Json]>,
        from: Option<&Json>,
        limit: usize,
    ) -> Result<Vec<Json>, Error> {
        let user = filter.map(|filter| filter.json.clone());
        let parts = [self.filter.clone()].into_iter().chain(user).chain(ids.map(one_of));
        let mut body = json!({"filter": all(parts), "limit": limit});
        if let (Some(from), Some(body)) = (self.next.as_ref().or(from), body.as_object_mut()) {
            body.insert("offset".to_owned(), from.clone());
        }
        let body = with_everything(body, self.source.vectors);
        let (points, next) = self.points("scroll", &body, limit, |result| {
            result.get("next_page_offset").cloned().filter(|next| !next.is_null())
        })?;
        // One that does not move would go on for ever.
        self.ended = next.is_none() || next == self.next;
        self.next = next;
        Ok(points)
    }

    fn points<T>(
        &self,
        path: &str,
        body: &Json,
        limit: usize,
        read: impl Fn(&Json) -> T,
    ) -> Result<(Vec<Json>, T), Error> {
        let mut result = self.source.ask(path, body)?;
        let more = read(&result);
        match result.get_mut("points").map(Json::take) {
            Some(Json::Array(points)) if points.len() <= limit => Ok((points, more)),
            Some(Json::Array(_)) => Err(self.source.unknown("it answered more points than it was asked for")),
            _ => Err(self.source.unknown("its answer has no points")),
        }
    }
}

/// Asks for whole payloads, whatever the client wants of them: the policy decides over all of it.
fn with_everything(mut body: Json, vectors: Option<&Json>) -> Json {
    if let Some(body) = body.as_object_mut() {
        body.insert("with_payload".to_owned(), json!(true));
        if let Some(vectors) = vectors {
            body.insert("with_vector".to_owned(), vectors.clone());
        }
    }
    body
}
