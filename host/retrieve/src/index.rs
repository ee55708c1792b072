//! Indexing behind the admit gate.

use std::collections::BTreeSet;

use tamis_core::{Chunk, Request, normal, request};
use tamis_runtime::{Admission, Digest, Generation, PolicyHandle};

use crate::error::Error;
use crate::store::Store;

/// Chunks that are decided on and stored together: enough to make a transaction worth its cost, few enough for the
/// deadline of a gate call.
const BATCH: usize = 256;

/// What became of the chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexReport {
    /// How many were stored.
    pub stored: usize,
    /// Those that were not, in the order of the input.
    pub rejected: Vec<Rejected>,
    /// The generations that decided, oldest first: more than one if the policy was replaced meanwhile.
    pub generations: Vec<(u64, Digest)>,
}

/// A chunk that was not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its id.
    pub id: String,
    /// Why; never empty.
    pub reasons: Vec<String>,
}

/// Stores those of `chunks` that pass the admit gate, with their values in [normal form](normal); the others are listed with reasons. A chunk with the id of a stored
/// one replaces it, if the policy lets the request index that one too. `progress` is told how many chunks are done.
///
/// # Errors
/// If the policy or the database fails. What earlier batches stored stays stored; nothing of the failed batch does.
pub fn index(
    store: &mut Store,
    handle: &PolicyHandle,
    request: &Request,
    chunks: Vec<Chunk>,
    mut progress: impl FnMut(usize),
) -> Result<IndexReport, Error> {
    let request = request.clone().with_action(request::INDEX);
    let mut report = IndexReport::default();
    let mut seen = BTreeSet::new();
    let mut done = 0;
    let mut rest = chunks.into_iter().peekable();
    while rest.peek().is_some() {
        let batch: Vec<Chunk> = rest.by_ref().take(BATCH).collect();
        done += batch.len();
        let generation = handle.current();
        let served = (generation.number(), generation.policy().digest());
        if report.generations.last() != Some(&served) {
            report.generations.push(served);
        }
        index_batch(store, &generation, &request, batch, &mut seen, &mut report)?;
        progress(done);
    }
    Ok(report)
}

fn index_batch(
    store: &mut Store,
    generation: &Generation,
    request: &Request,
    batch: Vec<Chunk>,
    seen: &mut BTreeSet<String>,
    report: &mut IndexReport,
) -> Result<(), Error> {
    let mut session = generation.policy().session(request);
    let admissions = session.admit(&batch)?;
    let mut transaction = store.begin()?;
    let mut stored = 0;
    for (mut chunk, admission) in batch.into_iter().zip(admissions) {
        let id = chunk.uid.id.clone();
        let mut reasons = refusal(admission);
        if chunk.vector.is_none() && chunk.text.is_none() {
            reasons.push("it has neither a vector nor a text to be found by".to_owned());
        }
        reasons.extend(transaction.unfit(&chunk));
        if !seen.insert(id.clone()) {
            reasons.push("its id occurs twice in the input".to_owned());
        }
        if reasons.is_empty()
            && let Some(known) = transaction.get(&id)?
        {
            let decisions = session.filter(std::slice::from_ref(&known))?;
            if !decisions.iter().all(|decision| decision.allow) || decisions.is_empty() {
                reasons.push("its id belongs to a chunk that this request may not replace".to_owned());
            }
        }
        if reasons.is_empty() {
            normal::normalise(&mut chunk, &generation.policy().manifest().footprint);
            transaction.put(&chunk)?;
            stored += 1;
        } else {
            report.rejected.push(Rejected { id, reasons });
        }
    }
    transaction.commit()?;
    report.stored += stored;
    Ok(())
}

fn refusal(admission: Admission) -> Vec<String> {
    match admission {
        Admission::Admitted => Vec::new(),
        Admission::Unreadable(faults) => faults,
        Admission::Denied(decision) => {
            let errors = decision
                .errors
                .iter()
                .map(|error| format!("policy error in {}: {}", error.policy, error.message));
            let rules: Vec<&str> = decision.reasons.iter().map(String::as_str).collect();
            let denied = if rules.is_empty() {
                "denied: no rule allows it".to_owned()
            } else {
                format!("denied by {}", rules.join(", "))
            };
            std::iter::once(denied).chain(errors).collect()
        }
    }
}
