//! The request of the current transaction: set once, gone when the transaction ends.
//!
//! A connection of a pool serves the same person again and again, so what was made for the last few requests is kept for transactions
//! with exactly these. No other request ever meets it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use serde_json::{Value as Json, json};
use tamis_core::request::RETRIEVE;
use tamis_core::{InputError, Request};
use tamis_runtime::Policy;

use crate::error::Failure;
use crate::gate::{Gate, Place};
use crate::narrow::Condition;
use crate::server::{kept, process};
use crate::serving;

/// Gates that are open at once: one for each policy, action and layout that a transaction uses. Past this all are made anew.
const MAX_GATES: usize = 64;

/// So many requests of earlier transactions are kept.
const MAX_KEPT: usize = 4;
/// Of one request that had more gates than this none are kept.
const MAX_KEPT_GATES: usize = 8;

struct Current {
    /// What was set, to be told from another.
    json: Json,
    request: Request,
    gates: HashMap<Place, Rc<RefCell<Gate>>>,
    conditions: HashMap<Place, Rc<Condition>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
    /// The requests before, the last one last.
    static KEPT: RefCell<Vec<Current>> = const { RefCell::new(Vec::new()) };
    static SERIAL: Cell<u64> = const { Cell::new(0) };
}

/// From now on nothing outlives the transaction that it was for.
pub(crate) fn watch() {
    process::at_end_of_transactions(forget);
    process::at_undone_parts(serving::forget);
}

/// Sets the request of the current transaction. The action may be left out, as each gate has its own.
pub(crate) fn set(mut json: Json) -> Result<(), Failure> {
    // A worker knows no request, and could be given another than its transaction has.
    if process::is_parallel() {
        let message = "no request can be set in a parallel operation";
        return Err(Failure::new(PgSqlErrorCode::ERRCODE_INVALID_TRANSACTION_STATE, message)
            .hint("A function that sets one is PARALLEL UNSAFE."));
    }
    if let Json::Object(members) = &mut json {
        members.entry("action").or_insert_with(|| json!({"name": RETRIEVE}));
    }
    let is_same = CURRENT.with_borrow(|current| current.as_ref().map(|current| current.json == json));
    match is_same {
        Some(true) => return Ok(()),
        Some(false) => {
            let message = "this transaction has another request already";
            return Err(Failure::new(PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                .detail("A request is set once and stays until the transaction ends, whatever is rolled back inside of it.")
                .hint("Begin a transaction for each request."));
        }
        None => {}
    }
    let kept = KEPT.with_borrow_mut(|kept| {
        let at = kept.iter().position(|current| current.json == json)?;
        Some(kept.remove(at))
    });
    let current = match kept {
        Some(current) => current,
        None => Current { request: read(&json)?, json, gates: HashMap::new(), conditions: HashMap::new() },
    };
    CURRENT.set(Some(current));
    advance();
    Ok(())
}

fn read(json: &Json) -> Result<Request, Failure> {
    Request::from_json(&json.to_string()).map_err(unreadable)
}

pub(crate) fn unreadable(error: InputError) -> Failure {
    Failure::new(PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, "not a request")
        .detail(error)
        .hint(r#"It is like {"subject": {"type": "User", "id": "alice"}}."#)
}

/// The request as it was set.
pub(crate) fn json() -> Option<Json> {
    CURRENT.with_borrow(|current| current.as_ref().map(|current| current.json.clone()))
}

/// The request.
pub(crate) fn current() -> Option<Request> {
    CURRENT.with_borrow(|current| current.as_ref().map(|current| current.request.clone()))
}

/// Tells one request, or the lack of one, from those before and after.
pub(crate) fn serial() -> u64 {
    SERIAL.get()
}

fn advance() {
    kept::forget();
    SERIAL.set(SERIAL.get().wrapping_add(1));
}

fn forget() {
    serving::forget();
    let Some(mut current) = CURRENT.take() else { return };
    if current.gates.len() > MAX_KEPT_GATES {
        current.gates.clear();
        current.conditions.clear();
    }
    KEPT.with_borrow_mut(|kept| {
        if kept.len() >= MAX_KEPT {
            kept.remove(0);
        }
        kept.push(current);
    });
    advance();
}

/// The gate at a place, with the policy that is found. `None` if there is no request.
pub(crate) fn gate(
    place: &Place,
    find: impl FnOnce() -> Result<Policy, Failure>,
) -> Result<Option<Rc<RefCell<Gate>>>, Failure> {
    let Some(known) =
        CURRENT.with_borrow(|current| current.as_ref().map(|current| current.gates.get(place).cloned()))
    else {
        return Ok(None);
    };
    // May end the statement, so nothing is borrowed.
    let policy = find()?;
    if let Some(gate) = known.filter(|gate| same(&gate.borrow(), &policy)) {
        return Ok(Some(gate));
    }
    let Some(request) = current() else { return Ok(None) };
    let gate = Rc::new(RefCell::new(Gate::new(place, policy, request)?));
    CURRENT.with_borrow_mut(|current| {
        if let Some(current) = current {
            if current.gates.len() >= MAX_GATES {
                current.gates.clear();
            }
            current.gates.insert(place.clone(), Rc::clone(&gate));
        }
    });
    Ok(Some(gate))
}

/// Which rows the request can be allowed at a place, by the policy that serves; made if it is not known. `None` if there is no request.
pub(crate) fn condition(
    place: &Place,
    make: impl FnOnce(&Place) -> Result<Option<Condition>, Failure>,
) -> Result<Option<Rc<Condition>>, Failure> {
    let Some(known) =
        CURRENT.with_borrow(|current| current.as_ref().map(|current| current.conditions.get(place).cloned()))
    else {
        return Ok(None);
    };
    // May end the statement, so nothing is borrowed.
    let served = serving::policy(&place.policy)?;
    let is_it = |known: &Rc<Condition>| {
        known.served.generation == served.generation && known.served.policy.digest() == served.policy.digest()
    };
    if let Some(known) = known.filter(is_it) {
        return Ok(Some(known));
    }
    let Some(made) = make(place)?.map(Rc::new) else { return Ok(None) };
    CURRENT.with_borrow_mut(|current| {
        if let Some(current) = current {
            if current.conditions.len() >= MAX_GATES {
                current.conditions.clear();
            }
            current.conditions.insert(place.clone(), Rc::clone(&made));
        }
    });
    Ok(Some(made))
}

/// Whether a gate has this policy, with these limits.
fn same(gate: &Gate, policy: &Policy) -> bool {
    gate.policy().digest() == policy.digest() && gate.policy().limits() == policy.limits()
}
