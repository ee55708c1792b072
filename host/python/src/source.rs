//! Policies as source text and as files.

use std::path::{Path, PathBuf};

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use tamis_compiler::{Compiled, Named, Problem};
use tamis_core::InputError;

use crate::error;

/// A policy's file: a component, or source with the schema that it is written for.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) schema: Option<PathBuf>,
}

impl File {
    /// The component in it, compiled if it is source, and what the compiler says.
    pub(crate) fn component(&self, py: Python<'_>) -> PyResult<(Vec<u8>, Vec<Problem>)> {
        if !self.is_source() {
            refuse_schema(py, self.schema.as_deref())?;
            return Ok((read(&self.path)?, Vec::new()));
        }
        let text = String::from_utf8(read(&self.path)?).map_err(|error| not_text(py, &self.path, &error))?;
        let (name, source_name) = (self.name(), self.path.display().to_string());
        let schema = self.schema(py)?;
        let schema = schema.as_ref().map(|(name, text)| Named { name, text });
        let compiled = compile(py, &name, Named { name: &source_name, text: &text }, schema)?;
        Ok((compiled.component, compiled.validation))
    }

    /// The same without the interpreter, of bytes that were read already: for the thread that watches.
    pub(crate) fn prepare(&self, bytes: Vec<u8>) -> Result<Vec<u8>, tamis_runtime::Error> {
        if !self.is_source() {
            return Ok(bytes);
        }
        let source = |message: String| tamis_runtime::Error::Source(message);
        let text = String::from_utf8(bytes).map_err(|error| source(error.to_string()))?;
        let source_name = self.path.display().to_string();
        let schema = match &self.schema {
            None => None,
            Some(path) => {
                let name = path.display().to_string();
                let text = std::fs::read_to_string(path)
                    .map_err(|error| tamis_runtime::Error::Host(format!("cannot read {name}: {error}")))?;
                Some((name, text))
            }
        };
        let schema = schema.as_ref().map(|(name, text)| Named { name, text });
        tamis_compiler::compile(&self.name(), Named { name: &source_name, text: &text }, schema)
            .map(|compiled| compiled.component)
            .map_err(|error| source(error.to_string()))
    }

    fn is_source(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "cedar" || extension == "json")
    }

    fn name(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn schema(&self, py: Python<'_>) -> PyResult<Option<(String, String)>> {
        let Some(path) = &self.schema else { return Ok(None) };
        let text = String::from_utf8(read(path)?).map_err(|error| not_text(py, path, &error))?;
        Ok(Some((path.display().to_string(), text)))
    }
}

/// Compiles, while other threads have the interpreter.
pub(crate) fn compile(
    py: Python<'_>,
    name: &str,
    policies: Named<'_>,
    schema: Option<Named<'_>>,
) -> PyResult<Compiled> {
    // What is named is text, which can go along.
    let compiled = py.detach(|| tamis_compiler::compile(name, policies, schema));
    compiled.map_err(|error| error::not_compiled(py, &error))
}

/// A component was compiled with what schema it has.
pub(crate) fn refuse_schema(py: Python<'_>, schema: Option<&Path>) -> PyResult<()> {
    match schema {
        None => Ok(()),
        Some(_) => Err(error::unreadable(
            py,
            &InputError::new("schema", "is for source; a component was compiled with what schema it has"),
        )),
    }
}

fn read(path: &Path) -> PyResult<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        let message = format!("cannot read {}: {error}", path.display());
        match error.raw_os_error() {
            // So that Python finds the class, such as FileNotFoundError.
            Some(code) => PyOSError::new_err((code, message)),
            None => PyOSError::new_err(message),
        }
    })
}

fn not_text(py: Python<'_>, path: &Path, error: &std::string::FromUtf8Error) -> PyErr {
    error::unreadable(py, &InputError::new(path.display().to_string(), error))
}
