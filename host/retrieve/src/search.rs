//! The search loop: rewrite, pull candidates, gate, until there are k or no more.

use std::sync::Arc;

use tamis_core::{Chunk, Decision, Filter, Query, Redaction, Request, request};
use tamis_runtime::{Digest, Generation, PolicyHandle, Session};

use crate::error::Error;
use crate::source::{By, Candidate, Candidates, VectorSource};

/// More hits than this are refused: nobody reads them, and a model cannot.
const MAX_K: u32 = 10_000;
/// Candidates that one search looks at by default. At some 2 µs for each decision this bounds a search that finds nothing
/// to a fraction of a second.
const DEFAULT_BUDGET: usize = 100_000;
/// The first page is at least this large where the filter may be wide; later pages double.
const WIDE_PAGE: usize = 32;
/// Pages stop growing here, so that one page fits in memory and in the deadline of a gate call.
const MAX_PAGE: usize = 1024;

/// What is searched for.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Who asks.
    pub request: &'a Request,
    /// What the hits are ranked by.
    pub by: By<'a>,
    /// How many hits are wanted: 1 to 10 000.
    pub k: u32,
    /// The host's name of the collection.
    pub collection: &'a str,
    /// The user's own filter. It can only narrow what the policy allows, and a chunk from which the policy removes what it asks about is no
    /// hit.
    pub filter: Option<&'a Filter>,
    /// How many candidates may be looked at.
    pub budget: usize,
    /// Whether each hit says which rules allow it, at the price of [`Session::explain`].
    pub explain: bool,
}

impl<'a> Question<'a> {
    /// A question for `k` hits without a filter of the user's own, that wants no reasons.
    pub fn new(request: &'a Request, by: By<'a>, k: u32) -> Self {
        Self { request, by, k, collection: "", filter: None, budget: DEFAULT_BUDGET, explain: false }
    }
}

/// A chunk that the principal may read.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The chunk, without what the policy redacts.
    pub chunk: Chunk,
    /// How far it is from what was asked; smaller is better.
    pub distance: f64,
    /// What was redacted, and if the question asks for it why it is allowed.
    pub decision: Decision,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The hits, best first: `k` of them unless there are fewer, or the budget ran out.
    pub hits: Vec<Hit>,
    /// Whether these are all there are: `k` were found, or no candidate is left.
    pub complete: bool,
    /// How many candidates were looked at.
    pub examined: usize,
    /// How many of them the filter gate denied, those that cannot be read among them.
    pub denied: usize,
    /// Whether the filter that the database applied matched only what the policy allows.
    pub exact: bool,
    /// The policy's filter.
    pub filter: Filter,
    /// What the database could not express of it, in words.
    pub widened: Vec<String>,
    /// The generation that answered all of this.
    pub generation: u64,
    /// The identity of its policy.
    pub digest: Digest,
}

/// Finds the best `k` chunks that the request's subject and actors may read.
///
/// One generation of the policy answers the whole search, and the source is read in one consistent view.
///
/// # Errors
/// [`Error::Question`] for a `k` of 0 or beyond 10 000, or a request to store, [`Error::Policy`] if the policy fails, and whatever the source
/// reports; [`Error::Chunk`] if no candidate can be read. Nothing is handed out then. A candidate among others that cannot be read is denied by
/// itself, and the log says why.
pub fn search(
    source: &impl VectorSource,
    handle: &PolicyHandle,
    question: &Question<'_>,
) -> Result<Found, Error> {
    search_with(source, &handle.current(), question)
}

/// As [`search`], with a generation that the caller holds: for several searches of which none may be answered by another.
///
/// # Errors
/// As [`search`].
pub fn search_with(
    source: &impl VectorSource,
    generation: &Generation,
    question: &Question<'_>,
) -> Result<Found, Error> {
    if question.k == 0 || question.k > MAX_K {
        return Err(Error::Question(format!("k is {}; it must be from 1 to {MAX_K}", question.k)));
    }
    if question.request.action().id == request::INDEX {
        let message =
            "the request's action is `index`, which is to store; a search wants one to read, `retrieve`";
        return Err(Error::Question(message.to_owned()));
    }
    let mut session = generation.policy().session(question.request);
    let rewrite = session.rewrite(&Query { collection: question.collection.to_owned(), k: question.k })?;
    let mut found = Found {
        hits: Vec::new(),
        complete: true,
        examined: 0,
        denied: 0,
        exact: rewrite.exact,
        filter: Filter::clone(&rewrite.filter),
        widened: Vec::new(),
        generation: generation.number(),
        digest: generation.policy().digest(),
    };
    let filter =
        Filter::and(std::iter::once(Arc::unwrap_or_clone(rewrite.filter)).chain(question.filter.cloned()));
    // Nothing can match: the database is not even asked.
    if filter == Filter::Never {
        return Ok(found);
    }
    let opened = source.open(question.by, &filter)?;
    found.exact = found.exact && opened.widened.is_empty();
    found.widened = opened.widened;
    let mut candidates = opened.candidates;
    let unreadable = fill(&mut found, source, candidates.as_mut(), &mut session, question)?;
    // Along an approximate index a near chunk may come late.
    found.hits.sort_by(|a, b| a.distance.total_cmp(&b.distance));
    let refused = found.denied - unreadable.count;
    if found.exact && refused > 0 {
        // Safe, since the filter gate decides; but the policy contradicts itself, or data changed under it.
        tracing::warn!(digest = %found.digest, denied = refused, "a rewrite that claims to be exact was not");
        found.exact = false;
    }
    match unreadable.first {
        // With nothing else, the source has another layout than it is said to have.
        Some(error) if unreadable.count == found.examined => return Err(error),
        Some(error) => {
            tracing::warn!(count = unreadable.count, %error, "stored chunks that cannot be read were denied");
        }
        None => {}
    }
    Ok(found)
}

/// Candidates that cannot be read as chunks.
#[derive(Default)]
struct Unreadable {
    count: usize,
    /// Why the first one cannot.
    first: Option<Error>,
}

/// Pulls pages and gates them until there are `k` hits, no more candidates, or no more budget.
fn fill(
    found: &mut Found,
    source: &impl VectorSource,
    candidates: &mut dyn Candidates,
    session: &mut Session,
    question: &Question<'_>,
) -> Result<Unreadable, Error> {
    let mut unreadable = Unreadable::default();
    let k = question.k as usize;
    let mut page_size = if found.exact { k } else { k.saturating_mul(2).max(WIDE_PAGE) };
    while found.hits.len() < k {
        let left = question.budget.saturating_sub(found.examined);
        let wanted = page_size.min(MAX_PAGE).min(left);
        if wanted == 0 {
            found.complete = false;
            break;
        }
        let page = candidates.next_page(wanted)?;
        if page.is_empty() {
            break;
        }
        let (mut chunks, mut distances) = (Vec::with_capacity(page.len()), Vec::with_capacity(page.len()));
        for Candidate { chunk, distance } in page {
            match chunk {
                Ok(chunk) => {
                    chunks.push(chunk);
                    distances.push(distance);
                }
                Err(error) => {
                    found.examined += 1;
                    found.denied += 1;
                    unreadable.count += 1;
                    unreadable.first.get_or_insert(error);
                }
            }
        }
        let decisions = if question.explain { session.explain(&chunks) } else { session.filter(&chunks) }?;
        for ((mut chunk, distance), decision) in chunks.into_iter().zip(distances).zip(decisions) {
            if found.hits.len() == k {
                break;
            }
            found.examined += 1;
            if !decision.allow {
                found.denied += 1;
                continue;
            }
            let withheld = source.withheld(&decision.redaction);
            if source.shows(distance, &withheld) && shows(question, &chunk, &withheld) {
                chunk.redact(&withheld);
                found.hits.push(Hit { chunk, distance, decision });
            }
        }
        page_size = page_size.saturating_mul(2);
    }
    Ok(unreadable)
}

/// Whether an allowed chunk is a hit, as far as the person who asks may know. What was asked of something that is removed from the chunk
/// is not answered: otherwise one could ask for it value by value.
fn shows(question: &Question<'_>, chunk: &Chunk, redaction: &Redaction) -> bool {
    let asks_of_text = matches!(question.by, By::Text(_));
    let matches = |filter: &Filter| filter.matches_whatever(&redaction.attributes, chunk);
    !(asks_of_text && redaction.text) && question.filter.is_none_or(matches)
}
