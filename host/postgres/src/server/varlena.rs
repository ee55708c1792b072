//! Values of variable length: where their bytes are.

use pgrx::pg_sys::{self, Datum};
use pgrx::varlena::{varatt_is_4b_u, vardata_any, varsize_any_exhdr};

/// A value of variable length, not compressed and not elsewhere.
pub(super) struct Plain(*const pg_sys::varlena);

impl Plain {
    /// # Safety
    /// The datum is of a type of variable length. What this makes of it lives as long as the memory of the row.
    pub(super) unsafe fn of(datum: Datum) -> Self {
        let pointer = datum.cast_mut_ptr::<pg_sys::varlena>();
        // SAFETY: as the caller says.
        unsafe {
            let plain = varatt_is_4b_u(pointer)
                || pgrx::varlena::varatt_is_1b(pointer) && !pgrx::varlena::varatt_is_1b_e(pointer);
            Self(if plain { pointer } else { pg_sys::pg_detoast_datum_packed(pointer) })
        }
    }

    /// They live as long as the memory of the row.
    pub(super) fn bytes<'r>(&self) -> &'r [u8] {
        // SAFETY: a plain value has its length in front.
        unsafe { std::slice::from_raw_parts(vardata_any(self.0).cast(), varsize_any_exhdr(self.0)) }
    }
}

/// As [`Plain`], with its contents at an address that is a multiple of four.
pub(super) struct Aligned(*mut pg_sys::varlena);

impl Aligned {
    /// # Safety
    /// As [`Plain::of`].
    pub(super) unsafe fn of(datum: Datum) -> Self {
        let pointer = datum.cast_mut_ptr::<pg_sys::varlena>();
        // SAFETY: as the caller says.
        unsafe { Self(if varatt_is_4b_u(pointer) { pointer } else { pg_sys::pg_detoast_datum(pointer) }) }
    }

    /// How large its contents are.
    pub(super) fn size(&self) -> usize {
        // SAFETY: a plain value has its length in front.
        unsafe { varsize_any_exhdr(self.0) }
    }

    /// What is in a JSONB value.
    pub(super) fn container(&self) -> *mut pg_sys::JsonbContainer {
        // SAFETY: a value that is not packed has four bytes in front.
        unsafe { pgrx::varlena::vardata_4b(self.0).cast::<pg_sys::JsonbContainer>().cast_mut() }
    }
}
