//! Boolean expressions: every operator and method that answers yes or no.

use super::expressions::{Author, Write};
use super::pools;
use super::values::uid;
use crate::cedar::expression::Expression;
use crate::cedar::model::Type;

pub(super) const COMPARISONS: &[&str] = &["<", "<=", ">", ">="];

pub(super) const DECIMAL_COMPARISONS: &[&str] =
    &["lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"];

pub(super) const IP_TESTS: &[&str] = &["isIpv4", "isIpv6", "isLoopback", "isMulticast"];

impl Author<'_> {
    /// A boolean expression with an operator at its root, most often one about an attribute.
    pub(super) fn boolean(&mut self, depth: usize) -> Expression {
        let write = self.choices.weighted::<Write<Self>>(&[
            (40, Self::question),
            (10, Self::connective),
            (4, Self::negation),
            (12, Self::equality),
            (10, Self::comparison),
            (10, Self::hierarchy),
            (5, Self::type_test),
            (8, Self::presence),
            (7, Self::pattern),
            (5, Self::tag_presence),
            (14, Self::membership),
            (5, Self::decimal_test),
            (6, Self::ip_test),
        ]);
        write(self, depth)
    }

    fn negation(&mut self, depth: usize) -> Expression {
        self.guarded(depth - 1).negated()
    }

    fn connective(&mut self, depth: usize) -> Expression {
        let operator = if self.choices.chance(50) { "&&" } else { "||" };
        // A chain is short, or so long that whoever recurses over it notices.
        let (count, depth) = match self.choices.rarely(15) {
            true => (self.choices.between(20, 100), 1),
            false => (self.choices.weighted(&[(8, 2), (2, 3), (1, 5)]), depth - 1),
        };
        let chain =
            (0..count).map(|_| self.guarded(depth)).reduce(|left, right| left.binary(operator, right));
        chain.expect("at least two")
    }

    fn equality(&mut self, depth: usize) -> Expression {
        let operator = if self.choices.chance(65) { "==" } else { "!=" };
        let left_type = self.operand_type();
        let right_type = if self.choices.chance(10) { self.any_type() } else { left_type.clone() };
        let left = self.expression(&left_type, depth - 1);
        let right = self.expression(&right_type, depth - 1);
        left.binary(operator, right)
    }

    /// The type of an attribute, if any attribute will do; else any type.
    fn operand_type(&mut self) -> Type {
        match self.choices.weighted(&[(2, 0), (1, 1)]) {
            0 => {
                let types = self.model.entity_types.iter().flat_map(|entity_type| {
                    let held = entity_type.attributes.values().map(|field| field.holds.clone());
                    held.chain([Type::Entity(entity_type.name.clone())])
                });
                let types: Vec<_> = types.collect();
                self.choices.pick(&types).clone()
            }
            _ => self.any_type(),
        }
    }

    /// A comparison of two numbers, moments or durations.
    pub(super) fn comparison(&mut self, depth: usize) -> Expression {
        let of =
            self.choices.weighted(&[(5, &Type::Long), (2, &Type::Datetime), (2, &Type::Duration)]).clone();
        let left = self.expression(&of, depth - 1);
        let right = self.expression(&of, depth - 1);
        left.binary(self.choices.word(COMPARISONS), right)
    }

    /// `in` with an entity, or a set of entities, or seldom of anything else too.
    fn hierarchy(&mut self, depth: usize) -> Expression {
        let entity = self.any_entity(depth);
        let ancestors = self.ancestors(depth);
        entity.binary("in", ancestors)
    }

    /// An entity, most often the resource.
    pub(super) fn any_entity(&mut self, depth: usize) -> Expression {
        match self.choices.weighted(&[(5, 0), (3, 1), (1, 2), (4, 3)]) {
            0 => Expression::Variable("resource"),
            1 => Expression::Variable("principal"),
            2 => Expression::Variable("action"),
            _ => {
                let of = Type::Entity(self.entity_type());
                self.expression(&of, depth - 1)
            }
        }
    }

    /// What an entity may be in: an entity, a set of entities, or seldom a set of others.
    pub(super) fn ancestors(&mut self, depth: usize) -> Expression {
        let of = Type::Entity(self.entity_type());
        match self.choices.weighted(&[(4, 0), (3, 1), (3, 2), (1, 3)]) {
            0 => self.expression(&of, depth - 1),
            1 => self.expression(&Type::Set(Box::new(of)), depth - 1),
            2 => {
                let count = self.choices.between(0, 4);
                Expression::Set((0..count).map(|_| self.any_entity(depth)).collect())
            }
            _ => Expression::Set(vec![
                self.any_entity(depth),
                Expression::Entity(self.model.actions[0].uid.clone()),
                self.leaf(&of),
            ]),
        }
    }

    fn type_test(&mut self, depth: usize) -> Expression {
        let entity = Box::new(self.any_entity(depth));
        let name = self.entity_type();
        if self.choices.chance(60) {
            return Expression::Is(entity, name);
        }
        let ancestors = Box::new(self.ancestors(depth));
        Expression::IsIn(entity, name, ancestors)
    }

    /// `has` with a name that may be there, or with several joined by dots.
    fn presence(&mut self, depth: usize) -> Expression {
        let of = self.place(|holds| matches!(holds, Type::Entity(_) | Type::Record(_)));
        let of = match of {
            Some(place) if self.choices.chance(75) => place,
            _ => {
                let of = Type::Entity(self.entity_type());
                self.expression(&of, depth - 1)
            }
        };
        // The path of an attribute that exists, cut somewhere, is a test that often holds.
        let path = self.place(|_| true).filter(|_| self.choices.chance(60));
        if let Some((of, names)) = path.and_then(dotted) {
            return Expression::Has(Box::new(of), names);
        }
        of.has(pools::name(self.choices))
    }

    /// Whether a text is like a pattern.
    pub(super) fn pattern(&mut self, depth: usize) -> Expression {
        let text = self.expression(&Type::Text, depth - 1);
        Expression::Like(Box::new(text), self.pattern_near_stored())
    }

    fn tag_presence(&mut self, depth: usize) -> Expression {
        let entity = self.any_entity(depth);
        let key = self.key(depth);
        entity.method("hasTag", vec![key])
    }

    /// A question about a set.
    pub(super) fn membership(&mut self, depth: usize) -> Expression {
        let element = if self.choices.chance(60) { self.element_of_some_set() } else { self.operand_type() };
        let of = Type::Set(Box::new(element.clone()));
        let set = self.expression(&of, depth - 1);
        match self.choices.weighted(&[(5, 0), (3, 1), (3, 2), (2, 3)]) {
            0 => {
                let element = self.expression(&element, depth - 1);
                set.method("contains", vec![element])
            }
            1 => {
                let other = self.expression(&of, depth - 1);
                set.method("containsAll", vec![other])
            }
            2 => {
                let other = self.expression(&of, depth - 1);
                set.method("containsAny", vec![other])
            }
            _ => set.method("isEmpty", Vec::new()),
        }
    }

    fn element_of_some_set(&mut self) -> Type {
        let elements = self.model.entity_types.iter().flat_map(|entity_type| {
            entity_type.attributes.values().filter_map(|field| match &field.holds {
                Type::Set(element) => Some((**element).clone()),
                _ => None,
            })
        });
        let elements: Vec<_> = elements.collect();
        if elements.is_empty() { Type::Text } else { self.choices.pick(&elements).clone() }
    }

    /// A comparison of two decimals.
    pub(super) fn decimal_test(&mut self, depth: usize) -> Expression {
        let left = self.expression(&Type::Decimal, depth - 1);
        let right = self.expression(&Type::Decimal, depth - 1);
        left.method(self.choices.word(DECIMAL_COMPARISONS), vec![right])
    }

    /// A test of an address; `isInRange` takes one range, and Cedar reads any number of them.
    pub(super) fn ip_test(&mut self, depth: usize) -> Expression {
        let address = self.expression(&Type::Ip, depth - 1);
        if self.choices.chance(50) {
            let count = self.choices.weighted(&[(40, 1), (1, 0), (1, 2), (1, 3)]);
            let ranges = (0..count).map(|_| self.expression(&Type::Ip, depth - 1)).collect();
            return address.method("isInRange", ranges);
        }
        let arguments = if self.choices.chance(2) { vec![self.leaf(&Type::Long)] } else { Vec::new() };
        address.method(self.choices.word(IP_TESTS), arguments)
    }

    /// Any entity of the model as a literal.
    pub(super) fn entity_literal(&mut self) -> Expression {
        let name = self.entity_type();
        Expression::Entity(uid(self.choices, self.model, &name))
    }
}

/// A path as what it starts from and the names that follow, if those can be joined by dots.
fn dotted(path: Expression) -> Option<(Expression, Vec<String>)> {
    let mut names = Vec::new();
    let mut of = path;
    while let Expression::Get(inner, name) = of {
        names.insert(0, name);
        of = *inner;
    }
    let joinable = names.len() == 1 || names.iter().all(|name| crate::cedar::text::is_identifier(name));
    (!names.is_empty() && joinable).then_some((of, names))
}
