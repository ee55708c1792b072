//! Column values: as bytes that tell them apart, for what was decided before, and as JSON, for the policy.

use std::ffi::c_char;

use pgrx::FromDatum;
use pgrx::pg_sys::{self, Datum, Oid, jbvType as stored};
use pgrx::varlena::{varatt_is_4b_u, vardata_any, varsize_any_exhdr};
use serde_json::{Number, Value as Json};

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
            unsafe { tell_member_apart(member(root.container(), path), key) }
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
        // SAFETY: the kind is JSONB.
        unsafe {
            let root = Aligned::of(self.datum?);
            Some(json(root.container(), varsize_any_exhdr(root.0)))
        }
    }

    /// The members of a JSON object at some paths, each as JSON if there is one.
    pub(crate) fn members(self, paths: &[Vec<String>]) -> Vec<Option<Json>> {
        let Some(datum) = self.datum.filter(|_| self.kind == Kind::Jsonb) else {
            return vec![None; paths.len()];
        };
        // SAFETY: the kind is JSONB; the containers lie in `root`.
        unsafe {
            let root = Aligned::of(datum);
            let found = |path: &Vec<String>| {
                let mut value = member(root.container(), path)?;
                let alone = pg_sys::JsonbValueToJsonb(&mut value);
                Some(json(&raw mut (*alone).root, varsize_any_exhdr(alone.cast())))
            };
            paths.iter().map(found).collect()
        }
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

/// What a container of about this size holds. What is nested too deep to be read is nothing that a policy can read.
///
/// # Safety
/// A container of a JSONB value.
unsafe fn json(container: *mut pg_sys::JsonbContainer, size: usize) -> Json {
    // SAFETY: as the caller says; what the server writes is a C string.
    let text = unsafe {
        let size = i32::try_from(size).unwrap_or(i32::MAX / 2);
        std::ffi::CStr::from_ptr(pg_sys::JsonbToCString(std::ptr::null_mut(), container, size))
    };
    let json = text.to_str().ok().and_then(|text| tamis_core::input::parse_json(text).ok());
    json.unwrap_or_else(|| Json::Array(vec![Json::Null]))
}

/// The member at a path; `None` if there is none, or something that is no object lies above it.
///
/// # Safety
/// A container of a JSONB value, in which the result lies.
unsafe fn member(container: *mut pg_sys::JsonbContainer, path: &[String]) -> Option<pg_sys::JsonbValue> {
    let (name, rest) = path.split_first()?;
    // SAFETY: as the caller says; names are shorter than a gigabyte, or are not found.
    unsafe {
        if (*container).header & IS_OBJECT == 0 {
            return None;
        }
        let mut found = pg_sys::JsonbValue::default();
        let (name, length) = (name.as_ptr().cast::<c_char>(), i32::try_from(name.len()).unwrap_or(0));
        if pg_sys::getKeyJsonValueFromContainer(container, name, length, &mut found).is_null() {
            return None;
        }
        match found.type_ {
            _ if rest.is_empty() => Some(found),
            stored::jbvBinary => member(found.val.binary.data, rest),
            _ => None,
        }
    }
}

/// Adds what tells a member apart. Null is as good as nothing.
///
/// # Safety
/// What [`member`] has found.
unsafe fn tell_member_apart(found: Option<pg_sys::JsonbValue>, key: &mut Vec<u8>) {
    let Some(found) = found else { return key.push(0) };
    // SAFETY: the type says what the value is.
    unsafe {
        match found.type_ {
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
            // Of a kind that is not stored.
            _ => key.push(7),
        }
    }
}
