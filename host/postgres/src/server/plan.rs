//! Tells the planner which rows a request can be allowed: `tamis.allowed(…)` becomes `(condition) AND tamis.decided(…)`, so that indexes serve the condition while the policy still decides on each row.

use std::cell::Cell;
use std::ffi::{CStr, c_int};

use pgrx::pg_sys::{self, List, Node, NodeTag};
use pgrx::{FromDatum, IntoDatum};

use super::value::Kind;
use super::{expression, kept, process};
use crate::error::{Failure, or_raise};
use crate::gate::{Action, Place};
use crate::layout::Layout;
use crate::narrow::{self, Condition};
use crate::planned::Basis;
use crate::{backend, request};

/// Arguments before those of the row.
pub(super) const FIRST: usize = 2;

/// Answers the planner, or does not.
///
/// # Safety
/// A node that a support function is called with.
pub(crate) unsafe fn support(node: *mut Node) -> *mut Node {
    // SAFETY: as the caller says; the tag says what the node is.
    unsafe {
        if (*node).type_ != NodeTag::T_SupportRequestSimplify || !backend::narrows() {
            return std::ptr::null_mut();
        }
        let node = node.cast::<pg_sys::SupportRequestSimplify>();
        or_raise(simplify((*node).root, (*node).fcall)).unwrap_or(std::ptr::null_mut())
    }
}

/// # Safety
/// A call of `tamis.allowed`.
unsafe fn simplify(
    root: *mut pg_sys::PlannerInfo,
    call: *mut pg_sys::FuncExpr,
) -> Result<Option<*mut Node>, Failure> {
    // SAFETY: nodes of the planner, each looked at as what its tag says.
    unsafe {
        let arguments = (*call).args;
        let length = usize::try_from((*arguments).length).unwrap_or(0);
        let (Some(policy), Some(layout)) = (constant(arguments, 0), constant(arguments, 1)) else {
            return Ok(None);
        };
        let kinds: Vec<Kind> =
            (FIRST..length).map(|number| Kind::of(pg_sys::exprType(nth(arguments, number)))).collect();
        let Some(decided) = decided_beside((*call).funcid, kinds.is_empty()) else { return Ok(None) };
        // A plan that is made without a request is made anew when there is one.
        kept::depend(root, decided);
        let place = Place { policy, action: Action::Retrieve, layout, kinds };
        let Some(condition) = request::condition(&place, condition)? else { return Ok(None) };
        let text = expression::of(root, &condition.text, arguments);
        let basis = Basis {
            serial: request::serial(),
            moment: process::moment(),
            policy: place.policy,
            generation: condition.served.generation,
            digest: condition.digest.clone(),
        };
        let Some(key) = basis.to_text().into_datum() else { return Ok(None) };
        let asked = pg_sys::copyObjectImpl(call.cast()).cast::<pg_sys::FuncExpr>();
        (*asked).funcid = decided;
        // In the place of the policy's name.
        (*(*(*asked).args).elements).ptr_value =
            pg_sys::makeConst(pg_sys::TEXTOID, -1, pg_sys::DEFAULT_COLLATION_OID, -1, key, false, false)
                .cast();
        // Without a condition it is decided by this policy all the same.
        let Some(text) = text else { return Ok(Some(asked.cast())) };
        let both = pg_sys::lappend(pg_sys::lappend(std::ptr::null_mut(), text.cast()), asked.cast());
        Ok(Some(pg_sys::makeBoolExpr(pg_sys::BoolExprType::AND_EXPR, both, -1).cast()))
    }
}

/// The condition at a place. `None` if there is no request, or the call is not as it should be: that is said when it is evaluated.
fn condition(place: &Place) -> Result<Option<Condition>, Failure> {
    let Ok(layout) = Layout::from_json(&place.layout) else { return Ok(None) };
    if place.kinds.len() != layout.columns.len() {
        return Ok(None);
    }
    let names: Vec<String> = (0..place.kinds.len()).map(expression::name).collect();
    narrow::condition(&place.policy, &layout, &place.kinds, &names)
}

/// `tamis.decided` of the extension that this `tamis.allowed` is of, for a row of which nothing is read or something.
fn decided_beside(allowed: pg_sys::Oid, is_empty: bool) -> Option<pg_sys::Oid> {
    thread_local! {
        static KNOWN: Cell<(pg_sys::Oid, pg_sys::Oid)> = const { Cell::new((pg_sys::InvalidOid, pg_sys::InvalidOid)) };
    }
    let (known, decided) = KNOWN.get();
    if known == allowed {
        return Some(decided);
    }
    let mut types = [pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::ANYOID];
    let types = if is_empty { types.get_mut(..FIRST)? } else { &mut types };
    let decided = function(c"decided", types)?;
    KNOWN.set((allowed, decided));
    Some(decided)
}

/// # Safety
/// A list that has so many pointers.
pub(super) unsafe fn nth(list: *mut List, number: usize) -> *mut Node {
    // SAFETY: as the caller says.
    unsafe { (*(*list).elements.add(number)).ptr_value.cast() }
}

/// The text that an argument always is.
///
/// # Safety
/// The arguments of a call.
unsafe fn constant(arguments: *mut List, number: usize) -> Option<String> {
    // SAFETY: as the caller says; the tag says what the node is, and the type what its value is.
    unsafe {
        if usize::try_from((*arguments).length).ok()? <= number {
            return None;
        }
        let node = nth(arguments, number);
        if (*node).type_ != NodeTag::T_Const {
            return None;
        }
        let node = node.cast::<pg_sys::Const>();
        if (*node).consttype != pg_sys::TEXTOID {
            return None;
        }
        String::from_datum((*node).constvalue, (*node).constisnull)
    }
}

/// A function of this extension's.
fn function(name: &CStr, types: &mut [pg_sys::Oid]) -> Option<pg_sys::Oid> {
    // SAFETY: names are C strings; the server copies what it keeps.
    unsafe {
        let mut names =
            pg_sys::lappend(std::ptr::null_mut(), pg_sys::makeString(c"tamis".as_ptr().cast_mut()).cast());
        names = pg_sys::lappend(names, pg_sys::makeString(name.as_ptr().cast_mut()).cast());
        let oid = pg_sys::LookupFuncName(names, types.len() as c_int, types.as_ptr(), true);
        (oid != pg_sys::InvalidOid).then_some(oid)
    }
}
