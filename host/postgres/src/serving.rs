//! Which policy serves under a name.

use std::cell::RefCell;
use std::collections::HashMap;

use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use tamis_runtime::Policy;

use crate::backend;
use crate::error::Failure;
use crate::server::process;
use crate::server::table::{Key, find};

/// What serves in a statement.
struct Served {
    statement: (i64, u32),
    policies: HashMap<String, Policy>,
}

thread_local! {
    static SERVED: RefCell<Served> = RefCell::new(Served { statement: (0, 0), policies: HashMap::new() });
}

/// The policy that serves under a name: one for all of a statement, from its planning to its last row.
pub(crate) fn policy(name: &str) -> Result<Policy, Failure> {
    let statement = process::statement();
    let known = SERVED.with_borrow_mut(|served| {
        if served.statement != statement {
            *served = Served { statement, policies: HashMap::new() };
        }
        served.policies.get(name).cloned()
    });
    if let Some(policy) = known.filter(|policy| *policy.limits() == backend::limits()) {
        return Ok(policy);
    }
    let policy = newest(name)?;
    SERVED.with_borrow_mut(|served| served.policies.insert(name.to_owned(), policy.clone()));
    Ok(policy)
}

/// Statements of another transaction may look like those of this one.
pub(crate) fn forget() {
    SERVED.with_borrow_mut(|served| served.policies.clear());
}

/// The policy that serves as things are now: what was committed last, or what this transaction has loaded.
fn newest(name: &str) -> Result<Policy, Failure> {
    let serving = find(c"serving", c"serving_pkey", &[Key::Text(name)], |row| (row.long(2), row.text(3)));
    let Some((Some(generation), Some(digest))) = serving else {
        return Err(Failure::new(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("policy \"{name}\" does not exist"),
        )
        .detail("No row was let through.")
        .hint("Load it with tamis.load_policy, or lift the protection of the table with tamis.unprotect."));
    };
    let component = || {
        let keys = [Key::Text(name), Key::Long(generation)];
        let component = find(c"policy", c"policy_pkey", &keys, |row| row.bytes(4)).flatten();
        component.ok_or_else(|| {
            let message = format!("policy \"{name}\" has no generation {generation}");
            Failure::new(PgSqlErrorCode::ERRCODE_DATA_CORRUPTED, message).hint("Load the policy again.")
        })
    };
    backend::policy(&digest, component, |error| {
        process::check_interrupts();
        Failure::undecided(name, &digest, error)
    })
}
