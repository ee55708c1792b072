//! Which policy serves under a name.

use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use tamis_runtime::Policy;

use crate::backend;
use crate::error::Failure;
use crate::server::process;
use crate::server::table::{Key, find};

/// The policy that serves under a name as things are now: what was committed last, or what this transaction has loaded.
pub(crate) fn policy(name: &str) -> Result<Policy, Failure> {
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
