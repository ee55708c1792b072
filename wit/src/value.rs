//! Values as a policy holds them: small, copied freely, canonical, so that equal values are equal structures.
//!
//! What does not fit into a value lies in an arena that outlives it. Nothing is counted or freed one by one, which keeps compiled
//! policies small and fast.

use alloc::vec::Vec;
use core::cell::Cell;
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
    pub fn set(arena: &'a Bump, elements: Vec<Value<'a>>) -> Self {
        Self::set_of(arena.alloc_slice_copy(&elements))
    }

    /// As [`Self::set`], of elements that already lie where they stay.
    #[inline(never)]
    pub fn set_of(elements: &'a mut [Value<'a>]) -> Self {
        for element in elements.iter() {
            if let Some(reason) = element.ill_typed() {
                return Self::IllTyped(reason);
            }
        }
        if !elements.is_sorted_by(|a, b| a < b) {
            sort(elements, |a, b| a < b);
            return Self::Set(distinct(elements));
        }
        Self::Set(elements)
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
    #[inline(never)]
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

/// The first of each run of equal values, moved to the front.
fn distinct<'a, 'b>(values: &'b mut [Value<'a>]) -> &'b [Value<'a>] {
    let mut kept = 0;
    for index in 0..values.len() {
        let Some(value) = values.get(index).copied() else { break };
        if kept == 0 || values.get(kept - 1) != Some(&value) {
            if let Some(place) = values.get_mut(kept) {
                *place = value;
            }
            kept += 1;
        }
    }
    values.get(..kept).unwrap_or_default()
}

/// The fields of a record: see [`Value::record`].
pub fn record_fields<'a>(arena: &'a Bump, fields: Vec<Field<'a>>) -> &'a [Field<'a>] {
    record_of(arena.alloc_slice_copy(&fields))
}

/// As [`record_fields`], of fields that already lie where they stay.
#[inline(never)]
pub fn record_of<'a>(fields: &'a mut [Field<'a>]) -> &'a [Field<'a>] {
    if !fields.is_sorted_by(|(a, _), (b, _)| a < b) {
        sort(fields, |(a, _), (b, _)| a < b);
        let mut before = None;
        for (name, value) in fields.iter_mut().rev() {
            if before.replace(*name) == Some(*name) {
                *value = Value::IllTyped("there are two fields of this name");
            }
        }
    }
    fields
}

/// The value of the field `name`, if there is one.
pub fn field<'a>(fields: &[Field<'a>], name: &str) -> Option<Value<'a>> {
    let at = place(fields.len(), &|index| fields.get(index).is_some_and(|(known, _)| *known < name));
    fields.get(at).filter(|(known, _)| *known == name).map(|(_, value)| *value)
}

/// Whether ascending `items` hold `wanted`.
pub fn holds<T: Ord>(items: &[T], wanted: &T) -> bool {
    let at = place(items.len(), &|index| items.get(index).is_some_and(|item| item < wanted));
    items.get(at) == Some(wanted)
}

/// How many of `count` items come before what is looked for; those that do come first.
///
/// Like `partition_point`, but one function for all types.
#[inline(never)]
pub fn place(count: usize, is_before: &dyn Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// Sorts in place by `less`, in no more than n log n steps.
///
/// A heap sort, because the sorts of the standard library take five to eight kilobytes for each type in every compiled policy; and one
/// for all types, which only compare and swap on their own.
pub fn sort<T: Copy>(items: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let cells = Cell::from_mut(items).as_slice_of_cells();
    let less = |a: usize, b: usize| match (cells.get(a), cells.get(b)) {
        (Some(a), Some(b)) => less(&a.get(), &b.get()),
        _ => false,
    };
    let swap = |a: usize, b: usize| {
        if let (Some(a), Some(b)) = (cells.get(a), cells.get(b)) {
            // `Cell::swap` panics with a text, for which policies would contain a formatter.
            a.set(b.replace(a.get()));
        }
    };
    heap_sort(cells.len(), &less, &swap);
}

fn heap_sort(count: usize, less: &dyn Fn(usize, usize) -> bool, swap: &dyn Fn(usize, usize)) {
    let (mut start, mut end) = (count / 2, count);
    while end > 1 {
        if start > 0 {
            start -= 1;
        } else {
            end -= 1;
            swap(0, end);
        }
        // Lets the item at `start` sink until none below it is greater.
        let mut parent = start;
        loop {
            let mut child = 2 * parent + 1;
            if child + 1 < end && less(child, child + 1) {
                child += 1;
            }
            if child >= end || !less(parent, child) {
                break;
            }
            swap(parent, child);
            parent = child;
        }
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
