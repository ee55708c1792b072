//! Questions about one attribute, most often of the resource: an operator that suits what it holds.

use super::booleans::{COMPARISONS, DECIMAL_COMPARISONS, IP_TESTS};
use super::expressions::Author;
use super::pools;
use super::scalars::CONVERSIONS;
use crate::cedar::expression::{Expression, Glob};
use crate::cedar::model::Type;

/// What the durations of the pool are in some unit.
const CONVERTED: &[i64] = &[0, -1, 1, -59, 24, 26, 61, 93, 999, 1440, 1563, 3660, 86_400, 93_784, 86_400_000];

impl Author<'_> {
    /// A question about an attribute.
    pub(super) fn question(&mut self, depth: usize) -> Expression {
        let Some((place, holds)) = self.typed_place(|_| true) else { return self.leaf(&Type::Bool) };
        if self.choices.chance(15) {
            return self.sameness(place, &holds, depth);
        }
        match holds {
            Type::Bool => place,
            Type::Long => self.about_long(place, depth),
            Type::Text => self.about_text(place, depth),
            Type::Decimal => {
                let other = self.leaf(&Type::Decimal);
                place.method(self.choices.word(DECIMAL_COMPARISONS), vec![other])
            }
            Type::Ip => self.about_ip(place),
            Type::Datetime => self.about_datetime(place, depth),
            Type::Duration => self.about_duration(place, depth),
            Type::Entity(name) => self.about_entity(place, &name, depth),
            Type::Set(element) => self.about_set(place, &element, depth),
            Type::Record(_) => place.has(pools::name(self.choices)),
        }
    }

    /// Whether the attribute is equal to another value, from either side, or one of several.
    fn sameness(&mut self, place: Expression, holds: &Type, depth: usize) -> Expression {
        let other = self.expression(holds, depth - 1);
        match self.choices.below(5) {
            0 => other.binary("==", place),
            1 => place.binary("!=", other),
            2 => Expression::Set(vec![other, self.leaf(holds)]).method("contains", vec![place]),
            3 => {
                let left = Expression::Record(vec![("a".to_owned(), place)]);
                left.binary("==", Expression::Record(vec![("a".to_owned(), other)]))
            }
            _ => place.binary("==", other),
        }
    }

    fn compared(&mut self, left: Expression, of: &Type, depth: usize) -> Expression {
        let right = self.expression(of, depth - 1);
        let operator = self.choices.word(COMPARISONS);
        if self.choices.chance(30) { right.binary(operator, left) } else { left.binary(operator, right) }
    }

    fn about_long(&mut self, place: Expression, depth: usize) -> Expression {
        let number = match self.choices.below(4) {
            0 => Expression::Negate(Box::new(place)),
            1 => {
                let other = self.leaf(&Type::Long);
                self.calculated(place, other)
            }
            _ => place,
        };
        self.compared(number, &Type::Long, depth)
    }

    fn about_text(&mut self, place: Expression, depth: usize) -> Expression {
        match self.choices.below(4) {
            0 => {
                let (texts, of) = self.choices.weighted(&[
                    (1, (&pools::DECIMAL, &Type::Decimal)),
                    (1, (&pools::IP, &Type::Ip)),
                    (1, (&pools::DATETIME, &Type::Datetime)),
                    (1, (&pools::DURATION, &Type::Duration)),
                ]);
                let other = self.expression(of, depth - 1);
                Expression::Call(texts.constructor, vec![place]).binary("==", other)
            }
            _ => Expression::Like(Box::new(place), self.pattern_near_stored()),
        }
    }

    /// A pattern: often a stored text with a part of it open.
    pub(super) fn pattern_near_stored(&mut self) -> Vec<Glob> {
        let mut pattern = Vec::new();
        let texts = self.stored_texts();
        if !texts.is_empty() && self.choices.chance(60) {
            let text: Vec<char> = self.choices.pick(&texts).chars().collect();
            let cut = self.choices.between(0, text.len());
            pattern.push(Glob::Exactly(text[..cut].iter().collect()));
            pattern.push(Glob::Any);
            if self.choices.chance(50) {
                let resumed = self.choices.between(cut, text.len());
                pattern.push(Glob::Exactly(text[resumed..].iter().collect()));
            }
            return pattern;
        }
        for _ in 0..self.choices.between(0, 3) {
            if self.choices.chance(55) {
                pattern.push(Glob::Any);
            }
            pattern.push(Glob::Exactly(pools::text(self.choices).to_owned()));
        }
        if self.choices.chance(50) {
            pattern.push(Glob::Any);
        }
        pattern
    }

    fn about_ip(&mut self, place: Expression) -> Expression {
        match self.choices.below(3) {
            0 => place.method(self.choices.word(IP_TESTS), Vec::new()),
            1 => self.leaf(&Type::Ip).method("isInRange", vec![place]),
            _ => {
                let range = self.leaf(&Type::Ip);
                place.method("isInRange", vec![range])
            }
        }
    }

    fn about_datetime(&mut self, place: Expression, depth: usize) -> Expression {
        match self.choices.below(6) {
            0 => {
                let duration = self.leaf(&Type::Duration);
                self.compared(place.method("offset", vec![duration]), &Type::Datetime, depth)
            }
            1 => {
                let other = self.leaf(&Type::Datetime);
                self.compared(place.method("durationSince", vec![other]), &Type::Duration, depth)
            }
            2 => self.compared(place.method("toDate", Vec::new()), &Type::Datetime, depth),
            3 => self.compared(place.method("toTime", Vec::new()), &Type::Duration, depth),
            _ => self.compared(place, &Type::Datetime, depth),
        }
    }

    fn about_duration(&mut self, place: Expression, depth: usize) -> Expression {
        if self.choices.chance(40) {
            return self.compared(place, &Type::Duration, depth);
        }
        let number = place.method(self.choices.word(CONVERSIONS), Vec::new());
        if self.choices.chance(40) {
            return self.compared(number, &Type::Long, depth);
        }
        let operator = self.choices.word(&["==", "!=", "<", "<=", ">", ">="]);
        number.binary(operator, Expression::Long(*self.choices.pick(CONVERTED)))
    }

    fn about_entity(&mut self, place: Expression, name: &str, depth: usize) -> Expression {
        match self.choices.below(8) {
            0 => Expression::Is(Box::new(place), self.entity_type()),
            1 => {
                let ancestors = Box::new(self.ancestors(depth));
                Expression::IsIn(Box::new(place), self.entity_type(), ancestors)
            }
            2 => place.has(pools::name(self.choices)),
            3 => {
                let key = self.key(depth);
                place.method("hasTag", vec![key])
            }
            4 => {
                let key = self.key(depth);
                let tags = self.model.entity_type(name).and_then(|entity_type| entity_type.tags.clone());
                let holds = tags.unwrap_or(Type::Text);
                let other = self.leaf(&holds);
                let tag = place.clone().method("getTag", vec![key.clone()]).binary("==", other);
                if self.choices.chance(30) {
                    return tag;
                }
                place.method("hasTag", vec![key]).binary("&&", tag)
            }
            5 => {
                let other = self.expression(&Type::Entity(name.to_owned()), depth - 1);
                other.binary("in", place)
            }
            _ => {
                let ancestors = self.ancestors(depth);
                place.binary("in", ancestors)
            }
        }
    }

    fn about_set(&mut self, place: Expression, element: &Type, depth: usize) -> Expression {
        let of = Type::Set(Box::new(element.clone()));
        match self.choices.below(8) {
            0 => place.method("isEmpty", Vec::new()),
            1 => {
                let other = self.expression(&of, depth - 1);
                place.method("containsAll", vec![other])
            }
            2 => self.expression(&of, depth - 1).method("containsAll", vec![place]),
            3 => {
                let other = self.expression(&of, depth - 1);
                place.method("containsAny", vec![other])
            }
            4 => self.expression(&of, depth - 1).method("containsAny", vec![place]),
            5 => self.any_entity(depth).binary("in", place),
            _ => {
                let element = self.expression(element, depth - 1);
                place.method("contains", vec![element])
            }
        }
    }
}
