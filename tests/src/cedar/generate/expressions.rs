//! Expressions of any type: what can stand wherever a value of a type is asked for.

use std::rc::Rc;

use super::places::{Place, places};
use super::topic::Topic;
use super::values::{any_type, names, uid, value};
use super::{Scene, pools};
use crate::cedar::choices::Choices;
use crate::cedar::expression::Expression;
use crate::cedar::model::{Model, Shape, Type};
use crate::cedar::value::Value;

/// Writes an expression of some sort, nested up to a depth.
pub(super) type Write<A> = fn(&mut A, usize) -> Expression;

/// Writes the expressions of one policy.
#[derive(Debug)]
pub(super) struct Author<'a> {
    /// Where it draws from.
    pub(super) choices: &'a mut Choices,
    /// What it writes about.
    pub(super) model: &'a Model,
    /// The rest of what it writes about.
    pub(super) scene: &'a Scene<'a>,
    /// What the policy is about.
    pub(super) topic: Topic<'a>,
    places: Rc<[Place]>,
    names: Vec<String>,
    /// What the expression being written takes to be there.
    pub(super) guards: Vec<Expression>,
}

impl<'a> Author<'a> {
    /// The author of a policy about a topic.
    pub(super) fn new(choices: &'a mut Choices, scene: &'a Scene<'a>, topic: Topic<'a>) -> Self {
        let model = scene.model;
        let (places, names) = (places(model, topic).into(), names(model));
        Self { choices, model, scene, topic, places, names, guards: Vec::new() }
    }

    /// The body of a condition.
    pub(super) fn condition(&mut self) -> Expression {
        let depth = self.choices.weighted(&[(3, 1), (6, 2), (6, 3), (3, 4), (1, 6)]);
        let mut body = match self.choices.weighted(&[(5, 0), (2, 1), (1, 2)]) {
            0 => self.guarded(depth),
            1 => self.answered(depth),
            _ => self.answered(depth).binary("&&", self.guarded(depth)),
        };
        if self.choices.chance(2) {
            body = self.deep(body);
        }
        body
    }

    /// A boolean expression, mostly behind tests that what it reads is there.
    pub(super) fn guarded(&mut self, depth: usize) -> Expression {
        let outer = std::mem::take(&mut self.guards);
        let body = self.expression(&Type::Bool, depth);
        let guards = std::mem::replace(&mut self.guards, outer);
        if guards.is_empty() || self.choices.chance(30) {
            return body;
        }
        let chain = guards.into_iter().reduce(|left, right| left.binary("&&", right));
        chain.expect("at least one").binary("&&", body)
    }

    /// An expression that mostly has the type.
    pub(super) fn expression(&mut self, of: &Type, depth: usize) -> Expression {
        if self.choices.chance(self.scene.ill_typed) {
            let other = self.any_type();
            return self.well_typed(&other, depth);
        }
        self.well_typed(of, depth)
    }

    fn well_typed(&mut self, of: &Type, depth: usize) -> Expression {
        if depth == 0 {
            return self.leaf(of);
        }
        match self.choices.weighted(&[(18, 0), (30, 1), (3, 2), (2, 3), (2, 4), (2, 5)]) {
            0 => self.leaf(of),
            2 => self.conditional(of, depth),
            3 => self.field_of_literal(of, depth),
            4 => self.attribute_of_entity(of, depth),
            5 => self.tag(of, depth).unwrap_or_else(|| self.leaf(of)),
            _ => match of {
                Type::Bool => self.boolean(depth),
                Type::Long => self.long(depth),
                Type::Decimal => self.decimal(depth),
                Type::Ip => self.ip(depth),
                Type::Datetime => self.datetime(depth),
                Type::Duration => self.duration(depth),
                Type::Set(element) => self.set(element, depth),
                Type::Record(shape) => self.record(shape, depth),
                Type::Text | Type::Entity(_) => self.leaf(of),
            },
        }
    }

    /// Any type that the case can speak of.
    pub(super) fn any_type(&mut self) -> Type {
        any_type(self.choices, &self.names, 2)
    }

    /// The name of any entity type.
    pub(super) fn entity_type(&mut self) -> String {
        self.choices.pick(&self.names).clone()
    }

    /// A variable, an attribute or a literal of the type.
    pub(super) fn leaf(&mut self, of: &Type) -> Expression {
        if self.choices.chance(70)
            && let Some(place) = self.place(|holds| holds == of)
        {
            return place;
        }
        let stored = self.scene.stored.of_type(of);
        if !stored.is_empty() && self.choices.chance(45) {
            return Expression::from(*self.choices.pick(&stored));
        }
        if let Type::Entity(name) = of {
            return Expression::Entity(uid(self.choices, self.model, name));
        }
        self.literal(of)
    }

    /// The key of a tag: mostly one that there is.
    pub(super) fn key(&mut self, depth: usize) -> Expression {
        if !self.scene.stored.keys.is_empty() && self.choices.chance(60) {
            return Expression::Text(self.choices.pick(&self.scene.stored.keys).clone());
        }
        self.expression(&Type::Text, depth - 1)
    }

    /// The texts that entities hold.
    pub(super) fn stored_texts(&self) -> Vec<&'a str> {
        let values = self.scene.stored.of_type(&Type::Text).into_iter();
        let texts = values.filter_map(|value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    /// A variable or an attribute whose type will do.
    pub(super) fn place(&mut self, will_do: impl Fn(&Type) -> bool) -> Option<Expression> {
        self.typed_place(will_do).map(|(place, _)| place)
    }

    /// A variable or an attribute whose type will do, and its type; half of the time one of the resource, if there is one.
    pub(super) fn typed_place(&mut self, will_do: impl Fn(&Type) -> bool) -> Option<(Expression, Type)> {
        let places = Rc::clone(&self.places);
        let fitting: Vec<_> = places.iter().filter(|place| will_do(&place.holds)).collect();
        let of_resource = fitting.iter().take_while(|place| place.is_of_resource()).count();
        let among =
            if of_resource > 0 && self.choices.chance(50) { &fitting[..of_resource] } else { &fitting };
        if among.is_empty() {
            return None;
        }
        let place = *self.choices.pick(among);
        for guard in &place.guards {
            if !self.guards.contains(guard) {
                self.guards.push(guard.clone());
            }
        }
        Some((place.expression.clone(), place.holds.clone()))
    }

    /// A literal of a type; the text that an extension takes is seldom one that it refuses.
    fn literal(&mut self, of: &Type) -> Expression {
        match Expression::from(&value(self.choices, self.model, of)) {
            Expression::Call(constructor, _) if self.choices.chance(12) => self.odd_call(constructor),
            literal => literal,
        }
    }

    fn conditional(&mut self, of: &Type, depth: usize) -> Expression {
        let condition = self.guarded(depth - 1);
        let then = self.expression(of, depth - 1);
        let otherwise = self.expression(of, depth - 1);
        Expression::If(Box::new(condition), Box::new(then), Box::new(otherwise))
    }

    /// `{name: expression, ..}.name`.
    fn field_of_literal(&mut self, of: &Type, depth: usize) -> Expression {
        let name = pools::name(self.choices);
        let mut fields = vec![(name.to_owned(), self.expression(of, depth - 1))];
        if self.choices.chance(50) {
            let (other, holds) = (pools::name(self.choices), self.any_type());
            if other != name {
                fields.push((other.to_owned(), self.expression(&holds, depth - 1)));
            }
        }
        let read = if self.choices.chance(5) { pools::name(self.choices) } else { name };
        self.read(Expression::Record(fields), read)
    }

    /// An attribute of any expression for an entity.
    fn attribute_of_entity(&mut self, of: &Type, depth: usize) -> Expression {
        let attributes = self.model.entity_types.iter().flat_map(|entity_type| {
            let fitting = entity_type.attributes.iter().filter(|(_, field)| field.holds == *of);
            fitting.map(move |(name, _)| (entity_type.name.clone(), name.clone()))
        });
        let attributes: Vec<_> = attributes.collect();
        if attributes.is_empty() {
            return self.leaf(of);
        }
        let (entity_type, name) = self.choices.pick(&attributes).clone();
        let entity = self.expression(&Type::Entity(entity_type), depth - 1);
        self.read(entity, &name)
    }

    /// A tag of any expression for an entity.
    fn tag(&mut self, of: &Type, depth: usize) -> Option<Expression> {
        let tagged =
            self.model.entity_types.iter().filter(|entity_type| entity_type.tags.as_ref() == Some(of));
        let tagged: Vec<_> = tagged.map(|entity_type| entity_type.name.clone()).collect();
        if tagged.is_empty() {
            return None;
        }
        let entity_type = Type::Entity(self.choices.pick(&tagged).clone());
        let entity = self.expression(&entity_type, depth - 1);
        let key = self.key(depth);
        if self.choices.chance(70) {
            self.guards.push(entity.clone().method("hasTag", vec![key.clone()]));
        }
        Some(entity.method("getTag", vec![key]))
    }

    /// The field or attribute of a name, in one of the two ways to write it.
    pub(super) fn read(&mut self, of: Expression, name: &str) -> Expression {
        if self.choices.chance(25) { Expression::Index(Box::new(of), name.to_owned()) } else { of.get(name) }
    }

    fn set(&mut self, element: &Type, depth: usize) -> Expression {
        let count = self.choices.weighted(&[(2, 0), (4, 1), (4, 2), (2, 3), (1, 6)]);
        let mut elements: Vec<_> = (0..count).map(|_| self.expression(element, depth - 1)).collect();
        if self.choices.chance(6) {
            let other = self.any_type();
            elements.push(self.expression(&other, depth - 1));
        }
        Expression::Set(elements)
    }

    fn record(&mut self, shape: &Shape, depth: usize) -> Expression {
        let mut fields = Vec::new();
        for (name, field) in shape {
            if field.required || self.choices.chance(60) {
                fields.push((name.clone(), self.expression(&field.holds, depth - 1)));
            }
        }
        Expression::Record(fields)
    }

    /// The expression under some twenty more that change nothing or little.
    fn deep(&mut self, mut body: Expression) -> Expression {
        for _ in 0..self.choices.between(10, 20) {
            body = match self.choices.below(5) {
                0 => body.negated(),
                1 => Expression::Record(vec![("a".to_owned(), body)]).get("a"),
                2 => Expression::Set(vec![body]).method("contains", vec![Expression::Bool(true)]),
                3 => body.binary("==", Expression::Bool(self.choices.chance(70))),
                _ => {
                    let condition = self.leaf(&Type::Bool);
                    let otherwise = Box::new(self.leaf(&Type::Bool));
                    Expression::If(Box::new(condition), Box::new(body), otherwise)
                }
            };
        }
        body
    }
}
