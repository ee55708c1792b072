//! What an expression is, according to Cedar: a policy that compares the two notices an answer that is wrong by little.

use std::cell::OnceCell;
use std::str::FromStr;

use cedar_policy::{Entities, EvalResult, eval_expression};

use super::booleans::{COMPARISONS, DECIMAL_COMPARISONS};
use super::expressions::{Author, Write};
use super::stores;
use super::topic::Topic;
use crate::cedar::draft::{Entity, Request};
use crate::cedar::expression::Expression;
use crate::cedar::model::{Model, Type};
use crate::cedar::oracle;
use crate::cedar::value::{Escapes, Uid};

/// From where a moment without a text of its own is counted.
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
        let of = self.choices.weighted(&[
            (4, &Type::Long),
            (3, &Type::Datetime),
            (3, &Type::Duration),
            (1, &Type::Decimal),
            (1, &Type::Ip),
            (4, &Type::Bool),
        ]);
        let expression = match of {
            Type::Long => self.long(depth),
            Type::Datetime => self.datetime(depth),
            Type::Duration => self.duration(depth),
            Type::Decimal => self.decimal(depth),
            Type::Ip => self.ip(depth),
            _ => self.test(depth),
        };
        // They would only matter on other requests.
        self.guards.clear();
        let answer = self.answer(of, &expression)?;
        if *of == Type::Decimal && self.choices.chance(60) {
            return Some(expression.method(self.choices.word(DECIMAL_COMPARISONS), vec![answer]));
        }
        let is_ordered = matches!(of, Type::Long | Type::Datetime | Type::Duration);
        let operators = if is_ordered && self.choices.chance(50) { COMPARISONS } else { &["==", "==", "!="] };
        Some(expression.binary(self.choices.word(operators), answer))
    }

    /// The value of the expression as a literal, or as near to one as its type has.
    fn answer(&self, of: &Type, expression: &Expression) -> Option<Expression> {
        let value = |expression: &Expression| self.scene.answers.value(self.topic, expression);
        match of {
            Type::Datetime => {
                let since_epoch = expression.clone().method("durationSince", vec![call("datetime", EPOCH)]);
                let milliseconds = value(&since_epoch.method("toMilliseconds", Vec::new()))?;
                Some(call("datetime", EPOCH).method("offset", vec![duration(&milliseconds)]))
            }
            Type::Duration => {
                let milliseconds = value(&expression.clone().method("toMilliseconds", Vec::new()))?;
                Some(duration(&milliseconds))
            }
            _ => value(expression),
        }
    }

    /// A boolean expression whose answer depends on values more than on what there is.
    fn test(&mut self, depth: usize) -> Expression {
        let write = *self.choices.pick::<Write<Self>>(&[
            Self::comparison,
            Self::pattern,
            Self::membership,
            Self::decimal_test,
            Self::ip_test,
            Self::boolean,
        ]);
        write(self, depth)
    }
}

fn call(constructor: &'static str, text: &str) -> Expression {
    Expression::Call(constructor, vec![Expression::Text(text.to_owned())])
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
