//! The decision on one chunk, with the rules that decided.

use alloc::vec::Vec;

use bumpalo::Bump;
use tamis_contract::value::{Field, Uid, Value, field};

use crate::coerce::Coerce;
use crate::evaluate::Evaluator;
use crate::fault::Fault;
use crate::program::{Program, Rule, Source, flag};
use crate::request::{self, Request};

/// A chunk with its attributes by name.
pub struct Chunk<'a> {
    /// The program whose columns are asked for.
    pub program: Program<'a>,
    /// Its identity.
    pub uid: Uid<'a>,
    /// Its attributes.
    pub attributes: &'a [Field<'a>],
    /// Its tags.
    pub tags: &'a [Field<'a>],
    /// Everything above it.
    pub ancestors: Vec<Uid<'a>>,
    /// Where converted values go.
    pub arena: &'a Bump,
}

/// Whether a chunk may be handed out, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Whether it may.
    pub allow: bool,
    /// The rules that decided, by number.
    pub reasons: Vec<u32>,
    /// The rules that failed, by number.
    pub faults: Vec<(u32, Fault<'a>)>,
    /// Attributes to remove, as paths.
    pub redact: Vec<Vec<&'a str>>,
    /// Whether the text is to be removed too.
    pub redact_text: bool,
}

impl<'a> request::Chunk<'a> for Chunk<'a> {
    fn entity_type(&self) -> Result<&'a str, Fault<'a>> {
        Ok(self.uid.entity_type)
    }

    fn uid(&self) -> Result<Uid<'a>, Fault<'a>> {
        Ok(self.uid)
    }

    fn column(&self, column: u32) -> Result<Option<Value<'a>>, Fault<'a>> {
        let Self { program, arena, .. } = *self;
        let info = program.column(column)?;
        if info.source != Source::Attribute {
            return Err(Fault::Program);
        }
        let name = program.text(info.name)?;
        match field(self.attributes, name) {
            Some(value) if info.converted => {
                Coerce { program, arena }.attribute(self.uid.entity_type, name, value).map(Some)
            }
            value => Ok(value),
        }
    }

    fn tags(&self) -> Result<&'a [Field<'a>], Fault<'a>> {
        Coerce { program: self.program, arena: self.arena }.tags(self.uid.entity_type, self.tags)
    }

    fn is_below(&self, group: &Uid<'_>) -> Result<bool, Fault<'a>> {
        Ok(self.ancestors.contains(group))
    }
}

/// Decides on a chunk.
///
/// # Errors
/// If the program is damaged.
pub fn decide<'a>(
    program: Program<'a>,
    arena: &'a Bump,
    request: &'a Request<'a>,
    chunk: &'a Chunk<'a>,
) -> Result<Decision<'a>, Fault<'a>> {
    let evaluator = Evaluator { program, request, chunk: Some(chunk), arena, constants: &[] };
    let mut decision = Decision::default();
    let (mut permits, mut forbids) = (Vec::new(), Vec::new());
    for index in request.candidates(&program)? {
        let rule = program.rule(index)?;
        match evaluator.boolean(rule.condition) {
            Ok(false) => {}
            Ok(true) if rule.flags & flag::FORBID != 0 => forbids.push(index),
            Ok(true) => {
                let paths = paths(program, &rule)?;
                if permits.is_empty() {
                    decision.redact = paths;
                    decision.redact_text = rule.flags & flag::REDACTS_TEXT != 0;
                } else {
                    // Each rule that permits shows what it does not redact.
                    decision.redact = intersect(&decision.redact, &paths);
                    decision.redact_text &= rule.flags & flag::REDACTS_TEXT != 0;
                }
                permits.push(index);
            }
            Err(Fault::Program) => return Err(Fault::Program),
            Err(fault) => decision.faults.push((index, fault)),
        }
    }
    if forbids.is_empty() {
        decision.allow = !permits.is_empty();
        decision.reasons = permits;
    } else {
        decision.reasons = forbids;
        decision.redact.clear();
        decision.redact_text = false;
    }
    Ok(decision)
}

fn paths<'a>(program: Program<'a>, rule: &Rule) -> Result<Vec<Vec<&'a str>>, Fault<'a>> {
    let mut numbers = program.list(rule.redactions);
    let mut paths = Vec::new();
    while let Some(length) = numbers.next() {
        let mut path = Vec::new();
        for name in numbers.by_ref().take(length as usize) {
            path.push(program.text(name)?);
        }
        paths.push(path);
    }
    Ok(paths)
}

/// The paths that lie in both: where one leads through the other, the longer.
fn intersect<'a>(a: &[Vec<&'a str>], b: &[Vec<&'a str>]) -> Vec<Vec<&'a str>> {
    let mut both: Vec<Vec<&str>> = Vec::new();
    for one in a {
        for other in b {
            let longer = if one.starts_with(other) {
                one
            } else if other.starts_with(one) {
                other
            } else {
                continue;
            };
            if !both.contains(longer) {
                both.push(longer.clone());
            }
        }
    }
    both
}
