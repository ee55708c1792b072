//! JSONB: the members that policies read, without reading the rest.

use std::ffi::c_char;

use pgrx::pg_sys::{self, Datum, jbvType as stored};
use serde_json::Value as Json;
use tamis_core::{InputError, input};

use super::value::{Held, output, utf8, with_bytes};
use super::varlena::{Aligned, Plain};

/// All of a value.
///
/// # Safety
/// A JSONB value.
pub(super) unsafe fn whole(root: &Aligned) -> Json {
    // SAFETY: as the caller says.
    unsafe { json(root.container(), root.size()) }
}

/// The same, or why it cannot be read: JSONB holds larger numbers and nests deeper than policies read.
///
/// # Safety
/// A JSONB value.
pub(super) unsafe fn read(root: &Aligned) -> Result<Json, InputError> {
    // SAFETY: as the caller says.
    let text = unsafe { text(root.container(), root.size()) };
    input::parse_json(text.ok_or_else(|| InputError::new("", "is not UTF-8"))?)
}

/// Set in the header of an object.
const IS_OBJECT: u32 = 0x2000_0000;

/// What a container of about this size holds. What is nested too deep to be read is nothing that a policy can read.
///
/// # Safety
/// A container of a JSONB value.
unsafe fn json(container: *mut pg_sys::JsonbContainer, size: usize) -> Json {
    // SAFETY: as the caller says.
    let json = unsafe { text(container, size) }.and_then(|text| input::parse_json(text).ok());
    json.unwrap_or_else(|| Json::Array(vec![Json::Null]))
}

/// The text of a container, in the row's memory; `None` if it is not UTF-8.
///
/// # Safety
/// A container of a JSONB value.
unsafe fn text<'r>(container: *mut pg_sys::JsonbContainer, size: usize) -> Option<&'r str> {
    // SAFETY: as the caller says; what the server writes is a C string.
    let text = unsafe {
        let size = i32::try_from(size).unwrap_or(i32::MAX / 2);
        std::ffi::CStr::from_ptr(pg_sys::JsonbToCString(std::ptr::null_mut(), container, size))
    };
    text.to_str().ok()
}

/// The member at a path; `None` if there is none, or something that is no object lies above it.
///
/// # Safety
/// A container of a JSONB value, in which the result lies.
pub(super) unsafe fn member(
    container: *mut pg_sys::JsonbContainer,
    path: &[String],
) -> Option<pg_sys::JsonbValue> {
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

/// A member of an object as policies read it.
///
/// # Safety
/// What [`member`] has found, in the memory of a row.
pub(super) unsafe fn held<'r>(found: pg_sys::JsonbValue) -> Held<'r> {
    // SAFETY: the type says what the value is.
    unsafe {
        match found.type_ {
            stored::jbvNull => Held::Absent,
            stored::jbvBool => Held::Bool(found.val.boolean),
            stored::jbvString => {
                let string = found.val.string;
                utf8(std::slice::from_raw_parts(string.val.cast(), string.len as usize))
            }
            stored::jbvNumeric => {
                let text = output(pg_sys::NUMERICOID, Datum::from(found.val.numeric)).unwrap_or_default();
                let json = || input::parse_json(text).map_or_else(|_| Held::unreadable(), Held::Json);
                text.parse().map_or_else(|_| json(), Held::Long)
            }
            stored::jbvBinary => {
                let binary = found.val.binary;
                Held::Json(json(binary.data, binary.len as usize))
            }
            // Of a kind that is not stored.
            _ => Held::unreadable(),
        }
    }
}

/// Adds what tells a member apart. Null is as good as nothing.
///
/// # Safety
/// What [`member`] has found.
pub(super) unsafe fn tell_apart(found: Option<pg_sys::JsonbValue>, key: &mut Vec<u8>) {
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
