//! What nodes of a program do.

/// An enum with a code for each variant, and the way back from the code.
macro_rules! codes {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* $variant = $code,)* }

        impl $name {
            /// The variant with this code.
            pub fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

pub(crate) use codes;

codes! {
    /// What a node does with its operands `a`, `b` and `c`.
    Op {
        /// The constant `a`.
        Constant = 0,
        /// The principal's uid.
        Principal = 1,
        /// The action's uid.
        Action = 2,
        /// The chunk's uid.
        Resource = 3,
        /// The context, a record.
        Context = 4,
        /// Node `a`, then, if it is true, node `b`.
        And = 5,
        /// Node `a`, then, if it is false, node `b`.
        Or = 6,
        /// If node `a` then node `b` else node `c`.
        If = 7,
        /// Node `a` is false.
        Not = 8,
        /// Minus node `a`.
        Negate = 9,
        /// The set `a` has no elements.
        IsEmpty = 10,
        /// Nodes `a` and `b` are the same value.
        Equal = 11,
        /// Node `a` is less than node `b`.
        Less = 12,
        /// Node `a` is less than node `b` or equal to it.
        LessOrEqual = 13,
        /// Node `a` plus node `b`.
        Add = 14,
        /// Node `a` minus node `b`.
        Subtract = 15,
        /// Node `a` times node `b`.
        Multiply = 16,
        /// Entity `a` is entity `b` or below it, or so for one entity of the set `b`. If `c` is 1, `a` may be the chunk.
        In = 17,
        /// The set `a` holds the value `b`.
        Contains = 18,
        /// The set `a` holds all of the set `b`.
        ContainsAll = 19,
        /// The set `a` holds something of the set `b`.
        ContainsAny = 20,
        /// The tag `b` of entity `a`. If `c` is 1, `a` may be the chunk.
        GetTag = 21,
        /// Entity `a` has the tag `b`. If `c` is 1, `a` may be the chunk.
        HasTag = 22,
        /// The attribute with the name, text `b`, of the entity or record `a`. If `c` is 1, `a` may be the chunk.
        Attribute = 23,
        /// Entity or record `a` has the attribute with the name, text `b`. If `c` is 1, `a` may be the chunk.
        Has = 24,
        /// The chunk's attribute in column `a`.
        Column = 25,
        /// The chunk has the attribute in column `a`.
        HasColumn = 26,
        /// Entity `a` is of the type with the name, text `b`.
        Is = 27,
        /// Text `a` matches the pattern, the list from `b` with length `c`.
        Like = 28,
        /// The set of the nodes in the list from `b` with length `c`.
        Set = 29,
        /// The record of pairs of a text and a node in the list from `b` with length `c`.
        Record = 30,
        /// The text `a` as an IP network.
        Ip = 31,
        /// The text `a` as a decimal.
        Decimal = 32,
        /// The text `a` as a datetime.
        Datetime = 33,
        /// The text `a` as a duration.
        Duration = 34,
        /// IP network `a` is IPv4.
        IsIpv4 = 35,
        /// IP network `a` is IPv6.
        IsIpv6 = 36,
        /// IP network `a` is a loopback network.
        IsLoopback = 37,
        /// IP network `a` is a multicast network.
        IsMulticast = 38,
        /// IP network `a` lies in IP network `b`.
        IsInRange = 39,
        /// Decimal `a` is less than decimal `b`.
        DecimalLess = 40,
        /// Decimal `a` is less than decimal `b` or equal to it.
        DecimalLessOrEqual = 41,
        /// Datetime `a` moved by duration `b`.
        Offset = 42,
        /// The duration from datetime `b` to datetime `a`.
        DurationSince = 43,
        /// Midnight of datetime `a`.
        ToDate = 44,
        /// The time of day of datetime `a`, a duration.
        ToTime = 45,
        /// Duration `a` in milliseconds, a number.
        ToMilliseconds = 46,
        /// Duration `a` in whole seconds.
        ToSeconds = 47,
        /// Duration `a` in whole minutes.
        ToMinutes = 48,
        /// Duration `a` in whole hours.
        ToHours = 49,
        /// Duration `a` in whole days.
        ToDays = 50,
        /// The chunk is below entity `a`, or below one entity of the set `a`.
        IsBelow = 51,
        /// The chunk has the type of entity `a`, or of one entity of the set `a`.
        IsOfTypeOf = 52,
        /// The chunk is entity `a`, or one of the set `a`.
        IsOneOf = 53,
    }
}

impl Op {
    /// Whether it is one of the operations whose chains lean to the left, `a + b - c`, and are as long as people write them: nobody
    /// recurses along those.
    pub fn is_chained(self) -> bool {
        matches!(self, Self::Add | Self::Subtract | Self::Multiply)
    }

    /// How many of `a`, `b` and `c` are nodes.
    pub fn operands(self) -> usize {
        match self {
            Self::Constant
            | Self::Principal
            | Self::Action
            | Self::Resource
            | Self::Context
            | Self::Column
            | Self::HasColumn
            | Self::Set
            | Self::Record => 0,
            Self::Not
            | Self::Negate
            | Self::IsEmpty
            | Self::Attribute
            | Self::Has
            | Self::Is
            | Self::Like
            | Self::Ip
            | Self::Decimal
            | Self::Datetime
            | Self::Duration
            | Self::IsIpv4
            | Self::IsIpv6
            | Self::IsLoopback
            | Self::IsMulticast
            | Self::ToDate
            | Self::ToTime
            | Self::ToMilliseconds
            | Self::ToSeconds
            | Self::ToMinutes
            | Self::ToHours
            | Self::ToDays
            | Self::IsBelow
            | Self::IsOfTypeOf
            | Self::IsOneOf => 1,
            Self::If => 3,
            _ => 2,
        }
    }
}
