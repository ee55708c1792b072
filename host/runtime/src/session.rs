//! One request in one instance: prepared once, asked many times, thrown away.

use std::time::{Duration, Instant};

use tamis_core::admit::footprint_faults;
use tamis_core::{Chunk, Decision, Query, Request, Rewrite};
use wasmtime::Store;

use crate::contract::{self, PolicyBindings, gates};
use crate::error::Error;
use crate::limits::{self, StoreState};
use crate::policy::Policy;

/// A request, prepared in an instance of its own.
///
/// The instance lives as long as the session and serves no other request, so nothing that a policy keeps in its memory
/// can pass from one user to another. After an error the session answers nothing more.
pub struct Session {
    policy: Policy,
    store: Store<StoreState>,
    bindings: PolicyBindings,
    requests: Vec<gates::Request>,
    /// Time taken to get ready, which counts against the deadline of the first gate call.
    spent: Duration,
    /// The error that ended the session.
    ended: Option<Error>,
}

/// What the admit gate says of one chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may be stored.
    Admitted,
    /// Attributes that the policy needs are missing or ill-typed; each text names one.
    Unreadable(Vec<String>),
    /// The policy denies it under the action `index`.
    Denied(Decision),
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("policy", &self.policy)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(policy: &Policy, request: &Request) -> Result<Self, Error> {
        let began = Instant::now();
        let requests = contract::requests(request)?;
        let (store, bindings) = policy.instantiate()?;
        Ok(Self { policy: policy.clone(), store, bindings, requests, spent: began.elapsed(), ended: None })
    }

    /// Decides on `chunks`, in order: each is allowed only if the policy allows it to the subject and to every actor.
    ///
    /// # Errors
    /// If any chunk could not be decided on: then none was, and the session is over.
    pub fn filter(&mut self, chunks: &[Chunk]) -> Result<Vec<Decision>, Error> {
        self.gate(|session| chunks.iter().map(|chunk| session.decide(chunk)).collect())
    }

    /// Narrows a search to what the policy can allow the subject and every actor.
    ///
    /// # Errors
    /// If the policy failed: then nothing may be searched, and the session is over.
    pub fn rewrite(&mut self, query: &Query) -> Result<Rewrite, Error> {
        self.gate(|session| session.intersect_rewrites(query))
    }

    /// Decides which of `chunks` may be stored, in order. The request's action should be `index`.
    ///
    /// # Errors
    /// If any chunk could not be decided on: then none was, and the session is over.
    pub fn admit(&mut self, chunks: &[Chunk]) -> Result<Vec<Admission>, Error> {
        self.gate(|session| chunks.iter().map(|chunk| session.admit_one(chunk)).collect())
    }

    /// Runs one gate call: within its own deadline, and for the last time if it fails.
    fn gate<T>(&mut self, call: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        let result =
            limits::begin(&mut self.store, std::mem::take(&mut self.spent)).and_then(|()| call(self));
        if let Err(error) = &result {
            self.ended = Some(error.clone());
        }
        result
    }

    fn admit_one(&mut self, chunk: &Chunk) -> Result<Admission, Error> {
        let faults = footprint_faults(chunk, &self.policy.manifest().footprint);
        if !faults.is_empty() {
            return Ok(Admission::Unreadable(faults));
        }
        let decision = self.decide(chunk)?;
        Ok(if decision.allow { Admission::Admitted } else { Admission::Denied(decision) })
    }

    fn decide(&mut self, chunk: &Chunk) -> Result<Decision, Error> {
        let chunk = contract::chunk(chunk, &self.policy.manifest().footprint)?;
        let decision = self.intersect(
            |gates, store, request| gates.call_filter_chunk(store, request, &chunk),
            contract::decision,
            Decision::intersect,
        )?;
        // There is always a subject; were there none, nothing would be allowed.
        Ok(decision.unwrap_or_default())
    }

    fn intersect_rewrites(&mut self, query: &Query) -> Result<Rewrite, Error> {
        let query = gates::Query { collection: query.collection.clone(), k: query.k };
        let rewrite = self.intersect(
            |gates, store, request| gates.call_rewrite_query(store, request, &query),
            contract::rewrite,
            Rewrite::intersect,
        )?;
        rewrite.ok_or_else(|| Error::Host("a request without a subject".to_owned()))
    }

    /// Asks the policy for every principal, reads each answer, and keeps what all of them have in common.
    fn intersect<Raw, Answer>(
        &mut self,
        mut ask: impl FnMut(&gates::Guest, &mut Store<StoreState>, &gates::Request) -> wasmtime::Result<Raw>,
        read: impl Fn(Raw) -> Result<Answer, Error>,
        both: impl Fn(Answer, Answer) -> Answer,
    ) -> Result<Option<Answer>, Error> {
        let gates = self.bindings.tamis_policy_gates();
        let mut combined = None;
        for request in &self.requests {
            limits::check_deadline(&self.store)?;
            let raw = ask(gates, &mut self.store, request);
            let answer = read(raw.map_err(|error| limits::blame(&self.store, &error))?)?;
            combined = Some(match combined {
                None => answer,
                Some(combined) => both(combined, answer),
            });
        }
        Ok(combined)
    }
}
