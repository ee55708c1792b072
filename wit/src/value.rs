//! Values as a policy holds them: small, copied freely, canonical, so that equal values are equal structures.
//!
//! What does not fit into a value lies in an arena that outlives it. Nothing is counted or freed one by one, which keeps compiled
//! policies small and fast.

use alloc::vec::Vec;
use core::cmp::Ordering;

use bumpalo::Bump;

use crate::extension::IpNetwork;

/// The identity of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uid<'a> {
    /// Such as `User` or `Acme::User`.
    pub entity_type: &'a str,
    /// Unique within its type.
    pub id: &'a str,
}

/// A named value.
pub type Field<'a> = (&'a str, Value<'a>);

/// One value, as `tamis:policy/gates.value` defines it.
///
/// The order is total and means nothing; it keeps sets canonical.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Long(i64),
    /// A decimal number, in ten-thousandths.
    Decimal(i64),
    /// A point in time, in milliseconds since 1970-01-01T00:00:00Z.
    Datetime(i64),
    /// A span of time, in milliseconds.
    Duration(i64),
    /// Any text.
    Text(&'a str),
    /// Present but unreadable; the text says why.
    IllTyped(&'a str),
    /// The identity of an entity.
    Entity(&'a Uid<'a>),
    /// An IP address or range.
    Ip(&'a IpNetwork),
    /// Distinct values in ascending order, none of them with anything ill-typed inside.
    Set(&'a [Value<'a>]),
    /// Fields in ascending order of their names, each name once; single fields may be ill-typed.
    Record(&'a [Field<'a>]),
}

impl<'a> Value<'a> {
    /// The identity of an entity.
    pub fn entity(arena: &'a Bump, uid: Uid<'a>) -> Self {
        Self::Entity(arena.alloc(uid))
    }

    /// A set of `elements`; ill-typed as a whole if anything in them is.
    pub fn set(arena: &'a Bump, mut elements: Vec<Value<'a>>) -> Self {
        for element in &elements {
            if let Some(reason) = element.ill_typed() {
                return Self::IllTyped(reason);
            }
        }
        sort(&mut elements, |a, b| a < b);
        elements.dedup();
        Self::Set(arena.alloc_slice_copy(&elements))
    }

    /// A record of `fields`. Of two fields with one name, which no host sends, one is unreadable.
    pub fn record(arena: &'a Bump, fields: Vec<Field<'a>>) -> Self {
        Self::Record(record_fields(arena, fields))
    }

    /// Why this value, or a part of it, cannot be read; `None` if it is whole.
    pub fn ill_typed(&self) -> Option<&'a str> {
        match self {
            Self::IllTyped(reason) => Some(reason),
            Self::Record(fields) => fields.iter().find_map(|(_, value)| value.ill_typed()),
            _ => None,
        }
    }

    /// The rank of the value's type in the order of all values, and the number of a value that is one.
    fn rank(&self) -> (u8, i64) {
        match self {
            Self::Bool(value) => (0, i64::from(*value)),
            Self::Long(number) => (1, *number),
            Self::Decimal(number) => (2, *number),
            Self::Datetime(number) => (3, *number),
            Self::Duration(number) => (4, *number),
            Self::Text(_) => (5, 0),
            Self::IllTyped(_) => (6, 0),
            Self::Entity(_) => (7, 0),
            Self::Ip(_) => (8, 0),
            Self::Set(_) => (9, 0),
            Self::Record(_) => (10, 0),
        }
    }
}

impl Ord for Value<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) | (Self::IllTyped(a), Self::IllTyped(b)) => a.cmp(b),
            (Self::Entity(a), Self::Entity(b)) => a.cmp(b),
            (Self::Ip(a), Self::Ip(b)) => a.cmp(b),
            (Self::Set(a), Self::Set(b)) => a.cmp(b),
            (Self::Record(a), Self::Record(b)) => a.cmp(b),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}

impl PartialOrd for Value<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Value<'_> {}

/// The fields of a record: see [`Value::record`].
pub fn record_fields<'a>(arena: &'a Bump, mut fields: Vec<Field<'a>>) -> &'a [Field<'a>] {
    sort(&mut fields, |(a, _), (b, _)| a < b);
    for index in 1..fields.len() {
        if let Some([(a, value), (b, _)]) = fields.get_mut(index - 1..=index)
            && a == b
        {
            *value = Value::IllTyped("there are two fields of this name");
        }
    }
    arena.alloc_slice_copy(&fields)
}

/// The value of the field `name`, if there is one.
pub fn field<'a>(fields: &[Field<'a>], name: &str) -> Option<Value<'a>> {
    let at = fields.partition_point(|(known, _)| *known < name);
    fields.get(at).filter(|(known, _)| *known == name).map(|(_, value)| *value)
}

/// Whether ascending `items` hold `wanted`.
pub fn holds<T: Ord>(items: &[T], wanted: &T) -> bool {
    let at = items.partition_point(|item| item < wanted);
    items.get(at) == Some(wanted)
}

/// Sorts in place by `less`, in no more than n log n steps.
///
/// A heap sort, because the sorts of the standard library take five to eight kilobytes for each type in every compiled policy.
pub fn sort<T>(items: &mut [T], less: impl Fn(&T, &T) -> bool) {
    for start in (0..items.len() / 2).rev() {
        sift(items, start, &less);
    }
    for end in (1..items.len()).rev() {
        items.swap(0, end);
        if let Some(heap) = items.get_mut(..end) {
            sift(heap, 0, &less);
        }
    }
}

/// Lets the item at `parent` sink until none below it is greater.
fn sift<T>(heap: &mut [T], mut parent: usize, less: &impl Fn(&T, &T) -> bool) {
    let below = |heap: &[T], a: usize, b: usize| match (heap.get(a), heap.get(b)) {
        (Some(a), Some(b)) => less(a, b),
        _ => false,
    };
    loop {
        let left = 2 * parent + 1;
        let child = if below(heap, left, left + 1) { left + 1 } else { left };
        if !below(heap, parent, child) {
            return;
        }
        heap.swap(parent, child);
        parent = child;
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    #[test]
    fn sets_and_records_are_canonical() {
        let arena = Bump::new();
        let longs = |numbers: &[i64]| Value::set(&arena, numbers.iter().map(|n| Value::Long(*n)).collect());
        assert_eq!(longs(&[2, 1, 2]), longs(&[1, 2]));
        assert_ne!(longs(&[1]), longs(&[1, 2]));
        let fields = record_fields(&arena, vec![("b", Value::Long(3)), ("a", Value::Long(2))]);
        assert_eq!(fields, [("a", Value::Long(2)), ("b", Value::Long(3))]);
        assert_eq!(field(fields, "b"), Some(Value::Long(3)));
        assert_eq!(field(fields, "aa"), None);
        assert_eq!(field(fields, "c"), None);
        let twice = Value::record(&arena, vec![("b", Value::Long(3)), ("b", Value::Long(3))]);
        assert!(twice.ill_typed().is_some());
    }

    #[test]
    fn what_is_put_into_a_set_is_found_in_it() {
        let arena = Bump::new();
        for numbers in [[3, 1, 2], [1, 2, 3], [3, 2, 1]] {
            let Value::Set(set) = Value::set(&arena, numbers.map(Value::Long).to_vec()) else {
                panic!("{numbers:?} make no set");
            };
            assert!(numbers.iter().all(|number| holds(set, &Value::Long(*number))), "{set:?}");
            assert!(!holds(set, &Value::Long(0)) && !holds(set, &Value::Long(4)), "{set:?}");
        }
    }

    #[test]
    fn values_of_different_types_differ() {
        let numbers =
            [Value::Bool(true), Value::Long(1), Value::Decimal(1), Value::Datetime(1), Value::Duration(1)];
        for (a, one) in numbers.iter().enumerate() {
            for (b, other) in numbers.iter().enumerate() {
                assert_eq!(one == other, a == b);
            }
        }
        assert_ne!(Value::Text("a"), Value::IllTyped("a"));
    }

    #[test]
    fn sort_sorts() {
        for size in 0..200_u64 {
            let mut items: Vec<u64> = (0..size).map(|n| n * 7919 % 101).collect();
            let mut expected = items.clone();
            expected.sort_unstable();
            sort(&mut items, |a, b| a < b);
            assert_eq!(items, expected);
            assert!(items.iter().all(|item| holds(&items, item)));
            assert!(!holds(&items, &1000));
        }
    }

    #[test]
    fn a_set_with_something_unreadable_is_unreadable() {
        let arena = Bump::new();
        let bad = Value::record(&arena, vec![("a", Value::IllTyped("why"))]);
        assert_eq!(Value::set(&arena, vec![Value::Long(1), bad]), Value::IllTyped("why"));
    }
}
