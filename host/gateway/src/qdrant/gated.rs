//! Searches through the gates: what comes out of here may be handed out.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value as Json, json};
use tamis_core::decision::Path;
use tamis_core::{Chunk, Query, Redaction, Request};
use tamis_dialect::{Dialect, Qdrant as Language};
use tamis_retrieve::{By, Error, Hit, QdrantCollection, Question, VectorSource, search_with};
use tamis_runtime::Generation;

use super::payload::Wanted;
use super::source::{Sought, Source};
use super::stage::Stage;
use crate::answer::{Refusal, Said};
use crate::metrics::Metrics;
use crate::upstream::Upstream;

/// One request, by one user, answered by one generation of the policy.
pub(super) struct Gated<'a> {
    pub(super) upstream: &'a Upstream,
    pub(super) collection: &'a QdrantCollection,
    pub(super) language: Language,
    pub(super) generation: Arc<Generation>,
    pub(super) request: &'a Request,
    /// How many candidates one search may look at.
    pub(super) budget: usize,
    pub(super) until: Instant,
    pub(super) metrics: &'a Metrics,
}

/// What was found, and may be handed out.
pub(super) struct Readable {
    pub(super) points: Vec<Point>,
    /// Whether these are all, up to the number that was asked for.
    pub(super) complete: bool,
}

/// A point without what the policy removes.
pub(super) struct Point {
    /// As the database answered it.
    members: Map<String, Json>,
    payload: Map<String, Json>,
    /// Whether something was removed.
    pub(super) redacted: bool,
}

impl Point {
    pub(super) fn id(&self) -> Json {
        self.members.get("id").cloned().unwrap_or_default()
    }

    /// What the client gets of it: no member that is not known here.
    pub(super) fn shown(mut self, wanted: &Wanted) -> Json {
        let mut shown = Map::new();
        for name in ["id", "score", "order_value"] {
            if let Some(value) = self.members.remove(name) {
                shown.insert(name.to_owned(), value);
            }
        }
        // Versions count what everybody writes; clients want one.
        if self.members.contains_key("version") {
            shown.insert("version".to_owned(), json!(0));
        }
        if let Some(payload) = wanted.of(self.payload) {
            shown.insert("payload".to_owned(), payload);
        }
        // A vector tells about the text that it was made of, and about whatever else was.
        if let (false, Some(vector)) = (self.redacted, self.members.remove("vector")) {
            shown.insert("vector".to_owned(), vector);
        }
        Json::Object(shown)
    }
}

impl Gated<'_> {
    /// The first `k` of what is sought that may be read.
    pub(super) fn find(
        &self,
        sought: Sought<'_>,
        tested: BTreeSet<Path>,
        vectors: Option<&Json>,
        k: u32,
    ) -> Result<Readable, Refusal> {
        if k == 0 {
            return Ok(Readable { points: Vec::new(), complete: true });
        }
        let source = Source {
            upstream: self.upstream,
            collection: self.collection,
            language: &self.language,
            sought,
            tested,
            vectors,
            until: self.until,
            points: RefCell::default(),
            refusal: RefCell::new(None),
        };
        // The source has its own question, and a candidate's distance is its place.
        let question = Question {
            collection: &self.collection.name,
            budget: self.budget,
            ..Question::new(self.request, By::Vector(&[]), k)
        };
        let found = match search_with(&source, &self.generation, &question) {
            Ok(found) => found,
            // Denied as it is among others: whoever asks for it alone is not told that it exists.
            Err(error @ Error::Chunk { .. }) => {
                let given = source.points.borrow().given();
                tracing::error!(%error, points = given, "none of the points that were found can be read");
                self.metrics.decided(given, given);
                return Ok(Readable { points: Vec::new(), complete: given < self.budget });
            }
            Err(error) => return Err(source.refusal.take().unwrap_or_else(|| error.into())),
        };
        self.metrics.decided(found.examined, found.denied);
        let mut points = source.points.take();
        let point = |hit: &Hit| {
            let mut members = points.take(hit.distance)?;
            let payload = match members.remove("payload") {
                Some(Json::Object(payload)) => payload,
                _ => Map::new(),
            };
            let removed = source.withheld(&hit.decision.redaction);
            let redacted = removed != Redaction::default();
            let mut stripped = Chunk { attributes: payload, ..Chunk::new("") };
            stripped.redact(&removed);
            Some(Point { members, payload: stripped.attributes, redacted })
        };
        let points: Option<Vec<Point>> = found.hits.iter().map(point).collect();
        let points = points.ok_or_else(|| Refusal::failed("a hit is none of the candidates"))?;
        Ok(Readable { points, complete: found.complete })
    }

    /// What the answers say of themselves.
    pub(super) fn said(&self, complete: bool) -> Result<Said, Refusal> {
        Ok(Said { generation: self.generation.number(), complete, exact: self.exact()? })
    }

    /// Whether the database's own filter matches only what the policy allows.
    pub(super) fn exact(&self) -> Result<bool, Refusal> {
        let query = Query { collection: self.collection.name.clone(), k: 1 };
        let rewrite = self.generation.policy().rewrite(self.request, &query)?;
        Ok(rewrite.exact && self.language.translate(&rewrite.filter).is_exact())
    }

    /// Makes sure that all points which a search takes as examples can be read, and read whole: what is near to a point tells what it is.
    /// One that cannot is as one that does not exist.
    pub(super) fn check_examples(&self, stage: &Stage) -> Result<(), Refusal> {
        let mut ids = stage.examples();
        ids.sort_by_key(Json::to_string);
        ids.dedup();
        let Ok(k) = u32::try_from(ids.len()) else { return Err(Refusal::too_much("too many examples")) };
        let sought = Sought::Listed { filter: None, ids: Some(&ids), from: None };
        let readable = self.find(sought, BTreeSet::new(), None, k)?;
        let whole: Vec<Json> =
            readable.points.iter().filter(|point| !point.redacted).map(Point::id).collect();
        match ids.iter().find(|id| !whole.contains(id)) {
            None => Ok(()),
            Some(id) => Err(Refusal::not_found(format!("No point with id {} found", plain(id)))),
        }
    }

    /// Finds out which points the prefetches of a search may find, wherever one that may not be read, or does not show what is asked
    /// about, could take the place of another: that would tell of it.
    pub(super) fn settle(&self, stage: &mut Stage) -> Result<bool, Refusal> {
        let mut complete = true;
        if stage.prefetch.is_empty() {
            return Ok(complete);
        }
        let exact = self.exact()?;
        for prefetch in &mut stage.prefetch {
            complete &= self.settle(prefetch)?;
            let tested = prefetch.tested();
            if exact && tested.is_empty() {
                continue;
            }
            let found = self.find(Sought::Ranked(prefetch), tested, None, prefetch.limit)?;
            complete &= found.complete;
            prefetch.only = Some(found.points.iter().map(Point::id).collect());
        }
        Ok(complete)
    }
}

/// An id in a sentence.
pub(super) fn plain(id: &Json) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}
