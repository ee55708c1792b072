//! Filters as they are built: equal parts are one, constants are folded, tests of one operand are merged.

use alloc::vec::Vec;

use bumpalo::Bump;
use tamis_contract::value::{Value, holds, sort};

/// The filter that matches every chunk.
pub const ALWAYS: u32 = 0;
/// The filter that matches no chunk.
pub const NEVER: u32 = 1;

/// What a filter may come to once nothing in it is shared, by the measure of [`Filters::size`]; hosts take a third more.
const MAX_SIZE: usize = 24 << 20;
/// Bytes that a part is reckoned at, besides its texts. No host needs more.
const PART: usize = 64;
/// How deep filters nest. Hosts take 100 levels, but readers of JSON only 127, of which `and` and `or` have two.
const MAX_DEPTH: usize = 60;

/// What a test looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// The attribute in a column of the program.
    Attribute(u32),
    /// The field that a node of the program reads, of a record that is an attribute: see [`crate::program::Program::path`].
    Field(u32),
    /// The chunk's entity type, a text.
    EntityType,
    /// The chunk's uid, an entity.
    Id,
    /// The set of the chunk's ancestors.
    Ancestors,
}

/// A test, as the contract defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// The operand is present.
    Exists,
    /// It is present and reads as its declared type.
    Readable,
    /// It equals one of the values, which are in ascending order.
    OneOf,
    /// It is less than the only value.
    Less,
    /// It is less than the only value or equals it.
    LessOrEqual,
    /// It is greater than the only value.
    Greater,
    /// It is greater than the only value or equals it.
    GreaterOrEqual,
    /// It is a set that holds one of the values, which are in ascending order.
    ContainsAny,
    /// It is a set that holds all of the values, which are in ascending order.
    ContainsAll,
    /// It is a text that begins with the only value.
    StartsWith,
}

/// One node of a filter. Those that it refers to have lower numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node<'a> {
    /// Matches every chunk.
    Always,
    /// Matches no chunk.
    Never,
    /// Matches what all of these match.
    And(&'a [u32]),
    /// Matches what one of these matches.
    Or(&'a [u32]),
    /// Matches what this does not.
    Not(u32),
    /// Tests an operand.
    Test(Test, Operand, &'a [Value<'a>]),
}

/// What a node is, as far as it can make a connective of it simpler.
mod kind {
    /// A negation.
    pub(super) const NEGATION: u8 = 1;
    /// A connective with a negation among its parts.
    pub(super) const NEGATING: u8 = 2;
    /// A test that merges with another of its operand in a disjunction.
    pub(super) const MERGES_IF_ANY: u8 = 4;
    /// A test that merges with another of its operand in a conjunction.
    pub(super) const MERGES_IF_ALL: u8 = 8;
    /// A test that other tests of its operand imply.
    pub(super) const WEAK: u8 = 16;
}

#[derive(Clone, Copy)]
struct Entry<'a> {
    node: Node<'a>,
    /// Bits of [`kind`].
    kind: u8,
    size: usize,
    depth: usize,
    /// The node that was made before it and has the same hash; 0 if there is none.
    before: u32,
}

/// All nodes of the filters of one request.
pub struct Filters<'a> {
    arena: &'a Bump,
    entries: Vec<Entry<'a>>,
    /// The last node with each hash; 0 if there is none.
    last: &'a mut [u32],
}

/// How many hashes are told apart.
const HASHES: usize = 256;

impl<'a> Filters<'a> {
    /// Only [`ALWAYS`] and [`NEVER`].
    pub fn new(arena: &'a Bump) -> Self {
        let constant = |node| Entry { node, kind: 0, size: PART, depth: 0, before: 0 };
        let mut entries = Vec::with_capacity(64);
        entries.push(constant(Node::Always));
        entries.push(constant(Node::Never));
        Self { arena, entries, last: arena.alloc_slice_fill_copy(HASHES, 0) }
    }

    /// Node `index`.
    pub fn node(&self, index: u32) -> Node<'a> {
        self.entries.get(index as usize).map_or(Node::Never, |entry| entry.node)
    }

    /// The filter, or `otherwise` if it is too large or too deep for hosts.
    pub fn bounded(&self, filter: u32, otherwise: u32) -> u32 {
        match self.entries.get(filter as usize) {
            Some(entry) if entry.size <= MAX_SIZE && entry.depth <= MAX_DEPTH => filter,
            _ => otherwise,
        }
    }

    /// For each node up to `root` its place among those that make up this filter, `u32::MAX` for all others; and how many those are.
    pub fn places(&self, root: u32) -> (Vec<u32>, u32) {
        let mut places = alloc::vec![u32::MAX; root as usize + 1];
        let reach = |places: &mut Vec<u32>, index: u32| {
            if let Some(place) = places.get_mut(index as usize) {
                *place = 0;
            }
        };
        // A node refers to lower numbers only, so one pass down finds what is reached.
        reach(&mut places, root);
        for index in (0..=root).rev() {
            if places.get(index as usize) == Some(&0) {
                match self.node(index) {
                    Node::And(parts) | Node::Or(parts) => {
                        parts.iter().for_each(|part| reach(&mut places, *part));
                    }
                    Node::Not(part) => reach(&mut places, part),
                    _ => {}
                }
            }
        }
        let mut count = 0;
        for place in &mut places {
            if *place == 0 {
                *place = count;
                count += 1;
            }
        }
        (places, count)
    }

    /// What a filter does not match.
    pub fn not(&mut self, filter: u32) -> u32 {
        match self.node(filter) {
            Node::Always => NEVER,
            Node::Never => ALWAYS,
            Node::Not(inner) => inner,
            // `not (a and not b)` is `not a or b`, which reads better.
            Node::And(parts) if self.is(filter, kind::NEGATING) => self.join_negated(parts, true),
            Node::Or(parts) if self.is(filter, kind::NEGATING) => self.join_negated(parts, false),
            _ => self.intern(Node::Not(filter)),
        }
    }

    /// Bits of [`kind`].
    fn kind(&self, filter: u32) -> u8 {
        self.entries.get(filter as usize).map_or(0, |entry| entry.kind)
    }

    fn is(&self, filter: u32, kind: u8) -> bool {
        self.kind(filter) & kind != 0
    }

    /// What some of these are.
    fn kinds(&self, filters: &[u32]) -> u8 {
        filters.iter().fold(0, |kinds, filter| kinds | self.kind(*filter))
    }

    fn join_negated(&mut self, parts: &[u32], any: bool) -> u32 {
        let negated = self.arena.alloc_slice_copy(parts);
        for part in negated.iter_mut() {
            *part = self.not(*part);
        }
        self.join(negated, any)
    }

    /// What both filters match.
    pub fn and(&mut self, a: u32, b: u32) -> u32 {
        match (a, b) {
            (NEVER, _) | (_, NEVER) => NEVER,
            (ALWAYS, other) | (other, ALWAYS) => other,
            _ if a == b => a,
            _ => self.all(&[a, b]),
        }
    }

    /// What one of the filters matches.
    pub fn or(&mut self, a: u32, b: u32) -> u32 {
        match (a, b) {
            (ALWAYS, _) | (_, ALWAYS) => ALWAYS,
            (NEVER, other) | (other, NEVER) => other,
            _ if a == b => a,
            _ => self.any(&[a, b]),
        }
    }

    /// What all of the filters match.
    pub fn all(&mut self, filters: &[u32]) -> u32 {
        self.join(filters, false)
    }

    /// What at least one of the filters matches.
    pub fn any(&mut self, filters: &[u32]) -> u32 {
        self.join(filters, true)
    }

    /// A test of an operand.
    pub fn test(&mut self, test: Test, operand: Operand, values: &[Value<'a>]) -> u32 {
        match Value::set_of(self.arena.alloc_slice_copy(values)) {
            Value::Set(values) => self.test_of_set(test, operand, values),
            // No value equals one that cannot be read.
            _ => NEVER,
        }
    }

    /// As [`Self::test`], with the elements of a set.
    pub fn test_of_set(&mut self, test: Test, operand: Operand, values: &'a [Value<'a>]) -> u32 {
        match (test, operand) {
            (Test::OneOf | Test::ContainsAny, _) if values.is_empty() => return NEVER,
            (Test::ContainsAll, Operand::Ancestors) if values.is_empty() => return ALWAYS,
            // Only attributes can be absent or unreadable.
            (Test::Exists | Test::Readable, Operand::EntityType | Operand::Id | Operand::Ancestors) => {
                return ALWAYS;
            }
            _ => {}
        }
        self.intern(Node::Test(test, operand, values))
    }

    fn join(&mut self, filters: &[u32], any: bool) -> u32 {
        let (neutral, absorbing) = if any { (NEVER, ALWAYS) } else { (ALWAYS, NEVER) };
        let mut parts = Vec::with_capacity(filters.len());
        for filter in filters {
            match self.node(*filter) {
                _ if *filter == neutral => {}
                _ if *filter == absorbing => return absorbing,
                Node::Or(inner) if any => parts.extend_from_slice(inner),
                Node::And(inner) if !any => parts.extend_from_slice(inner),
                _ => parts.push(*filter),
            }
        }
        self.distinct(&mut parts);
        let mut kinds = self.kinds(&parts);
        // `a or not a`, `a and not a`.
        let negated = |part: &u32| matches!(self.node(*part), Node::Not(inner) if holds(&parts, &inner));
        if kinds & kind::NEGATION != 0 && parts.iter().any(negated) {
            return absorbing;
        }
        if kinds & kind::NEGATING != 0 {
            self.drop_negations(&mut parts, any);
            kinds = self.kinds(&parts);
        }
        let merges = if any { kind::MERGES_IF_ANY } else { kind::MERGES_IF_ALL };
        if kinds & merges != 0 {
            self.merge_values(&mut parts, any);
        }
        if kinds & (kind::NEGATING | merges) != 0 {
            self.distinct(&mut parts);
        }
        if kinds & kind::WEAK != 0 {
            self.drop_implied(&mut parts, any);
        }
        match parts.as_slice() {
            [] => neutral,
            [one] => *one,
            many => {
                let many = &*self.arena.alloc_slice_copy(many);
                self.intern(if any { Node::Or(many) } else { Node::And(many) })
            }
        }
    }

    fn distinct(&self, parts: &mut Vec<u32>) {
        if !parts.is_sorted_by(|a, b| a < b) {
            sort(parts, |a, b| a < b);
            parts.dedup();
        }
    }

    /// `a or (b and not a)` is `a or b`; `a and (b or not a)` is `a and b`.
    fn drop_negations(&mut self, parts: &mut [u32], any: bool) {
        for index in 0..parts.len() {
            let Some(part) = parts.get(index).copied() else { break };
            let inner = match self.node(part) {
                Node::And(inner) if any && self.is(part, kind::NEGATING) => inner,
                Node::Or(inner) if !any && self.is(part, kind::NEGATING) => inner,
                _ => continue,
            };
            let mut left = Vec::new();
            for member in inner {
                match self.node(*member) {
                    Node::Not(negated) if holds(parts, &negated) => {}
                    _ => left.push(*member),
                }
            }
            if left.len() < inner.len() {
                let simpler = self.join(&left, !any);
                // What comes out of order is not found above, which keeps it as it is.
                if let Some(place) = parts.get_mut(index) {
                    *place = simpler;
                }
            }
        }
    }

    /// `x == 1 or x == 2` is `x one of 1, 2`.
    fn merge_values(&mut self, parts: &mut Vec<u32>, any: bool) {
        let mut index = 0;
        while let Some(part) = parts.get(index).copied() {
            index += 1;
            let Node::Test(test, operand, values) = self.node(part) else { continue };
            if !self.is(part, if any { kind::MERGES_IF_ANY } else { kind::MERGES_IF_ALL }) {
                continue;
            }
            let mut all = Vec::new();
            let mut kept = index;
            for position in index..parts.len() {
                let Some(other) = parts.get(position).copied() else { break };
                match self.node(other) {
                    Node::Test(other, of, more) if other == test && of == operand => {
                        if all.is_empty() {
                            all.extend_from_slice(values);
                        }
                        all.extend_from_slice(more);
                    }
                    _ => {
                        if let Some(place) = parts.get_mut(kept) {
                            *place = other;
                        }
                        kept += 1;
                    }
                }
            }
            if kept < parts.len() {
                parts.truncate(kept);
                let merged = self.test(test, operand, &all);
                if let Some(place) = parts.get_mut(index - 1) {
                    *place = merged;
                }
            }
        }
    }

    /// Drops `x exists` and `x is readable` from a conjunction that tests `x`, and tests of `x` from a disjunction with one of those.
    fn drop_implied(&self, parts: &mut Vec<u32>, any: bool) {
        let mut index = 0;
        while let Some(weak) = parts.get(index).copied() {
            index += 1;
            // Of thousands of parts only a few are such, and each is compared with all others.
            if !self.is(weak, kind::WEAK) {
                continue;
            }
            let implies = |strong: u32| match (self.node(weak), self.node(strong)) {
                (Node::Test(weak, of, _), Node::Test(strong, operand, _)) => {
                    of == operand
                        && match weak {
                            Test::Exists => strong != Test::Exists,
                            Test::Readable => !matches!(strong, Test::Exists | Test::Readable),
                            _ => false,
                        }
                }
                _ => false,
            };
            if any {
                parts.retain(|strong| !implies(*strong));
                // What was before it may be gone.
                index = parts.iter().position(|part| *part == weak).map_or(index, |at| at + 1);
            } else if parts.iter().any(|strong| implies(*strong)) {
                parts.retain(|part| *part != weak);
                index -= 1;
            }
        }
    }

    /// The number of a node, the same for equal nodes.
    fn intern(&mut self, node: Node<'a>) -> u32 {
        let slot = hash(&node) % HASHES;
        let before = self.last.get(slot).copied().unwrap_or(0);
        let mut known = before;
        while let Some(entry) = self.entries.get(known as usize).filter(|_| known > NEVER) {
            if same(&entry.node, &node) {
                return known;
            }
            known = entry.before;
        }
        let (mut size, mut depth) = (PART, 0);
        let negating =
            |parts: &[u32]| if self.kinds(parts) & kind::NEGATION != 0 { kind::NEGATING } else { 0 };
        let kind = match &node {
            Node::And(parts) | Node::Or(parts) => negating(parts),
            Node::Not(_) => kind::NEGATION,
            Node::Test(Test::OneOf | Test::ContainsAny, ..) => kind::MERGES_IF_ANY,
            Node::Test(Test::ContainsAll, ..) => kind::MERGES_IF_ALL,
            Node::Test(Test::Exists | Test::Readable, ..) => kind::WEAK,
            _ => 0,
        };
        let mut add = |index: &u32| {
            if let Some(entry) = self.entries.get(*index as usize) {
                size = entry.size.saturating_add(size);
                depth = depth.max(entry.depth + 1);
            }
        };
        match &node {
            Node::And(parts) | Node::Or(parts) => parts.iter().for_each(add),
            Node::Not(part) => add(part),
            Node::Test(_, _, values) => {
                size = values.iter().fold(4 * PART, |size, value| size + value_size(value))
            }
            Node::Always | Node::Never => {}
        }
        let index = self.entries.len() as u32;
        self.entries.push(Entry { node, kind, size, depth, before });
        if let Some(last) = self.last.get_mut(slot) {
            *last = index;
        }
        index
    }
}

/// Whether two nodes are equal. Of the same list of groups there are often many tests.
fn same(a: &Node<'_>, b: &Node<'_>) -> bool {
    match (a, b) {
        (Node::Test(test, operand, values), Node::Test(other, of, others))
            if core::ptr::eq(*values, *others) =>
        {
            test == other && operand == of
        }
        (a, b) => a == b,
    }
}

/// What a value takes up in the host.
fn value_size(value: &Value<'_>) -> usize {
    let inside = match value {
        Value::Text(text) => text.len(),
        Value::Entity(uid) => uid.entity_type.len() + uid.id.len(),
        Value::Set(elements) => elements.iter().map(value_size).sum(),
        Value::Record(fields) => fields.iter().map(|(name, value)| name.len() + value_size(value)).sum(),
        _ => 0,
    };
    PART + inside
}

/// A number that is the same for equal nodes, and differs for most others.
fn hash(node: &Node<'_>) -> usize {
    let mix = |hash: usize, number: usize| (hash ^ number).wrapping_mul(0x0100_0193);
    let parts = |seed: usize, parts: &[u32]| parts.iter().fold(seed, |hash, part| mix(hash, *part as usize));
    let hash = match node {
        Node::Always | Node::Never => 0,
        Node::And(inner) => parts(1, inner),
        Node::Or(inner) => parts(2, inner),
        Node::Not(inner) => mix(3, *inner as usize),
        Node::Test(test, operand, values) => {
            let operand = match operand {
                Operand::Attribute(column) => *column as usize,
                Operand::Field(node) => *node as usize + 0x2000,
                _ => 0x1000,
            };
            let text = match values.first() {
                Some(Value::Text(text)) => text,
                Some(Value::Entity(uid)) => uid.id,
                Some(Value::Long(number)) => return mix(operand, *number as usize),
                _ => "",
            };
            text.bytes().fold(mix(operand, *test as usize), |hash, byte| mix(hash, usize::from(byte)))
        }
    };
    hash ^ hash >> 8
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: Operand = Operand::Attribute(0);
    const Y: Operand = Operand::Attribute(1);

    fn long(filters: &mut Filters<'_>, test: Test, operand: Operand, numbers: &[i64]) -> u32 {
        let values: Vec<Value<'_>> = numbers.iter().map(|number| Value::Long(*number)).collect();
        filters.test(test, operand, &values)
    }

    #[test]
    fn filters_are_simplified() {
        let arena = Bump::new();
        let filters = &mut Filters::new(&arena);
        let one = long(filters, Test::OneOf, X, &[1]);
        let two = long(filters, Test::OneOf, X, &[2]);
        let other = long(filters, Test::OneOf, Y, &[1]);
        let less = long(filters, Test::Less, X, &[5]);
        let exists = filters.test(Test::Exists, X, &[]);
        let readable = filters.test(Test::Readable, X, &[]);
        let not_one = filters.not(one);

        for (made, expected) in [
            (long(filters, Test::OneOf, X, &[1, 1]), one),
            (long(filters, Test::OneOf, X, &[]), NEVER),
            (filters.test(Test::Exists, Operand::Id, &[]), ALWAYS),
            (filters.not(not_one), one),
            (filters.not(ALWAYS), NEVER),
            (filters.all(&[]), ALWAYS),
            (filters.any(&[]), NEVER),
            (filters.and(one, ALWAYS), one),
            (filters.and(one, NEVER), NEVER),
            (filters.or(one, NEVER), one),
            (filters.or(one, ALWAYS), ALWAYS),
            (filters.and(one, one), one),
            (filters.or(one, two), long(filters, Test::OneOf, X, &[2, 1])),
            (filters.and(exists, less), less),
            (filters.and(readable, less), less),
            (filters.and(readable, exists), readable),
            (filters.or(exists, less), exists),
            (filters.or(less, readable), readable),
            (filters.and(not_one, one), NEVER),
            (filters.or(one, not_one), ALWAYS),
        ] {
            assert_eq!(made, expected, "{:?}", filters.node(made));
        }
        for parts in [[one, other], [one, two], [exists, not_one]] {
            let and = filters.all(&parts);
            assert_eq!(filters.node(and), Node::And(&parts), "these stay");
        }
        let (a, b) = (long(filters, Test::ContainsAll, X, &[1]), long(filters, Test::ContainsAll, X, &[2]));
        assert_eq!(filters.and(a, b), long(filters, Test::ContainsAll, X, &[1, 2]));

        // `one or (readable and not one and other)`, as `one || other` comes out.
        let otherwise = filters.all(&[readable, not_one, other]);
        let expected = filters.and(readable, other);
        let expected = filters.or(one, expected);
        assert_eq!(filters.or(one, otherwise), expected);
        let either = filters.or(not_one, other);
        assert_eq!(filters.and(one, either), filters.and(one, other));
    }

    #[test]
    fn what_is_too_large_for_hosts_is_known() {
        let arena = Bump::new();
        let filters = &mut Filters::new(&arena);
        let mut deep = long(filters, Test::OneOf, X, &[0]);
        let mut doubled = deep;
        for number in 1..=60 {
            let (x, y) = (long(filters, Test::Less, X, &[number]), long(filters, Test::Less, Y, &[number]));
            deep = filters.and(x, deep);
            assert_eq!(filters.bounded(deep, NEVER), if number <= 30 { deep } else { NEVER });
            deep = filters.or(y, deep);
            // Each refers to the one before twice: what is shared here, hosts unfold.
            let (left, right) = (filters.and(x, doubled), filters.not(doubled));
            let right = filters.and(y, right);
            doubled = filters.or(left, right);
        }
        assert_eq!(filters.bounded(doubled, ALWAYS), ALWAYS);
        let many: Vec<i64> = (0..100_000).collect();
        let large = long(filters, Test::OneOf, X, &many);
        assert_eq!(filters.bounded(large, ALWAYS), large);
    }
}
