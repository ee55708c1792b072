//! Following a policy's file.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use pyo3::prelude::*;
use tamis_runtime::PolicyHandle;

use crate::error;
use crate::source::File;

/// Replaces a policy whenever its file changes, until this is closed or gone. Also a context manager.
#[pyclass(frozen, weakref, module = "tamis")]
pub(crate) struct Watch {
    handle: Weak<PolicyHandle>,
    file: File,
    running: Mutex<Option<tamis_runtime::Watch>>,
}

#[pymethods]
impl Watch {
    /// Stops. The policy that serves goes on serving.
    fn close(&self, py: Python<'_>) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        // This waits for the thread that watches.
        py.detach(|| drop(running));
    }

    fn __enter__(watch: Py<Self>) -> Py<Self> {
        watch
    }

    #[pyo3(signature = (*_error))]
    fn __exit__(&self, py: Python<'_>, _error: &Bound<'_, PyAny>) {
        self.close(py);
    }

    /// In a process that was forked: it has none of the threads.
    fn _restart(&self, py: Python<'_>) -> PyResult<()> {
        // Whoever held the lock in the parent does not exist here.
        let Ok(mut running) = self.running.try_lock() else {
            return Err(error::host(py, "a watch was being closed during the fork".to_owned()));
        };
        if let Some(gone) = running.take() {
            // There is no thread to wait for.
            std::mem::forget(gone);
            if let Some(handle) = self.handle.upgrade() {
                *running = Some(start(py, &handle, &self.file)?);
            }
        }
        Ok(())
    }
}

impl Watch {
    pub(crate) fn start(py: Python<'_>, handle: &Arc<PolicyHandle>, file: File) -> PyResult<Py<Self>> {
        let running = start(py, handle, &file)?;
        let watch =
            Py::new(py, Self { handle: Arc::downgrade(handle), file, running: Mutex::new(Some(running)) })?;
        py.import("tamis._fork")?.getattr("watches")?.call_method1("add", (&watch,))?;
        Ok(watch)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // The thread that watches never wants the interpreter, so it can be waited for with it.
        drop(running);
    }
}

fn start(py: Python<'_>, handle: &Arc<PolicyHandle>, file: &File) -> PyResult<tamis_runtime::Watch> {
    let prepared = file.clone();
    let watch = py.detach(|| handle.watch_with(&file.path, move |bytes| prepared.prepare(bytes)));
    watch.map_err(|error| error::failed(py, &error))
}
