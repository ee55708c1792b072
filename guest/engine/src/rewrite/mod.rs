//! From conditions to filters: which chunks can satisfy a policy set, as far as a database can tell.
//!
//! For every condition there are two sets of chunks: those for which it is true and those for which it is false. Where it is
//! neither, it failed. What a filter can say of a set are its bounds: a filter that matches no more and one that matches no
//! less. Where both are one filter the set is known exactly. Connectives follow Cedar's order of evaluation:
//!
//! ```text
//! true(if c then t else u)  = true(c) and true(t)  or  false(c) and true(u)
//! false(if c then t else u) = true(c) and false(t) or  false(c) and false(u)
//! a && b = if a then b else false     a || b = if a then true else b     !a = if a then false else true
//! ```
//!
//! It begins with what is left of each rule for the request, where all that decides whatever the chunk is decided already; the rest of what
//! does not read the chunk is evaluated here. What no test of a filter can express lies between `never` and the existence of
//! the attributes that it certainly reads.

mod test;

use alloc::vec::Vec;

use bumpalo::Bump;
use tamis_contract::value::{Uid, Value};

use crate::evaluate::Evaluator;
use crate::fault::Fault;
use crate::filter::{ALWAYS, Filters, NEVER};
use crate::program::{Binding, Node, Op, Program, damaged, flag};
use crate::request::Request;
use crate::residual::{self, Residual};

/// Which chunks a principal can be allowed.
pub struct Rewrite<'a> {
    /// All filters that were made.
    pub filters: Filters<'a>,
    /// The one that matches every chunk that may be allowed.
    pub root: u32,
    /// Whether it matches no other.
    pub exact: bool,
    /// Rules that fail for every chunk, and why.
    pub faults: Vec<(u32, Fault<'a>)>,
    /// Rules of which it says only a part.
    pub partial: Vec<u32>,
}

/// What is known of a set of chunks.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Bounds {
    /// A filter that matches no chunk outside the set.
    low: u32,
    /// A filter that matches every chunk in the set.
    high: u32,
}

impl Bounds {
    const NONE: Self = Self::exact(NEVER);
    const ALL: Self = Self::exact(ALWAYS);

    const fn exact(filter: u32) -> Self {
        Self { low: filter, high: filter }
    }

    fn is_exact(self) -> bool {
        self.low == self.high
    }
}

/// Where a condition is true, and where it is false.
#[derive(Clone, Copy)]
struct Outcome {
    yes: Bounds,
    no: Bounds,
}

impl Outcome {
    const TRUE: Self = Self { yes: Bounds::ALL, no: Bounds::NONE };
    const FALSE: Self = Self { yes: Bounds::NONE, no: Bounds::ALL };
    const FAULT: Self = Self { yes: Bounds::NONE, no: Bounds::NONE };

    fn exact(yes: u32, no: u32) -> Self {
        Self { yes: Bounds::exact(yes), no: Bounds::exact(no) }
    }
}

/// Which sides of an outcome are asked for. The other may be anything.
#[derive(Clone, Copy)]
struct Want {
    yes: bool,
    no: bool,
}

impl Want {
    const YES: Self = Self { yes: true, no: false };
}

/// One of the two outcomes of a connective.
enum Branch {
    Known(Outcome),
    Node(u32),
}

/// Says which chunks the program can allow.
pub fn rewrite<'a>(program: Program<'a>, arena: &'a Bump, request: &'a Request<'a>) -> Rewrite<'a> {
    let (evaluator, columns) = (Evaluator::new(program, request, arena), program.columns());
    let mut rewriting = Rewriting::new(program, arena, request);
    for (index, candidate) in (0..).zip(request.candidates(&program)) {
        if candidate != 0 {
            rewriting.rule(index, &residual::specialise(&evaluator, &columns, program.rule(index).condition));
        }
    }
    rewriting.finish()
}

/// As [`rewrite`], of the rules with these numbers and conditions: no others can permit or forbid anything, or fail.
pub(crate) fn rewrite_residuals<'a, 'r>(
    program: Program<'a>,
    arena: &'a Bump,
    request: &'a Request<'a>,
    rules: impl Iterator<Item = (u32, &'r Residual)>,
) -> Rewrite<'a> {
    let mut rewriting = Rewriting::new(program, arena, request);
    for (index, residual) in rules {
        rewriting.rule(index, residual);
    }
    rewriting.finish()
}

/// What is known of the rules so far.
struct Rewriting<'a> {
    rewriter: Rewriter<'a>,
    faults: Vec<(u32, Fault<'a>)>,
    partial: Vec<u32>,
    permits: Sides,
    forbids: Sides,
}

/// Of some rules the filters that match no chunk too many, and those that match none too few.
#[derive(Default)]
struct Sides {
    low: Vec<u32>,
    high: Vec<u32>,
}

impl<'a> Rewriting<'a> {
    fn new(program: Program<'a>, arena: &'a Bump, request: &'a Request<'a>) -> Self {
        let evaluator = Evaluator::new(program, request, arena);
        Self {
            rewriter: Rewriter { evaluator, filters: Filters::new(arena), above: None },
            faults: Vec::new(),
            partial: Vec::new(),
            permits: Sides::default(),
            forbids: Sides::default(),
        }
    }

    /// Adds a rule with this condition.
    fn rule(&mut self, index: u32, condition: &Residual) {
        let program = self.rewriter.evaluator.program;
        let rule = program.rule(index);
        let condition = self.rewriter.specialised(condition, Want::YES).yes;
        if condition == Bounds::NONE {
            let evaluator = &self.rewriter.evaluator;
            if program.node(rule.condition).binding == Binding::Request
                && evaluator.boolean(rule.condition).is_none()
            {
                self.faults.push((index, evaluator.fault()));
            }
            return;
        }
        if !condition.is_exact() {
            self.partial.push(index);
        }
        let sides = if rule.flags & flag::FORBID != 0 { &mut self.forbids } else { &mut self.permits };
        sides.low.push(condition.low);
        sides.high.push(condition.high);
    }

    fn finish(self) -> Rewrite<'a> {
        let Self { rewriter, faults, partial, permits, forbids } = self;
        let mut filters = rewriter.filters;
        let mut allowed = |permits: &[u32], forbids: &[u32]| {
            let mut parts = Vec::with_capacity(forbids.len() + 1);
            parts.push(filters.any(permits));
            for forbid in forbids {
                parts.push(filters.not(*forbid));
            }
            filters.all(&parts)
        };
        let high = allowed(&permits.high, &forbids.low);
        let low = if partial.is_empty() { high } else { allowed(&permits.low, &forbids.high) };
        let root = filters.bounded(high, ALWAYS);
        Rewrite { root, exact: low == root, faults, partial, filters }
    }
}

struct Rewriter<'a> {
    evaluator: Evaluator<'a>,
    filters: Filters<'a>,
    /// An entity that was asked for, mostly the principal, and the set of it and everything above it.
    above: Option<(&'a Uid<'a>, &'a [Value<'a>])>,
}

impl<'a> Rewriter<'a> {
    fn node(&self, index: u32) -> Node {
        self.evaluator.program.node(index)
    }

    fn outcome(&mut self, index: u32, want: Want) -> Outcome {
        let node = self.node(index);
        if node.binding == Binding::Request {
            let outcome = self.evaluator.boolean(index);
            if outcome.is_none() && self.evaluator.fault() == Fault::Program {
                damaged();
            }
            return match outcome {
                Some(true) => Outcome::TRUE,
                Some(false) => Outcome::FALSE,
                None => Outcome::FAULT,
            };
        }
        use Branch::{Known, Node};
        // What each branch makes of a condition tells which sides of that matter.
        let (then, otherwise, of_condition) = match node.op {
            // What is one of these entities is of the type of one: the compiler asks for both so that few chunks are asked for their id.
            Op::And if self.node(node.a).op == Op::IsOfTypeOf => return self.outcome(node.b, want),
            Op::And => (Node(node.b), Known(Outcome::FALSE), Want { yes: true, no: want.no }),
            Op::Or => (Known(Outcome::TRUE), Node(node.b), Want { yes: want.yes, no: true }),
            Op::Not => (Known(Outcome::FALSE), Known(Outcome::TRUE), Want { yes: want.no, no: want.yes }),
            Op::If => (Node(node.b), Node(node.c), Want { yes: true, no: true }),
            _ => return self.test(index, &node, want).unwrap_or_else(|| self.unknown(index)),
        };
        let condition = self.outcome(node.a, of_condition);
        let mut branch = |reached: Bounds, branch: Branch| match branch {
            // Most policies of many ask for a group or role that the principal is not in, and say no more of chunks then.
            _ if reached == Bounds::NONE => Outcome::FAULT,
            Known(outcome) => outcome,
            Node(index) => self.outcome(index, want),
        };
        let (then, otherwise) = (branch(condition.yes, then), branch(condition.no, otherwise));
        self.choose(condition, then, otherwise, want)
    }

    /// The outcome of a condition that is specialised to the request: what [`Self::outcome`] says of its node.
    fn specialised(&mut self, residual: &Residual, want: Want) -> Outcome {
        match residual {
            Residual::Known(Some(true)) => Outcome::TRUE,
            Residual::Known(Some(false)) => Outcome::FALSE,
            Residual::Known(None) => Outcome::FAULT,
            Residual::If(parts) => {
                let [condition, then, otherwise] = &**parts;
                if let Residual::OfCode { node, .. } | Residual::OfChunk(node) = condition
                    && self.node(*node).op == Op::IsOfTypeOf
                {
                    return self.specialised(then, want);
                }
                // Each branch matters for a side if it can end there, and the condition where a branch matters.
                let matters = |branch: &Residual| match branch {
                    Residual::Known(Some(known)) => {
                        if *known {
                            want.yes
                        } else {
                            want.no
                        }
                    }
                    Residual::Known(None) => false,
                    _ => true,
                };
                let of_condition = Want { yes: matters(then), no: matters(otherwise) };
                let condition = self.specialised(condition, of_condition);
                let mut branch = |reached: Bounds, branch: &Residual| {
                    if reached == Bounds::NONE { Outcome::FAULT } else { self.specialised(branch, want) }
                };
                let (then, otherwise) = (branch(condition.yes, then), branch(condition.no, otherwise));
                self.choose(condition, then, otherwise, want)
            }
            Residual::OfCode { node, .. } | Residual::OfChunk(node) => self.outcome(*node, want),
            Residual::OfNumber { column, test, bound } => {
                self.number(u32::from(*column), *test, *bound, want)
            }
            Residual::Present(column) => self.present(u32::from(*column)),
        }
    }

    /// The outcome of `if condition then … else …`.
    fn choose(&mut self, condition: Outcome, then: Outcome, otherwise: Outcome, want: Want) -> Outcome {
        let mut side = |wanted: bool, then: Bounds, otherwise: Bounds| {
            if wanted { self.either(condition, then, otherwise) } else { Bounds::NONE }
        };
        Outcome { yes: side(want.yes, then.yes, otherwise.yes), no: side(want.no, then.no, otherwise.no) }
    }

    fn either(&mut self, condition: Outcome, then: Bounds, otherwise: Bounds) -> Bounds {
        let mut bound = |yes: u32, then: u32, no: u32, otherwise: u32| {
            let (yes, no) = (self.filters.and(yes, then), self.filters.and(no, otherwise));
            self.filters.or(yes, no)
        };
        let low = bound(condition.yes.low, then.low, condition.no.low, otherwise.low);
        let exact = [condition.yes, condition.no, then, otherwise].into_iter().all(Bounds::is_exact);
        let high =
            if exact { low } else { bound(condition.yes.high, then.high, condition.no.high, otherwise.high) };
        Bounds { low: self.filters.bounded(low, NEVER), high: self.filters.bounded(high, ALWAYS) }
    }
}
