//! Conditions as the planner has them. A connection asks for the same few again and again, so those of the last queries are kept.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_int};

use pgrx::pg_guard;
use pgrx::pg_sys::{self, List, Node, NodeTag};

use super::plan::{FIRST, nth};

/// What the columns of a call are called in its condition, each with its number.
const COLUMN: &str = "c";
/// Conditions that are kept. Past this all are made anew.
const MAX_KEPT: usize = 32;

/// A condition about the arguments of a call.
struct Kept {
    text: String,
    arguments: *mut List,
    node: *mut Node,
}

/// Conditions, and the memory that they are in.
struct Memory {
    context: pg_sys::MemoryContext,
    kept: Vec<Kept>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = const { RefCell::new(Memory { context: std::ptr::null_mut(), kept: Vec::new() }) };
}

/// What a column of a call is called in its condition.
pub(super) fn name(number: usize) -> String {
    format!("{COLUMN}{number}")
}

/// A condition about the arguments of a call. `None` if it asks a query within the query, which the planner takes no more at this
/// point.
///
/// # Safety
/// The arguments of a call, and the planner's state or null.
pub(super) unsafe fn of(
    root: *mut pg_sys::PlannerInfo,
    condition: &str,
    arguments: *mut List,
) -> Option<*mut Node> {
    // SAFETY: as the caller says; what is kept is copied before it is used.
    unsafe {
        let is_it =
            |kept: &Kept| kept.text == condition && pg_sys::equal(kept.arguments.cast(), arguments.cast());
        let known =
            MEMORY.with_borrow(|memory| memory.kept.iter().find(|kept| is_it(kept)).map(|kept| kept.node));
        let node = match known {
            Some(node) => node,
            None => {
                let node = parsed(condition, arguments)?;
                MEMORY.with_borrow_mut(|memory| memory.keep(condition, arguments, node));
                node
            }
        };
        Some(pg_sys::eval_const_expressions(root, pg_sys::copyObjectImpl(node.cast()).cast()))
    }
}

impl Memory {
    /// # Safety
    /// Nodes.
    unsafe fn keep(&mut self, condition: &str, arguments: *mut List, node: *mut Node) {
        // SAFETY: as the caller says; the context lives as long as the backend, and nothing of it is in use when it is emptied.
        unsafe {
            if self.context.is_null() {
                let name = c"conditions of tamis".as_ptr();
                self.context = pg_sys::AllocSetContextCreateInternal(
                    pg_sys::TopMemoryContext,
                    name,
                    0,
                    8 << 10,
                    1 << 20,
                );
            }
            if self.kept.len() >= MAX_KEPT {
                self.kept.clear();
                pg_sys::MemoryContextReset(self.context);
            }
            let before = pg_sys::MemoryContextSwitchTo(self.context);
            let arguments = pg_sys::copyObjectImpl(arguments.cast()).cast();
            let node = pg_sys::copyObjectImpl(node.cast()).cast();
            pg_sys::MemoryContextSwitchTo(before);
            self.kept.push(Kept { text: condition.to_owned(), arguments, node });
        }
    }
}

/// A condition as the planner has it, about the arguments of a call. `None` if it asks a query within the query, which the planner
/// takes no more at this point.
///
/// # Safety
/// The arguments of a call.
unsafe fn parsed(condition: &str, arguments: *mut List) -> Option<*mut Node> {
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
        (!has_query).then_some(node)
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
