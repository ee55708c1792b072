//! Filters as trees, from nodes that refer to nodes before them. Nothing in those is trusted: every index is checked, there can be no
//! cycles, and shared parts cannot be used to make a small answer unfold into a huge one.

use tamis_core::filter::{Filter, MAX_DEPTH, Operand, Test};

use super::broken;
use crate::error::Error;

/// Bytes that the filter of one answer may unfold into. Parts can be shared, so that a small answer could otherwise become
/// a tree of any size; a filter for a subject in 100 000 groups takes some 10 MB.
const MAX_UNFOLDED: usize = 32 << 20;

/// What a node, a value or an operand takes up besides its text.
pub(super) const PART: usize = 64;

/// Values inside values nest at most this deep, as JSON does.
const MAX_VALUE_DEPTH: usize = 128;

/// Parts that room is made for before they are read. An answer may claim to have any number of them.
pub(super) const EXPECTED: usize = 64;

/// What is left of the room for a tree.
pub(super) struct Room(usize);

impl Room {
    /// Takes so many bytes from what is left.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Error> {
        match self.0.checked_sub(bytes) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => Err(Error::Limit(format!("its filter unfolds to more than {MAX_UNFOLDED} bytes"))),
        }
    }

    /// Refuses a value inside so many others.
    pub(super) fn check_depth(depth: usize) -> Result<(), Error> {
        if depth > MAX_VALUE_DEPTH {
            return Err(Error::Limit(format!(
                "its filter has values nested deeper than {MAX_VALUE_DEPTH} levels"
            )));
        }
        Ok(())
    }
}

/// One node. The numbers are those of nodes before it.
pub(super) enum Node<I> {
    Always,
    Never,
    And(I),
    Or(I),
    Not(u32),
    Test(Operand, Test),
}

/// What nodes are read from.
pub(super) trait Source {
    /// Where a node is.
    type Place: Clone;
    /// The numbers of nodes that a node refers to.
    type Numbers: ExactSizeIterator<Item = u32>;

    /// Reads the node at a place, which is then the place behind it. Takes what it holds from the room.
    fn read(&self, place: &mut Self::Place, room: &mut Room) -> Result<Node<Self::Numbers>, Error>;
}

/// Puts nodes together as they come. A connective becomes a part of the first that refers to it, and is read once more for another.
pub(super) struct Tree<S: Source> {
    source: S,
    known: Vec<Known<S::Place>>,
    room: Room,
}

struct Known<P> {
    /// A connective only until it is part of another. What a test compares with is shared, so that it costs nothing to give it out again.
    filter: Option<Filter>,
    depth: usize,
    /// What it took from the room.
    size: usize,
    /// Whether it is part of another.
    used: bool,
    place: P,
}

impl<S: Source> Tree<S> {
    /// A tree of so many nodes, all of which are yet to come.
    pub(super) fn new(source: S, count: usize) -> Self {
        Self { source, known: Vec::with_capacity(count.min(EXPECTED)), room: Room(MAX_UNFOLDED) }
    }

    /// Takes in the next node.
    pub(super) fn add(&mut self, place: &mut S::Place) -> Result<(), Error> {
        let (before, room) = (place.clone(), self.room.0);
        let (filter, depth) = self.unfold(place)?;
        let size = room - self.room.0;
        self.known.push(Known { filter: Some(filter), depth, size, used: false, place: before });
        Ok(())
    }

    /// The tree whose root is the node with this number.
    pub(super) fn root(mut self, number: u32) -> Result<Filter, Error> {
        self.part(number).map(|(filter, _)| filter)
    }

    fn unfold(&mut self, place: &mut S::Place) -> Result<(Filter, usize), Error> {
        self.room.take(PART)?;
        let (filter, depth) = match self.source.read(place, &mut self.room)? {
            Node::Always => (Filter::Always, 0),
            Node::Never => (Filter::Never, 0),
            Node::Test(operand, test) => (Filter::Test(operand, test), 0),
            Node::Not(number) => {
                let (filter, depth) = self.part(number)?;
                (Filter::Not(Box::new(filter)), depth + 1)
            }
            Node::And(numbers) => {
                let (parts, depth) = self.parts(numbers)?;
                (Filter::And(parts), depth)
            }
            Node::Or(numbers) => {
                let (parts, depth) = self.parts(numbers)?;
                (Filter::Or(parts), depth)
            }
        };
        if depth > MAX_DEPTH {
            return Err(Error::Limit(format!("its filter nests deeper than {MAX_DEPTH} levels")));
        }
        Ok((filter, depth))
    }

    fn parts(&mut self, numbers: S::Numbers) -> Result<(Vec<Filter>, usize), Error> {
        let mut parts = Vec::with_capacity(numbers.len().min(EXPECTED));
        let mut deepest = 0;
        for number in numbers {
            let (filter, depth) = self.part(number)?;
            parts.push(filter);
            deepest = deepest.max(depth + 1);
        }
        Ok((parts, deepest))
    }

    /// A node that came before, and how deep it is.
    fn part(&mut self, number: u32) -> Result<(Filter, usize), Error> {
        let known = self.known.get_mut(number as usize);
        let known = known
            .ok_or_else(|| broken(format!("its filter refers to node {number}, which is not before it")))?;
        if let Some(test @ Filter::Test(..)) = &known.filter {
            if std::mem::replace(&mut known.used, true) {
                self.room.take(known.size)?;
            }
            return Ok((test.clone(), 0));
        }
        match known.filter.take() {
            Some(filter) => Ok((filter, known.depth)),
            // What it refers to came before it, and nests no deeper than it did then.
            None => {
                let mut place = known.place.clone();
                self.unfold(&mut place)
            }
        }
    }
}
