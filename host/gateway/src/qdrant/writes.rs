//! What stores and deletes points: behind the admit gate, and only over points that the request may store itself.

use hyper::Method;
use serde_json::{Map, Value as Json, json};
use tamis_core::manifest::FootprintAttribute;
use tamis_core::{Chunk, normal, request};
use tamis_dialect::{Place, ancestor_key};
use tamis_runtime::{Admission, Session};

use super::gated::{Gated, plain};
use super::{point, stored};
use crate::answer::{Answer, Refusal};
use crate::config::Limits;
use crate::members::Members;

/// Stores points, or none of them.
pub(super) fn upsert(
    gated: &Gated<'_>,
    ordering: Option<&str>,
    body: &[u8],
    limits: &Limits,
) -> Result<Answer, Refusal> {
    let mut points = stored::read(Members::of_body(body)?, limits)?;
    let generation = gated.generation.number();
    let mut session = gated.generation.policy().session(&gated.request.clone().with_action(request::INDEX));
    let mut rejected = Vec::new();
    let mut chunks = Vec::new();
    for point in &points {
        match gated.collection.chunk(&plain(&point.id), point.payload.clone()) {
            Ok(chunk) => chunks.push((point.id.clone(), chunk)),
            Err(error) => rejected.push(refused(&point.id, &[format!("payload: {error}")])),
        }
    }
    rejected.extend(not_admitted(&mut session, &chunks)?);
    let ids: Vec<Json> = points.iter().map(|point| point.id.clone()).collect();
    let stored = not_replaceable(gated, &mut session, &ids)?;
    rejected.extend(
        stored.iter().map(|id| {
            refused(id, &["its id belongs to a point that this request may not replace".to_owned()])
        }),
    );
    gated.metrics.admitted(points.len(), rejected.len().min(points.len()));
    if !rejected.is_empty() {
        let message = format!(
            "nothing is stored: {} of {} points are rejected",
            rejected.len().min(points.len()),
            points.len()
        );
        return Err(Refusal::rejected(message, rejected));
    }
    let footprint = footprint(gated);
    // All were read, so there is a chunk for each point.
    for (point, (_, chunk)) in points.iter_mut().zip(&chunks) {
        normalise(&mut point.payload, &footprint);
        if let Place::Field(name) = &gated.language.fields.ancestors
            && point.payload.contains_key(name)
        {
            point.payload.insert(name.clone(), chunk.ancestors.iter().map(ancestor_key).collect());
        }
    }
    let points: Vec<Json> = points
        .into_iter()
        .map(|point| json!({"id": point.id, "vector": point.vector, "payload": point.payload}))
        .collect();
    let path = path(gated, "", ordering);
    let result = gated.upstream.ask(Method::PUT, &path, Some(&json!({"points": points})), gated.until)?;
    tracing::info!(
        subject = gated.request.subject().to_string(),
        collection = gated.collection.name,
        points = points.len(),
        generation,
        "stored"
    );
    done(&result)
}

/// Deletes points by their ids, or none of them.
pub(super) fn delete(
    gated: &Gated<'_>,
    ordering: Option<&str>,
    body: &[u8],
    limits: &Limits,
) -> Result<Answer, Refusal> {
    let mut members = Members::of_body(body)?;
    let ids = members
        .need("points")
        .map_err(|_| Refusal::forbidden("this gateway deletes by ids only: `{\"points\":[…]}`"))?;
    let ids = point::ids(ids, limits.batch)?;
    members.end()?;
    let mut session = gated.generation.policy().session(&gated.request.clone().with_action(request::INDEX));
    let kept = not_replaceable(gated, &mut session, &ids)?;
    if !kept.is_empty() {
        let rejected: Vec<Json> =
            kept.iter().map(|id| refused(id, &["this request may not delete it".to_owned()])).collect();
        return Err(Refusal::rejected(
            format!("nothing is deleted: {} points are rejected", rejected.len()),
            rejected,
        ));
    }
    let path = path(gated, "/delete", ordering);
    let result = gated.upstream.ask(Method::POST, &path, Some(&json!({"points": ids})), gated.until)?;
    tracing::info!(
        subject = gated.request.subject().to_string(),
        collection = gated.collection.name,
        points = ids.len(),
        "deleted"
    );
    done(&result)
}

/// Always waits, so that what is decided on next is what is stored.
fn path(gated: &Gated<'_>, what: &str, ordering: Option<&str>) -> String {
    let ordering = ordering.map(|ordering| format!("&ordering={ordering}")).unwrap_or_default();
    format!("/collections/{}/points{what}?wait=true{ordering}", gated.collection.name)
}

fn done(result: &Json) -> Result<Answer, Refusal> {
    match result.get("status").and_then(Json::as_str) {
        Some(status @ ("completed" | "acknowledged")) => {
            // The number of the operation would count what everybody writes.
            Ok(Answer::result(json!({"operation_id": null, "status": status}), None))
        }
        _ => Err(Refusal::upstream("the answer does not say what became of the points")),
    }
}

fn refused(id: &Json, reasons: &[String]) -> Json {
    json!({"id": id, "reasons": reasons})
}

/// Those that do not pass the admit gate, with reasons. Why a rule failed is for the log.
fn not_admitted(session: &mut Session, chunks: &[(Json, Chunk)]) -> Result<Vec<Json>, Refusal> {
    let (ids, chunks): (Vec<Json>, Vec<Chunk>) = chunks.iter().cloned().unzip();
    let mut rejected = Vec::new();
    for (id, admission) in ids.iter().zip(session.admit(&chunks)?) {
        match admission {
            Admission::Admitted => {}
            Admission::Unreadable(faults) => rejected.push(refused(id, &faults)),
            Admission::Denied(decision) => {
                for error in &decision.errors {
                    tracing::warn!(policy = error.policy, message = error.message, "a rule failed");
                }
                let rules: Vec<&str> = decision.reasons.iter().map(String::as_str).collect();
                let reason = if rules.is_empty() {
                    "denied: no rule allows it".to_owned()
                } else {
                    format!("denied by {}", rules.join(", "))
                };
                rejected.push(refused(id, &[reason]));
            }
        }
    }
    Ok(rejected)
}

/// Those of the stored points with these ids that the request may not store itself, whoever may read them.
fn not_replaceable(gated: &Gated<'_>, session: &mut Session, ids: &[Json]) -> Result<Vec<Json>, Refusal> {
    let path = format!("/collections/{}/points", gated.collection.name);
    let body = json!({"ids": ids, "with_payload": true, "with_vector": false});
    let Json::Array(stored) = gated.upstream.ask(Method::POST, &path, Some(&body), gated.until)? else {
        return Err(Refusal::upstream("the answer is no list of points"));
    };
    let (mut refused, mut chunks, mut known) = (Vec::new(), Vec::new(), Vec::new());
    for mut point in stored {
        let id = point.get("id").and_then(|id| point::id(id).ok());
        let id = id.filter(|id| ids.contains(id));
        let id = id.ok_or_else(|| Refusal::upstream("the answer has a point that was not asked for"))?;
        let payload = match point.get_mut("payload").map(Json::take) {
            Some(Json::Object(payload)) => payload,
            None | Some(Json::Null) => Map::new(),
            Some(_) => return Err(Refusal::upstream("the answer has a payload that is no object")),
        };
        match gated.collection.chunk(&plain(&id), payload) {
            Ok(chunk) => {
                chunks.push(chunk);
                known.push(id);
            }
            // Nobody knows whose it is.
            Err(_) => refused.push(id),
        }
    }
    let decisions = session.filter(&chunks)?;
    if decisions.len() != known.len() {
        return Err(Refusal::failed("not as many decisions as points"));
    }
    refused
        .extend(known.into_iter().zip(decisions).filter(|(_, decision)| !decision.allow).map(|(id, _)| id));
    Ok(refused)
}

/// What the policy reads, under the database's names.
fn footprint(gated: &Gated<'_>) -> Vec<FootprintAttribute> {
    let mut footprint = gated.generation.policy().manifest().footprint.clone();
    for entry in &mut footprint {
        entry.attribute.path = gated.language.fields.of(&entry.attribute.path);
    }
    footprint
}

/// Spells what the policy reads in the one way that filters look for.
fn normalise(payload: &mut Map<String, Json>, footprint: &[FootprintAttribute]) {
    let mut chunk = Chunk { attributes: std::mem::take(payload), ..Chunk::new("") };
    normal::normalise(&mut chunk, footprint);
    *payload = chunk.attributes;
}
