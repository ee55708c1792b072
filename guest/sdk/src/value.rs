//! Reading values out of the contract's flattened lists.

use crate::bindings::tamis::policy::gates::{EntityUid, Field, Value};
use crate::error::Error;

/// A value inside a request or a chunk, with the name that errors call it by.
///
/// Every accessor is an error over a value of another type, so that `?` denies instead of guessing.
#[derive(Clone, Copy, Debug)]
pub struct ValueRef<'a> {
    values: &'a [Value],
    value: &'a Value,
    name: &'a str,
}

impl<'a> ValueRef<'a> {
    /// Looks `name` up in `fields`; `None` if it is not there.
    pub(crate) fn find(
        values: &'a [Value],
        fields: &'a [Field],
        name: &'a str,
    ) -> Result<Option<Self>, Error> {
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            return Ok(None);
        };
        Self::at(values, field.value, name).map(Some)
    }

    fn at(values: &'a [Value], index: u32, name: &'a str) -> Result<Self, Error> {
        match values.get(index as usize) {
            Some(value) => Ok(Self { values, value, name }),
            None => Err(Error::new(format!("`{name}` refers to a value that is not there"))),
        }
    }

    fn mismatch<T>(&self, wanted: &str) -> Result<T, Error> {
        let found = match self.value {
            Value::IllTyped(reason) => format!("unreadable: {reason}"),
            value => format!("not {wanted} but {}", kind(value)),
        };
        Err(Error::new(format!("`{}` is {found}", self.name)))
    }

    /// The value as a boolean.
    pub fn boolean(&self) -> Result<bool, Error> {
        if let Value::Boolean(value) = self.value { Ok(*value) } else { self.mismatch("a boolean") }
    }

    /// The value as a whole number.
    pub fn long(&self) -> Result<i64, Error> {
        if let Value::Long(value) = self.value { Ok(*value) } else { self.mismatch("a long") }
    }

    /// The value as text.
    pub fn text(&self) -> Result<&'a str, Error> {
        if let Value::Text(value) = self.value { Ok(value) } else { self.mismatch("a text") }
    }

    /// The value as an entity's identity.
    pub fn entity(&self) -> Result<&'a EntityUid, Error> {
        if let Value::Entity(value) = self.value { Ok(value) } else { self.mismatch("an entity") }
    }

    /// The value as a decimal number, in ten-thousandths.
    pub fn decimal(&self) -> Result<i64, Error> {
        if let Value::Decimal(value) = self.value { Ok(*value) } else { self.mismatch("a decimal") }
    }

    /// The value as a point in time, in milliseconds since 1970-01-01T00:00:00Z.
    pub fn datetime(&self) -> Result<i64, Error> {
        if let Value::Datetime(value) = self.value { Ok(*value) } else { self.mismatch("a datetime") }
    }

    /// The elements of a set.
    pub fn elements(&self) -> Result<Vec<ValueRef<'a>>, Error> {
        let Value::Set(indices) = self.value else {
            return self.mismatch("a set");
        };
        indices.iter().map(|index| Self::at(self.values, *index, self.name)).collect()
    }

    /// The elements of a set of texts.
    pub fn texts(&self) -> Result<Vec<&'a str>, Error> {
        self.elements()?.iter().map(ValueRef::text).collect()
    }

    /// A field of a record, or `None` if the record lacks it.
    pub fn field(&self, name: &'a str) -> Result<Option<ValueRef<'a>>, Error> {
        let Value::Record(fields) = self.value else {
            return self.mismatch("a record");
        };
        Self::find(self.values, fields, name)
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Boolean(_) => "a boolean",
        Value::Long(_) => "a long",
        Value::Text(_) => "a text",
        Value::Entity(_) => "an entity",
        Value::Decimal(_) => "a decimal",
        Value::Datetime(_) => "a datetime",
        Value::Duration(_) => "a duration",
        Value::Ip(_) => "an ip address",
        Value::Set(_) => "a set",
        Value::Record(_) => "a record",
        Value::IllTyped(_) => "unreadable",
    }
}
