//! Why an expression has no value.

use alloc::string::String;

/// Why an expression has no value. A rule that meets one is left out of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault<'a> {
    /// A value of another type was wanted: this one.
    Type(&'static str),
    /// An entity or record lacks this attribute.
    NoAttribute(&'a str),
    /// An entity lacks this tag.
    NoTag(&'a str),
    /// An attribute is present but unreadable, for this reason.
    IllTyped(&'a str),
    /// A result does not fit into 64 bits.
    Overflow,
    /// A text is not what an extension function expects: this.
    Text(&'static str),
    /// The program is damaged.
    Program,
}

impl Fault<'_> {
    /// For the operator's log.
    pub fn message(&self) -> String {
        let (before, name, after) = match self {
            Self::Type(wanted) => ("a value is not ", *wanted, ""),
            Self::NoAttribute(name) => ("there is no attribute `", *name, "`"),
            Self::NoTag(name) => ("there is no tag `", *name, "`"),
            Self::IllTyped(reason) => ("an attribute is ill-typed: ", *reason, ""),
            Self::Overflow => ("a number does not fit into 64 bits", "", ""),
            Self::Text(wanted) => ("a text is not ", *wanted, ""),
            Self::Program => ("the program is damaged", "", ""),
        };
        let mut message = String::with_capacity(before.len() + name.len() + after.len());
        message.push_str(before);
        message.push_str(name);
        message.push_str(after);
        message
    }
}
