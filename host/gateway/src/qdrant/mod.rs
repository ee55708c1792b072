//! Qdrant's REST interface, as far as it can be served behind the gates. What is not listed in [`Endpoint::of`] is refused.

mod describe;
mod filter;
mod gated;
mod key;
mod payload;
mod point;
mod ranking;
mod reads;
mod source;
mod stage;
mod stored;
mod writes;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hyper::Method;
use serde_json::json;
use tamis_dialect::Qdrant as Language;
use tamis_retrieve::QdrantCollection;

use self::gated::Gated;
use self::reads::Form;
use crate::answer::{Answer, Refusal};
use crate::config::{Collection, Limits};
use crate::database::{Call, Database};
use crate::metrics::Metrics;
use crate::upstream::Upstream;

const SERVED: &str = "this gateway serves GET /collections, /collections/{c}, /collections/{c}/exists and \
    /collections/{c}/points/{id}; POST /collections/{c}/points and points/query, query/batch, search, search/batch, scroll, count and delete; \
    PUT /collections/{c}/points";

/// A Qdrant server behind the gateway.
#[derive(Debug)]
pub(crate) struct Qdrant {
    upstream: Upstream,
    collections: BTreeMap<String, Served>,
    limits: Limits,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Served {
    collection: QdrantCollection,
    /// Held from the look at what is stored until something else is: whoever writes past this gateway is not kept out.
    writing: Mutex<()>,
}

/// What is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint<'a> {
    Version,
    Collections,
    Collection(&'a str),
    Exists(&'a str),
    Points(&'a str, Points<'a>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Points<'a> {
    Query,
    Queries,
    Search,
    Searches,
    Scroll,
    Retrieve,
    Single(&'a str),
    Count,
    Upsert,
    Delete,
}

impl<'a> Endpoint<'a> {
    fn of(method: &Method, path: &[&'a str]) -> Option<Self> {
        let points = |name, points| Some(Self::Points(name, points));
        match (method.as_str(), path) {
            ("GET", []) => Some(Self::Version),
            ("GET", ["collections"]) => Some(Self::Collections),
            ("GET", ["collections", name]) => Some(Self::Collection(name)),
            ("GET", ["collections", name, "exists"]) => Some(Self::Exists(name)),
            ("POST", ["collections", name, "points"]) => points(*name, Points::Retrieve),
            ("PUT", ["collections", name, "points"]) => points(*name, Points::Upsert),
            ("GET", ["collections", name, "points", id]) => points(*name, Points::Single(id)),
            ("POST", ["collections", name, "points", "query"]) => points(*name, Points::Query),
            ("POST", ["collections", name, "points", "query", "batch"]) => points(*name, Points::Queries),
            ("POST", ["collections", name, "points", "search"]) => points(*name, Points::Search),
            ("POST", ["collections", name, "points", "search", "batch"]) => points(*name, Points::Searches),
            ("POST", ["collections", name, "points", "scroll"]) => points(*name, Points::Scroll),
            ("POST", ["collections", name, "points", "count"]) => points(*name, Points::Count),
            ("POST", ["collections", name, "points", "delete"]) => points(*name, Points::Delete),
            _ => None,
        }
    }
}

impl Qdrant {
    /// A server, of which only these collections exist.
    pub(crate) fn new(
        upstream: Upstream,
        collections: &BTreeMap<String, Collection>,
        limits: &Limits,
        metrics: Arc<Metrics>,
    ) -> Self {
        let served = |(name, collection): (&String, &Collection)| {
            let served = QdrantCollection {
                text: collection.text.clone(),
                language: Language { fields: collection.fields.clone() },
                // The gateway asks itself.
                ..QdrantCollection::new("", name)
            };
            (name.clone(), Served { collection: served, writing: Mutex::new(()) })
        };
        let collections = collections.iter().map(served).collect();
        Self { upstream, collections, limits: limits.clone(), metrics }
    }

    fn collection(&self, name: &str) -> Result<&Served, Refusal> {
        let missing = || Refusal::not_found(format!("Collection `{name}` doesn't exist!"));
        self.collections.get(name).ok_or_else(missing)
    }

    fn points(&self, call: &Call<'_>, name: &str, points: Points<'_>) -> Result<Answer, Refusal> {
        let served = self.collection(name)?;
        let mut language = served.collection.language.clone();
        language.fields.require(&call.generation.policy().manifest().footprint);
        let gated = Gated {
            upstream: &self.upstream,
            collection: &served.collection,
            language,
            generation: Arc::clone(&call.generation),
            request: &call.request,
            budget: self.limits.candidates,
            until: call.until,
            metrics: &self.metrics,
        };
        let (body, limits) = (call.body, &self.limits);
        match points {
            Points::Query => reads::search(&gated, Form::Query, body, limits),
            Points::Queries => reads::searches(&gated, Form::Query, body, limits),
            Points::Search => reads::search(&gated, Form::Search, body, limits),
            Points::Searches => reads::searches(&gated, Form::Search, body, limits),
            Points::Scroll => reads::scroll(&gated, body, limits),
            Points::Retrieve => reads::retrieve(&gated, body, limits),
            Points::Single(id) => reads::single(&gated, id),
            Points::Count => reads::count(&gated, body),
            Points::Upsert => {
                let _alone = served.writing.lock().unwrap_or_else(PoisonError::into_inner);
                writes::upsert(&gated, ordering(call)?, body, limits)
            }
            Points::Delete => {
                let _alone = served.writing.lock().unwrap_or_else(PoisonError::into_inner);
                writes::delete(&gated, ordering(call)?, body, limits)
            }
        }
    }
}

/// How the database orders writes, if the client says.
fn ordering<'a>(call: &Call<'a>) -> Result<Option<&'a str>, Refusal> {
    match call.query.iter().find(|(name, _)| *name == "ordering").map(|(_, value)| *value) {
        known @ (None | Some("weak" | "medium" | "strong")) => Ok(known),
        Some(_) => Err(Refusal::bad("`ordering` is neither weak nor medium nor strong")),
    }
}

impl Database for Qdrant {
    fn serve(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let endpoint = Endpoint::of(call.method, &call.path).ok_or_else(|| Refusal::forbidden(SERVED))?;
        // The gateway always waits, has its own patience, and reads from wherever Qdrant reads.
        let known = ["wait", "ordering", "timeout", "consistency"];
        if let Some((name, _)) = call.query.iter().find(|(name, _)| !known.contains(name)) {
            return Err(Refusal::forbidden(format!(
                "`{name}` in the query string is not served by this gateway"
            )));
        }
        match endpoint {
            Endpoint::Version => Ok(Answer::plain(self.version(call.until)?)),
            Endpoint::Collections => {
                let names: Vec<_> = self.collections.keys().map(|name| json!({"name": name})).collect();
                Ok(Answer::result(json!({"collections": names}), None))
            }
            Endpoint::Collection(name) => {
                self.collection(name)?;
                describe::collection(&self.upstream, name, call.until)
            }
            Endpoint::Exists(name) => {
                Ok(Answer::result(json!({"exists": self.collections.contains_key(name)}), None))
            }
            Endpoint::Points(name, points) => self.points(call, name, points),
        }
    }

    fn ready(&self, until: Instant) -> Result<(), Refusal> {
        self.version(until).map(drop)
    }
}

impl Qdrant {
    /// Which version of Qdrant this is, which clients want to know.
    fn version(&self, until: Instant) -> Result<serde_json::Value, Refusal> {
        let told = self.upstream.whole(Method::GET, "/", until)?;
        let version = told.get("version").and_then(serde_json::Value::as_str);
        let version = version.ok_or_else(|| Refusal::upstream("the answer has no version"))?;
        Ok(json!({"title": "qdrant - vector search engine", "version": version}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_else_is_served() {
        for (method, path) in [
            ("DELETE", "collections/c"),
            ("PUT", "collections/c"),
            ("PATCH", "collections/c"),
            ("PUT", "collections/c/index"),
            ("POST", "collections/c/points/query/groups"),
            ("POST", "collections/c/points/search/groups"),
            ("POST", "collections/c/points/recommend"),
            ("POST", "collections/c/points/discover"),
            ("POST", "collections/c/points/search/matrix/pairs"),
            ("POST", "collections/c/facet"),
            ("POST", "collections/c/points/payload"),
            ("PUT", "collections/c/points/payload"),
            ("PUT", "collections/c/points/vectors"),
            ("POST", "collections/c/points/batch"),
            ("POST", "collections/c/snapshots"),
            ("POST", "collections/aliases"),
            ("GET", "collections/c/points"),
            ("GET", "collections/c/points/1/x"),
            ("GET", "cluster"),
            ("GET", "telemetry"),
            ("GET", "metrics"),
            ("GET", "dashboard"),
            ("post", "collections/c/points/query"),
        ] {
            let method: Method = method.parse().unwrap();
            let path: Vec<&str> = path.split('/').collect();
            assert_eq!(Endpoint::of(&method, &path), None, "{method} {path:?}");
        }
        assert_eq!(
            Endpoint::of(&Method::POST, &["collections", "c", "points", "query"]),
            Some(Endpoint::Points("c", Points::Query))
        );
    }
}
