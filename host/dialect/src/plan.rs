//! Conditions on single fields in the terms that all databases have: what a filter comes to, and a dialect writes.

use serde_json::Value as Json;
use tamis_core::Type;
use tamis_core::decision::Path;
use tamis_core::filter::Comparison;

/// A value that a database compares.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
    Text(String),
    Integer(i64),
    Number(f64),
    Boolean(bool),
}

/// What a stored value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Text,
    Integer,
    Number,
    Boolean,
}

/// A test of one field. It holds only for a value of the kind that it names or compares with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Atom {
    /// There is something, not null.
    Present,
    /// There is a single value of this kind.
    Is(Kind),
    /// There is an array of values of this kind, maybe empty.
    IsArray(Kind),
    /// It equals one of these, which are of one kind; never empty.
    OneOf(Vec<Scalar>),
    /// It compares so. Texts compare by their bytes.
    Compare(Comparison, Scalar),
    /// It is an array, of this kind if one is declared, that holds one of these, which are of one kind; never empty.
    ContainsAny(Vec<Scalar>, Option<Kind>),
    /// As [`Self::ContainsAny`], for all of these.
    ContainsAll(Vec<Scalar>, Option<Kind>),
    /// It is a text that begins with this one, which is not empty.
    StartsWith(String),
}

/// What a dialect says of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It can be expressed exactly.
    Exact,
    /// It can be expressed exactly, but its negation cannot; the text says why.
    Unnegated(String),
    /// What it can be expressed by holds for more; the text says why.
    Wider(String),
    /// It can be expressed by what holds for more, and by what holds for less, of which the dialect writes the one that is wanted; the
    /// text says why.
    Bounded(String),
    /// It cannot be expressed; the text says why.
    Inexpressible(String),
}

/// What a test looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// The field of an attribute: a path into the metadata.
    Attribute(Path),
    /// The field of the chunk's type, id or ancestors.
    Column(String),
}

impl Field {
    /// Its name where metadata is flat; `None` for an attribute inside another.
    pub(crate) fn flat(&self) -> Option<&str> {
        match self {
            Self::Column(name) => Some(name),
            Self::Attribute(path) => match path.as_slice() {
                [name] => Some(name),
                _ => None,
            },
        }
    }
}

/// A condition on fields.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Plan {
    Always,
    Never,
    And(Vec<Plan>),
    Or(Vec<Plan>),
    Not(Box<Plan>),
    Test(Field, Atom),
}

/// How much of a filter a database takes. What goes beyond is left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Values in one list.
    pub(crate) list: usize,
    /// Values in all.
    pub(crate) values: usize,
    /// Connectives inside one another.
    pub(crate) depth: usize,
}

impl Scalar {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Integer(_) => Kind::Integer,
            Self::Number(_) => Kind::Number,
            Self::Boolean(_) => Kind::Boolean,
        }
    }

    pub(crate) fn to_json(&self) -> Json {
        match self {
            Self::Text(text) => Json::from(text.as_str()),
            Self::Integer(number) => Json::from(*number),
            Self::Number(number) => Json::from(*number),
            Self::Boolean(value) => Json::from(*value),
        }
    }
}

impl Atom {
    /// The values that it compares with.
    pub(crate) fn values(&self) -> &[Scalar] {
        match self {
            Self::OneOf(values) | Self::ContainsAny(values, _) | Self::ContainsAll(values, _) => values,
            Self::Compare(_, value) => std::slice::from_ref(value),
            Self::Present | Self::Is(_) | Self::IsArray(_) | Self::StartsWith(_) => &[],
        }
    }
}

impl Kind {
    /// As which values of a declared type are stored; `None` for sets and records.
    pub(crate) fn of(declared: &Type) -> Option<Self> {
        match declared {
            Type::Bool => Some(Self::Boolean),
            Type::Long => Some(Self::Integer),
            Type::Decimal => Some(Self::Number),
            Type::String | Type::Entity(_) | Type::Datetime | Type::Duration | Type::Ip => Some(Self::Text),
            Type::Set(_) | Type::Record(_) => None,
        }
    }
}

impl Plan {
    pub(crate) fn all(plans: impl IntoIterator<Item = Plan>) -> Plan {
        Self::join(plans, Plan::Always, Plan::Never, Plan::And)
    }

    pub(crate) fn any(plans: impl IntoIterator<Item = Plan>) -> Plan {
        Self::join(plans, Plan::Never, Plan::Always, Plan::Or)
    }

    fn join(
        plans: impl IntoIterator<Item = Plan>,
        neutral: Plan,
        absorbing: Plan,
        of: fn(Vec<Plan>) -> Plan,
    ) -> Plan {
        let mut parts = Vec::new();
        for plan in plans {
            if plan == absorbing {
                return absorbing;
            }
            if plan == neutral {
                continue;
            }
            match (plan, of(Vec::new())) {
                (Plan::And(inner), Plan::And(_)) | (Plan::Or(inner), Plan::Or(_)) => parts.extend(inner),
                (plan, _) => parts.push(plan),
            }
        }
        match parts.len() {
            0 => neutral,
            1 => parts.remove(0),
            _ => of(parts),
        }
    }

    pub(crate) fn negate(plan: Plan) -> Plan {
        match plan {
            Plan::Always => Plan::Never,
            Plan::Never => Plan::Always,
            Plan::Not(inner) => *inner,
            plan => Plan::Not(Box::new(plan)),
        }
    }

    /// The parts of a conjunction that have at most `most` tests in all, where one of what a set contains counts for each value.
    /// Says so in `left_out` if these are not all.
    pub(crate) fn with_tests(self, most: usize, left_out: &mut Vec<String>) -> Plan {
        self.with_most(most, Self::tests, left_out)
    }

    /// The same for a database that counts otherwise: a conjunction counts as its parts do together.
    pub(crate) fn with_most(
        self,
        most: usize,
        count: fn(&Plan) -> usize,
        left_out: &mut Vec<String>,
    ) -> Plan {
        if count(&self) <= most {
            return self;
        }
        let parts = if let Plan::And(parts) = self { parts } else { vec![self] };
        let mut room = most;
        let fits = |part: &Plan| {
            let tests = count(part);
            let fits = tests <= room;
            room -= if fits { tests } else { 0 };
            fits
        };
        left_out.push("a part that has too many tests".to_owned());
        Plan::all(parts.into_iter().filter(fits))
    }

    fn tests(&self) -> usize {
        match self {
            Self::Always | Self::Never => 0,
            Self::And(parts) | Self::Or(parts) => parts.iter().map(Self::tests).sum(),
            Self::Not(inner) => inner.tests(),
            Self::Test(_, Atom::ContainsAny(values, _) | Atom::ContainsAll(values, _)) => values.len(),
            Self::Test(..) => 1,
        }
    }

    /// How many values it compares with, and how deep it nests.
    pub(crate) fn size(&self) -> (usize, usize) {
        match self {
            Self::Always | Self::Never => (0, 0),
            Self::And(parts) | Self::Or(parts) => parts
                .iter()
                .map(Self::size)
                .fold((0, 0), |(values, depth), (more, below)| (values + more, depth.max(below + 1))),
            Self::Not(inner) => {
                let (values, depth) = inner.size();
                (values, depth + 1)
            }
            Self::Test(_, atom) => (atom.values().len().max(1), 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted() {
        let field = || Field::Attribute(vec!["a".to_owned()]);
        let set =
            || Plan::Test(field(), Atom::ContainsAny(vec![Scalar::Integer(1), Scalar::Integer(2)], None));
        let one = || Plan::Test(field(), Atom::OneOf(vec![Scalar::Integer(1), Scalar::Integer(2)]));
        let and = || Plan::And(vec![one(), Plan::Or(vec![set(), one()]), Plan::Not(Box::new(one()))]);
        for (plan, most, expected) in [
            (and(), 5, and()),
            (and(), 4, Plan::And(vec![one(), Plan::Or(vec![set(), one()])])),
            (and(), 3, Plan::And(vec![one(), Plan::Not(Box::new(one()))])),
            (and(), 1, one()),
            (Plan::Or(vec![set(), one()]), 2, Plan::Always),
        ] {
            let mut left_out = Vec::new();
            let whole = plan == expected;
            assert_eq!((plan.with_tests(most, &mut left_out), left_out.is_empty()), (expected, whole));
        }
    }
}
