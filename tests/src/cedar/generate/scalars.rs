//! Numbers and extension values: arithmetic, constructors, and the methods that answer with a value.

use super::expressions::{Author, Write};
use super::pools::{self, ExtensionTexts};
use crate::cedar::expression::Expression;
use crate::cedar::model::Type;

const ARITHMETIC: &[&str] = &["+", "-", "*"];

pub(super) const CONVERSIONS: &[&str] = &["toMilliseconds", "toSeconds", "toMinutes", "toHours", "toDays"];

impl Author<'_> {
    /// A number.
    pub(super) fn long(&mut self, depth: usize) -> Expression {
        let write = self.choices.weighted::<Write<Self>>(&[
            (12, Self::arithmetic),
            (4, Self::negative),
            (5, Self::conversion),
        ]);
        write(self, depth)
    }

    fn negative(&mut self, depth: usize) -> Expression {
        Expression::Negate(Box::new(self.expression(&Type::Long, depth - 1)))
    }

    fn conversion(&mut self, depth: usize) -> Expression {
        let duration = self.expression(&Type::Duration, depth - 1);
        let name = self.choices.word(CONVERSIONS);
        self.call_method(duration, name, Vec::new())
    }

    fn arithmetic(&mut self, depth: usize) -> Expression {
        let (count, depth) = match self.choices.rarely(15) {
            true => (self.choices.between(20, 100), 0),
            false => (self.choices.weighted(&[(8, 2), (2, 3)]), depth - 1),
        };
        let operator = self.choices.word(ARITHMETIC);
        let operands = (0..count).map(|_| self.expression(&Type::Long, depth));
        let chain = operands.reduce(|left, right| left.binary(operator, right)).expect("at least two");
        if self.choices.chance(20) { self.calculated(chain, Expression::Long(i64::MAX)) } else { chain }
    }

    /// Two numbers with an operator between them; seldom close to where it overflows.
    pub(super) fn calculated(&mut self, left: Expression, right: Expression) -> Expression {
        let limit = Expression::Long(*self.choices.pick(&[i64::MIN, i64::MAX]));
        let right = if self.choices.chance(15) { limit } else { right };
        let operator = self.choices.word(ARITHMETIC);
        if self.choices.chance(50) { left.binary(operator, right) } else { right.binary(operator, left) }
    }

    /// A decimal.
    pub(super) fn decimal(&mut self, depth: usize) -> Expression {
        self.constructed(&pools::DECIMAL, depth)
    }

    /// An address or a network.
    pub(super) fn ip(&mut self, depth: usize) -> Expression {
        self.constructed(&pools::IP, depth)
    }

    /// A moment.
    pub(super) fn datetime(&mut self, depth: usize) -> Expression {
        if self.choices.chance(30) {
            return self.constructed(&pools::DATETIME, depth);
        }
        let datetime = self.expression(&Type::Datetime, depth - 1);
        if self.choices.chance(40) {
            return self.call_method(datetime, "toDate", Vec::new());
        }
        let duration = self.expression(&Type::Duration, depth - 1);
        self.call_method(datetime, "offset", vec![duration])
    }

    /// A duration.
    pub(super) fn duration(&mut self, depth: usize) -> Expression {
        if self.choices.chance(30) {
            return self.constructed(&pools::DURATION, depth);
        }
        let datetime = self.expression(&Type::Datetime, depth - 1);
        if self.choices.chance(40) {
            return self.call_method(datetime, "toTime", Vec::new());
        }
        let other = self.expression(&Type::Datetime, depth - 1);
        self.call_method(datetime, "durationSince", vec![other])
    }

    /// A call of a constructor with a literal, or with what is known at run time only.
    fn constructed(&mut self, texts: &ExtensionTexts, depth: usize) -> Expression {
        if self.choices.chance(8) {
            return self.odd_call(texts.constructor);
        }
        if self.choices.chance(75) {
            let text = Expression::Text(self.choices.word(texts.valid).to_owned());
            let argument = match self.choices.chance(20) {
                true => {
                    let condition = Box::new(self.guarded(depth - 1));
                    let otherwise = Expression::Text(self.choices.word(texts.valid).to_owned());
                    Expression::If(condition, Box::new(text), Box::new(otherwise))
                }
                false => text,
            };
            return Expression::Call(texts.constructor, vec![argument]);
        }
        let argument = self.expression(&Type::Text, depth - 1);
        Expression::Call(texts.constructor, vec![argument])
    }

    /// A call of a constructor that fails: a text that it refuses, or too few or too many arguments.
    pub(super) fn odd_call(&mut self, constructor: &'static str) -> Expression {
        let texts = [&pools::DECIMAL, &pools::IP, &pools::DATETIME, &pools::DURATION]
            .into_iter()
            .find(|texts| texts.constructor == constructor)
            .expect("a constructor");
        let text = |choices: &mut crate::cedar::choices::Choices| {
            Expression::Text(choices.word(texts.invalid).to_owned())
        };
        let arguments = match self.choices.weighted(&[(20, 0), (1, 1), (1, 2)]) {
            0 => vec![text(self.choices)],
            1 => Vec::new(),
            _ => vec![text(self.choices), text(self.choices)],
        };
        Expression::Call(constructor, arguments)
    }

    /// A call of a method of an extension, seldom with an argument too many.
    fn call_method(
        &mut self,
        of: Expression,
        name: &'static str,
        mut arguments: Vec<Expression>,
    ) -> Expression {
        if self.choices.rarely(8) {
            arguments.push(self.entity_literal());
        }
        of.method(name, arguments)
    }
}
