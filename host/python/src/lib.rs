//! `tamis._native`: the Rust host in a Python process.
//!
//! What Python hands in is read once, with the interpreter (`chunk`, `json`, `request`, `columns`); policies run without it, so that other
//! threads go on. Nothing is decided here.

mod chunk;
mod columns;
mod decision;
mod error;
mod json;
mod policy;
mod request;
mod rewrite;
mod rows;
mod session;
mod source;
mod watch;

use pyo3::prelude::*;

/// The Rust host in this process.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::decision::{Admission, Decision};
    #[pymodule_export]
    use super::error::Problem;
    #[pymodule_export]
    use super::policy::Policy;
    #[pymodule_export]
    use super::request::Request;
    #[pymodule_export]
    use super::restart_clock;
    #[pymodule_export]
    use super::rewrite::{Rewrite, Translation};
    #[pymodule_export]
    use super::session::Session;
    #[pymodule_export]
    use super::watch::Watch;
}

/// In a process that was forked: it has no clock, without which no policy would meet its deadline.
#[pyfunction]
fn restart_clock(py: Python<'_>) -> PyResult<()> {
    tamis_runtime::Runtime::restart_clock().map_err(|error| error::failed(py, &error))
}
