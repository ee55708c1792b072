//! Asking a policy's interface `batch`. What it answers is not trusted: every code is checked.

use tamis_core::{InputError, Request, Rewrite, Row};

use crate::coded::{Coded, Frame};
use crate::contract::{self, Footprint, gates};
use crate::error::Error;
use crate::frame::{Coder, Column, Part, RequestBytes};
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

/// How much of the policy's memory its dictionaries may take up.
pub(crate) fn room(limits: &Limits) -> usize {
    limits.memory / MEMORY_PER_DICTIONARIES
}

/// The decision on one chunk, for everyone in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Someone may not read it.
    Deny,
    /// Everyone may read all of it.
    Allow,
    /// Everyone may read it, less what must be kept from someone: see [`crate::Session::explain`].
    Redact,
}

/// A request that an instance is prepared for.
pub(crate) struct Batch {
    dictionaries: Dictionaries,
    /// The policy's numbers for the request: for the subject, then for each actor.
    prepared: Vec<u32>,
}

/// The dictionaries that an instance knows.
enum Dictionaries {
    /// None yet.
    None,
    /// Those of chunks that were coded for this request.
    Own(Box<Own>),
    /// Those of a part of chunks that were coded beforehand.
    Coded(Coded, usize),
}

/// Chunks that are coded for one request.
struct Own {
    coder: Coder,
    /// The verdict on each row that there was.
    verdicts: Vec<Verdict>,
}

impl Batch {
    /// Prepares an instance for everyone in a request.
    ///
    /// # Errors
    /// If the policy fails, or does not tell the principals apart.
    pub(crate) fn prepare(instance: &mut Instance, request: &Request) -> Result<Self, Error> {
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
        Ok(Self { dictionaries: Dictionaries::None, prepared })
    }

    /// Narrows a search for everyone in the request.
    ///
    /// # Errors
    /// If the policy fails, or its answer is no rewrite.
    pub(crate) fn rewrite(
        &self,
        instance: &mut Instance,
        query: &gates::Query,
        footprint: &Footprint,
    ) -> Result<Rewrite, Error> {
        let (guest, store) = instance.batch()?;
        let mut combined: Option<Rewrite> = None;
        for prepared in &self.prepared {
            limits::check_deadline(store)?;
            let bytes = guest.call_rewrite_prepared(&mut *store, *prepared, query);
            let bytes = bytes.map_err(|error| limits::blame(store, &error))?;
            let rewrite = contract::read_rewrite(&bytes, footprint)?;
            combined = Some(match combined {
                None => rewrite,
                Some(combined) => combined.intersect(rewrite),
            });
        }
        combined.ok_or_else(|| Error::Host("a request without a subject".to_owned()))
    }

    /// Whether the instance can go on with chunks that are coded for this request. Otherwise it must make way for one that remembers
    /// nothing.
    pub(crate) fn takes_chunks(&self) -> bool {
        match &self.dictionaries {
            Dictionaries::None => true,
            Dictionaries::Own(own) => !own.coder.is_full(),
            Dictionaries::Coded(..) => false,
        }
    }

    /// Whether the instance can go on with this part of chunks that were coded beforehand.
    pub(crate) fn takes_coded(&self, coded: &Coded, part: usize) -> bool {
        match &self.dictionaries {
            Dictionaries::None => true,
            Dictionaries::Own(..) => false,
            Dictionaries::Coded(known, known_part) => known.is(coded) && *known_part == part,
        }
    }

    /// The verdict on a chunk that is to the policy as one that it was asked about.
    ///
    /// # Errors
    /// If the chunk cannot be read.
    pub(crate) fn known(&mut self, chunk: &impl Row) -> Result<Option<Verdict>, Error> {
        let Dictionaries::Own(own) = &mut self.dictionaries else { return Ok(None) };
        let Own { coder, verdicts } = &mut **own;
        // Chunks that are known but written in other ways fill it as well.
        if coder.is_full() {
            return Ok(None);
        }
        let number = coder.known(chunk).map_err(unreadable)?;
        Ok(number.and_then(|number| verdicts.get(number as usize)).copied())
    }

    /// Decides on the first of `chunks`: on one at least, if there is one. The policy is asked about each row once.
    ///
    /// # Errors
    /// If a chunk cannot be read, the policy fails, or its answer is not one valid code for each row.
    pub(crate) fn decide(
        &mut self,
        instance: &mut Instance,
        chunks: &[impl Row],
        columns: &[Column],
        limits: &Limits,
    ) -> Result<Vec<Verdict>, Error> {
        if !matches!(self.dictionaries, Dictionaries::Own(..)) {
            let own = Own { coder: Coder::new(columns, room(limits)), verdicts: Vec::new() };
            self.dictionaries = Dictionaries::Own(Box::new(own));
        }
        let Dictionaries::Own(own) = &mut self.dictionaries else { return Ok(Vec::new()) };
        let Own { coder, verdicts } = &mut **own;
        let Part { numbers, first, rows, frame } = coder.code(chunks).map_err(unreadable)?;
        ask(&self.prepared, instance, first, rows, frame, verdicts)?;
        Ok(numbers.iter().map(|number| verdict_on(*number, verdicts)).collect())
    }

    /// Decides on a part of chunks that were coded beforehand, which the instance must take.
    ///
    /// # Errors
    /// As [`Self::decide`].
    pub(crate) fn decide_coded(
        &mut self,
        instance: &mut Instance,
        coded: &Coded,
        part: usize,
        verdicts: &mut Vec<Verdict>,
    ) -> Result<(), Error> {
        if matches!(self.dictionaries, Dictionaries::None) {
            self.dictionaries = Dictionaries::Coded(coded.clone(), part);
        }
        let mut known = Vec::new();
        for Frame { numbers, first, rows, bytes } in coded.frames(part) {
            ask(&self.prepared, instance, *first, *rows, bytes, &mut known)?;
            verdicts.extend(numbers.iter().map(|number| verdict_on(*number, &known)));
        }
        Ok(())
    }
}

/// Asks for everyone in a request about the rows of a frame, the `first` of which follows those that `verdicts` are known of.
fn ask(
    prepared: &[u32],
    instance: &mut Instance,
    first: usize,
    rows: usize,
    frame: &[u8],
    verdicts: &mut Vec<Verdict>,
) -> Result<(), Error> {
    verdicts.truncate(first);
    if rows == 0 {
        return Ok(());
    }
    let (guest, store) = instance.batch()?;
    // There is always a subject; were there none, nothing would be allowed.
    let mut combined = vec![if prepared.is_empty() { 0 } else { ALLOW }; rows];
    for prepared in prepared {
        limits::check_deadline(store)?;
        let codes = guest.call_filter_chunks(&mut *store, *prepared, frame);
        let codes = codes.map_err(|error| limits::blame(store, &error))?;
        check(&codes, rows)?;
        for (both, code) in combined.iter_mut().zip(codes) {
            *both = (*both & code & ALLOW) | ((*both | code) & REDACT);
        }
    }
    verdicts.extend(combined.into_iter().map(verdict));
    Ok(())
}

/// The verdict on the row with this number.
fn verdict_on(number: u32, verdicts: &[Verdict]) -> Verdict {
    verdicts.get(number as usize).copied().unwrap_or(Verdict::Deny)
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

/// An attribute of a chunk is no JSON.
pub(crate) fn unreadable(error: InputError) -> Error {
    Error::Host(format!("the metadata of a chunk: {error}"))
}

fn broken(message: String) -> Error {
    Error::Contract(message)
}

#[cfg(test)]
mod tests {
    use tamis_core::Cell;
    use tamis_core::filter::Attribute;

    use super::*;

    /// A chunk whose one attribute is an empty list, with so many spaces in it.
    struct Spaced(String);

    impl Row for Spaced {
        fn id(&self) -> &str {
            ""
        }

        fn attribute(&self, _: usize, _: &[String]) -> Cell<'_> {
            Cell::Unparsed(&self.0)
        }
    }

    #[test]
    fn a_known_chunk_that_is_written_in_ever_new_ways_fills_the_dictionaries() {
        let spaced = |spaces| Spaced(format!("[{}]", " ".repeat(spaces)));
        let attribute = Attribute { path: vec!["a".to_owned()], declared: None };
        let mut coder = Coder::new(&[Column::Codes(0, attribute)], 10_000);
        coder.code(&[spaced(0)]).unwrap();
        let own = Own { coder, verdicts: vec![Verdict::Allow] };
        let mut batch = Batch { dictionaries: Dictionaries::Own(Box::new(own)), prepared: vec![0] };
        let known = (0..1000).take_while(|spaces| {
            let known = batch.known(&spaced(*spaces)).unwrap();
            assert!(known.is_none_or(|verdict| verdict == Verdict::Allow));
            known.is_some()
        });
        assert!((10..100).contains(&known.count()));
        assert!(!batch.takes_chunks(), "a new instance is due");
    }
}
