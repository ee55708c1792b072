//! Attributes of chunks: declared once, used in the manifest, in decisions and in filters.

use crate::bindings::tamis::policy::gates::{self, Chunk};
use crate::error::Error;
use crate::filter::{Filter, Literal};
use crate::value::ValueRef;

/// An attribute that a policy reads from chunks, with the type that the host reads it as.
///
/// Declared once as a constant, it goes into the manifest, reads from chunks and builds filters, so that the three
/// cannot disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute {
    path: &'static [&'static str],
    declared: &'static str,
}

impl Attribute {
    /// The attribute at `path` (`&["owner", "team"]` is `owner.team`), read as the type `declared`: `Bool`, `Long`,
    /// `String`, `decimal`, `datetime`, `duration`, `ipaddr`, `Entity<User>`, `Set<String>`, `{name: Long, other?: Bool}`.
    pub const fn new(path: &'static [&'static str], declared: &'static str) -> Self {
        Self { path, declared }
    }

    /// The filter "this attribute is present".
    pub fn exists(self) -> Filter {
        Filter::exists(self)
    }

    /// The filter "this attribute equals `value`".
    pub fn equals(self, value: impl Into<Literal>) -> Filter {
        Filter::equals(self, value.into())
    }

    /// The filter "this attribute equals one of `values`".
    pub fn one_of<L: Into<Literal>>(self, values: impl IntoIterator<Item = L>) -> Filter {
        Filter::one_of(self, values.into_iter().map(Into::into).collect())
    }

    /// The filter "this attribute is at most `value`".
    pub fn at_most(self, value: impl Into<Literal>) -> Filter {
        Filter::at_most(self, value.into())
    }

    /// The filter "this attribute is at least `value`".
    pub fn at_least(self, value: impl Into<Literal>) -> Filter {
        Filter::at_least(self, value.into())
    }

    /// The filter "this attribute is a set that holds one of `values`".
    pub fn contains_any<L: Into<Literal>>(self, values: impl IntoIterator<Item = L>) -> Filter {
        Filter::contains_any(self, values.into_iter().map(Into::into).collect())
    }

    pub(crate) fn path(self) -> &'static [&'static str] {
        self.path
    }

    pub(crate) fn text(self) -> String {
        self.path.join(".")
    }

    pub(crate) fn to_contract(self) -> gates::Attribute {
        gates::Attribute {
            path: self.path.iter().map(ToString::to_string).collect(),
            value_type: Some(self.declared.to_owned()),
        }
    }
}

impl Chunk {
    /// The value of an attribute.
    ///
    /// # Errors
    /// If the chunk lacks it.
    pub fn read(&self, attribute: Attribute) -> Result<ValueRef<'_>, Error> {
        self.read_optional(attribute)?
            .ok_or_else(|| Error::new(format!("the chunk has no attribute `{}`", attribute.text())))
    }

    /// The value of an attribute, or `None` if the chunk lacks it.
    ///
    /// # Errors
    /// If the attribute lies inside something that is not a record.
    pub fn read_optional(&self, attribute: Attribute) -> Result<Option<ValueRef<'_>>, Error> {
        let Some((first, rest)) = attribute.path().split_first() else {
            return Err(Error::new("an attribute without a name"));
        };
        let mut found = ValueRef::find(&self.values, &self.attributes, first)?;
        for name in rest {
            let Some(value) = found else {
                return Ok(None);
            };
            found = value.field(name)?;
        }
        Ok(found)
    }
}
