//! What an expression is, according to Cedar: a policy that compares the two notices an answer that is wrong by little.

use std::cell::OnceCell;
use std::str::FromStr;

use cedar_policy::{Entities, EvalResult, eval_expression};

use super::booleans::{COMPARISONS, DECIMAL_COMPARISONS};
use super::expressions::Author;
use super::stores;
use super::topic::Topic;
use crate::cedar::draft::{Entity, Request};
use crate::cedar::expression::Expression;
use crate::cedar::model::Model;
use crate::cedar::oracle;
use crate::cedar::value::{Escapes, Uid};

const EPOCH: &str = "1970-01-01";

/// The entities and requests of a case, ready to evaluate expressions.
#[derive(Debug)]
pub(super) struct Answers<'a> {
    model: &'a Model,
    entities: &'a [Entity],
    requests: &'a [Request],
    /// Read when the first expression is evaluated, since many cases evaluate none.
    store: OnceCell<Entities>,
}

impl<'a> Answers<'a> {
    /// Answers on the requests of a case.
    pub(super) fn new(model: &'a Model, entities: &'a [Entity], requests: &'a [Request]) -> Self {
        Self { model, entities, requests, store: OnceCell::new() }
    }

    /// The value of an expression on a request about the topic, if there is such a request, or on the first.
    /// None if the evaluation fails, or there is no literal for its value.
    pub(super) fn value(&self, topic: Topic<'_>, expression: &Expression) -> Option<Expression> {
        let about = |request: &&Request| {
            request.action == topic.action.uid
                && request.principal.entity_type == topic.principal
                && request.resource.entity_type == topic.resource
        };
        let request = self.requests.iter().find(about).or(self.requests.first())?;
        let request = oracle::request(&request.json()).ok()?;
        let expression = cedar_policy::Expression::from_str(&expression.to_string()).ok()?;
        let store = self.store.get_or_init(|| self.read());
        literal(&eval_expression(&request, store, &expression).ok()?)
    }

    /// Without the schema, which takes long to read: with explicit escapes, and the actions that it would add.
    fn read(&self) -> Entities {
        let explicit = |entity: &Entity| Entity { escapes: Escapes::Explicit, ..entity.clone() }.json();
        let mut json: Vec<_> = self.entities.iter().map(explicit).collect();
        for action in &self.model.actions {
            if self.entities.iter().all(|entity| entity.uid != action.uid) {
                json.push(stores::bare_action(action).json());
            }
        }
        Entities::from_json_value(json.into(), None).unwrap_or_default()
    }
}

impl Author<'_> {
    /// An expression with an operator at its root, compared with what it is on a request of the case.
    pub(super) fn answered(&mut self, depth: usize) -> Expression {
        // Two tries, since those that fail are many without it.
        let answered = (0..2).find_map(|_| self.try_answered(depth));
        answered.unwrap_or_else(|| self.guarded(depth))
    }

    fn try_answered(&mut self, depth: usize) -> Option<Expression> {
        let kind = self.choices.weighted(&[(4, 0), (3, 1), (3, 2), (1, 3), (1, 4), (4, 5)]);
        let expression = match kind {
            0 => self.long(depth),
            1 => self.datetime(depth),
            2 => self.duration(depth),
            3 => self.decimal(depth),
            4 => self.ip(depth),
            _ => self.kind_of_boolean(depth),
        };
        // They would only matter on other requests.
        self.guards.clear();
        let of_request = |expression: &Expression| self.scene.answers.value(self.topic, expression);
        let answer = match kind {
            1 => {
                let milliseconds = since_epoch(expression.clone()).method("toMilliseconds", Vec::new());
                call("datetime", EPOCH).method("offset", vec![duration(&of_request(&milliseconds)?)])
            }
            2 => duration(&of_request(&expression.clone().method("toMilliseconds", Vec::new()))?),
            _ => of_request(&expression)?,
        };
        if kind == 3 && self.choices.chance(60) {
            return Some(expression.method(self.choices.word(DECIMAL_COMPARISONS), vec![answer]));
        }
        let operator = match kind {
            0..=2 if self.choices.chance(50) => self.choices.word(COMPARISONS),
            _ => self.choices.word(&["==", "==", "!="]),
        };
        Some(expression.binary(operator, answer))
    }

    fn kind_of_boolean(&mut self, depth: usize) -> Expression {
        match self.choices.below(6) {
            0 => self.comparison(depth),
            1 => self.pattern(depth),
            2 => self.membership(depth),
            3 => self.decimal_test(depth),
            4 => self.ip_test(depth),
            _ => self.boolean(depth),
        }
    }
}

fn call(constructor: &'static str, text: &str) -> Expression {
    Expression::Call(constructor, vec![Expression::Text(text.to_owned())])
}

fn since_epoch(datetime: Expression) -> Expression {
    datetime.method("durationSince", vec![call("datetime", EPOCH)])
}

/// The duration of as many milliseconds as the literal says.
fn duration(milliseconds: &Expression) -> Expression {
    call("duration", &format!("{milliseconds}ms"))
}

/// The literal of a value that has one without nesting.
fn literal(value: &EvalResult) -> Option<Expression> {
    Some(match value {
        EvalResult::Bool(value) => Expression::Bool(*value),
        EvalResult::Long(value) => Expression::Long(*value),
        EvalResult::String(value) => Expression::Text(value.clone()),
        EvalResult::EntityUid(uid) => {
            Expression::Entity(Uid::new(&uid.type_name().to_string(), uid.id().unescaped()))
        }
        EvalResult::ExtensionValue(call) => {
            let constructors = ["decimal", "ip"].into_iter();
            constructors.filter_map(|constructor| constructed(call, constructor)).next()?
        }
        EvalResult::Set(_) | EvalResult::Record(_) => return None,
    })
}

/// The call as an expression, if it is one of the constructor with a text.
fn constructed(text: &str, constructor: &'static str) -> Option<Expression> {
    let text = text.strip_prefix(constructor)?.strip_prefix("(\"")?.strip_suffix("\")")?;
    Some(call(constructor, text))
}
