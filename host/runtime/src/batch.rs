//! Asking a policy's interface `batch`. What it answers is not trusted: every code is checked.

use std::borrow::Borrow;

use tamis_core::{Chunk, Request};

use crate::error::Error;
use crate::frame::{Coder, Column, RequestBytes};
use crate::instance::Instance;
use crate::limits::{self, Limits};

/// The chunk may be handed out.
const ALLOW: u8 = 1;
/// Only with something removed.
const REDACT: u8 = 2;
/// A rule failed on the way.
const FAULT: u8 = 4;

/// The part of a policy's memory that dictionaries may take up. What a policy makes of their values can be larger than they are,
/// and it needs room for the request and for a frame as well.
const MEMORY_PER_DICTIONARIES: usize = 16;

/// What everyone in a request is told about one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Someone may not read it.
    Deny,
    /// Everyone may read all of it.
    Allow,
    /// Everyone may read it, and from someone something must be kept.
    Redact,
}

/// A request that an instance is prepared for, and the dictionaries that it knows.
pub(crate) struct Batch {
    coder: Coder,
    /// The policy's numbers for the request: for the subject, then for each actor.
    prepared: Vec<u32>,
}

impl Batch {
    /// Prepares an instance for everyone in a request.
    ///
    /// # Errors
    /// If the policy fails, or does not tell the principals apart.
    pub(crate) fn prepare(
        instance: &mut Instance,
        request: &Request,
        columns: &[Column],
        limits: &Limits,
    ) -> Result<Self, Error> {
        let (guest, store) = instance.batch()?;
        let mut prepared: Vec<u32> = Vec::new();
        RequestBytes::of(request)?.each(|bytes| {
            limits::check_deadline(store)?;
            let number = guest.call_prepare(&mut *store, bytes);
            let number = number.map_err(|error| limits::blame(store, &error))?;
            // A policy that keeps one request only would answer for the last actor alone.
            if prepared.contains(&number) {
                return Err(broken(format!(
                    "it prepares for two principals under the same number, {number}"
                )));
            }
            prepared.push(number);
            Ok(())
        })?;
        Ok(Self { coder: Coder::new(columns, limits.memory / MEMORY_PER_DICTIONARIES), prepared })
    }

    /// Whether the instance should make way for one that remembers nothing.
    pub(crate) fn is_full(&self) -> bool {
        self.coder.is_full()
    }

    /// Decides on the first of `chunks`, as many as fit in one frame: on one at least, if there is one.
    ///
    /// # Errors
    /// If the policy fails, or its answer is not one valid code for each.
    pub(crate) fn decide<C: Borrow<Chunk>>(
        &mut self,
        instance: &mut Instance,
        chunks: &[C],
    ) -> Result<Vec<Verdict>, Error> {
        let (guest, store) = instance.batch()?;
        let (rows, frame) = self.coder.frame(chunks);
        // There is always a subject; were there none, nothing would be allowed.
        let mut combined = vec![if self.prepared.is_empty() { 0 } else { ALLOW }; rows];
        for prepared in &self.prepared {
            limits::check_deadline(store)?;
            let codes = guest.call_filter_chunks(&mut *store, *prepared, frame);
            let codes = codes.map_err(|error| limits::blame(store, &error))?;
            check(&codes, rows)?;
            for (both, code) in combined.iter_mut().zip(codes) {
                *both = (*both & code & ALLOW) | ((*both | code) & REDACT);
            }
        }
        Ok(combined.into_iter().map(verdict).collect())
    }
}

fn verdict(code: u8) -> Verdict {
    match (code & ALLOW, code & REDACT) {
        (0, _) => Verdict::Deny,
        (_, 0) => Verdict::Allow,
        _ => Verdict::Redact,
    }
}

/// Refuses an answer about `rows` chunks that is not one valid code for each.
fn check(codes: &[u8], rows: usize) -> Result<(), Error> {
    if codes.len() != rows {
        return Err(broken(format!("it answers with {} codes for {rows} chunks", codes.len())));
    }
    let is_valid = |code: &u8| code & !(ALLOW | REDACT | FAULT) == 0 && code & (ALLOW | REDACT) != REDACT;
    match codes.iter().find(|code| !is_valid(code)) {
        Some(code) => Err(broken(format!("it answers with the code {code}"))),
        None => Ok(()),
    }
}

fn broken(message: String) -> Error {
    Error::Contract(message)
}
