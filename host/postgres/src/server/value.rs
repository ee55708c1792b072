//! Column values: as bytes that tell them apart, for what was decided before, and as JSON, for the policy.

use std::ffi::c_char;

use pgrx::FromDatum;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::varlena::{varatt_is_4b_u, vardata_any, varsize_any_exhdr};
use serde_json::{Map, Number, Value as Json};

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
pub(crate) struct Value {
    pub(super) kind: Kind,
    pub(super) datum: Option<Datum>,
}

impl Value {
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
            unsafe { member(root.container(), path, key) }
        }
    }

    /// As the JSON that policies read. What cannot be a value of any type is JSON that cannot either. `None` is a NULL.
    pub(crate) fn json(self) -> Option<Json> {
        let datum = self.datum?;
        Some(match self.kind {
            Kind::Bool => Json::Bool(datum.value() & 0xff != 0),
            Kind::Int2 => Json::from(datum.value() as i16),
            Kind::Int4 => Json::from(datum.value() as i32),
            Kind::Int8 => Json::from(datum.value() as i64),
            Kind::Float8 => real(f64::from_bits(datum.value() as u64)),
            Kind::Text => Json::String(self.text()?),
            Kind::Jsonb => self.document()?,
            Kind::Array(element) => self.elements(element)?,
            Kind::Other(_) => Json::String(self.text()?),
        })
    }

    /// As text: what it is, or as its type writes it. `None` too if it is not UTF-8.
    pub(crate) fn text(self) -> Option<String> {
        let datum = self.datum?;
        match self.kind {
            Kind::Text => {
                // SAFETY: a kind of variable length.
                let bytes = unsafe { Plain::of(datum) };
                std::str::from_utf8(bytes.bytes()).ok().map(str::to_owned)
            }
            Kind::Int8 => Some((datum.value() as i64).to_string()),
            Kind::Int4 => Some((datum.value() as i32).to_string()),
            Kind::Int2 => Some((datum.value() as i16).to_string()),
            Kind::Other(oid) => {
                let (mut function, mut varlena) = (pg_sys::InvalidOid, false);
                // SAFETY: the datum is of this type; what the function writes is a C string.
                let text = unsafe {
                    pg_sys::getTypeOutputInfo(oid, &mut function, &mut varlena);
                    std::ffi::CStr::from_ptr(pg_sys::OidOutputFunctionCall(function, datum))
                };
                text.to_str().ok().map(str::to_owned)
            }
            _ => None,
        }
    }

    /// The elements of an array of texts without NULL.
    pub(crate) fn texts(self) -> Option<Vec<String>> {
        match self.json()? {
            Json::Array(elements) => {
                elements.into_iter().map(|element| element.as_str().map(str::to_owned)).collect()
            }
            _ => None,
        }
    }

    fn document(self) -> Option<Json> {
        // SAFETY: the kind is JSONB; what the server writes is a C string.
        let text = unsafe {
            let root = Aligned::of(self.datum?);
            let length = varsize_any_exhdr(root.0);
            let text = pg_sys::JsonbToCString(std::ptr::null_mut(), root.container(), length as i32);
            std::ffi::CStr::from_ptr(text)
        };
        // What is nested too deep to be read is nothing that a policy can read.
        let unreadable = || Json::Array(vec![Json::Null]);
        Some(
            text.to_str()
                .ok()
                .and_then(|text| tamis_core::input::parse_json(text).ok())
                .unwrap_or_else(unreadable),
        )
    }

    fn elements(self, element: Element) -> Option<Json> {
        let datum = self.datum?;
        // SAFETY: an array, by its kind.
        let dimensions =
            unsafe { (*pg_sys::pg_detoast_datum(datum.cast_mut_ptr()).cast::<pg_sys::ArrayType>()).ndim };
        if dimensions > 1 {
            // No set.
            return Some(Json::Array(vec![Json::Null]));
        }
        // SAFETY: an array of elements of this type, by its kind.
        unsafe {
            match element {
                Element::Bool => array::<bool>(datum, Json::Bool),
                Element::Int2 => array::<i16>(datum, Json::from),
                Element::Int4 => array::<i32>(datum, Json::from),
                Element::Int8 => array::<i64>(datum, Json::from),
                Element::Float8 => array::<f64>(datum, real),
                Element::Text => array::<String>(datum, Json::from),
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

/// What is no number in JSON is no number that a policy can read.
fn real(number: f64) -> Json {
    Number::from_f64(number).map_or_else(|| Json::String(number.to_string()), Json::Number)
}

fn with_bytes(key: &mut Vec<u8>, bytes: &[u8]) {
    key.extend_from_slice(&(bytes.len() as u64).to_ne_bytes());
    key.extend_from_slice(bytes);
}

/// A value of variable length, not compressed and not elsewhere.
struct Plain(*const pg_sys::varlena);

impl Plain {
    /// # Safety
    /// The datum is of a type of variable length. What this makes of it lives as long as the memory of the row.
    unsafe fn of(datum: Datum) -> Self {
        let pointer = datum.cast_mut_ptr::<pg_sys::varlena>();
        // SAFETY: as the caller says.
        unsafe {
            let plain = varatt_is_4b_u(pointer)
                || pgrx::varlena::varatt_is_1b(pointer) && !pgrx::varlena::varatt_is_1b_e(pointer);
            Self(if plain { pointer } else { pg_sys::pg_detoast_datum_packed(pointer) })
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: a plain value has its length in front.
        unsafe { std::slice::from_raw_parts(vardata_any(self.0).cast(), varsize_any_exhdr(self.0)) }
    }
}

/// As [`Plain`], with its contents at an address that is a multiple of four.
struct Aligned(*mut pg_sys::varlena);

impl Aligned {
    /// # Safety
    /// As [`Plain::of`].
    unsafe fn of(datum: Datum) -> Self {
        let pointer = datum.cast_mut_ptr::<pg_sys::varlena>();
        // SAFETY: as the caller says.
        unsafe { Self(if varatt_is_4b_u(pointer) { pointer } else { pg_sys::pg_detoast_datum(pointer) }) }
    }

    /// What is in a JSONB value.
    fn container(&self) -> *mut pg_sys::JsonbContainer {
        // SAFETY: a value that is not packed has four bytes in front.
        unsafe { pgrx::varlena::vardata_4b(self.0).cast::<pg_sys::JsonbContainer>().cast_mut() }
    }
}

/// Set in the header of an object.
const IS_OBJECT: u32 = 0x2000_0000;

/// Adds what tells apart the member at a path.
///
/// # Safety
/// A container of a JSONB value.
unsafe fn member(container: *mut pg_sys::JsonbContainer, path: &[String], key: &mut Vec<u8>) {
    let Some((name, rest)) = path.split_first() else { return };
    // SAFETY: as the caller says; names are shorter than a gigabyte, or are not found.
    unsafe {
        if (*container).header & IS_OBJECT == 0 {
            return key.push(0);
        }
        let mut found = pg_sys::JsonbValue::default();
        let length = i32::try_from(name.len()).unwrap_or(0);
        let at = pg_sys::getKeyJsonValueFromContainer(
            container,
            name.as_ptr().cast::<c_char>(),
            length,
            &mut found,
        );
        if at.is_null() {
            return key.push(0);
        }
        use pg_sys::jbvType as stored;
        match found.type_ {
            stored::jbvBinary if !rest.is_empty() => member(found.val.binary.data, rest, key),
            _ if !rest.is_empty() => key.push(0),
            stored::jbvNull => key.push(0),
            stored::jbvBool => key.push(if found.val.boolean { 2 } else { 3 }),
            stored::jbvString => {
                key.push(4);
                let string = found.val.string;
                with_bytes(key, std::slice::from_raw_parts(string.val.cast(), string.len as usize));
            }
            stored::jbvNumeric => {
                key.push(5);
                with_bytes(key, Plain::of(Datum::from(found.val.numeric)).bytes());
            }
            stored::jbvBinary => {
                key.push(6);
                let binary = found.val.binary;
                with_bytes(key, std::slice::from_raw_parts(binary.data.cast(), binary.len as usize));
            }
            // Of a kind that is not stored: told apart from nothing but itself.
            _ => key.push(7),
        }
    }
}

/// The members of an object; nothing of what is no object.
pub(crate) fn object(json: Json) -> Map<String, Json> {
    if let Json::Object(object) = json { object } else { Map::new() }
}
