//! Failures, as the exceptions of `tamis._errors`; and the problems of a policy's source.

use pyo3::call::PyCallArgs;
use pyo3::prelude::*;
use tamis_core::InputError;

/// What is wrong with a source text, and where.
#[pyclass(frozen, module = "tamis")]
pub(crate) struct Problem {
    /// What is wrong.
    #[pyo3(get)]
    message: String,
    /// What to do about it, if there is something to say.
    #[pyo3(get)]
    help: Option<String>,
    /// The name of the source text.
    #[pyo3(get)]
    source: String,
    /// The line of its first place, from 1; None if it concerns the text as a whole.
    #[pyo3(get)]
    line: Option<usize>,
    /// The column of its first place, from 1.
    #[pyo3(get)]
    column: Option<usize>,
    /// Whether it is a warning only.
    #[pyo3(get)]
    warning: bool,
}

#[pymethods]
impl Problem {
    fn __repr__(&self) -> String {
        match (self.line, self.column) {
            (Some(line), Some(column)) => format!("{}:{line}:{column}: {}", self.source, self.message),
            _ => format!("{}: {}", self.source, self.message),
        }
    }
}

impl From<&tamis_compiler::Problem> for Problem {
    fn from(problem: &tamis_compiler::Problem) -> Self {
        let place = problem.place();
        Self {
            message: problem.to_string(),
            help: problem.advice().map(str::to_owned),
            source: problem.source_name().to_owned(),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            warning: problem.is_warning(),
        }
    }
}

/// A failure of the runtime.
pub(crate) fn failed(py: Python<'_>, error: &tamis_runtime::Error) -> PyErr {
    let class = match error.kind() {
        "source" => "SourceError",
        "artifact" => "ArtifactError",
        "contract" => "ContractError",
        "limit" => "LimitError",
        "trap" => "TrapError",
        "self-test" => "SelfTestError",
        _ => "HostError",
    };
    raise(py, class, (error.to_string(),))
}

/// A failure of the compiler.
pub(crate) fn not_compiled(py: Python<'_>, error: &tamis_compiler::Error) -> PyErr {
    match error {
        tamis_compiler::Error::Source(problems) => {
            let problems: Vec<Problem> = problems.0.iter().map(Problem::from).collect();
            raise(py, "SourceError", (error.to_string(), problems))
        }
        other => raise(py, "HostError", (other.to_string(),)),
    }
}

/// Input of another shape.
pub(crate) fn unreadable(py: Python<'_>, error: &InputError) -> PyErr {
    raise(py, "InputError", (error.to_string(),))
}

/// This machine is in the way.
pub(crate) fn host(py: Python<'_>, message: String) -> PyErr {
    raise(py, "HostError", (message,))
}

/// An exception by the name of its class; or why it could not be made, which is one too.
fn raise<'py>(py: Python<'py>, class: &str, arguments: impl PyCallArgs<'py>) -> PyErr {
    let made = py.import("tamis._errors").and_then(|module| module.getattr(class)?.call1(arguments));
    made.map_or_else(|error| error, PyErr::from_value)
}
