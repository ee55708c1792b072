//! One request in one instance: prepared once, asked many times, thrown away.

use std::borrow::Borrow;
use std::sync::Arc;

use tamis_core::admit::footprint_faults;
use tamis_core::{Chunk, Decision, Query, Redaction, Request, Rewrite, Row};
use wasmtime::Store;

use crate::batch::{self, Batch, Verdict};
use crate::coded::Coded;
use crate::contract::{self, gates};
use crate::error::Error;
use crate::instance::Instance;
use crate::limits::{self, StoreState};
use crate::policy::Policy;
use crate::rewrites::Digested;

/// A request, prepared in an instance of its own.
///
/// The instance serves no other request, so nothing that a policy keeps in its memory can pass from one user to another.
/// It is made when the policy is first asked, and lives as long as the session, unless it is asked about so many different values that it
/// must make way for a new one. After an error the session answers nothing more.
pub struct Session {
    policy: Policy,
    request: Arc<Request>,
    /// None until the policy is asked: a rewrite that is remembered needs none, nor does a caller who waits for a database.
    instance: Option<Instance>,
    /// The request for the typed calls, once for every principal; empty until there is one.
    requests: Vec<gates::Request>,
    /// The request for batches, until there is one, or if the policy has no such interface, `None`.
    batch: Option<Batch>,
    /// What memory tells the request by, once it was looked for.
    digested: Option<Digested>,
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
    pub(crate) fn new(policy: &Policy, request: &Request) -> Self {
        Self {
            policy: policy.clone(),
            request: Arc::new(request.clone()),
            instance: None,
            requests: Vec::new(),
            batch: None,
            digested: None,
            ended: None,
        }
    }

    /// Decides on `chunks`, in order: each is allowed only if the policy allows it to the subject and to every actor.
    ///
    /// A policy that decides on batches is asked for no more than whether, and what to redact: then reasons and errors are
    /// empty. [`Session::explain`] has them.
    ///
    /// # Errors
    /// If any chunk could not be decided on: then none was, and the session is over.
    pub fn filter(&mut self, chunks: &[Chunk]) -> Result<Vec<Decision>, Error> {
        self.gate(|session| session.decide(chunks))
    }

    /// Decides on one chunk as [`Session::filter`], but says only whether something must be redacted, and not what: for callers that
    /// come with one row of a table at a time. About a chunk that is to the policy as one before, it is not asked again.
    ///
    /// # Errors
    /// As [`Session::filter`].
    pub fn verdict(&mut self, chunk: &impl Row) -> Result<Verdict, Error> {
        if self.ended.is_none()
            && let Some(batch) = &mut self.batch
            && let Some(known) = batch.known(chunk)?
        {
            return Ok(known);
        }
        self.gate(|session| session.decide_on(chunk))
    }

    /// Decides on `chunks` as [`Session::verdict`], in order.
    ///
    /// # Errors
    /// As [`Session::filter`].
    pub fn verdicts(&mut self, chunks: &[impl Row]) -> Result<Vec<Verdict>, Error> {
        self.gate(|session| {
            if !session.policy.has_batch() {
                return chunks.iter().map(|chunk| session.decide_on(chunk)).collect();
            }
            session.decide_all(chunks)
        })
    }

    /// Decides as [`Session::filter`], with the rules that decided and those that failed: a call of the policy for each chunk
    /// and principal, which takes a hundred times as long as in a large batch.
    ///
    /// # Errors
    /// As [`Session::filter`].
    pub fn explain(&mut self, chunks: &[Chunk]) -> Result<Vec<Decision>, Error> {
        self.gate(|session| chunks.iter().map(|chunk| session.ask(chunk)).collect())
    }

    /// Decides on chunks that [`Policy::code`] has coded, in order. Nothing is read of them, so this is as fast as a policy gets: for
    /// chunks that many requests are asked about.
    ///
    /// # Errors
    /// As [`Session::filter`]; if the chunks were coded for another policy.
    pub fn filter_coded(&mut self, coded: &Coded) -> Result<Vec<Verdict>, Error> {
        self.gate(|session| session.decide_coded(coded))
    }

    /// Narrows a search to what the policy can allow the subject and every actor. What was asked of the policy before is remembered.
    ///
    /// # Errors
    /// If the policy failed: then nothing may be searched, and the session is over.
    pub fn rewrite(&mut self, query: &Query) -> Result<Rewrite, Error> {
        let rewrites = self.policy.rewrites();
        let digested = *self.digested.get_or_insert_with(|| rewrites.digest(&self.request));
        match rewrites.get(digested, &self.request, query) {
            Some(known) if self.ended.is_none() => Ok(known),
            _ => self.rewrite_anew(digested, query),
        }
    }

    /// As [`Session::rewrite`], of a policy that was not asked before; from now on it was.
    pub(crate) fn rewrite_anew(&mut self, digested: Digested, query: &Query) -> Result<Rewrite, Error> {
        let rewrite = self.gate(|session| {
            if session.policy.has_batch() {
                session.rewrite_prepared(query)
            } else {
                session.rewrite_typed(query)
            }
        })?;
        self.policy.rewrites().keep(digested, &self.request, query, &rewrite);
        Ok(rewrite)
    }

    /// Decides which of `chunks` may be stored, in order. The request's action should be `index`. A denial names the rules that
    /// decided.
    ///
    /// # Errors
    /// If any chunk could not be decided on: then none was, and the session is over.
    pub fn admit(&mut self, chunks: &[Chunk]) -> Result<Vec<Admission>, Error> {
        self.gate(|session| session.admit_readable(chunks))
    }

    /// Instructions that the policy ran in the last gate call; in the first also those of making its instance. `None` before that, and if
    /// the runtime counts none: see [`crate::RuntimeConfig::fuel`].
    pub fn instructions(&self) -> Option<u64> {
        limits::instructions(&self.instance.as_ref()?.store)
    }

    /// Runs one gate call: within its own deadline, and for the last time if it fails.
    fn gate<T>(&mut self, call: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        // One that is yet to be made begins with a clock of its own.
        let begun = self.instance.as_mut().map_or(Ok(()), |instance| limits::begin(&mut instance.store));
        let result = begun.and_then(|()| call(self));
        if let Err(error) = &result {
            self.ended = Some(error.clone());
        }
        result
    }

    fn admit_readable(&mut self, chunks: &[Chunk]) -> Result<Vec<Admission>, Error> {
        let footprint = &self.policy.manifest().footprint;
        let faults: Vec<Vec<String>> =
            chunks.iter().map(|chunk| footprint_faults(chunk, footprint)).collect();
        let readable = chunks.iter().zip(&faults).filter(|(_, faults)| faults.is_empty());
        let readable: Vec<&Chunk> = readable.map(|(chunk, _)| chunk).collect();
        let mut decisions = self.decide(&readable)?.into_iter();
        let admission = |(chunk, faults): (&Chunk, Vec<String>)| {
            if !faults.is_empty() {
                return Ok(Admission::Unreadable(faults));
            }
            let decision = decisions.next().unwrap_or_default();
            Ok(match (decision.allow, self.policy.has_batch()) {
                (true, _) => Admission::Admitted,
                (false, true) => Admission::Denied(self.ask_why_denied(chunk)?),
                (false, false) => Admission::Denied(decision),
            })
        };
        chunks.iter().zip(faults).map(admission).collect()
    }

    /// Decides without reasons, in batches if the policy can.
    fn decide<C: Borrow<Chunk> + Row>(&mut self, chunks: &[C]) -> Result<Vec<Decision>, Error> {
        if !self.policy.has_batch() {
            return chunks.iter().map(|chunk| self.ask(chunk.borrow())).collect();
        }
        let verdicts = self.decide_all(chunks)?;
        let decision = |(chunk, verdict): (&C, Verdict)| {
            Ok(match verdict {
                Verdict::Deny => Decision::default(),
                Verdict::Allow => Decision { allow: true, ..Decision::default() },
                Verdict::Redact => self.ask_what_to_redact(chunk.borrow())?,
            })
        };
        chunks.iter().zip(verdicts).map(decision).collect()
    }

    /// Decides in as many frames as it takes.
    fn decide_all(&mut self, chunks: &[impl Row]) -> Result<Vec<Verdict>, Error> {
        let mut verdicts = Vec::with_capacity(chunks.len());
        while let Some(rest @ [_, ..]) = chunks.get(verdicts.len()..) {
            verdicts.append(&mut self.decide_some(rest)?);
        }
        Ok(verdicts)
    }

    /// Decides on the first of some chunks: on one at least.
    fn decide_some(&mut self, chunks: &[impl Row]) -> Result<Vec<Verdict>, Error> {
        let mut batch = self.take_batch(Batch::takes_chunks)?;
        let (columns, limits) = (self.policy.columns(), self.policy.limits());
        let verdicts = batch.decide(instance(&self.policy, &mut self.instance)?, chunks, columns, limits)?;
        self.batch = Some(batch);
        if verdicts.is_empty() {
            return Err(Error::Host("no chunk fits into a frame".to_owned()));
        }
        Ok(verdicts)
    }

    fn decide_on(&mut self, chunk: &impl Row) -> Result<Verdict, Error> {
        if self.policy.has_batch() {
            let verdicts = self.decide_some(std::slice::from_ref(chunk))?;
            return Ok(verdicts.first().copied().unwrap_or(Verdict::Deny));
        }
        let chunk = chunk.to_chunk(&self.policy.manifest().footprint).map_err(batch::unreadable)?;
        let Decision { allow, redaction, .. } = self.answer_on(&chunk)?;
        Ok(match (allow, redaction == Redaction::default()) {
            (false, _) => Verdict::Deny,
            (true, true) => Verdict::Allow,
            (true, false) => Verdict::Redact,
        })
    }

    fn decide_coded(&mut self, coded: &Coded) -> Result<Vec<Verdict>, Error> {
        if coded.digest() != self.policy.digest() {
            return Err(Error::Host("the chunks were coded for another policy".to_owned()));
        }
        let mut verdicts = Vec::with_capacity(coded.len());
        for part in 0..coded.parts() {
            let mut batch = self.take_batch(|batch| batch.takes_coded(coded, part))?;
            batch.decide_coded(instance(&self.policy, &mut self.instance)?, coded, part, &mut verdicts)?;
            self.batch = Some(batch);
        }
        Ok(verdicts)
    }

    /// The prepared request, in an instance that can go on, or else in a new one.
    fn take_batch(&mut self, goes_on: impl Fn(&Batch) -> bool) -> Result<Batch, Error> {
        match self.batch.take() {
            Some(batch) if goes_on(&batch) => return Ok(batch),
            Some(_) => {
                // The instance makes way before there is another: all may be in use.
                let left = self.instance.take().map(|instance| limits::left(&instance.store));
                self.instance = left.map(|left| self.policy.instantiate_within(&left)).transpose()?;
            }
            None => {}
        }
        Batch::prepare(instance(&self.policy, &mut self.instance)?, &self.request)
    }

    /// Asks about a chunk that is allowed, less something.
    fn ask_what_to_redact(&mut self, chunk: &Chunk) -> Result<Decision, Error> {
        let Decision { allow, redaction, .. } = self.ask(chunk)?;
        if !allow || redaction == Redaction::default() {
            return Err(Error::Contract(
                "it redacts a chunk in a batch, and by itself denies it or redacts nothing".to_owned(),
            ));
        }
        Ok(Decision { allow, redaction, ..Decision::default() })
    }

    /// Asks why a chunk is denied.
    fn ask_why_denied(&mut self, chunk: &Chunk) -> Result<Decision, Error> {
        let decision = self.ask(chunk)?;
        if decision.allow {
            return Err(Error::Contract("it denies a chunk in a batch, and allows it by itself".to_owned()));
        }
        Ok(decision)
    }

    /// Decides on one chunk with reasons, for a caller that keeps them.
    fn ask(&mut self, chunk: &Chunk) -> Result<Decision, Error> {
        let decision = self.answer_on(chunk)?;
        limits::keep_answer(&mut instance(&self.policy, &mut self.instance)?.store, size(&decision))?;
        Ok(decision)
    }

    fn answer_on(&mut self, chunk: &Chunk) -> Result<Decision, Error> {
        let chunk = contract::chunk(chunk, &self.policy.manifest().footprint)?;
        let decision = self.intersect(
            |gates, store, request| gates.call_filter_chunk(store, request, &chunk),
            contract::decision,
            Decision::intersect,
        )?;
        // There is always a subject; were there none, nothing would be allowed.
        Ok(decision.unwrap_or_default())
    }

    /// Asks in bytes, about the request that decisions are made for as well.
    fn rewrite_prepared(&mut self, query: &Query) -> Result<Rewrite, Error> {
        let batch = self.take_batch(|_| true)?;
        let instance = instance(&self.policy, &mut self.instance)?;
        let rewrite = batch.rewrite(instance, &contract::query(query), self.policy.footprint())?;
        self.batch = Some(batch);
        Ok(rewrite)
    }

    /// Asks in records.
    pub(crate) fn rewrite_typed(&mut self, query: &Query) -> Result<Rewrite, Error> {
        let query = contract::query(query);
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
        if self.requests.is_empty() {
            self.requests = contract::requests(&self.request)?;
        }
        let Instance { store, gates, .. } = instance(&self.policy, &mut self.instance)?;
        let mut combined = None;
        for request in &self.requests {
            limits::check_deadline(store)?;
            let raw = ask(gates, store, request);
            let answer = read(raw.map_err(|error| limits::blame(store, &error))?)?;
            combined = Some(match combined {
                None => answer,
                Some(combined) => both(combined, answer),
            });
        }
        Ok(combined)
    }
}

/// The instance of a session, made if there is none yet.
fn instance<'a>(policy: &Policy, instance: &'a mut Option<Instance>) -> Result<&'a mut Instance, Error> {
    match instance {
        Some(instance) => Ok(instance),
        none => Ok(none.insert(policy.instantiate()?)),
    }
}

/// Bytes that a decision occupies, roughly.
fn size(decision: &Decision) -> usize {
    /// What a text takes besides its bytes.
    const TEXT: usize = 32;
    let Decision { reasons, errors, redaction, .. } = decision;
    let errors = errors.iter().flat_map(|error| [&error.policy, &error.message]);
    let texts = reasons.iter().chain(errors).chain(redaction.attributes.iter().flatten());
    texts.map(|text| text.len() + TEXT).sum()
}
