//! Requests.

use pyo3::prelude::*;
use pyo3::types::PyString;
use tamis_core::EntityUid;

use crate::{error, json};

/// Who asks, for whom, to do what: `{"subject", "actor", "action", "context", "entities"}`, as a mapping or as the text of JSON. Only
/// the subject and the action are required. It is read once; whoever asks often keeps it.
///
/// Raises InputError, which names the place.
#[pyclass(frozen, eq, hash, module = "tamis")]
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Request(pub(crate) tamis_core::Request);

#[pymethods]
impl Request {
    #[new]
    #[pyo3(signature = (request, /))]
    fn new(request: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = request.py();
        let read = match request.cast::<PyString>() {
            Ok(text) => json::text(text).and_then(tamis_core::Request::from_json),
            Err(_) => json::to_object(request).and_then(|json| {
                tamis_core::Request::from_json(&serde_json::Value::Object(json).to_string())
            }),
        };
        read.map(Self).map_err(|error| error::unreadable(py, &error.within("request")))
    }

    /// Type and id of the user on whose behalf everything happens.
    #[getter]
    fn subject(&self) -> (&str, &str) {
        pair(self.0.subject())
    }

    /// Types and ids of the agents acting for the subject, the one that makes the call first.
    #[getter]
    fn actors(&self) -> Vec<(&str, &str)> {
        self.0.actors().iter().map(pair).collect()
    }

    /// The name of what is to be done.
    #[getter]
    fn action(&self) -> &str {
        &self.0.action().id
    }

    /// The same request with another action.
    pub(crate) fn with_action(&self, action: &str) -> Self {
        Self(self.0.clone().with_action(action))
    }

    fn __repr__(&self) -> String {
        let actors: String = self.0.actors().iter().map(|actor| format!(" through {actor}")).collect();
        format!("<Request of {}{actors} to {}>", self.0.subject(), self.0.action().id)
    }
}

impl Request {
    /// The request that an argument is, or describes.
    pub(crate) fn of(argument: &Bound<'_, PyAny>) -> PyResult<Self> {
        match argument.cast::<Self>() {
            Ok(request) => Ok(request.get().clone()),
            Err(_) => Self::new(argument),
        }
    }
}

fn pair(uid: &EntityUid) -> (&str, &str) {
    (&uid.entity_type, &uid.id)
}
