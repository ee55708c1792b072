//! One request, prepared once and asked about any number of chunks.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;
use tamis_core::decision::PolicyError;
use tamis_core::{Chunk, Decision as CoreDecision, InputError, Query, Redaction, Row};
use tamis_runtime::{Generation, Verdict};

use crate::chunk::{PythonRow, Reader};
use crate::columns;
use crate::decision::{Admission, Decision};
use crate::error;
use crate::request::Request;
use crate::rewrite::Rewrite;

/// One request to one generation of a policy, prepared for any number of calls: the policy may be replaced meanwhile, and this goes on
/// with what it began with. It holds an instance of the policy, of which a process has 256, for as long as it lives.
#[pyclass(frozen, module = "tamis")]
pub(crate) struct Session {
    inner: Mutex<tamis_runtime::Session>,
    serving: Arc<Generation>,
    request: Request,
    reader: Arc<Reader>,
}

/// A chunk that was read, or why it could not be.
type Read = Result<PythonRow, InputError>;

#[pymethods]
impl Session {
    /// The number of the generation that answers, from 1.
    #[getter]
    fn generation(&self) -> u64 {
        self.serving.number()
    }

    /// The identity of the policy that answers: `sha256:` and its bytes' SHA-256 in hexadecimal.
    #[getter]
    fn digest(&self) -> String {
        self.serving.policy().digest().to_string()
    }

    /// Who asks.
    #[getter]
    fn request(&self) -> Request {
        self.request.clone()
    }

    /// Decides on chunks, in order. A chunk is a mapping with `id` and `attributes`, or an object that has them; a table with Arrow's
    /// interface (pyarrow, pandas, polars) is one chunk for each row, whose columns are the attributes and whose ids are in the column
    /// `id`. `explain` says which rules decided, at a price: a call of the policy for each chunk.
    ///
    /// A chunk with metadata that JSON has not is denied, and its errors say why. Raises Error if the policy fails: then nothing was
    /// decided.
    #[pyo3(signature = (chunks, *, explain=false, id="id"))]
    pub(crate) fn decide<'py>(
        &self,
        chunks: &Bound<'py, PyAny>,
        explain: bool,
        id: &str,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = chunks.py();
        if chunks.hasattr(intern!(py, "__arrow_c_stream__"))? {
            return self.decide_columns(chunks, explain, id);
        }
        let read = self.read(chunks)?;
        listed(py, self.decide_on(py, &read, explain)?)
    }

    /// Those of the chunks that may be handed out, in order; from those of which the policy redacts something, a copy without it.
    pub(crate) fn filter<'py>(&self, chunks: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let py = chunks.py();
        let (mut originals, mut read) = (Vec::new(), Vec::new());
        for (position, chunk) in chunks.try_iter()?.enumerate() {
            let chunk = chunk?;
            read.push(self.reader.read(position, &chunk)?);
            originals.push(chunk);
        }
        let decisions = self.decide_on(py, &read, false)?;
        let allowed = PyList::empty(py);
        for (chunk, decision) in originals.into_iter().zip(decisions) {
            if !decision.allow {
                continue;
            }
            if decision.redaction == Redaction::default() {
                allowed.append(chunk)?;
            } else {
                let Redaction { attributes, text } = decision.redaction;
                let paths: Vec<Vec<String>> = attributes.into_iter().collect();
                allowed
                    .append(py.import("tamis._chunk")?.getattr("redacted")?.call1((chunk, paths, text))?)?;
            }
        }
        Ok(allowed)
    }

    /// Decides which of the chunks may be stored, in order: those that carry what the policy reads, and that it allows. The request's action
    /// should be `index`.
    pub(crate) fn admit(&self, chunks: &Bound<'_, PyAny>) -> PyResult<Vec<Admission>> {
        let py = chunks.py();
        let read = self.read(chunks)?;
        let (mut readable, mut faults) = (Vec::new(), Vec::new());
        for row in &read {
            match row.as_ref().map(|row| self.chunk(row)) {
                Ok(Ok(chunk)) => {
                    readable.push(chunk);
                    faults.push(None);
                }
                Ok(Err(error)) => faults.push(Some(error.to_string())),
                Err(error) => faults.push(Some(error.to_string())),
            }
        }
        let mut admissions = self.ask(py, |session| session.admit(&readable))?.into_iter();
        let admission = |fault: Option<String>| {
            use tamis_runtime::Admission::{Admitted, Denied, Unreadable};
            let (admitted, faults, decision) = match (fault, &mut admissions) {
                (Some(fault), _) => (false, vec![fault], None),
                (None, admissions) => match admissions.next() {
                    Some(Admitted) => (true, Vec::new(), None),
                    Some(Unreadable(faults)) => (false, faults, None),
                    Some(Denied(decision)) => (false, Vec::new(), Some(Py::new(py, Decision(decision))?)),
                    None => (false, Vec::new(), None),
                },
            };
            Ok(Admission { admitted, faults, decision })
        };
        faults.into_iter().map(admission).collect()
    }

    /// Narrows a search for `k` chunks of a collection to what may be read.
    #[pyo3(signature = (k=10, collection=""))]
    pub(crate) fn rewrite(&self, py: Python<'_>, k: u32, collection: &str) -> PyResult<Rewrite> {
        let query = Query { collection: collection.to_owned(), k };
        self.ask(py, |session| session.rewrite(&query)).map(Rewrite)
    }

    fn __repr__(&self) -> String {
        format!("<Session of {} with generation {}>", self.request.0.subject(), self.serving.number())
    }
}

impl Session {
    /// Prepares a request.
    pub(crate) fn new(
        py: Python<'_>,
        serving: Arc<Generation>,
        reader: Arc<Reader>,
        request: Request,
    ) -> PyResult<Self> {
        let inner = py.detach(|| serving.policy().session(&request.0));
        let inner = Mutex::new(inner.map_err(|error| error::failed(py, &error))?);
        Ok(Self { inner, serving, request, reader })
    }

    fn read(&self, chunks: &Bound<'_, PyAny>) -> PyResult<Vec<Read>> {
        let chunks = chunks.try_iter()?.enumerate();
        chunks.map(|(position, chunk)| self.reader.read(position, &chunk?)).collect()
    }

    /// Decides on what could be read; the rest is denied.
    fn decide_on(&self, py: Python<'_>, read: &[Read], explain: bool) -> PyResult<Vec<CoreDecision>> {
        let readable: Vec<&PythonRow> = read.iter().filter_map(|row| row.as_ref().ok()).collect();
        let mut decisions = self.decide_rows(py, &readable, explain)?.into_iter();
        let decision = |row: &Read| match row {
            Ok(_) => decisions.next().unwrap_or_default(),
            Err(error) => {
                let error = PolicyError { policy: String::new(), message: error.to_string() };
                CoreDecision { errors: [error].into(), ..CoreDecision::default() }
            }
        };
        Ok(read.iter().map(decision).collect())
    }

    fn decide_columns<'py>(
        &self,
        table: &Bound<'py, PyAny>,
        explain: bool,
        id: &str,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = table.py();
        let mut decisions = Vec::new();
        for batch in columns::batches(table)? {
            let footprint = &self.serving.policy().manifest().footprint;
            let rows = columns::rows(&batch, id, footprint).map_err(|error| error::unreadable(py, &error))?;
            decisions.append(&mut self.decide_rows(py, &rows.rows(), explain)?);
        }
        listed(py, decisions)
    }

    fn decide_rows<R: Row + Sync>(
        &self,
        py: Python<'_>,
        rows: &[R],
        explain: bool,
    ) -> PyResult<Vec<CoreDecision>> {
        if explain {
            let chunks: Vec<Chunk> = rows
                .iter()
                .map(|row| self.chunk(row))
                .collect::<Result<_, _>>()
                .map_err(|error| error::unreadable(py, &error))?;
            return self.ask(py, |session| session.explain(&chunks));
        }
        self.ask(py, |session| {
            let verdicts = session.verdicts(rows)?;
            let decision = |(row, verdict): (&R, Verdict)| match verdict {
                Verdict::Deny => Ok(CoreDecision::default()),
                Verdict::Allow => Ok(CoreDecision { allow: true, ..CoreDecision::default() }),
                Verdict::Redact => {
                    let chunk = self.chunk(row).map_err(|error| {
                        tamis_runtime::Error::Host(format!("a chunk cannot be read: {error}"))
                    })?;
                    Ok(session.filter(&[chunk])?.pop().unwrap_or_default())
                }
            };
            rows.iter().zip(verdicts).map(decision).collect()
        })
    }

    /// A chunk of what the policy reads.
    fn chunk(&self, row: &impl Row) -> Result<Chunk, InputError> {
        row.to_chunk(&self.serving.policy().manifest().footprint)
    }

    /// Asks the policy, while other threads have the interpreter.
    fn ask<T: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&mut tamis_runtime::Session) -> Result<T, tamis_runtime::Error> + Send,
    ) -> PyResult<T> {
        let answer = py.detach(|| {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            call(&mut inner)
        });
        answer.map_err(|error| error::failed(py, &error))
    }
}

/// Decisions as a list. Most are one of two, which need not be made again.
fn listed(py: Python<'_>, decisions: Vec<CoreDecision>) -> PyResult<Bound<'_, PyList>> {
    let deny = Py::new(py, Decision(CoreDecision::default()))?;
    let allow = Py::new(py, Decision(CoreDecision { allow: true, ..CoreDecision::default() }))?;
    let object = |decision: CoreDecision| {
        if decision == deny.get().0 {
            Ok(deny.clone_ref(py))
        } else if decision == allow.get().0 {
            Ok(allow.clone_ref(py))
        } else {
            Py::new(py, Decision(decision))
        }
    };
    PyList::new(py, decisions.into_iter().map(object).collect::<PyResult<Vec<_>>>()?)
}
