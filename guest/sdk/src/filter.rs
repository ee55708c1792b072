//! Building filters as trees, and flattening them for the contract.

use crate::attribute::Attribute;
use crate::bindings::tamis::policy::gates::{
    self, Comparison, EntityUid, Membership, Node, Operand, Rewrite, Value,
};

/// A condition on chunks. Every test is false over an attribute that is absent or of another type, and `not` is plain
/// complement.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(Tree);

#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Always,
    Never,
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Exists(Attribute),
    Equals(Attribute, Literal),
    OneOf(Attribute, Vec<Literal>),
    AtMost(Attribute, Literal),
    AtLeast(Attribute, Literal),
    ContainsAny(Attribute, Vec<Literal>),
}

/// A value to compare with.
#[derive(Clone, Debug, PartialEq)]
pub struct Literal(Value);

impl From<bool> for Literal {
    fn from(value: bool) -> Self {
        Self(Value::Boolean(value))
    }
}

impl From<i64> for Literal {
    fn from(value: i64) -> Self {
        Self(Value::Long(value))
    }
}

impl From<&str> for Literal {
    fn from(value: &str) -> Self {
        Self(Value::Text(value.to_owned()))
    }
}

impl From<&&str> for Literal {
    fn from(value: &&str) -> Self {
        (*value).into()
    }
}

impl From<EntityUid> for Literal {
    fn from(value: EntityUid) -> Self {
        Self(Value::Entity(value))
    }
}

impl Literal {
    /// A point in time, in milliseconds since 1970-01-01T00:00:00Z.
    pub fn datetime(millis: i64) -> Self {
        Self(Value::Datetime(millis))
    }

    /// A decimal number, in ten-thousandths.
    pub fn decimal(ten_thousandths: i64) -> Self {
        Self(Value::Decimal(ten_thousandths))
    }

    pub(crate) fn into_value(self) -> Value {
        self.0
    }
}

impl Filter {
    /// Matches every chunk.
    pub fn always() -> Self {
        Self(Tree::Always)
    }

    /// Matches no chunk.
    pub fn never() -> Self {
        Self(Tree::Never)
    }

    /// Matches what all of `filters` match; everything, if there are none.
    pub fn all(filters: impl IntoIterator<Item = Filter>) -> Self {
        Self(Tree::And(filters.into_iter().collect()))
    }

    /// Matches what at least one of `filters` matches; nothing, if there are none.
    pub fn any(filters: impl IntoIterator<Item = Filter>) -> Self {
        Self(Tree::Or(filters.into_iter().collect()))
    }

    /// Matches what this filter does not: also the chunks that lack what it tests.
    #[must_use]
    #[allow(clippy::should_implement_trait, reason = "reads as prose beside `all` and `any`")]
    pub fn not(self) -> Self {
        Self(Tree::Not(Box::new(self)))
    }

    pub(crate) fn exists(attribute: Attribute) -> Self {
        Self(Tree::Exists(attribute))
    }

    pub(crate) fn equals(attribute: Attribute, value: Literal) -> Self {
        Self(Tree::Equals(attribute, value))
    }

    pub(crate) fn one_of(attribute: Attribute, values: Vec<Literal>) -> Self {
        Self(Tree::OneOf(attribute, values))
    }

    pub(crate) fn at_most(attribute: Attribute, value: Literal) -> Self {
        Self(Tree::AtMost(attribute, value))
    }

    pub(crate) fn at_least(attribute: Attribute, value: Literal) -> Self {
        Self(Tree::AtLeast(attribute, value))
    }

    pub(crate) fn contains_any(attribute: Attribute, values: Vec<Literal>) -> Self {
        Self(Tree::ContainsAny(attribute, values))
    }
}

impl Rewrite {
    /// A filter that matches exactly what the policy allows.
    pub fn exact(filter: Filter) -> Self {
        Self { exact: true, ..Self::superset(filter) }
    }

    /// A filter that matches all that the policy allows, and possibly more.
    pub fn superset(filter: Filter) -> Self {
        let mut flat = gates::Filter { root: 0, nodes: Vec::new(), operands: Vec::new(), values: Vec::new() };
        flat.root = flatten(filter, &mut flat);
        Self { filter: flat, exact: false, needs: Vec::new(), errors: Vec::new(), partial: Vec::new() }
    }

    /// Matches only what both match; exact only if both are.
    #[must_use]
    pub fn and(mut self, mut other: Rewrite) -> Self {
        let offset = |list: usize| u32::try_from(list).unwrap_or(u32::MAX);
        let nodes = offset(self.filter.nodes.len());
        let operands = offset(self.filter.operands.len());
        let values = offset(self.filter.values.len());
        for node in &mut other.filter.nodes {
            shift_node(node, nodes, operands, values);
        }
        for value in &mut other.filter.values {
            shift_value(value, values);
        }
        self.filter.nodes.append(&mut other.filter.nodes);
        self.filter.operands.append(&mut other.filter.operands);
        self.filter.values.append(&mut other.filter.values);
        let both = Node::And(vec![self.filter.root, other.filter.root.saturating_add(nodes)]);
        self.filter.root = push(&mut self.filter.nodes, both);
        self.exact = self.exact && other.exact;
        self.needs.append(&mut other.needs);
        self.errors.append(&mut other.errors);
        self.partial.append(&mut other.partial);
        self
    }
}

fn shift_node(node: &mut Node, nodes: u32, operands: u32, values: u32) {
    let shift = |index: &mut u32, by: u32| *index = index.saturating_add(by);
    match node {
        Node::Always | Node::Never => {}
        Node::And(children) | Node::Or(children) => children.iter_mut().for_each(|child| shift(child, nodes)),
        Node::Not(child) => shift(child, nodes),
        Node::Exists(operand) | Node::Readable(operand) => shift(operand, operands),
        Node::Equals(test)
        | Node::Less(test)
        | Node::LessOrEqual(test)
        | Node::Greater(test)
        | Node::GreaterOrEqual(test)
        | Node::StartsWith(test) => {
            shift(&mut test.operand, operands);
            shift(&mut test.value, values);
        }
        Node::OneOf(test) | Node::ContainsAny(test) | Node::ContainsAll(test) => {
            shift(&mut test.operand, operands);
            test.values.iter_mut().for_each(|value| shift(value, values));
        }
    }
}

fn shift_value(value: &mut Value, by: u32) {
    match value {
        Value::Set(elements) => elements.iter_mut().for_each(|index| *index = index.saturating_add(by)),
        Value::Record(fields) => {
            fields.iter_mut().for_each(|field| field.value = field.value.saturating_add(by));
        }
        _ => {}
    }
}

/// Appends `filter` to `flat`, children first, and returns its index.
fn flatten(filter: Filter, flat: &mut gates::Filter) -> u32 {
    let node = match filter.0 {
        Tree::Always => Node::Always,
        Tree::Never => Node::Never,
        Tree::And(filters) => Node::And(filters.into_iter().map(|filter| flatten(filter, flat)).collect()),
        Tree::Or(filters) => Node::Or(filters.into_iter().map(|filter| flatten(filter, flat)).collect()),
        Tree::Not(filter) => Node::Not(flatten(*filter, flat)),
        Tree::Exists(attribute) => Node::Exists(operand(attribute, flat)),
        Tree::Equals(attribute, value) => Node::Equals(comparison(attribute, value, flat)),
        Tree::AtMost(attribute, value) => Node::LessOrEqual(comparison(attribute, value, flat)),
        Tree::AtLeast(attribute, value) => Node::GreaterOrEqual(comparison(attribute, value, flat)),
        Tree::OneOf(attribute, values) => Node::OneOf(membership(attribute, values, flat)),
        Tree::ContainsAny(attribute, values) => Node::ContainsAny(membership(attribute, values, flat)),
    };
    push(&mut flat.nodes, node)
}

fn comparison(attribute: Attribute, value: Literal, flat: &mut gates::Filter) -> Comparison {
    Comparison { operand: operand(attribute, flat), value: push(&mut flat.values, value.into_value()) }
}

fn membership(attribute: Attribute, values: Vec<Literal>, flat: &mut gates::Filter) -> Membership {
    let operand = operand(attribute, flat);
    let values = values.into_iter().map(|value| push(&mut flat.values, value.into_value())).collect();
    Membership { operand, values }
}

fn operand(attribute: Attribute, flat: &mut gates::Filter) -> u32 {
    push(&mut flat.operands, Operand::Attribute(attribute.to_contract()))
}

/// Appends and returns the index. WebAssembly memory has 32-bit addresses, so an index always fits; should it ever
/// not, the index points nowhere and the host refuses the filter.
fn push<T>(list: &mut Vec<T>, element: T) -> u32 {
    let index = u32::try_from(list.len()).unwrap_or(u32::MAX);
    list.push(element);
    index
}
