//! Rewrites as bytes, as `FRAME.md` defines them: the first byte of each of their parts. What follows is read and written as in
//! [`frame`](crate::frame)s.

/// The first byte of a node, in the order of the variant `node` in `policy.wit`.
pub mod node {
    /// Matches every chunk; nothing follows.
    pub const ALWAYS: u8 = 0;
    /// Matches no chunk; nothing follows.
    pub const NEVER: u8 = 1;
    /// How many nodes, then their positions.
    pub const AND: u8 = 2;
    /// As [`AND`].
    pub const OR: u8 = 3;
    /// The position of a node.
    pub const NOT: u8 = 4;
    /// An operand.
    pub const EXISTS: u8 = 5;
    /// An operand.
    pub const READABLE: u8 = 6;
    /// An operand and a value.
    pub const EQUALS: u8 = 7;
    /// An operand, how many values, then those.
    pub const ONE_OF: u8 = 8;
    /// An operand and a value.
    pub const LESS: u8 = 9;
    /// An operand and a value.
    pub const LESS_OR_EQUAL: u8 = 10;
    /// An operand and a value.
    pub const GREATER: u8 = 11;
    /// An operand and a value.
    pub const GREATER_OR_EQUAL: u8 = 12;
    /// An operand, how many values, then those.
    pub const CONTAINS_ANY: u8 = 13;
    /// An operand, how many values, then those.
    pub const CONTAINS_ALL: u8 = 14;
    /// An operand and a value, which is a text.
    pub const STARTS_WITH: u8 = 15;
}

/// The first byte of an operand.
pub mod operand {
    /// An attribute: its position in the footprint.
    pub const FOOTPRINT: u8 = 0;
    /// An attribute: how many names its path has, those, and its type, empty if it has none.
    pub const ATTRIBUTE: u8 = 1;
    /// The chunk's entity type; nothing follows.
    pub const ENTITY_TYPE: u8 = 2;
    /// The chunk's uid; nothing follows.
    pub const ID: u8 = 3;
    /// The chunk's ancestors; nothing follows.
    pub const ANCESTORS: u8 = 4;
}
