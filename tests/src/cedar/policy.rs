//! Policies as trees, and their text.

use std::fmt::{self, Display, Formatter};

use super::expression::Expression;
use super::model::uid_text;
use super::text::quoted;
use super::value::Uid;

/// A policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Names and texts, which decide nothing; what `redact` names is removed.
    pub annotations: Vec<(&'static str, Option<&'static str>)>,
    /// Whether it permits; else it forbids.
    pub permits: bool,
    /// Which principals it is for.
    pub principal: Scope,
    /// Which actions it is for.
    pub action: Scope,
    /// Which resources it is for.
    pub resource: Scope,
    /// What else it asks for, in this order.
    pub conditions: Vec<Condition>,
}

/// What a scope asks of one variable.
#[derive(Clone, Debug, PartialEq)]
pub enum Scope {
    /// Nothing.
    Any,
    /// `==`.
    Equal(Uid),
    /// `in`.
    In(Uid),
    /// `in [..]`, of actions only.
    InAny(Vec<Uid>),
    /// `is`, not of actions.
    Is(String),
    /// `is` and `in`, not of actions.
    IsIn(String, Uid),
}

/// A condition of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// `when` if the body must be true, `unless` if it must be false.
    pub keyword: &'static str,
    /// The expression.
    pub body: Expression,
}

impl Policy {
    /// Whether what it permits is less something.
    pub fn redacts(&self) -> bool {
        self.annotations.iter().any(|(name, _)| *name == "redact")
    }
}

impl Display for Policy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (name, text) in &self.annotations {
            match text {
                Some(text) => writeln!(f, "@{name}({})", quoted(text))?,
                None => writeln!(f, "@{name}")?,
            }
        }
        let effect = if self.permits { "permit" } else { "forbid" };
        write!(f, "{effect}(principal{}, action{}, resource{})", self.principal, self.action, self.resource)?;
        for Condition { keyword, body } in &self.conditions {
            write!(f, "\n  {keyword} {{ {body} }}")?;
        }
        f.write_str(";\n")
    }
}

impl Display for Scope {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::Equal(uid) => write!(f, " == {}", uid_text(uid)),
            Self::In(uid) => write!(f, " in {}", uid_text(uid)),
            Self::InAny(uids) => {
                write!(f, " in [{}]", uids.iter().map(uid_text).collect::<Vec<_>>().join(", "))
            }
            Self::Is(entity_type) => write!(f, " is {entity_type}"),
            Self::IsIn(entity_type, uid) => write!(f, " is {entity_type} in {}", uid_text(uid)),
        }
    }
}
