//! Which policy serves under a name.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use tamis_runtime::Policy;

use crate::backend;
use crate::error::Failure;
use crate::planned::Basis;
use crate::server::process;
use crate::server::table::{self, Key, find};

/// A policy, and which it is of those that were loaded under its name.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) policy: Policy,
    pub(crate) generation: i64,
}

/// What serves in a statement.
struct Statement {
    began: i64,
    policies: HashMap<String, Served>,
}

/// What the SQL that belongs to this library is of.
const VERSION: &str = env!("CARGO_PKG_VERSION");

thread_local! {
    /// Whether the SQL is of the same version, as far as this transaction goes.
    static FITS: Cell<bool> = const { Cell::new(false) };
    static STATEMENT: RefCell<Statement> = RefCell::new(Statement { began: 0, policies: HashMap::new() });
}

/// The policy that serves under a name: one for all of a statement, from its planning to its last row.
pub(crate) fn policy(name: &str) -> Result<Served, Failure> {
    let began = process::statement();
    let known = STATEMENT.with_borrow_mut(|statement| {
        if statement.began != began {
            *statement = Statement { began, policies: HashMap::new() };
        }
        statement.policies.get(name).cloned()
    });
    if let Some(served) = known.filter(|served| *served.policy.limits() == backend::limits()) {
        return Ok(served);
    }
    let served = newest(name)?;
    STATEMENT.with_borrow_mut(|statement| statement.policies.insert(name.to_owned(), served.clone()));
    Ok(served)
}

/// The policy that a plan was made for, whatever serves by now.
pub(crate) fn of_plan(basis: &Basis) -> Result<Policy, Failure> {
    compiled(&basis.policy, basis.generation, &basis.digest)
}

/// Looks again: a transaction or a part of it has ended, or this transaction has made another policy serve.
pub(crate) fn forget() {
    FITS.set(false);
    STATEMENT.with_borrow_mut(|statement| statement.policies.clear());
}

/// Refuses to work with SQL that another version of this library belongs to.
pub(crate) fn check_version() -> Result<(), Failure> {
    if FITS.get() {
        return Ok(());
    }
    let installed = table::extension_version();
    if installed.as_deref() != Some(VERSION) {
        let installed = installed.unwrap_or_else(|| "unknown".to_owned());
        let message =
            format!("the library of Tamis is of version {VERSION}, and its SQL of version {installed}");
        return Err(Failure::new(PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, message)
            .detail("No row was let through.")
            .hint(format!(
                "Install the library of version {installed} and connect again, or: ALTER EXTENSION tamis UPDATE TO '{VERSION}'."
            )));
    }
    FITS.set(true);
    Ok(())
}

/// The policy that serves as things are now: what was committed last, or what this transaction has loaded.
fn newest(name: &str) -> Result<Served, Failure> {
    check_version()?;
    let serving = find(c"serving", c"serving_pkey", &[Key::Text(name)], |row| (row.long(2), row.text(3)));
    let Some((Some(generation), Some(digest))) = serving else {
        return Err(Failure::new(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("policy \"{name}\" does not exist"),
        )
        .detail("No row was let through.")
        .hint("Load it with tamis.load_policy, or lift the protection of the table with tamis.unprotect."));
    };
    Ok(Served { policy: compiled(name, generation, &digest)?, generation })
}

fn compiled(name: &str, generation: i64, digest: &str) -> Result<Policy, Failure> {
    let component = || {
        let keys = [Key::Text(name), Key::Long(generation)];
        let component = find(c"policy", c"policy_pkey", &keys, |row| row.bytes(4)).flatten();
        component.ok_or_else(|| {
            let message = format!("policy \"{name}\" has no generation {generation}");
            Failure::new(PgSqlErrorCode::ERRCODE_DATA_CORRUPTED, message).hint("Load the policy again.")
        })
    };
    backend::policy(digest, component, |error| {
        process::check_interrupts();
        match error {
            // It was not, when it was loaded.
            tamis_runtime::Error::Artifact(_) | tamis_runtime::Error::Contract(_) => {
                Failure::of_another_version(name, digest, VERSION, error)
            }
            _ => Failure::undecided(name, digest, error),
        }
    })
}
