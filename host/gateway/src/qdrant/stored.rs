//! Points to store, as clients send them. What could be stored and not be read any more is refused here: it would be in everybody's way.

use serde_json::{Map, Value as Json, json};

use super::gated::plain;
use super::point;
use crate::answer::Refusal;
use crate::config::Limits;
use crate::members::{Members, check_weight};

/// Objects and arrays inside one another in a payload. JSON is read up to 127, here and in the database, and answers have some around it.
const MAX_LEVELS: usize = 64;

/// A point to store.
pub(super) struct Point {
    pub(super) id: Json,
    pub(super) vector: Json,
    pub(super) payload: Map<String, Json>,
}

/// Both forms of points to store.
pub(super) fn read(mut members: Members, limits: &Limits) -> Result<Vec<Point>, Refusal> {
    let points = match (members.json("points"), members.json("batch")) {
        (Some(Json::Array(points)), None) => points
            .into_iter()
            .map(|json| {
                let mut members = Members::of(json, "a point")?;
                let (id, vector) = (members.need("id")?, members.need("vector")?);
                let point = point(id, vector, members.json("payload"), limits)?;
                members.end()?;
                Ok(point)
            })
            .collect::<Result<Vec<_>, Refusal>>()?,
        (None, Some(batch)) => columns(Members::of(batch, "the batch")?, limits)?,
        _ => return Err(Refusal::bad("the body has neither a list of `points` nor a `batch`")),
    };
    members.end()?;
    if points.len() > limits.batch {
        return Err(Refusal::too_much(format!("more than {} points", limits.batch)));
    }
    let mut ids: Vec<String> = points.iter().map(|point| plain(&point.id)).collect();
    ids.sort();
    match ids.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(pair) => Err(Refusal::bad(format!("the id {} occurs twice", pair.concat()))),
        None => Ok(points),
    }
}

fn point(id: Json, vector: Json, payload: Option<Json>, limits: &Limits) -> Result<Point, Refusal> {
    let id = point::id(&id)?;
    if !point::is_stored_vector(&vector) {
        return Err(Refusal::bad(format!("the vector of {} is neither numbers nor named ones", plain(&id))));
    }
    let payload = payload.unwrap_or_else(|| json!({}));
    if levels(&payload) > MAX_LEVELS {
        return Err(Refusal::too_much(format!(
            "the payload of {} has more than {MAX_LEVELS} levels",
            plain(&id)
        )));
    }
    let text = payload.to_string();
    if text.len() > limits.payload {
        return Err(Refusal::too_much(format!(
            "the payload of {} is longer than {} bytes",
            plain(&id),
            limits.payload
        )));
    }
    check_weight(text.as_bytes(), limits.payload)?;
    match payload {
        Json::Object(payload) => Ok(Point { id, vector, payload }),
        _ => Err(Refusal::bad(format!("the payload of {} is no object", plain(&id)))),
    }
}

/// Objects and arrays inside one another.
fn levels(json: &Json) -> usize {
    match json {
        Json::Object(members) => 1 + members.values().map(levels).max().unwrap_or(0),
        Json::Array(values) => 1 + values.iter().map(levels).max().unwrap_or(0),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => 0,
    }
}

/// The form `{"ids": […], "vectors": […] or {name: […]}, "payloads": […]}`.
fn columns(mut members: Members, limits: &Limits) -> Result<Vec<Point>, Refusal> {
    let uneven = || Refusal::bad("the batch has not as many of one thing as of another");
    let Json::Array(ids) = members.need("ids")? else {
        return Err(Refusal::bad("the batch has no list of ids"));
    };
    let vectors: Vec<Json> = match members.need("vectors")? {
        Json::Array(vectors) => vectors,
        Json::Object(named) => {
            let mut rows = vec![Map::new(); ids.len()];
            for (name, column) in named {
                let Json::Array(column) = column else { return Err(uneven()) };
                if column.len() != rows.len() {
                    return Err(uneven());
                }
                for (row, vector) in rows.iter_mut().zip(column) {
                    row.insert(name.clone(), vector);
                }
            }
            rows.into_iter().map(Json::Object).collect()
        }
        _ => return Err(uneven()),
    };
    let payloads: Vec<Option<Json>> = members.take("payloads")?.unwrap_or_else(|| vec![None; ids.len()]);
    members.end()?;
    if vectors.len() != ids.len() || payloads.len() != ids.len() {
        return Err(uneven());
    }
    ids.into_iter()
        .zip(vectors)
        .zip(payloads)
        .map(|((id, vector), payload)| point(id, vector, payload, limits))
        .collect()
}
