//! Tells the planner which rows a request can be allowed: `tamis.allowed(…)` becomes `(condition) AND tamis.decided(…)`, so that indexes serve the condition while the policy still decides on each row.

use std::ffi::{CStr, CString, c_int};

use pgrx::pg_guard;
use pgrx::pg_sys::{self, List, Node, NodeTag};
use pgrx::{FromDatum, IntoDatum};

use super::value::Kind;
use super::{kept, process};
use crate::error::{Failure, or_raise};
use crate::layout::Layout;
use crate::planned::Basis;
use crate::{backend, narrow, request};

/// Arguments before those of the row.
const FIRST: usize = 2;
/// What the columns of a call are called in its condition, each with its number.
const COLUMN: &str = "c";

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
        // What is wrong with a call is said when it is evaluated.
        let Ok(layout) = Layout::from_json(&layout) else { return Ok(None) };
        if length != FIRST + layout.columns.len() {
            return Ok(None);
        }
        let kinds: Vec<Kind> =
            (FIRST..length).map(|number| Kind::of(pg_sys::exprType(nth(arguments, number)))).collect();
        let names: Vec<String> = (0..kinds.len()).map(|number| format!("{COLUMN}{number}")).collect();
        let Some(decided) = function(c"decided", &mut [pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::ANYOID])
        else {
            return Ok(None);
        };
        // A plan that is made without a request is made anew when there is one.
        kept::depend(root, decided);
        let Some(condition) = narrow::condition(&policy, &layout, &kinds, &names)? else { return Ok(None) };
        let Some(text) = expression(root, &condition.text, arguments) else { return Ok(None) };
        let basis = Basis {
            serial: request::serial(),
            moment: process::moment(),
            policy,
            generation: condition.generation,
            digest: condition.digest,
        };
        let Some(key) = basis.to_text().into_datum() else { return Ok(None) };
        let asked = pg_sys::copyObjectImpl(call.cast()).cast::<pg_sys::FuncExpr>();
        (*asked).funcid = decided;
        // In the place of the policy's name.
        (*(*(*asked).args).elements).ptr_value =
            pg_sys::makeConst(pg_sys::TEXTOID, -1, pg_sys::DEFAULT_COLLATION_OID, -1, key, false, false)
                .cast();
        let both = pg_sys::lappend(pg_sys::lappend(std::ptr::null_mut(), text.cast()), asked.cast());
        Ok(Some(pg_sys::makeBoolExpr(pg_sys::BoolExprType::AND_EXPR, both, -1).cast()))
    }
}

/// # Safety
/// A list that has so many pointers.
unsafe fn nth(list: *mut List, number: usize) -> *mut Node {
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

/// A condition as the planner has it, about the arguments of a call. `None` if it asks a query within the query, which the planner
/// takes no more at this point.
///
/// # Safety
/// The arguments of a call, and the planner's state or null.
unsafe fn expression(
    root: *mut pg_sys::PlannerInfo,
    condition: &str,
    arguments: *mut List,
) -> Option<*mut Node> {
    let text = CString::new(format!("SELECT {condition}")).ok()?;
    let _path = SystemPath::enter();
    // SAFETY: what the parser makes of a query with one expression.
    unsafe {
        let statements = pg_sys::raw_parser(text.as_ptr(), pg_sys::RawParseMode::RAW_PARSE_DEFAULT);
        let select = (*nth(statements, 0).cast::<pg_sys::RawStmt>()).stmt.cast::<pg_sys::SelectStmt>();
        let target = nth((*select).targetList, 0).cast::<pg_sys::ResTarget>();
        let state = pg_sys::make_parsestate(std::ptr::null_mut());
        (*state).p_sourcetext = text.as_ptr();
        (*state).p_pre_columnref_hook = Some(column);
        (*state).p_ref_hook_state = arguments.cast();
        let node = pg_sys::transformExpr(state, (*target).val, pg_sys::ParseExprKind::EXPR_KIND_WHERE);
        let has_query = (*state).p_hasSubLinks;
        pg_sys::assign_expr_collations(state, node);
        pg_sys::free_parsestate(state);
        (!has_query).then(|| pg_sys::eval_const_expressions(root, node))
    }
}

/// The argument that a name in a condition stands for.
#[pg_guard]
unsafe extern "C-unwind" fn column(
    state: *mut pg_sys::ParseState,
    reference: *mut pg_sys::ColumnRef,
) -> *mut Node {
    // SAFETY: the state is what `expression` makes; names are C strings.
    unsafe {
        let arguments = (*state).p_ref_hook_state.cast::<List>();
        let name = nth((*reference).fields, 0);
        if (*(*reference).fields).length != 1 || (*name).type_ != NodeTag::T_String {
            return std::ptr::null_mut();
        }
        let name = CStr::from_ptr((*name.cast::<pg_sys::String>()).sval).to_str().unwrap_or_default();
        let number = name.strip_prefix(COLUMN).and_then(|number| number.parse::<usize>().ok());
        match number.map(|number| FIRST + number) {
            Some(number) if number < usize::try_from((*arguments).length).unwrap_or(0) => {
                pg_sys::copyObjectImpl(nth(arguments, number).cast()).cast()
            }
            _ => std::ptr::null_mut(),
        }
    }
}

/// While it lives, names mean what they mean in the system's schema: an operator of the user's would see rows before the policy.
struct SystemPath(c_int);

impl SystemPath {
    fn enter() -> Self {
        // SAFETY: C strings; the level is left when this is dropped, or by the server after an error.
        unsafe {
            let level = pg_sys::NewGUCNestLevel();
            pg_sys::set_config_option(
                c"search_path".as_ptr(),
                c"pg_catalog, pg_temp".as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SAVE,
                true,
                0,
                false,
            );
            Self(level)
        }
    }
}

impl Drop for SystemPath {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: the level that was entered.
            unsafe { pg_sys::AtEOXact_GUC(true, self.0) }
        }
    }
}
