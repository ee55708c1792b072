//! From Cedar's syntax tree to the intermediate form.
//!
//! Every construct of the language has its place here, or is refused. Only chains are rebuilt: `a && b && c` becomes as shallow a tree
//! as it can, in the same order, which neither changes what is evaluated nor what fails.

use cedar_policy::pst::{
    ActionConstraint, BinaryOp, Clause, EntityOrSlot, EntityType, EntityUID, Expr, Literal, PatternElem,
    PrincipalConstraint, ResourceConstraint, Template, UnaryOp, Var,
};
use tamis_contract::frame::tag;
use tamis_engine::like::WILDCARD;
use tamis_engine::program::{Op, Source};

use crate::ir::{Ir, TooMuch};
use crate::schema::Schema;

/// Puts expressions into the intermediate form.
pub(crate) struct Lower<'a> {
    pub(crate) ir: &'a mut Ir,
    pub(crate) schema: &'a Schema,
}

type Lowered = Result<u32, TooMuch>;

/// What a scope demands of the principal or of the chunk.
struct Scope<'a> {
    entity_type: Option<&'a EntityType>,
    equal: Option<&'a EntityOrSlot>,
    above: Option<&'a EntityOrSlot>,
}

/// What a constraint demands. Cedar has two types for it, alike but for their names.
macro_rules! scope_of {
    ($constraints:ident, $constraint:expr) => {{
        let (entity_type, equal, above) = match $constraint {
            $constraints::Any => (None, None, None),
            $constraints::Eq(entity) => (None, Some(entity), None),
            $constraints::In(entity) => (None, None, Some(entity)),
            $constraints::Is(entity_type) => (Some(entity_type), None, None),
            $constraints::IsIn(entity_type, entity) => (Some(entity_type), None, Some(entity)),
        };
        Scope { entity_type, equal, above }
    }};
}

impl Lower<'_> {
    /// The condition of a policy: its scope, then its clauses.
    pub(crate) fn condition(&mut self, policy: &Template) -> Lowered {
        let mut parts = self.scope_parts(policy)?;
        for clause in policy.clauses() {
            match clause {
                Clause::When(condition) => self.chain(condition, BinaryOp::And, &mut parts)?,
                Clause::Unless(condition) => {
                    let condition = self.expression(condition)?;
                    parts.push(self.ir.node(Op::Not, condition, 0, 0)?);
                }
            }
        }
        self.all(&parts)
    }

    /// The scope of a policy.
    pub(crate) fn scope_alone(&mut self, policy: &Template) -> Lowered {
        let parts = self.scope_parts(policy)?;
        self.all(&parts)
    }

    fn scope_parts(&mut self, policy: &Template) -> Result<Vec<u32>, TooMuch> {
        let mut parts = Vec::new();
        self.scope(Op::Principal, scope_of!(PrincipalConstraint, &policy.principal), &mut parts)?;
        self.action(&policy.action, &mut parts)?;
        self.scope(Op::Resource, scope_of!(ResourceConstraint, &policy.resource), &mut parts)?;
        Ok(parts)
    }

    fn all(&mut self, parts: &[u32]) -> Lowered {
        if parts.is_empty() { self.boolean(true) } else { self.balanced(Op::And, parts) }
    }

    fn scope(&mut self, who: Op, scope: Scope<'_>, parts: &mut Vec<u32>) -> Result<(), TooMuch> {
        let Scope { entity_type, equal, above } = scope;
        // Whoever names the chunk wants its columns, so it is named only for a reason.
        if entity_type.is_none() && equal.is_none() && above.is_none() {
            return Ok(());
        }
        let who = self.ir.node(who, 0, 0, 0)?;
        if let Some(entity_type) = entity_type {
            parts.push(self.is(who, entity_type)?);
        }
        if let Some(entity) = equal {
            let entity = self.filled(entity)?;
            parts.push(self.equal(who, entity)?);
        }
        if let Some(entity) = above {
            let entity = self.filled(entity)?;
            parts.push(self.is_in(who, entity)?);
        }
        Ok(())
    }

    fn action(&mut self, constraint: &ActionConstraint, parts: &mut Vec<u32>) -> Result<(), TooMuch> {
        let action = self.ir.node(Op::Action, 0, 0, 0)?;
        match constraint {
            ActionConstraint::Any => {}
            ActionConstraint::Eq(wanted) => {
                let wanted = self.entity(wanted)?;
                parts.push(self.equal(action, wanted)?);
            }
            ActionConstraint::In(groups) => {
                let mut elements = Vec::new();
                for group in groups {
                    elements.push(self.entity(group)?);
                }
                let groups = self.set(elements)?;
                parts.push(self.is_in(action, groups)?);
            }
        }
        Ok(())
    }

    fn filled(&mut self, entity: &EntityOrSlot) -> Lowered {
        match entity {
            EntityOrSlot::Entity(entity) => self.entity(entity),
            EntityOrSlot::Slot(slot) => Err(TooMuch(format!("the slot `{slot}` is not filled"))),
        }
    }

    /// The value of an expression.
    pub(crate) fn expression(&mut self, expression: &Expr) -> Lowered {
        match expression {
            Expr::Literal(literal) => self.literal(literal),
            Expr::Var(variable) => {
                let op = match variable {
                    Var::Principal => Op::Principal,
                    Var::Action => Op::Action,
                    Var::Resource => Op::Resource,
                    Var::Context => Op::Context,
                };
                self.ir.node(op, 0, 0, 0)
            }
            Expr::UnaryOp { op, expr } => self.unary(*op, expr),
            Expr::BinaryOp { op, left, right } => self.binary(*op, left, right, expression),
            Expr::GetAttr { expr, attr } => {
                let base = self.base(expr)?;
                self.attribute(base, attr)
            }
            Expr::HasAttr { expr, attrs } => self.has(expr, attrs.iter().map(AsRef::as_ref)),
            Expr::Like { expr, pattern } => {
                let text = self.expression(expr)?;
                let pattern = pattern.iter().map(|element| match element {
                    PatternElem::Char(character) => u32::from(*character),
                    PatternElem::Wildcard => WILDCARD,
                });
                let list = self.ir.list(pattern.collect());
                self.ir.node(Op::Like, text, list.start, list.length)
            }
            Expr::Is { expr, entity_type, in_expr } => {
                let who = self.expression(expr)?;
                let is = self.is(who, entity_type)?;
                match in_expr {
                    None => Ok(is),
                    Some(groups) => {
                        let groups = self.expression(groups)?;
                        let is_in = self.is_in(who, groups)?;
                        self.ir.node(Op::And, is, is_in, 0)
                    }
                }
            }
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                let condition = self.expression(cond)?;
                let (then, otherwise) = (self.expression(then_expr)?, self.expression(else_expr)?);
                self.ir.node(Op::If, condition, then, otherwise)
            }
            Expr::Set(elements) => {
                let elements =
                    elements.iter().map(|element| self.expression(element)).collect::<Result<_, _>>()?;
                self.set(elements)
            }
            Expr::Record(fields) => {
                let mut pairs = Vec::new();
                for (name, value) in fields {
                    pairs.extend([self.ir.text(name), self.expression(value)?]);
                }
                let list = self.ir.list(pairs);
                self.ir.node(Op::Record, 0, list.start, list.length)
            }
            Expr::Slot(slot) => Err(TooMuch(format!("the slot `{slot}` stands in a condition"))),
            Expr::Unknown { name } => Err(TooMuch(format!("`unknown({name})` has no value"))),
            other => Err(TooMuch(format!("`{other}` is not known to this compiler"))),
        }
    }

    fn unary(&mut self, op: UnaryOp, operand: &Expr) -> Lowered {
        let op = match op {
            UnaryOp::Not => Op::Not,
            UnaryOp::Neg => Op::Negate,
            UnaryOp::IsEmpty => Op::IsEmpty,
            UnaryOp::Datetime => Op::Datetime,
            UnaryOp::Decimal => Op::Decimal,
            UnaryOp::Duration => Op::Duration,
            UnaryOp::Ip => Op::Ip,
            UnaryOp::IsIPv4 => Op::IsIpv4,
            UnaryOp::IsIPV6 => Op::IsIpv6,
            UnaryOp::IsLoopback => Op::IsLoopback,
            UnaryOp::IsMulticast => Op::IsMulticast,
            UnaryOp::ToDate => Op::ToDate,
            UnaryOp::ToTime => Op::ToTime,
            UnaryOp::ToMilliseconds => Op::ToMilliseconds,
            UnaryOp::ToSeconds => Op::ToSeconds,
            UnaryOp::ToMinutes => Op::ToMinutes,
            UnaryOp::ToHours => Op::ToHours,
            UnaryOp::ToDays => Op::ToDays,
            other => return Err(TooMuch(format!("the operator `{other}` is not known to this compiler"))),
        };
        let operand = self.expression(operand)?;
        self.ir.node(op, operand, 0, 0)
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr, whole: &Expr) -> Lowered {
        let plain = |op: Op| (op, false);
        let (op, mirrored) = match op {
            BinaryOp::And | BinaryOp::Or => return self.connective(op, whole),
            BinaryOp::Eq => return self.equality(left, right),
            BinaryOp::NotEq => {
                let equal = self.equality(left, right)?;
                return self.ir.node(Op::Not, equal, 0, 0);
            }
            BinaryOp::In => {
                let (who, groups) = (self.expression(left)?, self.expression(right)?);
                return self.is_in(who, groups);
            }
            BinaryOp::GetTag => return self.tag(Op::GetTag, left, right),
            BinaryOp::HasTag => return self.tag(Op::HasTag, left, right),
            BinaryOp::Less => plain(Op::Less),
            BinaryOp::LessEq => plain(Op::LessOrEqual),
            BinaryOp::Greater => (Op::Less, true),
            BinaryOp::GreaterEq => (Op::LessOrEqual, true),
            BinaryOp::Add => plain(Op::Add),
            BinaryOp::Sub => plain(Op::Subtract),
            BinaryOp::Mul => plain(Op::Multiply),
            BinaryOp::Contains => plain(Op::Contains),
            BinaryOp::ContainsAll => plain(Op::ContainsAll),
            BinaryOp::ContainsAny => plain(Op::ContainsAny),
            BinaryOp::IsInRange => plain(Op::IsInRange),
            BinaryOp::Offset => plain(Op::Offset),
            BinaryOp::DurationSince => plain(Op::DurationSince),
            BinaryOp::DecimalLessThan => plain(Op::DecimalLess),
            BinaryOp::DecimalLessEq => plain(Op::DecimalLessOrEqual),
            BinaryOp::DecimalGreater => (Op::DecimalLess, true),
            BinaryOp::DecimalGreaterEq => (Op::DecimalLessOrEqual, true),
            other => return Err(TooMuch(format!("the operator `{other}` is not known to this compiler"))),
        };
        let (left, right) = (self.expression(left)?, self.expression(right)?);
        let (a, b) = if mirrored { (right, left) } else { (left, right) };
        self.ir.node(op, a, b, 0)
    }

    fn connective(&mut self, op: BinaryOp, whole: &Expr) -> Lowered {
        let mut parts = Vec::new();
        self.chain(whole, op, &mut parts)?;
        self.balanced(if op == BinaryOp::And { Op::And } else { Op::Or }, &parts)
    }

    /// The operands of a chain of `op`, in order.
    fn chain(&mut self, expression: &Expr, op: BinaryOp, parts: &mut Vec<u32>) -> Result<(), TooMuch> {
        match expression {
            Expr::BinaryOp { op: inner, left, right } if *inner == op => {
                self.chain(left, op, parts)?;
                self.chain(right, op, parts)
            }
            other => {
                parts.push(self.expression(other)?);
                Ok(())
            }
        }
    }

    fn balanced(&mut self, op: Op, parts: &[u32]) -> Lowered {
        match parts {
            [only] => Ok(*only),
            parts => {
                let (left, right) = parts.split_at(parts.len() / 2);
                let (left, right) = (self.balanced(op, left)?, self.balanced(op, right)?);
                self.ir.node(op, left, right, 0)
            }
        }
    }

    fn equality(&mut self, left: &Expr, right: &Expr) -> Lowered {
        let (left, right) = (self.expression(left)?, self.expression(right)?);
        self.equal(left, right)
    }

    fn equal(&mut self, left: u32, right: u32) -> Lowered {
        self.ir.node(Op::Equal, left, right, 0)
    }

    /// `who in groups`. For the chunk that is three questions, each of which reads as little of it as it can.
    fn is_in(&mut self, who: u32, groups: u32) -> Lowered {
        if !self.is_resource(who) {
            if self.ir.may_be_chunk(who) {
                self.ir.column(Source::Ancestors, "")?;
            }
            return self.ir.node(Op::In, who, groups, u32::from(self.ir.may_be_chunk(who)));
        }
        let below = self.ir.node(Op::IsBelow, groups, 0, 0)?;
        let same_type = self.ir.node(Op::IsOfTypeOf, groups, 0, 0)?;
        let same = self.ir.node(Op::IsOneOf, groups, 0, 0)?;
        let itself = self.ir.node(Op::And, same_type, same, 0)?;
        self.ir.node(Op::Or, below, itself, 0)
    }

    fn is(&mut self, who: u32, entity_type: &EntityType) -> Lowered {
        let name = self.ir.text(&entity_type.to_string());
        self.ir.node(Op::Is, who, name, 0)
    }

    fn is_resource(&self, index: u32) -> bool {
        self.ir.at(index).is_some_and(|node| node.op == Op::Resource)
    }

    /// What an attribute is read of. `None` is the chunk: its columns are read without naming it, which would want its id.
    fn base(&mut self, base: &Expr) -> Result<Option<u32>, TooMuch> {
        if matches!(base, Expr::Var(Var::Resource)) { Ok(None) } else { self.expression(base).map(Some) }
    }

    fn attribute(&mut self, base: Option<u32>, name: &str) -> Lowered {
        let Some(base) = base else {
            let column = self.attribute_column(name)?;
            return self.ir.node(Op::Column, u32::from(column), 0, 0);
        };
        let of_chunk = self.looks_at_chunk(base, name)?;
        let name = self.ir.text(name);
        self.ir.node(Op::Attribute, base, name, of_chunk)
    }

    fn has_one(&mut self, base: Option<u32>, name: &str) -> Lowered {
        let Some(base) = base else {
            let column = self.attribute_column(name)?;
            return self.ir.node(Op::HasColumn, u32::from(column), 0, 0);
        };
        let of_chunk = self.looks_at_chunk(base, name)?;
        let name = self.ir.text(name);
        self.ir.node(Op::Has, base, name, of_chunk)
    }

    /// `base has a.b.c` is `base has a && base.a has b && base.a.b has c`.
    fn has<'n>(&mut self, base: &Expr, names: impl Iterator<Item = &'n str>) -> Lowered {
        let mut base = self.base(base)?;
        let mut parts = Vec::new();
        let mut names = names.peekable();
        while let Some(name) = names.next() {
            parts.push(self.has_one(base, name)?);
            if names.peek().is_some() {
                base = Some(self.attribute(base, name)?);
            }
        }
        self.balanced(Op::And, &parts)
    }

    /// 1 if the chunk may have to be asked for the attribute.
    fn looks_at_chunk(&mut self, base: u32, name: &str) -> Lowered {
        if !self.ir.may_be_chunk(base) {
            return Ok(0);
        }
        self.attribute_column(name)?;
        Ok(1)
    }

    fn attribute_column(&mut self, name: &str) -> Result<u16, TooMuch> {
        let column = self.ir.column(Source::Attribute, name)?;
        if self.schema.chunk_attribute(name).is_some_and(|attribute| attribute.declared.is_none()) {
            self.ir.convert(column)?;
        }
        Ok(column)
    }

    fn tag(&mut self, op: Op, base: &Expr, name: &Expr) -> Lowered {
        let (base, name) = (self.expression(base)?, self.expression(name)?);
        let of_chunk = self.ir.may_be_chunk(base);
        if of_chunk {
            let column = self.ir.column(Source::Tags, "")?;
            if self.schema.has_tags() {
                self.ir.convert(column)?;
            }
        }
        self.ir.node(op, base, name, u32::from(of_chunk && !self.is_resource(base)))
    }

    fn literal(&mut self, literal: &Literal) -> Lowered {
        match literal {
            Literal::Bool(value) => self.boolean(*value),
            Literal::Long(value) => self.ir.written(|writer| writer.number(tag::LONG, *value)),
            Literal::String(text) => self.ir.written(|writer| writer.tagged_text(tag::TEXT, text)),
            Literal::EntityUID(entity) => self.entity(entity),
            other => Err(TooMuch(format!("the literal `{other:?}` is not known to this compiler"))),
        }
    }

    pub(crate) fn boolean(&mut self, value: bool) -> Lowered {
        self.ir.written(|writer| writer.boolean(value))
    }

    fn entity(&mut self, entity: &EntityUID) -> Lowered {
        let entity_type = entity.ty.to_string();
        self.ir.written(|writer| writer.entity(&entity_type, &entity.eid))
    }

    fn set(&mut self, elements: Vec<u32>) -> Lowered {
        let list = self.ir.list(elements);
        self.ir.node(Op::Set, 0, list.start, list.length)
    }
}
