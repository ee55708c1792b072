//! The functions that SQL calls, as `tamis--0.1.0.sql` declares them.

#![allow(unsafe_code, reason = "pgrx's macros write it")]

use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use pgrx::pg_sys::{self, FunctionCallInfo};
use pgrx::{JsonB, pg_extern, pg_guard};
use tamis_compiler::Named;
use tamis_runtime::PolicyHandle;

use crate::error::{Failure, or_raise};
use crate::gate::{self, Action, Chosen};
use crate::layout::Layout;
use crate::server::call::Call;
use crate::server::clock::Ticking;
use crate::server::table::{Key, find};
use crate::server::value::Kind;
use crate::server::{kept, plan, process};
use crate::shape::wrong;
use crate::{backend, narrow, request, serving, token};

/// The server calls this when it loads the library.
#[pg_guard]
pub(crate) extern "C-unwind" fn _PG_init() {
    backend::settings();
    kept::watch();
    request::watch();
}

/// `tamis.allowed(policy, layout, columns…)`
#[pg_extern(sql = false)]
fn tamis_allowed(info: FunctionCallInfo) -> bool {
    // SAFETY: what the server calls this with.
    or_raise(gate::decide(unsafe { Call::new(info) }, Action::Retrieve, Chosen::Serving))
}

/// `tamis.decided(key, layout, columns…)`: the same, where the planner has narrowed already, by the policy that it was narrowed for.
#[pg_extern(sql = false)]
fn tamis_decided(info: FunctionCallInfo) -> bool {
    // SAFETY: what the server calls this with.
    or_raise(gate::decide(unsafe { Call::new(info) }, Action::Retrieve, Chosen::Planned))
}

/// `tamis.admitted(policy, layout, columns…)`
#[pg_extern(sql = false)]
fn tamis_admitted(info: FunctionCallInfo) -> bool {
    // SAFETY: what the server calls this with.
    or_raise(gate::decide(unsafe { Call::new(info) }, Action::Index, Chosen::Serving))
}

/// `tamis.set_request(request)`
#[pg_extern(sql = false)]
fn tamis_set_request(info: FunctionCallInfo) {
    process::warn_unless_in_transaction(c"tamis.set_request");
    // SAFETY: what the server calls this with.
    let request = unsafe { Call::new(info) }.argument(0, Kind::Jsonb).json();
    or_raise(request.map_err(request::unreadable).and_then(request::set));
}

/// `tamis.set_request_token(token)`
#[pg_extern(sql = false)]
fn tamis_set_request_token(token: &str) {
    process::warn_unless_in_transaction(c"tamis.set_request_token");
    let key = |id: &str| find(c"key", c"key_pkey", &[Key::Text(id)], |row| row.bytes(2)).flatten();
    or_raise(token::request(token, process::now(), key).and_then(request::set));
}

/// `tamis.request()`
#[pg_extern(sql = false)]
fn tamis_request() -> Option<JsonB> {
    request::json().map(JsonB)
}

/// `tamis.check_component(component)`: its digest, its manifest and what it reads besides attributes, if it is a policy that passes the self-test.
#[pg_extern(sql = false)]
fn tamis_check_component(component: &[u8]) -> JsonB {
    or_raise(check(component))
}

fn check(component: &[u8]) -> Result<JsonB, Failure> {
    let refused = |error: tamis_runtime::Error| {
        process::check_interrupts();
        Failure::refused(&error)
    };
    serving::check_version()?;
    let runtime = backend::runtime()?;
    let _ticking = Ticking::start();
    let handle = PolicyHandle::new(runtime, component, backend::limits()).map_err(refused)?;
    let generation = handle.current();
    let policy = generation.policy();
    let digest = format!("{:x}", policy.digest());
    let manifest = policy.manifest().to_json();
    let reads: Vec<String> = policy.facts().iter().map(ToString::to_string).collect();
    Ok(JsonB(serde_json::json!({"digest": digest, "manifest": manifest, "reads": reads})))
}

/// `tamis.compile_policy(name, cedar, schema)`: the component.
#[pg_extern(sql = false)]
fn tamis_compile_policy(name: &str, cedar: &str, schema: Option<&str>) -> Vec<u8> {
    let policies = Named { name: "policy", text: cedar };
    let schema = schema.map(|text| Named { name: "schema", text });
    // The compiler works in a thread of its own, for its stack.
    let compiled = process::without_signals(|| tamis_compiler::compile(name, policies, schema));
    let wrong = |text: String| {
        Failure::new(PgSqlErrorCode::ERRCODE_SYNTAX_ERROR, "the policy does not compile")
            .detail(text)
            .hint("`tamis check` says what is wrong, with the place.")
            .raise()
    };
    match compiled {
        Ok(compiled) => match compiled.validation.iter().find(|problem| !problem.is_warning()) {
            Some(problem) => wrong(problem.to_string()),
            None => compiled.component,
        },
        Err(error) => wrong(error.to_string()),
    }
}

/// `tamis.condition_of(policy, layout, names, types)`: what rows the request can be allowed, as SQL.
#[pg_extern(sql = false)]
fn tamis_condition(
    policy: &str,
    layout: &str,
    names: Vec<Option<String>>,
    types: Vec<Option<pg_sys::Oid>>,
) -> String {
    let layout = Layout::from_json(layout).map_err(|error| {
        Failure::new(PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, "not a layout").detail(error)
    });
    let columns = names.into_iter().zip(types).map(|(name, oid)| Some((Kind::of(oid?), name?)));
    let columns: Option<(Vec<Kind>, Vec<String>)> = columns.collect();
    let columns = columns.ok_or_else(|| wrong("A column has no name or no type."));
    let condition = layout.and_then(|layout| {
        let (kinds, names) = columns?;
        narrow::condition(policy, &layout, &kinds, &names)
    });
    or_raise(condition).map_or_else(|| "FALSE".to_owned(), |condition| condition.text)
}

/// `tamis.last_error(digest)`: for superusers.
#[pg_extern(sql = false)]
fn tamis_last_error(digest: &str) -> Option<String> {
    if process::is_superuser() { backend::last_error(digest) } else { None }
}

/// `tamis.replan(relation)`: has the plans for a table made anew, in every backend, when the transaction commits, and looks what serves.
#[pg_extern(sql = false)]
fn tamis_replan(relation: pg_sys::Oid) {
    serving::forget();
    kept::replan(relation);
}

/// `tamis.allowed_support(internal)`: what the planner asks about `tamis.allowed`.
#[pg_guard]
#[unsafe(no_mangle)]
pub(crate) extern "C-unwind" fn tamis_allowed_support(info: FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: the server calls this with one argument, a node.
    unsafe {
        let request = (*info).args.as_slice(1).first().map(|argument| argument.value);
        request.map_or(pg_sys::Datum::null(), |request| plan::support(request.cast_mut_ptr()).into())
    }
}

/// How the server calls the function above.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn pg_finfo_tamis_allowed_support() -> &'static pg_sys::Pg_finfo_record {
    const VERSION: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &VERSION
}
