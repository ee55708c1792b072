//! Column values: as policies read them, and as bytes that tell them apart, for what was decided before.

use std::borrow::Cow;
use std::marker::PhantomData;

use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::{Array, FromDatum};
use serde_json::{Number, Value as Json};
use tamis_core::InputError;

use super::jsonb;
use super::varlena::{Aligned, Plain};

/// What a column holds, as far as policies can read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Float8,
    Text,
    Jsonb,
    /// Of one of the kinds above.
    Array(Element),
    /// Nothing that an attribute can be. An id is read as the text that the type is written as.
    Other(Oid),
}

/// What an array holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Element {
    Bool,
    Int2,
    Int4,
    Int8,
    Float8,
    Text,
}

impl Kind {
    /// Whether a value is written in one way only. Dates, bytes and others are written as who asks sets it, who could by that get
    /// round what a policy says of an id.
    pub(crate) fn has_one_text(self) -> bool {
        match self {
            Self::Int2 | Self::Int4 | Self::Int8 | Self::Text => true,
            Self::Other(oid) => {
                [pg_sys::UUIDOID, pg_sys::NUMERICOID, pg_sys::BPCHAROID, pg_sys::NAMEOID, pg_sys::OIDOID]
                    .contains(&oid)
            }
            Self::Bool | Self::Float8 | Self::Jsonb | Self::Array(_) => false,
        }
    }

    pub(crate) fn of(oid: Oid) -> Self {
        match oid {
            pg_sys::BOOLOID => Self::Bool,
            pg_sys::INT2OID => Self::Int2,
            pg_sys::INT4OID => Self::Int4,
            pg_sys::INT8OID => Self::Int8,
            pg_sys::FLOAT8OID => Self::Float8,
            pg_sys::TEXTOID | pg_sys::VARCHAROID => Self::Text,
            pg_sys::JSONBOID => Self::Jsonb,
            pg_sys::BOOLARRAYOID => Self::Array(Element::Bool),
            pg_sys::INT2ARRAYOID => Self::Array(Element::Int2),
            pg_sys::INT4ARRAYOID => Self::Array(Element::Int4),
            pg_sys::INT8ARRAYOID => Self::Array(Element::Int8),
            pg_sys::FLOAT8ARRAYOID => Self::Array(Element::Float8),
            pg_sys::TEXTARRAYOID | pg_sys::VARCHARARRAYOID => Self::Array(Element::Text),
            other => Self::Other(other),
        }
    }
}

/// One value of a row: its datum is of the kind, or there is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value<'r> {
    kind: Kind,
    datum: Option<Datum>,
    row: PhantomData<&'r ()>,
}

/// What is read inside a JSON object.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Which attribute of the footprint it is.
    pub(crate) position: usize,
    /// Where it is.
    pub(crate) path: Vec<String>,
}

/// A value as policies read it.
#[derive(Clone, Debug)]
pub(crate) enum Held<'r> {
    Absent,
    Bool(bool),
    Long(i64),
    Text(&'r str),
    Json(Json),
}

impl Held<'_> {
    /// There, and nothing that a policy can read, whatever is declared.
    pub(super) fn unreadable() -> Self {
        Self::Json(unreadable())
    }
}

fn unreadable() -> Json {
    Json::Array(vec![Json::Null])
}

impl<'r> Value<'r> {
    /// # Safety
    /// The datum is of this kind, and stays what it is as long as this lives.
    pub(super) unsafe fn new(kind: Kind, datum: Option<Datum>) -> Self {
        Self { kind, datum, row: PhantomData }
    }

    pub(crate) fn is_null(self) -> bool {
        self.datum.is_none()
    }

    /// Adds bytes that no other value of the same column adds. Two that are equal may add different ones.
    pub(crate) fn tell_apart(self, key: &mut Vec<u8>) {
        let Some(datum) = self.datum else { return key.push(0) };
        key.push(1);
        match self.kind {
            Kind::Bool | Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Float8 => {
                key.extend_from_slice(&(datum.value() as u64).to_ne_bytes());
            }
            Kind::Text | Kind::Jsonb | Kind::Array(_) => {
                // SAFETY: the kinds of variable length.
                with_bytes(key, unsafe { Plain::of(datum) }.bytes());
            }
            Kind::Other(_) => match self.text() {
                Some(text) => with_bytes(key, text.as_bytes()),
                None => key.push(2),
            },
        }
    }

    /// The members of a JSON object that policies read, in place of [`Self::tell_apart`] of the whole.
    pub(crate) fn tell_members_apart(self, paths: &[Vec<String>], key: &mut Vec<u8>) {
        let Some(datum) = self.datum.filter(|_| self.kind == Kind::Jsonb) else {
            return self.tell_apart(key);
        };
        // SAFETY: the kind is JSONB; the copy, if there is one, lives as long as this row's memory.
        let root = unsafe { Aligned::of(datum) };
        for path in paths {
            // SAFETY: the container lies in `root`.
            unsafe { jsonb::tell_apart(jsonb::member(root.container(), path), key) }
        }
    }

    /// As policies read it. What cannot be a value of any type is unreadable.
    pub(crate) fn held(self) -> Held<'r> {
        let Some(datum) = self.datum else { return Held::Absent };
        match self.kind {
            Kind::Bool => Held::Bool(datum.value() & 0xff != 0),
            Kind::Int2 => Held::Long((datum.value() as i16).into()),
            Kind::Int4 => Held::Long((datum.value() as i32).into()),
            Kind::Int8 => Held::Long(datum.value() as i64),
            Kind::Float8 => Held::Json(real(f64::from_bits(datum.value() as u64))),
            // SAFETY: a kind of variable length.
            Kind::Text => utf8(unsafe { Plain::of(datum) }.bytes()),
            // SAFETY: the kind is JSONB.
            Kind::Jsonb => Held::Json(unsafe { jsonb::whole(&Aligned::of(datum)) }),
            Kind::Array(element) => self.elements(element).map_or_else(Held::unreadable, Held::Json),
            Kind::Other(_) => {
                self.text().map_or_else(Held::unreadable, |text| Held::Json(text.into_owned().into()))
            }
        }
    }

    /// As text: what it is, or as its type writes it. `None` too if it is not UTF-8.
    pub(crate) fn text(self) -> Option<Cow<'r, str>> {
        let datum = self.datum?;
        match self.kind {
            // SAFETY: a kind of variable length.
            Kind::Text => std::str::from_utf8(unsafe { Plain::of(datum) }.bytes()).ok().map(Cow::Borrowed),
            Kind::Int8 => Some((datum.value() as i64).to_string().into()),
            Kind::Int4 => Some((datum.value() as i32).to_string().into()),
            Kind::Int2 => Some((datum.value() as i16).to_string().into()),
            // SAFETY: the datum is of this type.
            Kind::Other(oid) => unsafe { output(oid, datum) }.map(|text| text.to_owned().into()),
            _ => None,
        }
    }

    /// The JSON that a JSONB value is; null if there is none.
    pub(crate) fn json(self) -> Result<Json, InputError> {
        let Some(datum) = self.datum.filter(|_| self.kind == Kind::Jsonb) else { return Ok(Json::Null) };
        // SAFETY: the kind is JSONB.
        unsafe { jsonb::read(&Aligned::of(datum)) }
    }

    /// The elements of an array of texts without NULL.
    pub(crate) fn texts(self) -> Option<Vec<String>> {
        match self.held() {
            Held::Json(Json::Array(elements)) => {
                elements.into_iter().map(|element| element.as_str().map(str::to_owned)).collect()
            }
            _ => None,
        }
    }

    /// The members of a JSON object that there are of those wanted, each with its position. Of what is no object there are none.
    pub(crate) fn members(self, wanted: &[Member], mut each: impl FnMut(usize, Held<'r>)) {
        let Some(datum) = self.datum.filter(|_| self.kind == Kind::Jsonb) else { return };
        // SAFETY: the kind is JSONB; the copy, if there is one, lives as long as this row's memory.
        unsafe {
            let root = Aligned::of(datum);
            for Member { position, path } in wanted {
                if let Some(found) = jsonb::member(root.container(), path) {
                    each(*position, jsonb::held(found));
                }
            }
        }
    }

    fn elements(self, element: Element) -> Option<Json> {
        let datum = self.datum?;
        // SAFETY: an array, by its kind.
        let dimensions =
            unsafe { (*pg_sys::pg_detoast_datum(datum.cast_mut_ptr()).cast::<pg_sys::ArrayType>()).ndim };
        if dimensions > 1 {
            // No set.
            return None;
        }
        // SAFETY: an array of elements of this type, by its kind.
        unsafe {
            match element {
                Element::Bool => array::<bool>(datum, Json::Bool),
                Element::Int2 => array::<i16>(datum, Json::from),
                Element::Int4 => array::<i32>(datum, Json::from),
                Element::Int8 => array::<i64>(datum, Json::from),
                Element::Float8 => array::<f64>(datum, real),
                Element::Text => texts(datum),
            }
        }
    }
}

/// NULL becomes null, which is in no set.
unsafe fn array<T: FromDatum>(datum: Datum, json: impl Fn(T) -> Json) -> Option<Json>
where
    Vec<Option<T>>: FromDatum,
{
    // SAFETY: as the caller says.
    let elements = unsafe { Vec::<Option<T>>::from_datum(datum, false) }?;
    Some(elements.into_iter().map(|element| element.map_or(Json::Null, &json)).collect())
}

/// The same of texts. What is not UTF-8 is in no set either.
///
/// # Safety
/// An array of texts.
unsafe fn texts(datum: Datum) -> Option<Json> {
    // SAFETY: as the caller says. Their bytes are looked at before they are taken for UTF-8.
    let elements = unsafe { Array::<&[u8]>::from_datum(datum, false) }?;
    let json = |bytes| std::str::from_utf8(bytes).map_or_else(|_| unreadable(), Json::from);
    Some(elements.iter().map(|element| element.map_or(Json::Null, json)).collect())
}

/// What is no number in JSON is no number that a policy can read.
fn real(number: f64) -> Json {
    Number::from_f64(number).map_or_else(|| Json::String(number.to_string()), Json::Number)
}

pub(super) fn with_bytes(key: &mut Vec<u8>, bytes: &[u8]) {
    key.extend_from_slice(&(bytes.len() as u64).to_ne_bytes());
    key.extend_from_slice(bytes);
}

/// A text, which lies in the row's memory.
pub(super) fn utf8(bytes: &[u8]) -> Held<'_> {
    std::str::from_utf8(bytes).map_or_else(|_| Held::unreadable(), Held::Text)
}

/// A value as its type writes it.
///
/// # Safety
/// The datum is of this type.
pub(super) unsafe fn output<'r>(oid: Oid, datum: Datum) -> Option<&'r str> {
    let (mut function, mut varlena) = (pg_sys::InvalidOid, false);
    // SAFETY: as the caller says; what the function writes is a C string, in the row's memory.
    let text = unsafe {
        pg_sys::getTypeOutputInfo(oid, &mut function, &mut varlena);
        std::ffi::CStr::from_ptr(pg_sys::OidOutputFunctionCall(function, datum))
    };
    text.to_str().ok()
}
