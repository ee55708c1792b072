//! A policy in a Python process: compiled or loaded, replaced while it serves.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use tamis_compiler::Named;
use tamis_core::InputError;
use tamis_runtime::{Limits, PolicyHandle, Runtime};

use crate::chunk::Reader;
use crate::decision::Admission;
use crate::error::{self, Problem};
use crate::request::Request;
use crate::rewrite::Rewrite;
use crate::session::Session;
use crate::watch::Watch;
use crate::{json, source};

/// An access policy. All threads may use it at once; a call finishes on the generation that it began with, whatever replaces it.
#[pyclass(frozen, module = "tamis")]
pub(crate) struct Policy {
    handle: Arc<PolicyHandle>,
    /// What reads chunks for the generation of this number.
    reader: Mutex<Option<(u64, Arc<Reader>)>>,
    warnings: Vec<Py<Problem>>,
}

#[pymethods]
impl Policy {
    /// Compiles Cedar policies, with a Cedar schema if there is one; both are source text, not the names of files. `deadline` is what one
    /// call may take, in seconds.
    ///
    /// Raises SourceError, with every problem and its line and column.
    #[staticmethod]
    #[pyo3(signature = (source, *, schema=None, name="policy", deadline=None))]
    fn compile(
        py: Python<'_>,
        source: &str,
        schema: Option<&str>,
        name: &str,
        deadline: Option<f64>,
    ) -> PyResult<Self> {
        let schema_name = format!("{name}.cedarschema");
        let schema = schema.map(|text| Named { name: &schema_name, text });
        let source_name = format!("{name}.cedar");
        let compiled = source::compile(py, name, Named { name: &source_name, text: source }, schema)?;
        Self::new(py, &compiled.component, &compiled.validation, deadline)
    }

    /// Loads a policy: a component as bytes, or the file at a path, which is a component or, if it ends in `.cedar` or `.json`, source
    /// to compile.
    ///
    /// Raises ArtifactError or ContractError for what is no policy component, SourceError for source that does not compile, OSError for a
    /// file that cannot be read.
    #[staticmethod]
    #[pyo3(signature = (source, *, schema=None, deadline=None))]
    fn load(source: &Bound<'_, PyAny>, schema: Option<PathBuf>, deadline: Option<f64>) -> PyResult<Self> {
        let py = source.py();
        if let Ok(bytes) = source.cast::<PyBytes>() {
            source::refuse_schema(py, schema.as_deref())?;
            return Self::new(py, bytes.as_bytes(), &[], deadline);
        }
        let path: PathBuf = source.extract()?;
        let file = source::File { path, schema };
        let (component, problems) = file.component(py)?;
        Self::new(py, &component, &problems, deadline)
    }

    /// The identity of the policy that serves now: `sha256:` and its bytes' SHA-256 in hexadecimal.
    #[getter]
    fn digest(&self) -> String {
        self.handle.current().policy().digest().to_string()
    }

    /// How many policies have served here, with this one.
    #[getter]
    fn generation(&self) -> u64 {
        self.handle.current().number()
    }

    /// The component that serves now: the same bytes serve everywhere.
    #[getter]
    fn component<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.handle.current().policy().component())
    }

    /// What the policy says of itself.
    #[getter]
    fn manifest<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        json::to_python(py, &self.handle.current().policy().manifest().to_json())
    }

    /// Paths of the attributes that the policy reads. It is given no other.
    #[getter]
    fn footprint<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let generation = self.handle.current();
        let footprint = &generation.policy().manifest().footprint;
        footprint.iter().map(|entry| PyTuple::new(py, &entry.attribute.path)).collect()
    }

    /// What Cedar's validator said when the first generation was compiled.
    #[getter]
    fn warnings(&self, py: Python<'_>) -> Vec<Py<Problem>> {
        self.warnings.iter().map(|problem| problem.clone_ref(py)).collect()
    }

    /// Why the last attempt to replace the policy failed; None after one that succeeded.
    #[getter]
    fn last_error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let error = self.handle.last_error()?;
        Some(error::failed(py, &error).into_value(py).into_any())
    }

    /// Prepares a request for any number of calls to the generation that serves now.
    fn session(&self, request: &Bound<'_, PyAny>) -> PyResult<Session> {
        let py = request.py();
        let request = Request::of(request)?;
        let serving = self.handle.current();
        let reader = self.reader(py, serving.number(), serving.policy());
        Ok(Session::new(serving, reader, request))
    }

    /// Decides on chunks, as `Session.decide`.
    #[pyo3(signature = (request, chunks, *, explain=false, id="id"))]
    fn decide<'py>(
        &self,
        request: &Bound<'py, PyAny>,
        chunks: &Bound<'py, PyAny>,
        explain: bool,
        id: &str,
    ) -> PyResult<Bound<'py, PyList>> {
        self.session(request)?.decide(chunks, explain, id)
    }

    /// Those of the chunks that may be handed out, as `Session.filter`.
    fn filter<'py>(
        &self,
        request: &Bound<'py, PyAny>,
        chunks: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        self.session(request)?.filter(chunks)
    }

    /// Decides which of the chunks may be stored. Whatever the request's action, it is asked as `index`.
    fn admit(&self, request: &Bound<'_, PyAny>, chunks: &Bound<'_, PyAny>) -> PyResult<Vec<Admission>> {
        let py = request.py();
        let request = Request::of(request)?.with_action(tamis_core::request::INDEX);
        let request = Bound::new(py, request)?;
        self.session(request.as_any())?.admit(chunks)
    }

    /// Narrows a search for `k` chunks of a collection to what may be read, as `Session.rewrite`.
    #[pyo3(signature = (request, k=10, collection=""))]
    fn rewrite(&self, request: &Bound<'_, PyAny>, k: u32, collection: &str) -> PyResult<Rewrite> {
        self.session(request)?.rewrite(request.py(), k, collection)
    }

    /// Replaces the policy by the one that serves in another, or by a component as bytes, and gives the number of the generation. One
    /// that does not load changes nothing.
    fn replace(&self, source: &Bound<'_, PyAny>) -> PyResult<u64> {
        let py = source.py();
        let replaced = if let Ok(other) = source.cast::<Self>() {
            let other = other.get().handle.current();
            py.detach(|| self.handle.replace(other.policy().component()))
        } else {
            let bytes = source.cast::<PyBytes>()?.as_bytes();
            py.detach(|| self.handle.replace(bytes))
        };
        replaced.map(|generation| generation.number()).map_err(|error| error::failed(py, &error))
    }

    /// Replaces the policy whenever the file at `path` changes, until the watch is closed. What is wrong with the file is in
    /// `last_error`, and the last good policy goes on serving.
    #[pyo3(signature = (path, *, schema=None))]
    fn watch(&self, path: PathBuf, schema: Option<PathBuf>, py: Python<'_>) -> PyResult<Py<Watch>> {
        Watch::start(py, &self.handle, source::File { path, schema })
    }

    fn __repr__(&self) -> String {
        let generation = self.handle.current();
        let name = &generation.policy().manifest().name;
        format!("<Policy {name}, generation {}, {}>", generation.number(), generation.policy().digest())
    }
}

impl Policy {
    fn new(
        py: Python<'_>,
        component: &[u8],
        problems: &[tamis_compiler::Problem],
        deadline: Option<f64>,
    ) -> PyResult<Self> {
        let limits = limits(deadline).map_err(|error| error::unreadable(py, &error))?;
        let handle = py.detach(|| {
            let runtime = Runtime::shared()?;
            PolicyHandle::new(&runtime, component, limits)
        });
        let handle = handle.map_err(|error| error::failed(py, &error))?;
        let warnings = problems.iter().map(|problem| Py::new(py, Problem::from(problem)));
        Ok(Self {
            handle: Arc::new(handle),
            reader: Mutex::new(None),
            warnings: warnings.collect::<PyResult<_>>()?,
        })
    }

    /// What reads chunks for a generation; made once for each, as long as they come in order.
    fn reader(&self, py: Python<'_>, number: u64, policy: &tamis_runtime::Policy) -> Arc<Reader> {
        let mut kept = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((of, reader)) if *of == number => Arc::clone(reader),
            _ => {
                let reader = Arc::new(Reader::new(py, policy));
                *kept = Some((number, Arc::clone(&reader)));
                reader
            }
        }
    }
}

/// Nobody waits longer for a decision.
const MAX_DEADLINE: Duration = Duration::from_secs(3600);

fn limits(deadline: Option<f64>) -> Result<Limits, InputError> {
    let mut limits = Limits::default();
    if let Some(seconds) = deadline {
        let deadline = Duration::try_from_secs_f64(seconds).ok();
        let deadline = deadline.filter(|deadline| !deadline.is_zero() && *deadline <= MAX_DEADLINE);
        limits.deadline =
            deadline.ok_or_else(|| InputError::new("deadline", "is no number of seconds up to an hour"))?;
    }
    Ok(limits)
}
