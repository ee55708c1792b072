//! Decisions and admissions, as Python sees them.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use tamis_core::decision::PolicyError;

/// What a policy says of one chunk. True if it allows it.
#[pyclass(frozen, module = "tamis")]
pub(crate) struct Decision(pub(crate) tamis_core::Decision);

#[pymethods]
impl Decision {
    /// Whether the chunk may be handed out, without what is redacted.
    #[getter]
    fn allow(&self) -> bool {
        self.0.allow
    }

    /// The rules that decided; empty if none applied, which denies, and where nobody asked with `explain`.
    #[getter]
    fn reasons(&self) -> Vec<&str> {
        self.0.reasons.iter().map(String::as_str).collect()
    }

    /// The rules that failed, each with why; of a chunk that cannot be read, what is wrong with it, by no rule. For the operator's log.
    #[getter]
    fn errors(&self) -> Vec<(&str, &str)> {
        errors(&self.0.errors)
    }

    /// Paths of the attributes to remove before anyone sees the chunk.
    #[getter]
    fn redacted<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        self.0.redaction.attributes.iter().map(|path| PyTuple::new(py, path)).collect()
    }

    /// Whether to remove the text before anyone sees the chunk.
    #[getter]
    fn redacts_text(&self) -> bool {
        self.0.redaction.text
    }

    fn __bool__(&self) -> bool {
        self.0.allow
    }

    fn __repr__(&self) -> String {
        let word = if self.0.allow { "allow" } else { "deny" };
        let mut text = format!("<Decision: {word}");
        if !self.0.reasons.is_empty() {
            text += &format!(" by {}", self.reasons().join(", "));
        }
        for PolicyError { policy, message } in &self.0.errors {
            text +=
                &if policy.is_empty() { format!("; {message}") } else { format!("; {policy}: {message}") };
        }
        text + ">"
    }
}

/// What the admit gate says of one chunk. True if it may be stored.
#[pyclass(frozen, module = "tamis")]
pub(crate) struct Admission {
    /// Whether it may be stored.
    #[pyo3(get)]
    pub(crate) admitted: bool,
    /// Attributes that the policy needs and that are missing or ill-typed; each text names one.
    #[pyo3(get)]
    pub(crate) faults: Vec<String>,
    /// The denial, if it is the policy that denies.
    #[pyo3(get)]
    pub(crate) decision: Option<Py<Decision>>,
}

#[pymethods]
impl Admission {
    fn __bool__(&self) -> bool {
        self.admitted
    }

    fn __repr__(&self) -> String {
        match (self.admitted, self.faults.is_empty()) {
            (true, _) => "<Admission: admitted>".to_owned(),
            (false, true) => "<Admission: denied by the policy>".to_owned(),
            (false, false) => format!("<Admission: unreadable: {}>", self.faults.join("; ")),
        }
    }
}

/// Errors as pairs of a rule and a message.
pub(crate) fn errors<'a>(errors: impl IntoIterator<Item = &'a PolicyError>) -> Vec<(&'a str, &'a str)> {
    errors.into_iter().map(|error| (error.policy.as_str(), error.message.as_str())).collect()
}
