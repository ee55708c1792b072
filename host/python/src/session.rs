//! One request, prepared once and asked about any number of chunks.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;
use tamis_core::decision::PolicyError;
use tamis_core::{Chunk, Decision as CoreDecision, InputError, Query, Redaction, Row};
use tamis_runtime::{Fact, Generation, Policy, Verdict};

use crate::chunk::{Read, Reader};
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

/// What is decided on a chunk.
enum Said {
    /// As it stands.
    Allow,
    /// By no rule that anyone asked for.
    Deny,
    /// With reasons, errors or redactions.
    More(Box<CoreDecision>),
}

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
    /// interface (pyarrow, pandas, polars) is one chunk for each row, whose columns are the attributes and whose ids, if the
    /// policy reads them, are in the column `id`. `explain` says which rules decided, at a price: a call of the policy for each chunk.
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
        let chunks: Vec<Bound<'py, PyAny>> = chunks.try_iter()?.collect::<PyResult<_>>()?;
        let read = self.reader.read(&chunks)?;
        listed(py, self.decide_on(py, &read, explain)?)
    }

    /// Those of the chunks that may be handed out, in order; from those of which the policy redacts something, a copy without it.
    pub(crate) fn filter<'py>(&self, chunks: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let py = chunks.py();
        let chunks: Vec<Bound<'py, PyAny>> = chunks.try_iter()?.collect::<PyResult<_>>()?;
        let read = self.reader.read(&chunks)?;
        let mut allowed = Vec::with_capacity(chunks.len());
        for (chunk, said) in chunks.into_iter().zip(self.decide_on(py, &read, false)?) {
            match said {
                Said::Allow => allowed.push(chunk),
                Said::More(decision) if decision.allow => {
                    let Redaction { attributes, text } = decision.redaction;
                    let paths: Vec<Vec<String>> = attributes.into_iter().collect();
                    let redacted = py.import("tamis._chunk")?.getattr("redacted")?;
                    allowed.push(redacted.call1((chunk, paths, text))?);
                }
                Said::Deny | Said::More(_) => {}
            }
        }
        PyList::new(py, allowed)
    }

    /// Decides which of the chunks may be stored, in order: those that carry what the policy reads, and that it allows. The request's action
    /// should be `index`.
    pub(crate) fn admit(&self, chunks: &Bound<'_, PyAny>) -> PyResult<Vec<Admission>> {
        let py = chunks.py();
        let chunks: Vec<Bound<'_, PyAny>> = chunks.try_iter()?.collect::<PyResult<_>>()?;
        let Read { rows, faults } = self.reader.read(&chunks)?;
        let lists = rows.lists();
        let readable = rows.rows(self.reader.width(), &lists);
        let readable: Vec<Chunk> = readable
            .iter()
            .map(|row| self.chunk(row))
            .collect::<Result<_, _>>()
            .map_err(|error| error::unreadable(py, &error))?;
        let mut admissions = self.ask(py, |session| session.admit(&readable))?.into_iter();
        let admission = |fault: Option<InputError>| {
            use tamis_runtime::Admission::{Admitted, Denied, Unreadable};
            let (admitted, faults, decision) = match (fault, &mut admissions) {
                (Some(fault), _) => (false, vec![fault.to_string()], None),
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
        let inner = self.ask(py, |session| session.rewrite(&query))?;
        Ok(Rewrite { inner, serving: Arc::clone(&self.serving) })
    }

    fn __repr__(&self) -> String {
        format!("<Session of {} with generation {}>", self.request.0.subject(), self.serving.number())
    }
}

impl Session {
    /// A session of what serves now.
    pub(crate) fn new(serving: Arc<Generation>, reader: Arc<Reader>, request: Request) -> Self {
        let inner = Mutex::new(serving.policy().session(&request.0));
        Self { inner, serving, request, reader }
    }

    /// Decides on what could be read; the rest is denied.
    fn decide_on(&self, py: Python<'_>, read: &Read, explain: bool) -> PyResult<Vec<Said>> {
        let lists = read.rows.lists();
        let mut decided =
            self.decide_rows(py, &read.rows.rows(self.reader.width(), &lists), explain)?.into_iter();
        let said = |fault: &Option<InputError>| match fault {
            None => decided.next().unwrap_or(Said::Deny),
            Some(fault) => {
                let error = PolicyError { policy: String::new(), message: fault.to_string() };
                Said::More(Box::new(CoreDecision { errors: [error].into(), ..CoreDecision::default() }))
            }
        };
        Ok(read.faults.iter().map(said).collect())
    }

    fn decide_columns<'py>(
        &self,
        table: &Bound<'py, PyAny>,
        explain: bool,
        id: &str,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = table.py();
        let mut decisions = Vec::new();
        let policy = self.serving.policy();
        if let Some(lack) = table_lacks(policy) {
            return Err(error::unreadable(py, &lack));
        }
        let (id, footprint) = (policy.reads_ids().then_some(id), &policy.manifest().footprint);
        for batch in columns::batches(table)? {
            let rows = columns::rows(&batch, id, footprint).map_err(|error| error::unreadable(py, &error))?;
            decisions.append(&mut self.decide_rows(py, &rows.rows(), explain)?);
        }
        listed(py, decisions)
    }

    fn decide_rows<R: Row + Sync>(&self, py: Python<'_>, rows: &[R], explain: bool) -> PyResult<Vec<Said>> {
        if explain {
            let chunks: Vec<Chunk> = rows
                .iter()
                .map(|row| self.chunk(row))
                .collect::<Result<_, _>>()
                .map_err(|error| error::unreadable(py, &error))?;
            let decisions = self.ask(py, |session| session.explain(&chunks))?;
            return Ok(decisions.into_iter().map(|decision| Said::More(Box::new(decision))).collect());
        }
        self.ask(py, |session| {
            let verdicts = session.verdicts(rows)?;
            let said = |(row, verdict): (&R, Verdict)| match verdict {
                Verdict::Deny => Ok(Said::Deny),
                Verdict::Allow => Ok(Said::Allow),
                Verdict::Redact => {
                    let chunk = self.chunk(row).map_err(|error| {
                        tamis_runtime::Error::Host(format!("a chunk cannot be read: {error}"))
                    })?;
                    Ok(Said::More(Box::new(session.filter(&[chunk])?.pop().unwrap_or_default())))
                }
            };
            rows.iter().zip(verdicts).map(said).collect()
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

/// What rows of a table have not and the policy goes by: what forbids because of it would forbid nothing.
fn table_lacks(policy: &Policy) -> Option<InputError> {
    let lacks = policy.facts().into_iter().find(|fact| matches!(fact, Fact::Ancestors | Fact::Tags))?;
    Some(InputError::new(
        "",
        format!("the policy asks for {lacks} of chunks, which a table has not: pass chunks"),
    ))
}

/// Decisions as a list. Most are one of two, which need not be made again.
fn listed(py: Python<'_>, decided: Vec<Said>) -> PyResult<Bound<'_, PyList>> {
    let deny = Py::new(py, Decision(CoreDecision::default()))?;
    let allow = Py::new(py, Decision(CoreDecision { allow: true, ..CoreDecision::default() }))?;
    let object = |said: Said| match said {
        Said::Deny => Ok(deny.clone_ref(py)),
        Said::Allow => Ok(allow.clone_ref(py)),
        Said::More(decision) => Py::new(py, Decision(*decision)),
    };
    PyList::new(py, decided.into_iter().map(object).collect::<PyResult<Vec<_>>>()?)
}
