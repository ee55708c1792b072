//! Expressions as trees, and their text.

use std::fmt::{self, Display, Formatter};

use super::model::uid_text;
use super::text::{escaped, is_identifier, quoted};
use super::value::{Uid, Value};

/// An expression of a policy.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Long(i64),
    /// A text.
    Text(String),
    /// An entity.
    Entity(Uid),
    /// `principal`, `action`, `resource` or `context`.
    Variable(&'static str),
    /// `!`.
    Not(Box<Expression>),
    /// `-`.
    Negate(Box<Expression>),
    /// An operator between its operands.
    Binary(&'static str, Box<Expression>, Box<Expression>),
    /// `if`, `then`, `else`.
    If(Box<Expression>, Box<Expression>, Box<Expression>),
    /// `has` with a name, or with several that are joined by dots.
    Has(Box<Expression>, Vec<String>),
    /// `is` with a type.
    Is(Box<Expression>, String),
    /// `is` with a type, `in`.
    IsIn(Box<Expression>, String, Box<Expression>),
    /// `like`.
    Like(Box<Expression>, Vec<Glob>),
    /// `.name`, or `["name"]` where the name needs it.
    Get(Box<Expression>, String),
    /// `["name"]`.
    Index(Box<Expression>, String),
    /// A method of Cedar or of an extension.
    Method(Box<Expression>, &'static str, Vec<Expression>),
    /// A constructor of an extension.
    Call(&'static str, Vec<Expression>),
    /// A set.
    Set(Vec<Expression>),
    /// A record.
    Record(Vec<(String, Expression)>),
}

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq)]
pub enum Glob {
    /// `*`.
    Any,
    /// A text that stands for itself.
    Exactly(String),
}

impl From<&Value> for Expression {
    fn from(value: &Value) -> Self {
        match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::Long(value) => Self::Long(*value),
            Value::Text(value) => Self::Text(value.clone()),
            Value::Entity(uid) => Self::Entity(uid.clone()),
            Value::Set(elements) => Self::Set(elements.iter().map(Self::from).collect()),
            Value::Record(fields) => {
                Self::Record(fields.iter().map(|(name, value)| (name.clone(), value.into())).collect())
            }
            Value::Extension(method, arguments) if arguments.len() > 1 => {
                let mut arguments = arguments.iter().map(Self::from);
                let receiver = arguments.next().expect("more than one");
                receiver.method(method, arguments.collect())
            }
            Value::Extension(function, arguments) => {
                Self::Call(function, arguments.iter().map(Self::from).collect())
            }
        }
    }
}

impl Expression {
    /// `!self`.
    pub fn negated(self) -> Self {
        Self::Not(Box::new(self))
    }

    /// `self operator right`.
    pub fn binary(self, operator: &'static str, right: Self) -> Self {
        Self::Binary(operator, Box::new(self), Box::new(right))
    }

    /// `self.name`.
    pub fn get(self, name: &str) -> Self {
        Self::Get(Box::new(self), name.to_owned())
    }

    /// `self has name`.
    pub fn has(self, name: &str) -> Self {
        Self::Has(Box::new(self), vec![name.to_owned()])
    }

    /// `self.name(arguments)`.
    pub fn method(self, name: &'static str, arguments: Vec<Self>) -> Self {
        Self::Method(Box::new(self), name, arguments)
    }

    /// What the expression is made of.
    pub fn children(&self) -> Vec<&Self> {
        match self {
            Self::Bool(_) | Self::Long(_) | Self::Text(_) | Self::Entity(_) | Self::Variable(_) => Vec::new(),
            Self::Not(of)
            | Self::Negate(of)
            | Self::Has(of, _)
            | Self::Is(of, _)
            | Self::Like(of, _)
            | Self::Get(of, _)
            | Self::Index(of, _) => vec![of],
            Self::Binary(_, left, right) | Self::IsIn(left, _, right) => vec![left, right],
            Self::If(condition, then, otherwise) => vec![condition, then, otherwise],
            Self::Method(of, _, arguments) => std::iter::once(&**of).chain(arguments).collect(),
            Self::Call(_, arguments) => arguments.iter().collect(),
            Self::Set(elements) => elements.iter().collect(),
            Self::Record(fields) => fields.iter().map(|(_, field)| field).collect(),
        }
    }

    /// What the expression is made of, to be changed.
    pub fn children_mut(&mut self) -> Vec<&mut Self> {
        match self {
            Self::Bool(_) | Self::Long(_) | Self::Text(_) | Self::Entity(_) | Self::Variable(_) => Vec::new(),
            Self::Not(of)
            | Self::Negate(of)
            | Self::Has(of, _)
            | Self::Is(of, _)
            | Self::Like(of, _)
            | Self::Get(of, _)
            | Self::Index(of, _) => vec![of],
            Self::Binary(_, left, right) | Self::IsIn(left, _, right) => vec![left, right],
            Self::If(condition, then, otherwise) => vec![condition, then, otherwise],
            Self::Method(of, _, arguments) => std::iter::once(&mut **of).chain(arguments).collect(),
            Self::Call(_, arguments) => arguments.iter_mut().collect(),
            Self::Set(elements) => elements.iter_mut().collect(),
            Self::Record(fields) => fields.iter_mut().map(|(_, field)| field).collect(),
        }
    }

    /// How many nodes the tree has.
    pub fn size(&self) -> usize {
        1 + self.children().into_iter().map(Self::size).sum::<usize>()
    }

    /// The node at an index in preorder.
    pub fn node_mut(&mut self, mut index: usize) -> Option<&mut Self> {
        if index == 0 {
            return Some(self);
        }
        index -= 1;
        for child in self.children_mut() {
            let size = child.size();
            if index < size {
                return child.node_mut(index);
            }
            index -= size;
        }
        None
    }
}

impl Display for Expression {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Long(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(&quoted(value)),
            Self::Entity(uid) => f.write_str(&uid_text(uid)),
            Self::Variable(name) => f.write_str(name),
            Self::Not(of) => write!(f, "!{}", Operand(of)),
            Self::Negate(of) => write!(f, "-{}", Operand(of)),
            Self::Binary(operator, left, right) => {
                // Without brackets where Cedar reads the same tree, so that its reader sees long chains too.
                match &**left {
                    Self::Binary(inner, ..) if inner == operator && is_chained(operator) => {
                        write!(f, "{left}")?;
                    }
                    _ => write!(f, "{}", Operand(left))?,
                }
                write!(f, " {operator} {}", Operand(right))
            }
            Self::If(condition, then, otherwise) => write!(f, "if {condition} then {then} else {otherwise}"),
            Self::Has(of, names) => match &names[..] {
                [name] if !is_identifier(name) => write!(f, "{} has {}", Operand(of), quoted(name)),
                _ => write!(f, "{} has {}", Operand(of), names.join(".")),
            },
            Self::Is(of, entity_type) => write!(f, "{} is {entity_type}", Operand(of)),
            Self::IsIn(of, entity_type, ancestor) => {
                write!(f, "{} is {entity_type} in {}", Operand(of), Operand(ancestor))
            }
            Self::Like(of, pattern) => write!(f, "{} like \"{}\"", Operand(of), pattern_text(pattern)),
            Self::Get(of, name) if is_identifier(name) => write!(f, "{}.{name}", Operand(of)),
            Self::Get(of, name) | Self::Index(of, name) => write!(f, "{}[{}]", Operand(of), quoted(name)),
            Self::Method(of, name, arguments) => {
                write!(f, "{}.{name}({})", Operand(of), listed(arguments))
            }
            Self::Call(name, arguments) => write!(f, "{name}({})", listed(arguments)),
            Self::Set(elements) => write!(f, "[{}]", listed(elements)),
            Self::Record(fields) => {
                let fields: Vec<_> =
                    fields.iter().map(|(name, field)| format!("{}: {field}", field_name(name))).collect();
                write!(f, "{{{}}}", fields.join(", "))
            }
        }
    }
}

/// An expression in brackets unless it needs none anywhere.
struct Operand<'a>(&'a Expression);

impl Display for Operand<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let bare = match self.0 {
            Expression::Long(value) => *value >= 0,
            Expression::Not(_)
            | Expression::Negate(_)
            | Expression::Binary(..)
            | Expression::If(..)
            | Expression::Has(..)
            | Expression::Is(..)
            | Expression::IsIn(..)
            | Expression::Like(..) => false,
            _ => true,
        };
        if bare { self.0.fmt(f) } else { write!(f, "({})", self.0) }
    }
}

/// Whether Cedar reads a chain of the operator from left to right.
fn is_chained(operator: &str) -> bool {
    ["&&", "||", "+", "-", "*"].contains(&operator)
}

fn field_name(name: &str) -> String {
    if is_identifier(name) { name.to_owned() } else { quoted(name) }
}

fn pattern_text(pattern: &[Glob]) -> String {
    let part = |glob: &Glob| match glob {
        Glob::Any => "*".to_owned(),
        Glob::Exactly(text) => escaped(text).replace('*', "\\*"),
    };
    pattern.iter().map(part).collect()
}

fn listed(expressions: &[Expression]) -> String {
    expressions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
