//! Values that policies compare: the Rust form of the contract's `value`.

use std::collections::{BTreeMap, BTreeSet};

use crate::entity::EntityUid;
use crate::extension::IpNetwork;

/// Named values. An absent name and a JSON null are the same thing.
pub type Record = BTreeMap<String, Value>;

/// One value, as `tamis:policy/gates.value` defines it.
///
/// Two values of different variants are never equal, and only values of the same variant have an order that means
/// anything to a policy; the derived order exists so that sets are canonical.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Long(i64),
    /// Any text.
    String(String),
    /// The identity of an entity.
    Entity(EntityUid),
    /// A decimal number, in ten-thousandths.
    Decimal(i64),
    /// A point in time, in milliseconds since 1970-01-01T00:00:00Z.
    Datetime(i64),
    /// A span of time, in milliseconds.
    Duration(i64),
    /// An IP address or range.
    Ip(IpNetwork),
    /// Distinct values. None of them is, or holds, an ill-typed value: such a set is ill-typed as a whole.
    Set(BTreeSet<Value>),
    /// Named values; a single field may be ill-typed.
    Record(Record),
    /// Present but unreadable; the text says why. Reading it is an error in a policy and false in a filter.
    IllTyped(String),
}

impl Value {
    /// The name of the value's type in the notation of [`crate::Type`], without parameters.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "Bool",
            Self::Long(_) => "Long",
            Self::String(_) => "String",
            Self::Entity(_) => "Entity",
            Self::Decimal(_) => "decimal",
            Self::Datetime(_) => "datetime",
            Self::Duration(_) => "duration",
            Self::Ip(_) => "ipaddr",
            Self::Set(_) => "Set",
            Self::Record(_) => "record",
            Self::IllTyped(_) => "ill-typed",
        }
    }

    /// The reason why this value, or a value inside it, cannot be read; `None` for a value that is whole. Elements of a
    /// set need no look: see [`Value::Set`].
    pub fn ill_typed(&self) -> Option<&str> {
        match self {
            Self::IllTyped(reason) => Some(reason),
            Self::Record(fields) => fields.values().find_map(Self::ill_typed),
            _ => None,
        }
    }

    /// A set of `elements`, or an ill-typed value if one of them is ill-typed.
    pub fn set(elements: impl IntoIterator<Item = Value>) -> Value {
        let mut set = BTreeSet::new();
        for element in elements {
            if let Some(reason) = element.ill_typed() {
                return Self::IllTyped(format!("a set with an unreadable element: {reason}"));
            }
            set.insert(element);
        }
        Self::Set(set)
    }

    /// How `self` compares with `other` if both are longs, decimals, datetimes or durations; otherwise `None`.
    pub fn compare(&self, other: &Value) -> Option<std::cmp::Ordering> {
        match (self, other) {
            (Self::Long(a), Self::Long(b))
            | (Self::Decimal(a), Self::Decimal(b))
            | (Self::Datetime(a), Self::Datetime(b))
            | (Self::Duration(a), Self::Duration(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Long(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl From<EntityUid> for Value {
    fn from(value: EntityUid) -> Self {
        Self::Entity(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_with_an_unreadable_element_is_unreadable() {
        let nested = Value::Record([("x".to_owned(), Value::IllTyped("a fraction".into()))].into());
        let set = Value::set([Value::Long(1), nested]);
        assert!(matches!(set, Value::IllTyped(reason) if reason.contains("a fraction")));
    }

    #[test]
    fn a_set_ignores_order_and_duplicates() {
        let a = Value::set([1, 2, 1].map(Value::Long));
        let b = Value::set([2, 1].map(Value::Long));
        assert_eq!(a, b);
    }

    #[test]
    fn only_values_of_one_ordered_type_compare() {
        use std::cmp::Ordering::Less;
        assert_eq!(Value::Long(1).compare(&Value::Long(2)), Some(Less));
        assert_eq!(Value::Decimal(1).compare(&Value::Decimal(2)), Some(Less));
        assert_eq!(Value::Datetime(1).compare(&Value::Datetime(2)), Some(Less));
        assert_eq!(Value::Duration(1).compare(&Value::Duration(2)), Some(Less));
        assert_eq!(Value::Long(1).compare(&Value::Decimal(2)), None);
        assert_eq!(Value::from("a").compare(&Value::from("b")), None);
    }
}
