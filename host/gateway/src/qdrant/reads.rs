//! What reads points: searches, lists, points by id, counts.

use std::collections::{BTreeSet, HashMap};

use hyper::Method;
use serde_json::{Value as Json, json};
use tamis_dialect::Dialect;

use super::filter::{UserFilter, all};
use super::gated::{Gated, Point, plain};
use super::payload::Wanted;
use super::point;
use super::source::Sought;
use super::stage::Stage;
use crate::answer::{Answer, Refusal, Said};
use crate::config::Limits;
use crate::members::Members;

/// Qdrant's own default.
const PAGE: u32 = 10;
/// How many points a count looks for, at most.
const MAX_COUNT: u32 = 10_000;

/// Vectors that a client chooses by name: each page of each search asks for them.
const MAX_VECTORS: usize = 256;

/// What all searches of a request may find together: so many times what one may. All of it is in memory until it is answered.
const BATCH_HITS: u64 = 10;

/// How clients ask for a search.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `points/query`.
    Query,
    /// `points/search`, which is older.
    Search,
}

/// One search that a client asks for.
struct Asked {
    stage: Stage,
    offset: u32,
    payload: Wanted,
    vectors: Option<Json>,
}

impl Asked {
    fn read(form: Form, mut members: Members, limits: &Limits) -> Result<Self, Refusal> {
        let stage = match form {
            Form::Query => Stage::read(&mut members)?,
            Form::Search => Stage::read_search(&mut members)?,
        };
        let offset = members.take("offset")?.unwrap_or(0);
        let asked = Self {
            offset,
            payload: Wanted::read(members.json("with_payload"), Wanted::Nothing)?,
            vectors: vectors(&mut members)?,
            stage,
        };
        members.end()?;
        let largest = asked.stage.largest().max(asked.stage.limit.saturating_add(offset));
        if largest > limits.hits {
            return Err(Refusal::too_much(format!(
                "`limit` and `offset` are more than {} together",
                limits.hits
            )));
        }
        Ok(asked)
    }

    /// How many points it may find.
    fn hits(&self) -> u64 {
        u64::from(self.stage.limit) + u64::from(self.offset)
    }

    fn run(mut self, gated: &Gated<'_>) -> Result<(Vec<Json>, bool), Refusal> {
        let k = self.stage.limit.saturating_add(self.offset);
        if !self.stage.examples().is_empty() {
            gated.check_examples(&self.stage)?;
        }
        let settled = gated.settle(&mut self.stage)?;
        let tested = self.stage.tested();
        let found = gated.find(Sought::Ranked(&self.stage), tested, self.vectors.as_ref(), k)?;
        let shown = found.points.into_iter().skip(self.offset as usize);
        Ok((shown.map(|point| point.shown(&self.payload)).collect(), found.complete && settled))
    }
}

/// Which vectors are wanted: true, or some of them by name.
fn vectors(members: &mut Members) -> Result<Option<Json>, Refusal> {
    let mut wanted = members.json("with_vector");
    if wanted.is_none() {
        wanted = members.json("with_vectors");
    }
    match wanted {
        None | Some(Json::Bool(false)) => Ok(None),
        Some(Json::Bool(true)) => Ok(Some(json!(true))),
        Some(Json::Array(names)) if names.len() > MAX_VECTORS => {
            Err(Refusal::too_much(format!("`with_vector` has more than {MAX_VECTORS} names")))
        }
        Some(Json::Array(names)) if names.iter().all(Json::is_string) => Ok(Some(Json::Array(names))),
        Some(_) => Err(Refusal::bad("`with_vector` is neither true or false nor a list of names")),
    }
}

/// One search.
pub(super) fn search(gated: &Gated<'_>, form: Form, body: &[u8], limits: &Limits) -> Result<Answer, Refusal> {
    let (points, complete) = Asked::read(form, Members::of_body(body)?, limits)?.run(gated)?;
    let result = result(form, points);
    Ok(Answer::result(result, Some(gated.said(complete)?)))
}

/// Several searches, answered by one generation.
pub(super) fn searches(
    gated: &Gated<'_>,
    form: Form,
    body: &[u8],
    limits: &Limits,
) -> Result<Answer, Refusal> {
    let mut members = Members::of_body(body)?;
    let Json::Array(searches) = members.need("searches")? else {
        return Err(Refusal::bad("`searches` is no list"));
    };
    members.end()?;
    if searches.len() > limits.batch {
        return Err(Refusal::too_much(format!("more than {} searches", limits.batch)));
    }
    // All are read before the first is run.
    let asked = searches.into_iter().map(|json| Asked::read(form, Members::of(json, "a search")?, limits));
    let asked: Vec<Asked> = asked.collect::<Result<_, Refusal>>()?;
    let (hits, most) = (asked.iter().map(Asked::hits).sum::<u64>(), u64::from(limits.hits) * BATCH_HITS);
    if hits > most {
        return Err(Refusal::too_much(format!(
            "`limit` and `offset` of all searches are more than {most} together"
        )));
    }
    let mut complete = true;
    let mut results = Vec::with_capacity(asked.len());
    for search in asked {
        let (points, all) = search.run(gated)?;
        complete &= all;
        results.push(result(form, points));
    }
    Ok(Answer::result(Json::Array(results), Some(gated.said(complete)?)))
}

fn result(form: Form, points: Vec<Json>) -> Json {
    match form {
        Form::Query => json!({"points": points}),
        Form::Search => Json::Array(points),
    }
}

/// A page of all points.
pub(super) fn scroll(gated: &Gated<'_>, body: &[u8], limits: &Limits) -> Result<Answer, Refusal> {
    let mut members = Members::of_body(body)?;
    let limit: u32 = members.take("limit")?.unwrap_or(PAGE);
    let from = members.json("offset").map(|id| point::id(&id)).transpose()?;
    let filter = members.json("filter").map(UserFilter::read).transpose()?;
    let payload = Wanted::read(members.json("with_payload"), Wanted::Everything)?;
    let vectors = vectors(&mut members)?;
    members.end()?;
    if limit == 0 || limit >= limits.hits {
        return Err(Refusal::too_much(format!("`limit` is not from 1 to {}", limits.hits - 1)));
    }
    let tested = filter.iter().flat_map(|filter| filter.tested.clone()).collect();
    let sought = Sought::Listed { filter: filter.as_ref(), ids: None, from: from.as_ref() };
    // One more: where the next page begins must be a point that may be read, too.
    let found = gated.find(sought, tested, vectors.as_ref(), limit + 1)?;
    let mut points = found.points;
    let more = points.len() > limit as usize || !found.complete;
    let next = if more { points.pop().map(|point| point.id()) } else { None };
    if more && points.is_empty() {
        return Err(Refusal::too_much("the budget of the gateway is too small to go on from here"));
    }
    let shown: Vec<Json> = points.into_iter().map(|point| point.shown(&payload)).collect();
    let result = json!({"points": shown, "next_page_offset": next});
    Ok(Answer::result(result, Some(gated.said(found.complete)?)))
}

/// Points by their ids, in that order.
pub(super) fn retrieve(gated: &Gated<'_>, body: &[u8], limits: &Limits) -> Result<Answer, Refusal> {
    let mut members = Members::of_body(body)?;
    let ids = point::ids(members.need("ids")?, limits.hits as usize)?;
    let payload = Wanted::read(members.json("with_payload"), Wanted::Everything)?;
    let vectors = vectors(&mut members)?;
    members.end()?;
    let (mut found, complete) = by_id(gated, &ids, vectors.as_ref())?;
    let shown: Vec<Json> =
        ids.iter().filter_map(|id| Some(found.remove(&plain(id))?.shown(&payload))).collect();
    Ok(Answer::result(Json::Array(shown), Some(complete)))
}

/// One point.
pub(super) fn single(gated: &Gated<'_>, id: &str) -> Result<Answer, Refusal> {
    let id = point::id_in_path(id)?;
    let (mut found, said) = by_id(gated, std::slice::from_ref(&id), Some(&json!(true)))?;
    match found.remove(&plain(&id)) {
        Some(point) => Ok(Answer::result(point.shown(&Wanted::Everything), Some(said))),
        None => Err(Refusal::not_found(format!("Point with id {} does not exists!", plain(&id)))),
    }
}

/// The points with these ids that may be read.
fn by_id(
    gated: &Gated<'_>,
    ids: &[Json],
    vectors: Option<&Json>,
) -> Result<(HashMap<String, Point>, Said), Refusal> {
    let k = u32::try_from(ids.len()).map_err(Refusal::failed)?;
    let sought = Sought::Listed { filter: None, ids: Some(ids), from: None };
    let found = gated.find(sought, BTreeSet::new(), vectors, k)?;
    let points = found.points.into_iter().map(|point| (plain(&point.id()), point)).collect();
    // Fewer than were asked for is all there is of them.
    Ok((points, gated.said(found.complete)?))
}

/// How many points may be read: counted by the database where its filter says exactly which, one by one where it does not.
pub(super) fn count(gated: &Gated<'_>, body: &[u8]) -> Result<Answer, Refusal> {
    let mut members = Members::of_body(body)?;
    let filter = members.json("filter").map(UserFilter::read).transpose()?;
    // What is approximate might count what may not be read.
    members.take::<bool>("exact")?;
    members.end()?;
    if filter.is_none() && gated.language.fields.admitted && gated.exact()? {
        return counted(gated);
    }
    let tested = filter.iter().flat_map(|filter| filter.tested.clone()).collect();
    let sought = Sought::Listed { filter: filter.as_ref(), ids: None, from: None };
    let found = gated.find(sought, tested, None, MAX_COUNT)?;
    let count = found.points.len();
    if !found.complete || count >= MAX_COUNT as usize {
        return Err(Refusal::too_much("these are too many points to count one by one"));
    }
    Ok(Answer::result(json!({"count": count}), Some(gated.said(true)?)))
}

/// The database's own count of what the policy's filter matches.
fn counted(gated: &Gated<'_>) -> Result<Answer, Refusal> {
    let query = tamis_core::Query { collection: gated.collection.name.clone(), k: 1 };
    let rewrite = gated.generation.policy().rewrite(gated.request, &query)?;
    let said = Some(gated.said(true)?);
    if *rewrite.filter == tamis_core::Filter::Never {
        return Ok(Answer::result(json!({"count": 0}), said));
    }
    let filter = all([gated.language.translate(&rewrite.filter).native]);
    let path = format!("/collections/{}/points/count", gated.collection.name);
    let body = json!({"filter": filter, "exact": true});
    let result = gated.upstream.ask(Method::POST, &path, Some(&body), gated.until)?;
    match result.get("count") {
        Some(count) if count.is_u64() => Ok(Answer::result(json!({"count": count}), said)),
        _ => Err(Refusal::upstream("the answer has no count")),
    }
}
