//! What clients ask of a collection before they use it. How many points there are is not told.

use std::time::Instant;

use hyper::Method;
use serde_json::{Map, Value as Json, json};

use crate::answer::{Answer, Refusal};
use crate::upstream::Upstream;

/// A collection: its vectors, as the database has them, and beside them only what Qdrant's clients cannot do without.
pub(super) fn collection(upstream: &Upstream, name: &str, until: Instant) -> Result<Answer, Refusal> {
    let described = upstream.ask(Method::GET, &format!("/collections/{name}"), None, until)?;
    let params = described.pointer("/config/params");
    let vectors = match params.and_then(|params| params.get("vectors")) {
        None | Some(Json::Null) => Json::Null,
        Some(vectors) if vectors.get("size").is_some_and(Json::is_u64) => {
            only(vectors, &["size", "distance"])
        }
        Some(named) => each(named, &["size", "distance"]),
    };
    let sparse = params.and_then(|params| params.get("sparse_vectors")).map(|named| each(named, &[]));
    Ok(Answer::result(
        json!({
            "status": "green",
            "optimizer_status": "ok",
            "segments_count": 1,
            "config": {
                "params": {"vectors": vectors, "sparse_vectors": sparse},
                // Qdrant's own defaults.
                "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
                "optimizer_config": {"default_segment_number": 0, "flush_interval_sec": 5},
            },
            "payload_schema": {},
        }),
        None,
    ))
}

fn only(object: &Json, names: &[&str]) -> Json {
    let kept = names.iter().filter_map(|name| Some(((*name).to_owned(), object.get(name)?.clone())));
    Json::Object(kept.collect::<Map<_, _>>())
}

fn each(named: &Json, names: &[&str]) -> Json {
    let entries = named.as_object().into_iter().flatten();
    Json::Object(entries.map(|(name, object)| (name.clone(), only(object, names))).collect())
}
