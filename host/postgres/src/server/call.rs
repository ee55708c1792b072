//! A call of a function with any number of arguments: what they are, and what is kept from one call to the next.

use std::ffi::c_int;
use std::marker::PhantomData;

use pgrx::PgMemoryContexts;
use pgrx::pg_sys::{self, FunctionCallInfo, NodeTag};

use super::plan::nth;
use super::value::{Kind, Value};

/// The arguments of a call.
#[derive(Clone, Copy)]
pub(crate) struct Call<'c>(FunctionCallInfo, PhantomData<&'c ()>);

impl<'c> Call<'c> {
    /// # Safety
    /// What the server calls a function with, for as long as the call lasts.
    pub(crate) unsafe fn new(info: FunctionCallInfo) -> Self {
        Self(info, PhantomData)
    }

    pub(crate) fn arguments(self) -> usize {
        // SAFETY: as `new` says.
        usize::from(unsafe { (*self.0).nargs }.unsigned_abs())
    }

    /// An argument of a kind that was asked for before.
    pub(crate) fn argument(self, number: usize, kind: Kind) -> Value<'c> {
        // SAFETY: as `new` says, and the array has so many.
        unsafe {
            if number >= self.arguments() {
                return Value::new(kind, None);
            }
            let argument = *(*self.0).args.as_ptr().add(number);
            Value::new(kind, (!argument.isnull).then_some(argument.value))
        }
    }

    pub(crate) fn kind(self, number: usize) -> Kind {
        // SAFETY: as `new` says. A number that there is not has no type.
        Kind::of(unsafe { pg_sys::get_fn_expr_argtype((*self.0).flinfo, number as c_int) })
    }

    /// Whether the argument is the same in all calls from this place. A parameter is not: PL/pgSQL gives it another value each time.
    pub(crate) fn is_fixed(self, number: usize) -> bool {
        // SAFETY: as `new` says; the tags say what the nodes are.
        unsafe {
            let call = (*(*self.0).flinfo).fn_expr.cast::<pg_sys::FuncExpr>();
            if call.is_null() || (*call).xpr.type_ != NodeTag::T_FuncExpr || number >= self.arguments() {
                return false;
            }
            (*nth((*call).args, number)).type_ == NodeTag::T_Const
        }
    }

    /// Whether the last argument is an array of arguments.
    pub(crate) fn is_variadic(self) -> bool {
        // SAFETY: as `new` says.
        unsafe { pg_sys::get_fn_expr_variadic((*self.0).flinfo) }
    }

    /// What this place has kept, if it has. The type must be the one that [`Self::keep`] was called with, which is one for all of
    /// this library.
    pub(crate) fn kept(self) -> Option<&'static mut crate::gate::Site> {
        // SAFETY: only `keep` writes this, with a site; it lives as long as the server knows the place. The reference does not
        // leave the call.
        unsafe { (*(*self.0).flinfo).fn_extra.cast::<crate::gate::Site>().as_mut() }
    }

    /// Keeps something until the server forgets this place.
    pub(crate) fn keep(self, site: crate::gate::Site) -> &'static mut crate::gate::Site {
        // SAFETY: as `new` says; the pointer is to what lives as long as the context, in which the place is.
        unsafe {
            let info = (*self.0).flinfo;
            if let Some(old) = self.kept() {
                *old = site;
                return old;
            }
            let kept = PgMemoryContexts::For((*info).fn_mcxt).leak_and_drop_on_delete(site);
            (*info).fn_extra = kept.cast();
            &mut *kept
        }
    }
}
