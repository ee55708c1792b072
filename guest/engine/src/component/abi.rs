//! The contract's types as they lie in memory: the canonical ABI's layouts of the records and variants in `wit/policy.wit`.
//!
//! What the host passes is read where it lies, and what is answered is written as the host reads it. Generated bindings copy every
//! list and text into a type of their own and back, which is a quarter of a compiled policy.
//!
//! A record has the layout of a `repr(C)` structure with the same fields, a variant that of a `repr(C, u8)` enumeration with the same
//! cases, both in the order of the contract.

#![allow(unsafe_code, reason = "lists are a pointer and a length")]
#![allow(dead_code, reason = "the host makes what is only read, and reads what is only made")]

use core::marker::PhantomData;

/// A list, or with bytes a text.
#[repr(C)]
pub(super) struct List<'a, T> {
    pointer: *const T,
    length: usize,
    items: PhantomData<&'a [T]>,
}

/// A text.
pub(super) type Text<'a> = List<'a, u8>;

impl<T> Clone for List<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for List<'_, T> {}

impl<'a, T> List<'a, T> {
    /// What a call passed as the pointer and the length of a list.
    ///
    /// # Safety
    /// The host must have passed both, for a list of this type, and what they point to must outlive `'a`.
    pub(super) unsafe fn passed(pointer: *const T, length: usize) -> Self {
        Self { pointer, length, items: PhantomData }
    }

    /// The items.
    pub(super) fn items(&self) -> &'a [T] {
        if self.length == 0 {
            return &[];
        }
        // SAFETY: these come from a slice, or from the host, which lowers a list to just this: a pointer to that many items.
        unsafe { core::slice::from_raw_parts(self.pointer, self.length) }
    }
}

impl<'a> Text<'a> {
    /// The text.
    pub(super) fn text(&self) -> &'a str {
        // SAFETY: these are the bytes of a text, or from the host, which lowers only UTF-8 to a `string`.
        unsafe { core::str::from_utf8_unchecked(self.items()) }
    }
}

impl<'a, T> From<&'a [T]> for List<'a, T> {
    fn from(items: &'a [T]) -> Self {
        Self { pointer: items.as_ptr(), length: items.len(), items: PhantomData }
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        text.as_bytes().into()
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Uid<'a> {
    pub(super) entity_type: Text<'a>,
    pub(super) id: Text<'a>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct IpNetwork<'a> {
    pub(super) address: List<'a, u8>,
    pub(super) prefix: u8,
}

#[repr(C, u8)]
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Boolean(bool),
    Long(i64),
    Text(Text<'a>),
    Entity(Uid<'a>),
    Decimal(i64),
    Datetime(i64),
    Duration(i64),
    Ip(IpNetwork<'a>),
    Set(List<'a, u32>),
    Record(List<'a, Field<'a>>),
    IllTyped(Text<'a>),
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) name: Text<'a>,
    pub(super) value: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Entity<'a> {
    pub(super) uid: Uid<'a>,
    pub(super) attributes: List<'a, Field<'a>>,
    pub(super) tags: List<'a, Field<'a>>,
    pub(super) ancestors: List<'a, Uid<'a>>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) principal: u32,
    pub(super) subject: u32,
    pub(super) actors: List<'a, u32>,
    pub(super) action: Uid<'a>,
    pub(super) context: List<'a, Field<'a>>,
    pub(super) entities: List<'a, Entity<'a>>,
    pub(super) values: List<'a, Value<'a>>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Chunk<'a> {
    pub(super) uid: Uid<'a>,
    pub(super) attributes: List<'a, Field<'a>>,
    pub(super) tags: List<'a, Field<'a>>,
    pub(super) ancestors: List<'a, Uid<'a>>,
    pub(super) values: List<'a, Value<'a>>,
}

/// What `filter-chunk` is called with: too much for parameters, so the host passes a pointer to it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) request: Request<'a>,
    pub(super) chunk: Chunk<'a>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct PolicyError<'a> {
    pub(super) policy: Text<'a>,
    pub(super) message: Text<'a>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Decision<'a> {
    pub(super) allow: bool,
    pub(super) reasons: List<'a, Text<'a>>,
    pub(super) errors: List<'a, PolicyError<'a>>,
    pub(super) redact: List<'a, List<'a, Text<'a>>>,
    pub(super) redact_text: bool,
}

#[repr(C, u8)]
#[derive(Clone, Copy)]
pub(super) enum Maybe<T> {
    None,
    Some(T),
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Attribute<'a> {
    pub(super) path: List<'a, Text<'a>>,
    pub(super) value_type: Maybe<Text<'a>>,
}

#[repr(C, u8)]
#[derive(Clone, Copy)]
pub(super) enum Operand<'a> {
    Attribute(Attribute<'a>),
    EntityType,
    Id,
    Ancestors,
}

/// An operand and a value.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Comparison(pub(super) u32, pub(super) u32);

/// An operand and values.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Membership<'a>(pub(super) u32, pub(super) List<'a, u32>);

#[repr(C, u8)]
#[derive(Clone, Copy)]
pub(super) enum Node<'a> {
    Always,
    Never,
    And(List<'a, u32>),
    Or(List<'a, u32>),
    Not(u32),
    Exists(u32),
    Readable(u32),
    Equals(Comparison),
    OneOf(Membership<'a>),
    Less(Comparison),
    LessOrEqual(Comparison),
    Greater(Comparison),
    GreaterOrEqual(Comparison),
    ContainsAny(Membership<'a>),
    ContainsAll(Membership<'a>),
    StartsWith(Comparison),
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Filter<'a> {
    pub(super) root: u32,
    pub(super) nodes: List<'a, Node<'a>>,
    pub(super) operands: List<'a, Operand<'a>>,
    pub(super) values: List<'a, Value<'a>>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Rewrite<'a> {
    pub(super) filter: Filter<'a>,
    pub(super) exact: bool,
    pub(super) needs: List<'a, Attribute<'a>>,
    pub(super) errors: List<'a, PolicyError<'a>>,
    pub(super) partial: List<'a, Text<'a>>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct FootprintAttribute<'a> {
    pub(super) attribute: Attribute<'a>,
    pub(super) optional: bool,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct PolicyInfo<'a> {
    pub(super) id: Text<'a>,
    pub(super) annotations: List<'a, [Text<'a>; 2]>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Manifest<'a> {
    pub(super) contract: Text<'a>,
    pub(super) name: Text<'a>,
    pub(super) footprint: List<'a, FootprintAttribute<'a>>,
    pub(super) policies: List<'a, PolicyInfo<'a>>,
    pub(super) can_rewrite: bool,
    pub(super) source_digest: Text<'a>,
    pub(super) schema_digest: Text<'a>,
    pub(super) producer: Text<'a>,
}

#[repr(C, u8)]
#[derive(Clone, Copy)]
pub(super) enum Source {
    Attribute(u32),
    EntityType,
    Id,
    Ancestors,
    Tags,
}

#[repr(u8)]
#[derive(Clone, Copy)]
pub(super) enum Form {
    Codes,
    Longs,
    Texts,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Column {
    pub(super) source: Source,
    pub(super) form: Form,
}

// The canonical ABI's sizes of what lies in lists: an item of another size would shift all that follow.
const _: () = assert!(size_of::<Value<'_>>() == 24 && align_of::<Value<'_>>() == 8);
const _: () = assert!(size_of::<Field<'_>>() == 12 && size_of::<Entity<'_>>() == 40);
const _: () = assert!(size_of::<Request<'_>>() == 56 && size_of::<Question<'_>>() == 104);
const _: () = assert!(size_of::<Decision<'_>>() == 32 && size_of::<Node<'_>>() == 16);
const _: () = assert!(
    size_of::<Attribute<'_>>() == 20
        && size_of::<Operand<'_>>() == 24
        && size_of::<FootprintAttribute<'_>>() == 24
);
const _: () = assert!(size_of::<PolicyInfo<'_>>() == 16 && size_of::<Column>() == 12);
