//! Filters: conditions on chunks that no database owns, with the evaluator that defines what they mean.

mod evaluate;
mod json;
mod text;

use std::sync::Arc;

use crate::decision::Path;
use crate::types::Type;
use crate::value::Value;

pub use json::MAX_DEPTH;

/// A condition on chunks. Every test in it is two-valued, and NOT is plain complement.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Matches every chunk.
    Always,
    /// Matches no chunk.
    Never,
    /// Matches what all of them match.
    And(Vec<Filter>),
    /// Matches what at least one of them matches.
    Or(Vec<Filter>),
    /// Matches what the inner filter does not.
    Not(Box<Filter>),
    /// A test of one operand.
    Test(Operand, Test),
}

/// An attribute, and how its stored value is to be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attribute {
    /// Where it is; never empty.
    pub path: Path,
    /// What it is read as; with `None`, by Cedar's JSON conventions.
    pub declared: Option<Type>,
}

/// What a test looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// An attribute of the chunk. Policies test the same few again and again.
    Attribute(Arc<Attribute>),
    /// The chunk's entity type, as a text.
    EntityType,
    /// The chunk's own uid, as an entity.
    Id,
    /// The set of the chunk's ancestors.
    Ancestors,
}

/// A two-valued test: false over an absent or ill-typed operand, or one of another type than the test compares.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Test {
    /// The operand is present, whatever its type.
    Exists,
    /// The operand is present and reads as its declared type.
    Readable,
    /// The operand equals the value.
    Equals(Value),
    /// The operand equals one of the values. Many tests of one filter may share them: the groups of a user, say.
    OneOf(Arc<[Value]>),
    /// The operand compares like this with the value.
    Compare(Comparison, Value),
    /// The operand is a set that holds at least one of the values.
    ContainsAny(Arc<[Value]>),
    /// The operand is a set that holds every one of the values.
    ContainsAll(Arc<[Value]>),
    /// The operand is a text that begins with this one.
    StartsWith(String),
}

/// An order between two longs, decimals, datetimes or durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Filter {
    /// What all of `filters` match, with constants folded and nested conjunctions opened.
    pub fn and(filters: impl IntoIterator<Item = Filter>) -> Filter {
        let mut parts = Vec::new();
        for filter in filters {
            match filter {
                Filter::Always => {}
                Filter::Never => return Filter::Never,
                Filter::And(inner) => inner.into_iter().for_each(|filter| add(&mut parts, filter)),
                filter => add(&mut parts, filter),
            }
        }
        match parts.len() {
            0 => Filter::Always,
            1 => parts.remove(0),
            _ => Filter::And(parts),
        }
    }

    /// What at least one of `filters` matches, with constants folded and nested disjunctions opened.
    pub fn or(filters: impl IntoIterator<Item = Filter>) -> Filter {
        let mut parts = Vec::new();
        for filter in filters {
            match filter {
                Filter::Never => {}
                Filter::Always => return Filter::Always,
                Filter::Or(inner) => inner.into_iter().for_each(|filter| add(&mut parts, filter)),
                filter => add(&mut parts, filter),
            }
        }
        match parts.len() {
            0 => Filter::Never,
            1 => parts.remove(0),
            _ => Filter::Or(parts),
        }
    }

    /// What `filter` does not match, with constants and double negations folded.
    pub fn negate(filter: Filter) -> Filter {
        match filter {
            Filter::Always => Filter::Never,
            Filter::Never => Filter::Always,
            Filter::Not(inner) => *inner,
            filter => Filter::Not(Box::new(filter)),
        }
    }
}

/// Parts among which a repeated one is found. Looking through all would take the square of their number.
const LOOKED_THROUGH: usize = 64;

fn add(parts: &mut Vec<Filter>, filter: Filter) {
    if parts.len() > LOOKED_THROUGH || !parts.contains(&filter) {
        parts.push(filter);
    }
}

impl Comparison {
    /// Whether `ordering` satisfies this comparison.
    pub fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constructors_fold_constants_and_open_nests() {
        use Filter::{Always, And, Never, Not, Or};
        let test = |name: &str| {
            let attribute = Attribute { path: vec![name.to_owned()], declared: None };
            Filter::Test(Operand::Attribute(attribute.into()), Test::Exists)
        };
        let (a, b, c) = (test("a"), test("b"), test("c"));
        for (built, expected) in [
            (Filter::and([]), Always),
            (Filter::or([]), Never),
            (Filter::and([Always, a.clone(), Always]), a.clone()),
            (Filter::or([Never, a.clone(), Never]), a.clone()),
            (Filter::and([a.clone(), Never]), Never),
            (Filter::or([a.clone(), Always]), Always),
            (Filter::and([a.clone(), a.clone(), b.clone()]), And(vec![a.clone(), b.clone()])),
            (
                Filter::and([And(vec![a.clone(), b.clone()]), And(vec![b.clone(), a.clone()])]),
                And(vec![a.clone(), b.clone()]),
            ),
            (
                Filter::or([Or(vec![a.clone(), b.clone()]), Or(vec![a.clone(), b.clone()])]),
                Or(vec![a.clone(), b.clone()]),
            ),
            (Filter::or([a.clone(), a.clone(), b.clone()]), Or(vec![a.clone(), b.clone()])),
            (
                Filter::and([And(vec![a.clone(), b.clone()]), c.clone()]),
                And(vec![a.clone(), b.clone(), c.clone()]),
            ),
            (
                Filter::or([Or(vec![a.clone(), b.clone()]), c.clone()]),
                Or(vec![a.clone(), b.clone(), c.clone()]),
            ),
            (Filter::and([Or(vec![a.clone(), b.clone()])]), Or(vec![a.clone(), b.clone()])),
            (Filter::negate(Always), Never),
            (Filter::negate(Never), Always),
            (Filter::negate(Not(Box::new(a.clone()))), a.clone()),
            (Filter::negate(a.clone()), Not(Box::new(a))),
        ] {
            assert_eq!(built, expected);
        }
    }
}
