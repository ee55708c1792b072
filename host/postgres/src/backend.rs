//! What a backend has one of: the engine, made when it is first needed, and the policies that it has compiled.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};
use sha2::{Digest, Sha256};
use tamis_runtime::{Cache, InProcess, Limits, Policy, Runtime, RuntimeConfig};

use crate::error::Failure;
use crate::server::clock::Ticking;
use crate::server::process;

/// Policies that a backend keeps compiled. Few use more than one; past this all are dropped, and come back from the disk.
const MAX_POLICIES: usize = 16;

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static DEADLINE: GucSetting<i32> = GucSetting::<i32>::new(500);
static NARROW: GucSetting<bool> = GucSetting::<bool>::new(true);
static MEMORY: GucSetting<i32> = GucSetting::<i32>::new(16);

thread_local! {
    static POLICIES: RefCell<HashMap<String, Policy>> = RefCell::default();
}

/// Makes the settings known. Nothing else happens when the library is loaded: the server may load it before it forks.
pub(crate) fn settings() {
    GucRegistry::define_int_guc(
        c"tamis.deadline",
        c"Time that a policy may take for one row.",
        c"In milliseconds. A policy that takes longer ends the statement.",
        &DEADLINE,
        1,
        600_000,
        GucContext::Suset,
        GucFlags::UNIT_MS,
    );
    GucRegistry::define_int_guc(
        c"tamis.memory",
        c"Memory that a policy may use.",
        c"In megabytes. A policy that wants more ends the statement.",
        &MEMORY,
        1,
        1024,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"tamis.narrow",
        c"Whether the planner is told which rows a request can be allowed.",
        c"So that indexes serve it. What is allowed is the same without.",
        &NARROW,
        GucContext::Userset,
        GucFlags::default(),
    );
    process::no_other_settings();
}

/// Whether the planner is told what rows a request can be allowed.
pub(crate) fn narrows() -> bool {
    NARROW.get()
}

/// What a policy may use up.
pub(crate) fn limits() -> Limits {
    let deadline = Duration::from_millis(u64::from(DEADLINE.get().unsigned_abs()));
    Limits { deadline, memory: (MEMORY.get().unsigned_abs() as usize) << 20, ..Limits::default() }
}

/// The engine of this backend.
pub(crate) fn runtime() -> Result<&'static Runtime, Failure> {
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    // Without it every backend compiles for itself.
    let cache = Cache::open(&process::folder()).ok();
    let config = RuntimeConfig { cache, ..RuntimeConfig::default() };
    let process = InProcess { interrupted: process::is_cancelled };
    let runtime = Runtime::in_process(config, process).map_err(|error| {
        Failure::new(PgSqlErrorCode::ERRCODE_SYSTEM_ERROR, "cannot run policies").detail(error)
    })?;
    Ok(RUNTIME.get_or_init(|| runtime))
}

/// Lets a running policy look at the clock. Signal handlers may call it.
pub(crate) fn tick() {
    if let Some(runtime) = RUNTIME.get() {
        runtime.tick();
    }
}

/// Keeps why a policy could not decide, for all backends. What cannot be kept is in the server's log all the same.
pub(crate) fn keep_error(digest: &str, error: &str) {
    let path = process::folder().join(format!("{digest}.error"));
    let _ = std::fs::write(path, error);
}

/// Why a policy could not decide the last time that it could not.
pub(crate) fn last_error(digest: &str) -> Option<String> {
    let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    let path = process::folder().join(format!("{digest}.error"));
    is_digest.then(|| std::fs::read_to_string(path).ok()).flatten()
}

/// The policy with this digest, as this backend has compiled it; or else made of `component`.
pub(crate) fn policy(
    digest: &str,
    component: impl FnOnce() -> Result<Vec<u8>, Failure>,
    undecided: impl FnOnce(&tamis_runtime::Error) -> Failure,
) -> Result<Policy, Failure> {
    let limits = limits();
    let known = POLICIES.with_borrow(|policies| policies.get(digest).cloned());
    if let Some(policy) = known.filter(|policy| *policy.limits() == limits) {
        return Ok(policy);
    }
    let component = component()?;
    // It runs to say what it reads.
    let _ticking = Ticking::start();
    let loaded = Policy::load(runtime()?, &component, &limits);
    let is = match &loaded {
        Ok(policy) => format!("{:x}", policy.digest()),
        Err(_) => format!("{:x}", Sha256::digest(&component)),
    };
    if is != digest {
        let message = "a stored policy is not the one that was loaded";
        return Err(Failure::new(PgSqlErrorCode::ERRCODE_DATA_CORRUPTED, message)
            .detail(format!("Its digest should be {digest} and is {is}."))
            .hint("Load the policy again."));
    }
    let policy = loaded.map_err(|error| undecided(&error))?;
    POLICIES.with_borrow_mut(|policies| {
        if policies.len() >= MAX_POLICIES {
            policies.clear();
        }
        policies.insert(digest.to_owned(), policy.clone());
    });
    Ok(policy)
}
