//! Rewrites: the filter that narrows a search, in the language of a database.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use serde_json::Value as Json;
use tamis_core::{Filter, InputError};
use tamis_dialect::Fields;
use tamis_runtime::Generation;

use crate::decision::errors;
use crate::{chunk, error, json};

/// How to narrow a search to what may be read.
#[pyclass(frozen, module = "tamis")]
pub(crate) struct Rewrite {
    pub(crate) inner: tamis_core::Rewrite,
    /// Of the policy.
    pub(crate) serving: Arc<Generation>,
}

/// A filter in a database's own language.
#[pyclass(frozen, module = "tamis")]
pub(crate) struct Translation {
    /// The name of the language.
    #[pyo3(get)]
    dialect: String,
    native: Json,
    /// Whether it matches only what the policy allows.
    #[pyo3(get)]
    exact: bool,
    /// What the database cannot express of the policy's filter, in words. The filter gate decides on what this lets through.
    #[pyo3(get)]
    widened: Vec<String>,
}

#[pymethods]
impl Rewrite {
    /// The filter, as the tree that wit/FILTER.md describes.
    #[getter]
    fn filter<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        json::to_python(py, &self.inner.filter.to_json())
    }

    /// Whether the filter matches only what the policy allows.
    #[getter]
    fn exact(&self) -> bool {
        self.inner.exact
    }

    /// Whether the filter matches everything.
    #[getter]
    fn always(&self) -> bool {
        *self.inner.filter == Filter::Always
    }

    /// Whether nothing can be allowed, so that there is nothing to search.
    #[getter]
    fn never(&self) -> bool {
        *self.inner.filter == Filter::Never
    }

    /// Paths of the attributes that the filter gate will need.
    #[getter]
    fn needs<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        self.inner.needs.iter().map(|attribute| PyTuple::new(py, &attribute.path)).collect()
    }

    /// Rules that the filter says only in part.
    #[getter]
    fn partial(&self) -> Vec<&str> {
        self.inner.partial.iter().map(String::as_str).collect()
    }

    /// The rules that failed for this request, each with why. For the operator's log.
    #[getter]
    fn errors(&self) -> Vec<(&str, &str)> {
        errors(&self.inner.errors)
    }

    /// Whether the filter matches a chunk.
    fn matches(&self, chunk: &Bound<'_, PyAny>) -> PyResult<bool> {
        let chunk = chunk::whole(chunk).map_err(|error| error::unreadable(chunk.py(), &error))?;
        Ok(self.inner.filter.matches(&chunk))
    }

    /// The filter in a database's own language, in plain data, with what the database cannot express. `fields` says where a collection
    /// has the attributes: see host/dialect/README.md.
    #[pyo3(signature = (dialect, fields=None))]
    fn translate(
        &self,
        py: Python<'_>,
        dialect: &str,
        fields: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Translation> {
        let translated = self.translated(py, dialect, fields)?;
        Ok(Translation {
            dialect: dialect.to_owned(),
            exact: self.inner.exact && translated.is_exact(),
            native: translated.native,
            widened: translated.widened,
        })
    }

    /// The filter as the database's own client takes it, such as `qdrant_client.models.Filter`.
    #[pyo3(signature = (dialect, fields=None))]
    fn to<'py>(
        &self,
        py: Python<'py>,
        dialect: &str,
        fields: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let translated = self.translated(py, dialect, fields)?;
        let native = json::to_python(py, &translated.native)?;
        py.import("tamis._clients")?.getattr(intern!(py, "native"))?.call1((dialect, native))
    }

    /// For people: what the database is asked for, and what is left to the filter gate.
    #[pyo3(signature = (dialect=None, fields=None))]
    fn explain(
        &self,
        py: Python<'_>,
        dialect: Option<&str>,
        fields: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        let Some(dialect) = dialect else { return Ok(tamis_dialect::explain(&self.inner, None)) };
        let translated = self.translated(py, dialect, fields)?;
        Ok(tamis_dialect::explain(&self.inner, Some((dialect, &translated))))
    }

    fn __repr__(&self) -> String {
        let exact = if self.inner.exact { "exact" } else { "superset" };
        format!("<Rewrite, {exact}: {}>", self.inner.filter)
    }
}

impl Rewrite {
    fn translated(
        &self,
        py: Python<'_>,
        name: &str,
        fields: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<tamis_dialect::Translation<Json>> {
        let fields = match fields {
            None => Ok(Fields::default()),
            Some(fields) => json::to_object(fields)
                .and_then(|fields| Fields::from_json(&Json::Object(fields).to_string()))
                .map_err(|error| error.within("fields")),
        };
        let mut fields = fields.map_err(|error| error::unreadable(py, &error))?;
        fields.require(&self.serving.policy().manifest().footprint);
        let dialect = tamis_dialect::dialect(name, fields).ok_or_else(|| {
            let known = tamis_dialect::NAMES.join(", ");
            error::unreadable(py, &InputError::new("dialect", format!("`{name}` is none of {known}")))
        })?;
        Ok(py.detach(|| dialect.emit(&self.inner.filter)))
    }
}

#[pymethods]
impl Translation {
    /// The filter, as text with parameters or as a tree.
    #[getter]
    fn native<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        json::to_python(py, &self.native)
    }

    fn __repr__(&self) -> String {
        format!("<Translation to {}: {}>", self.dialect, self.native)
    }
}
