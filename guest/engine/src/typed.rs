//! The decision on one chunk, with the rules that decided.

use alloc::vec::Vec;

use bumpalo::Bump;
use tamis_contract::value::{Field, Uid, Value, field};

use crate::coerce::Coerce;
use crate::evaluate::Evaluator;
use crate::fault::Fault;
use crate::program::{Program, Rule, flag};
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
    /// Everything above it: the elements of a set of entities.
    pub ancestors: &'a [Value<'a>],
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
    pub redact: Vec<&'a [&'a str]>,
    /// Whether the text is to be removed too.
    pub redact_text: bool,
}

impl<'a> request::Chunk<'a> for Chunk<'a> {
    fn entity_type(&self) -> &'a str {
        self.uid.entity_type
    }

    fn uid(&self) -> Uid<'a> {
        self.uid
    }

    fn column(&self, column: u32) -> Option<Value<'a>> {
        let Self { program, arena, .. } = *self;
        let info = program.column(column);
        let name = program.text(info.name);
        let value = field(self.attributes, name)?;
        if info.converted {
            Some(Coerce { program, arena }.attribute(self.uid.entity_type, name, value))
        } else {
            Some(value)
        }
    }

    fn tags(&self) -> &'a [Field<'a>] {
        Coerce { program: self.program, arena: self.arena }.tags(self.uid.entity_type, self.tags)
    }

    fn ancestors(&self) -> &'a [Value<'a>] {
        self.ancestors
    }
}

/// Decides on a chunk.
pub fn decide<'a>(
    program: Program<'a>,
    arena: &'a Bump,
    request: &'a Request<'a>,
    chunk: &'a Chunk<'a>,
) -> Decision<'a> {
    let mut evaluator = Evaluator::new(program, request, arena);
    evaluator.chunk = Some(chunk);
    let mut decision = Decision::default();
    let (mut permits, mut forbids) = (Vec::new(), Vec::new());
    for (index, candidate) in (0..).zip(request.candidates(&program)) {
        if candidate == 0 {
            continue;
        }
        let rule = program.rule(index);
        match evaluator.boolean(rule.condition) {
            Some(false) => {}
            Some(true) if rule.flags & flag::FORBID != 0 => forbids.push(index),
            Some(true) => {
                // Each rule that permits shows what it does not redact.
                let first = permits.is_empty();
                let redacts_text = rule.flags & flag::REDACTS_TEXT != 0;
                decision.redact_text = redacts_text && (first || decision.redact_text);
                let paths = paths(program, arena, &rule);
                decision.redact = if first { paths } else { intersect(&decision.redact, &paths) };
                permits.push(index);
            }
            None => decision.faults.push((index, evaluator.fault())),
        }
    }
    decision.allow = forbids.is_empty() && !permits.is_empty();
    decision.reasons = if forbids.is_empty() { permits } else { forbids };
    if !decision.allow {
        decision.redact.clear();
        decision.redact_text = false;
    }
    decision
}

/// What a rule redacts.
pub(crate) fn paths<'a>(program: Program<'a>, arena: &'a Bump, rule: &Rule) -> Vec<&'a [&'a str]> {
    let mut numbers = program.list(rule.redactions);
    let mut paths = Vec::new();
    while let Some(length) = numbers.next() {
        let path = arena.alloc_slice_fill_copy(length as usize, "");
        for (name, number) in path.iter_mut().zip(numbers.by_ref()) {
            *name = program.text(number);
        }
        paths.push(&*path);
    }
    paths
}

/// The paths that lie in both: where one leads through the other, the longer.
pub(crate) fn intersect<'a>(a: &[&'a [&'a str]], b: &[&'a [&'a str]]) -> Vec<&'a [&'a str]> {
    let mut both: Vec<&[&str]> = Vec::new();
    for one in a {
        for other in b {
            let (longer, shorter) = if one.len() < other.len() { (other, one) } else { (one, other) };
            if longer.starts_with(shorter) && !both.contains(longer) {
                both.push(longer);
            }
        }
    }
    both
}
