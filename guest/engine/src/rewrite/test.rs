//! Conditions that a test of one operand expresses, and what is known of those that none does.

use alloc::vec::Vec;

use tamis_contract::value::{Uid, Value, place};

use super::{Bounds, Outcome, Rewriter, Want};
use crate::filter::{ALWAYS, NEVER, Operand, Test};
use crate::like::WILDCARD;
use crate::program::{Binding, List, Node, Op, damaged};
use crate::residual::NumberTest;

impl<'a> Rewriter<'a> {
    /// The outcome of a node that a test of one operand expresses; `None` if none does.
    pub(super) fn test(&mut self, index: u32, node: &Node, want: Want) -> Option<Outcome> {
        let Node { op, a, b, .. } = *node;
        match op {
            Op::Has => self.has(index, a),
            Op::HasColumn => Some(self.present(a)),
            Op::Column | Op::Attribute => {
                let operand = self.operand(index)?;
                Some(self.sided(want, |rewriter, value| {
                    let value = if value { &[Value::Bool(true)] } else { &[Value::Bool(false)] };
                    rewriter.filters.test_of_set(Test::OneOf, operand, value)
                }))
            }
            Op::Equal => {
                let (operand, value) = self.sides(a, b)?;
                let value = self.one(value);
                Some(self.decided(operand, Test::Readable, Test::OneOf, value, want))
            }
            Op::Less | Op::LessOrEqual | Op::DecimalLess | Op::DecimalLessOrEqual => {
                self.comparison(op, a, b, want)
            }
            Op::Contains => match self.operand(a) {
                Some(operand) if self.is_known(b) => {
                    let value = self.one(b);
                    Some(self.decided(operand, Test::ContainsAll, Test::ContainsAny, value, want))
                }
                _ => {
                    let operand = self.operand(b).filter(|_| self.is_known(a))?;
                    let set = self.evaluator.set(a);
                    Some(self.decided(operand, Test::Readable, Test::OneOf, set, want))
                }
            },
            Op::ContainsAny => {
                let (operand, set) = self.sides(a, b)?;
                let set = self.evaluator.set(set);
                Some(self.decided(operand, Test::ContainsAll, Test::ContainsAny, set, want))
            }
            Op::ContainsAll => {
                let operand = self.operand(a).filter(|_| self.is_known(b))?;
                let set = self.evaluator.set(b);
                Some(self.decided(operand, Test::ContainsAll, Test::ContainsAll, set, want))
            }
            Op::IsEmpty => {
                let operand = self.operand(a)?;
                Some(self.decided(operand, Test::ContainsAll, Test::OneOf, Some(&[Value::Set(&[])]), want))
            }
            Op::Like => self.like(node),
            Op::In if self.is_known(a) => self.in_operand(a, b, want),
            Op::In if self.is_known(b) => self.operand_in(a, b, want),
            Op::IsBelow if self.is_known(a) => {
                let groups = self.evaluator.groups(a);
                Some(self.decided(Operand::Ancestors, Test::Exists, Test::ContainsAny, groups, want))
            }
            Op::IsOneOf if self.is_known(a) => {
                let groups = self.evaluator.groups(a);
                Some(self.decided(Operand::Id, Test::Exists, Test::OneOf, groups, want))
            }
            Op::IsOfTypeOf if self.is_known(a) => {
                let types = self.evaluator.groups(a).map(|groups| {
                    let mut types = Vec::new();
                    for group in groups {
                        if let Value::Entity(uid) = group {
                            types.push(Value::Text(uid.entity_type));
                        }
                    }
                    self.set_of(types)
                });
                Some(self.decided(Operand::EntityType, Test::Exists, Test::OneOf, types, want))
            }
            Op::Is if self.node(a).op == Op::Resource => {
                let name = Value::Text(self.evaluator.program.text(b));
                let name = &*self.evaluator.arena.alloc_slice_copy(&[name]);
                Some(self.decided(Operand::EntityType, Test::Exists, Test::OneOf, Some(name), want))
            }
            _ => None,
        }
    }

    /// The value of a node, as the only element of a set; `None` if it has none.
    fn one(&self, index: u32) -> Option<&'a [Value<'a>]> {
        let value = self.evaluator.whole(index)?;
        Some(self.evaluator.arena.alloc_slice_copy(&[value]))
    }

    /// The elements of the set of these values, in none of which anything is ill-typed.
    fn set_of(&self, values: Vec<Value<'a>>) -> &'a [Value<'a>] {
        match Value::set(self.evaluator.arena, values) {
            Value::Set(values) => values,
            _ => damaged(),
        }
    }

    /// The filters that are wanted of the two that say exactly where something is true and where it is false.
    fn sided(&mut self, want: Want, mut filter: impl FnMut(&mut Self, bool) -> u32) -> Outcome {
        let yes = if want.yes { filter(self, true) } else { NEVER };
        let no = if want.no { filter(self, false) } else { NEVER };
        Outcome::exact(yes, no)
    }

    /// Whether an attribute is there.
    pub(super) fn present(&mut self, column: u32) -> Outcome {
        let present = self.filters.test_of_set(Test::Exists, Operand::Attribute(column), &[]);
        Outcome::exact(present, self.filters.not(present))
    }

    /// A test of an attribute that is a kind of number.
    pub(super) fn number(&mut self, column: u32, test: NumberTest, bound: i64, want: Want) -> Outcome {
        let form = self.evaluator.program.column(column).form;
        let bound = &*self.evaluator.arena.alloc_slice_copy(&[form.value(bound)]);
        let operand = Operand::Attribute(column);
        let (yes, no) = match test {
            NumberTest::Equal => {
                return self.decided(operand, Test::Readable, Test::OneOf, Some(bound), want);
            }
            NumberTest::Less => (Test::Less, Test::GreaterOrEqual),
            NumberTest::LessOrEqual => (Test::LessOrEqual, Test::Greater),
            NumberTest::Greater => (Test::Greater, Test::LessOrEqual),
            NumberTest::GreaterOrEqual => (Test::GreaterOrEqual, Test::Less),
        };
        self.sided(want, |rewriter, side| {
            rewriter.filters.test_of_set(if side { yes } else { no }, operand, bound)
        })
    }

    /// Whether a record that is an attribute has a field. It fails where the attribute is no record.
    fn has(&mut self, index: u32, record: u32) -> Option<Outcome> {
        let field = self.field(index)?;
        let record = self.operand(record)?;
        let yes = self.filters.test_of_set(Test::Exists, field, &[]);
        let not = self.filters.not(yes);
        // A record of which one field cannot be read is a record.
        let [low, high] = [Test::Readable, Test::Exists].map(|test| {
            let record = self.filters.test_of_set(test, record, &[]);
            self.filters.and(record, not)
        });
        Some(Outcome { yes: Bounds::exact(yes), no: Bounds { low, high } })
    }

    /// True where the operand passes `test` with the elements of a set, false elsewhere where it passes `defined`, which says of what
    /// type it must be, and neither anywhere if the set could not be evaluated.
    fn decided(
        &mut self,
        operand: Operand,
        defined: Test,
        test: Test,
        values: Option<&'a [Value<'a>]>,
        want: Want,
    ) -> Outcome {
        let Some(values) = values else { return Outcome::FAULT };
        let yes = self.filters.test_of_set(test, operand, values);
        if !want.no {
            return Outcome::exact(yes, NEVER);
        }
        let not = self.filters.not(yes);
        let defined = self.filters.test_of_set(defined, operand, &[]);
        Outcome::exact(yes, self.filters.and(defined, not))
    }

    fn comparison(&mut self, op: Op, a: u32, b: u32, want: Want) -> Option<Outcome> {
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
        let value = &*self.evaluator.arena.alloc_slice_copy(&[value]);
        Some(self.sided(want, |rewriter, side| {
            rewriter.filters.test_of_set(if side { yes } else { no }, operand, value)
        }))
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
    fn in_operand(&mut self, who: u32, groups: u32, want: Want) -> Option<Outcome> {
        let operand = self.operand(groups)?;
        let Some(who) = self.evaluator.entity(who) else { return Some(Outcome::FAULT) };
        let above = self.above(who);
        match self.declared(operand) {
            "" => {
                let one = self.filters.test_of_set(Test::OneOf, operand, above);
                let several = self.filters.test_of_set(Test::ContainsAny, operand, above);
                let high = self.filters.or(one, several);
                let not = self.filters.not(high);
                let readable = self.filters.test_of_set(Test::Readable, operand, &[]);
                // A set may hold something that is no entity, which fails.
                let no = Bounds { low: NEVER, high: self.filters.and(readable, not) };
                Some(Outcome { yes: Bounds { low: one, high }, no })
            }
            declared if declared.starts_with("Entity<") => {
                Some(self.decided(operand, Test::Readable, Test::OneOf, Some(above), want))
            }
            declared if declared.starts_with("Set<Entity<") => {
                Some(self.decided(operand, Test::ContainsAll, Test::ContainsAny, Some(above), want))
            }
            // Not what can be looked into for entities. An empty set can, and holds nothing.
            _ => None,
        }
    }

    /// The set of an entity and everything above it.
    fn above(&mut self, who: &'a Uid<'a>) -> &'a [Value<'a>] {
        match self.above {
            Some((known, above)) if known == who => above,
            _ => {
                let ancestors = self.evaluator.request.ancestors(who);
                let mut above = Vec::with_capacity(ancestors.len() + 1);
                let at = place(ancestors.len(), &|at| {
                    ancestors.get(at).is_some_and(|one| *one < Value::Entity(who))
                });
                let (before, behind) = ancestors.split_at_checked(at).unwrap_or_default();
                above.extend_from_slice(before);
                if behind.first() != Some(&Value::Entity(who)) {
                    above.push(Value::Entity(who));
                }
                above.extend_from_slice(behind);
                let above = &*self.evaluator.arena.alloc_slice_copy(&above);
                self.above = Some((who, above));
                above
            }
        }
    }

    /// `resource.owner in Group::"g"`: the owner is one of the groups or of the entities that are known to be below one.
    fn operand_in(&mut self, who: u32, groups: u32, want: Want) -> Option<Outcome> {
        let operand = self.operand(who)?;
        let Some(groups) = self.evaluator.groups(groups) else { return Some(Outcome::FAULT) };
        let mut below = Vec::from(groups);
        for entity in self.evaluator.request.entities() {
            let is_in = |group: &Value<'a>| matches!(group, Value::Entity(group) if self.evaluator.request.is_in(&entity.uid, group));
            if groups.iter().any(is_in) {
                below.push(Value::entity(self.evaluator.arena, entity.uid));
            }
        }
        let below = self.set_of(below);
        let mut outcome = self.decided(operand, Test::Readable, Test::OneOf, Some(below), want);
        // What is no entity fails.
        if !self.declared(operand).starts_with("Entity<") {
            outcome.no.low = NEVER;
        }
        Some(outcome)
    }

    /// Where nothing more is known than what a node certainly reads.
    pub(super) fn unknown(&mut self, index: u32) -> Outcome {
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
