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
//! What does not read the chunk is evaluated here. What no test of a filter can express lies between `never` and the existence of
//! the attributes that it certainly reads.

use alloc::vec::Vec;

use bumpalo::Bump;
use tamis_contract::value::Value;

use crate::evaluate::Evaluator;
use crate::fault::Fault;
use crate::filter::{ALWAYS, Filters, NEVER, Operand, Test};
use crate::like::WILDCARD;
use crate::program::{Binding, List, Node, Op, Program, damaged, flag};
use crate::request::Request;

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

/// One of the two outcomes of a connective.
enum Branch {
    Known(Outcome),
    Node(u32),
}

/// Says which chunks the program can allow.
pub fn rewrite<'a>(program: Program<'a>, arena: &'a Bump, request: &'a Request<'a>) -> Rewrite<'a> {
    let evaluator = Evaluator::new(program, request, arena);
    let mut rewriter = Rewriter { evaluator, filters: Filters::new(arena) };
    let (mut faults, mut partial) = (Vec::new(), Vec::new());
    let [mut permits, mut forbids] = [const { [const { Vec::new() }; 2] }; 2];
    for (index, candidate) in (0..).zip(request.candidates(&program)) {
        if candidate == 0 {
            continue;
        }
        let rule = program.rule(index);
        let condition = rewriter.outcome(rule.condition);
        if program.node(rule.condition).binding == Binding::Request
            && rewriter.evaluator.boolean(rule.condition).is_none()
        {
            faults.push((index, rewriter.evaluator.fault()));
        }
        if condition.yes == Bounds::NONE {
            continue;
        }
        if !condition.yes.is_exact() {
            partial.push(index);
        }
        let [low, high] = if rule.flags & flag::FORBID != 0 { &mut forbids } else { &mut permits };
        low.push(condition.yes.low);
        high.push(condition.yes.high);
    }
    let [[permits_low, permits_high], [forbids_low, forbids_high]] = [permits, forbids];
    let filters = &mut rewriter.filters;
    let mut allowed = |permits: &[u32], forbids: &[u32]| {
        let mut parts = Vec::new();
        parts.push(filters.any(permits));
        for forbid in forbids {
            parts.push(filters.not(*forbid));
        }
        filters.all(&parts)
    };
    let high = allowed(&permits_high, &forbids_low);
    let low = if partial.is_empty() { high } else { allowed(&permits_low, &forbids_high) };
    let root = rewriter.filters.bounded(high, ALWAYS);
    Rewrite { root, exact: low == root, faults, partial, filters: rewriter.filters }
}

struct Rewriter<'a> {
    evaluator: Evaluator<'a>,
    filters: Filters<'a>,
}

impl<'a> Rewriter<'a> {
    fn node(&self, index: u32) -> Node {
        self.evaluator.program.node(index)
    }

    fn outcome(&mut self, index: u32) -> Outcome {
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
        let (then, otherwise) = match node.op {
            // What is one of these entities is of the type of one: the compiler asks for both so that few chunks are asked for their id.
            Op::And if self.node(node.a).op == Op::IsOfTypeOf => return self.outcome(node.b),
            Op::And => (Node(node.b), Known(Outcome::FALSE)),
            Op::Or => (Known(Outcome::TRUE), Node(node.b)),
            Op::Not => (Known(Outcome::FALSE), Known(Outcome::TRUE)),
            Op::If => (Node(node.b), Node(node.c)),
            _ => return self.test(index, &node).unwrap_or_else(|| self.unknown(index)),
        };
        let condition = self.outcome(node.a);
        let [then, otherwise] =
            [(condition.yes, then), (condition.no, otherwise)].map(|(reached, branch)| match branch {
                // Most policies of many ask for a group or role that the principal is not in, and say no more of chunks then.
                _ if reached == Bounds::NONE => Outcome::FAULT,
                Known(outcome) => outcome,
                Node(index) => self.outcome(index),
            });
        Outcome {
            yes: self.either(condition, then.yes, otherwise.yes),
            no: self.either(condition, then.no, otherwise.no),
        }
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

    /// The outcome of a node that a test of one operand expresses; `None` if none does.
    fn test(&mut self, index: u32, node: &Node) -> Option<Outcome> {
        let Node { op, a, b, .. } = *node;
        match op {
            Op::Has => self.has(index, a),
            Op::HasColumn => {
                let present = self.filters.test(Test::Exists, Operand::Attribute(a), &[]);
                Some(Outcome::exact(present, self.filters.not(present)))
            }
            Op::Column | Op::Attribute => {
                let operand = self.operand(index)?;
                let [yes, no] =
                    [true, false].map(|value| self.filters.test(Test::OneOf, operand, &[Value::Bool(value)]));
                Some(Outcome::exact(yes, no))
            }
            Op::Equal => {
                let (operand, value) = self.sides(a, b)?;
                let value = self.evaluator.whole(value);
                Some(self.decided(operand, Test::Readable, Test::OneOf, value.as_slice(), value.is_some()))
            }
            Op::Less | Op::LessOrEqual | Op::DecimalLess | Op::DecimalLessOrEqual => {
                self.comparison(op, a, b)
            }
            Op::Contains => match self.operand(a) {
                Some(operand) if self.is_known(b) => {
                    let value = self.evaluator.whole(b);
                    Some(self.decided(
                        operand,
                        Test::ContainsAll,
                        Test::ContainsAny,
                        value.as_slice(),
                        value.is_some(),
                    ))
                }
                _ => {
                    let operand = self.operand(b).filter(|_| self.is_known(a))?;
                    let set = self.evaluator.set(a);
                    Some(self.decided(
                        operand,
                        Test::Readable,
                        Test::OneOf,
                        set.unwrap_or_default(),
                        set.is_some(),
                    ))
                }
            },
            Op::ContainsAny => {
                let (operand, set) = self.sides(a, b)?;
                let set = self.evaluator.set(set);
                Some(self.decided(
                    operand,
                    Test::ContainsAll,
                    Test::ContainsAny,
                    set.unwrap_or_default(),
                    set.is_some(),
                ))
            }
            Op::ContainsAll => {
                let operand = self.operand(a).filter(|_| self.is_known(b))?;
                let set = self.evaluator.set(b);
                Some(self.decided(
                    operand,
                    Test::ContainsAll,
                    Test::ContainsAll,
                    set.unwrap_or_default(),
                    set.is_some(),
                ))
            }
            Op::IsEmpty => {
                let operand = self.operand(a)?;
                Some(self.decided(operand, Test::ContainsAll, Test::OneOf, &[Value::Set(&[])], true))
            }
            Op::Like => self.like(node),
            Op::In if self.is_known(a) => self.in_operand(a, b),
            Op::In if self.is_known(b) => self.operand_in(a, b),
            Op::IsBelow if self.is_known(a) => {
                let groups = self.evaluator.groups(a);
                Some(self.decided(
                    Operand::Ancestors,
                    Test::Exists,
                    Test::ContainsAny,
                    groups.unwrap_or_default(),
                    groups.is_some(),
                ))
            }
            Op::IsOneOf if self.is_known(a) => {
                let groups = self.evaluator.groups(a);
                Some(self.decided(
                    Operand::Id,
                    Test::Exists,
                    Test::OneOf,
                    groups.unwrap_or_default(),
                    groups.is_some(),
                ))
            }
            Op::IsOfTypeOf if self.is_known(a) => {
                let groups = self.evaluator.groups(a);
                let mut types = Vec::new();
                for group in groups.unwrap_or_default() {
                    if let Value::Entity(uid) = group {
                        types.push(Value::Text(uid.entity_type));
                    }
                }
                Some(self.decided(Operand::EntityType, Test::Exists, Test::OneOf, &types, groups.is_some()))
            }
            Op::Is if self.node(a).op == Op::Resource => {
                let name = Value::Text(self.evaluator.program.text(b));
                Some(self.decided(Operand::EntityType, Test::Exists, Test::OneOf, &[name], true))
            }
            _ => None,
        }
    }

    /// Whether a record that is an attribute has a field. It fails where the attribute is no record.
    fn has(&mut self, index: u32, record: u32) -> Option<Outcome> {
        let field = self.field(index)?;
        let record = self.operand(record)?;
        let yes = self.filters.test(Test::Exists, field, &[]);
        let not = self.filters.not(yes);
        // A record of which one field cannot be read is a record.
        let [low, high] = [Test::Readable, Test::Exists].map(|test| {
            let record = self.filters.test(test, record, &[]);
            self.filters.and(record, not)
        });
        Some(Outcome { yes: Bounds::exact(yes), no: Bounds { low, high } })
    }

    /// True where the operand passes `test` with these values, false elsewhere where it passes `defined`, which says of what type
    /// it must be, and neither anywhere if the values could not be `evaluated`.
    fn decided(
        &mut self,
        operand: Operand,
        defined: Test,
        test: Test,
        values: &[Value<'a>],
        evaluated: bool,
    ) -> Outcome {
        if !evaluated {
            return Outcome::FAULT;
        }
        let yes = self.filters.test(test, operand, values);
        let not = self.filters.not(yes);
        let defined = self.filters.test(defined, operand, &[]);
        Outcome::exact(yes, self.filters.and(defined, not))
    }

    fn comparison(&mut self, op: Op, a: u32, b: u32) -> Option<Outcome> {
        let (operand, value) = self.sides(a, b)?;
        let strict = matches!(op, Op::Less | Op::DecimalLess);
        let value = match (self.evaluator.value(value), op) {
            (Some(value @ Value::Decimal(_)), Op::DecimalLess | Op::DecimalLessOrEqual) => value,
            (
                Some(value @ (Value::Long(_) | Value::Datetime(_) | Value::Duration(_))),
                Op::Less | Op::LessOrEqual,
            ) => value,
            _ => return Some(Outcome::FAULT),
        };
        let (yes, no) = match (self.operand(a).is_some(), strict) {
            (true, true) => (Test::Less, Test::GreaterOrEqual),
            (true, false) => (Test::LessOrEqual, Test::Greater),
            (false, true) => (Test::Greater, Test::LessOrEqual),
            (false, false) => (Test::GreaterOrEqual, Test::Less),
        };
        let [yes, no] = [yes, no].map(|test| self.filters.test(test, operand, &[value]));
        Some(Outcome::exact(yes, no))
    }

    /// A pattern that ends with its only wildcard is a test. Of another, a text that matches begins with what stands before the first.
    fn like(&mut self, node: &Node) -> Option<Outcome> {
        let operand = self.operand(node.a)?;
        let pattern = self.evaluator.program.list(List { start: node.b, length: node.c });
        let mut prefix = alloc::string::String::new();
        let (mut wildcards, mut behind) = (0, 0);
        for element in pattern {
            match char::from_u32(element) {
                _ if element == WILDCARD => wildcards += 1,
                Some(character) if wildcards == 0 => prefix.push(character),
                _ => behind += 1,
            }
        }
        let prefix = Value::Text(self.evaluator.arena.alloc_str(&prefix));
        let text = self.filters.test(Test::StartsWith, operand, &[Value::Text("")]);
        let test = if wildcards == 0 { Test::OneOf } else { Test::StartsWith };
        let yes = self.filters.test(test, operand, &[prefix]);
        if behind == 0 {
            let not = self.filters.not(yes);
            return Some(Outcome::exact(yes, self.filters.and(text, not)));
        }
        Some(Outcome { yes: Bounds { low: NEVER, high: yes }, no: Bounds { low: NEVER, high: text } })
    }

    /// `principal in resource.readers`.
    fn in_operand(&mut self, who: u32, groups: u32) -> Option<Outcome> {
        let operand = self.operand(groups)?;
        let Some(who) = self.evaluator.entity(who) else { return Some(Outcome::FAULT) };
        let mut above = Vec::from(self.evaluator.request.ancestors(who));
        above.push(Value::Entity(who));
        match self.declared(operand) {
            "" => {
                let one = self.filters.test(Test::OneOf, operand, &above);
                let several = self.filters.test(Test::ContainsAny, operand, &above);
                let high = self.filters.or(one, several);
                let not = self.filters.not(high);
                let readable = self.filters.test(Test::Readable, operand, &[]);
                // A set may hold something that is no entity, which fails.
                let no = Bounds { low: NEVER, high: self.filters.and(readable, not) };
                Some(Outcome { yes: Bounds { low: one, high }, no })
            }
            declared if declared.starts_with("Entity<") => {
                Some(self.decided(operand, Test::Readable, Test::OneOf, &above, true))
            }
            declared if declared.starts_with("Set<Entity<") => {
                Some(self.decided(operand, Test::ContainsAll, Test::ContainsAny, &above, true))
            }
            // Not what can be looked into for entities. An empty set can, and holds nothing.
            _ => None,
        }
    }

    /// `resource.owner in Group::"g"`: the owner is one of the groups or of the entities that are known to be below one.
    fn operand_in(&mut self, who: u32, groups: u32) -> Option<Outcome> {
        let operand = self.operand(who)?;
        let Some(groups) = self.evaluator.groups(groups) else { return Some(Outcome::FAULT) };
        let mut below = Vec::from(groups);
        for entity in self.evaluator.request.entities() {
            let is_in = |group: &Value<'a>| matches!(group, Value::Entity(group) if self.evaluator.request.is_in(&entity.uid, group));
            if groups.iter().any(is_in) {
                below.push(Value::entity(self.evaluator.arena, entity.uid));
            }
        }
        let mut outcome = self.decided(operand, Test::Readable, Test::OneOf, &below, true);
        // What is no entity fails.
        if !self.declared(operand).starts_with("Entity<") {
            outcome.no.low = NEVER;
        }
        Some(outcome)
    }

    /// Where nothing more is known than what a node certainly reads.
    fn unknown(&mut self, index: u32) -> Outcome {
        let bounds = Bounds { low: NEVER, high: self.certain(index) };
        Outcome { yes: bounds, no: bounds }
    }

    /// Matches every chunk for which the node has a value.
    fn certain(&mut self, mut index: u32) -> u32 {
        let mut all = ALWAYS;
        while self.node(index).op.is_chained() && self.node(index).binding != Binding::Request {
            let Node { a, b, .. } = self.node(index);
            let certain = self.certain(b);
            all = self.filters.and(all, certain);
            index = a;
        }
        let certain = self.certain_here(index);
        self.filters.and(all, certain)
    }

    fn certain_here(&mut self, index: u32) -> u32 {
        let Node { op, binding, a, b, c } = self.node(index);
        if binding == Binding::Request {
            return if self.evaluator.value(index).is_some() { ALWAYS } else { NEVER };
        }
        let operands = match op {
            Op::Column => return self.filters.test(Test::Exists, Operand::Attribute(a), &[]),
            // The others are not always evaluated.
            Op::And | Op::Or | Op::If => 1,
            _ => op.operands(),
        };
        [a, b, c].into_iter().take(operands).fold(ALWAYS, |all, operand| {
            let certain = self.certain(operand);
            self.filters.and(all, certain)
        })
    }

    /// An operand, and the node of what it is compared with, in whichever order they stand.
    fn sides(&self, a: u32, b: u32) -> Option<(Operand, u32)> {
        match (self.operand(a), self.operand(b)) {
            (Some(operand), _) if self.is_known(b) => Some((operand, b)),
            (_, Some(operand)) if self.is_known(a) => Some((operand, a)),
            _ => None,
        }
    }

    fn is_known(&self, index: u32) -> bool {
        self.node(index).binding == Binding::Request
    }

    /// The operand whose value is that of a node.
    fn operand(&self, index: u32) -> Option<Operand> {
        let node = self.node(index);
        match node.op {
            Op::Column => self.column(node.a),
            Op::Attribute => self.field(index),
            Op::Resource => Some(Operand::Id),
            _ => None,
        }
    }

    fn field(&self, index: u32) -> Option<Operand> {
        self.evaluator.program.path(index).map(|(first, _)| Operand::Field(first))
    }

    /// An attribute, unless its type depends on the chunk's: then only the gate reads it.
    fn column(&self, column: u32) -> Option<Operand> {
        if self.evaluator.program.column(column).converted { None } else { Some(Operand::Attribute(column)) }
    }

    /// The declared type of an operand, empty if there is none.
    fn declared(&self, operand: Operand) -> &'a str {
        match operand {
            Operand::Attribute(column) => {
                let program = self.evaluator.program;
                program.text(program.column(column).declared)
            }
            Operand::Field(node) => {
                let program = self.evaluator.program;
                program.path(node).map_or("", |(_, declared)| program.text(declared))
            }
            Operand::Id => "Entity<>",
            _ => "",
        }
    }
}
