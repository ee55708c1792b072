//! Python's objects as chunks: read once, with the interpreter, into rows that need it no more.

use std::collections::BTreeSet;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyMapping, PyString};
use serde_json::Value as Json;
use tamis_core::chunk::DEFAULT_TYPE;
use tamis_core::decision::path_text;
use tamis_core::manifest::FootprintAttribute;
use tamis_core::{Attributes, Cell, Chunk, EntityUid, InputError, Row};

use crate::{error, json};

/// Reads of chunks what one policy reads.
pub(crate) struct Reader {
    /// The names of each attribute of the footprint, as Python has them.
    paths: Vec<Vec<Py<PyString>>>,
    reads_ids: bool,
}

/// What a policy reads of one chunk.
pub(crate) struct PythonRow {
    id: String,
    entity_type: Option<String>,
    attributes: Vec<Owned>,
    tags: Attributes,
    ancestors: BTreeSet<EntityUid>,
}

/// A value out of Python.
enum Owned {
    Absent,
    Bool(bool),
    Long(i64),
    Text(String),
    Json(Json),
}

impl Reader {
    /// Of a policy with this footprint, which may decide by the ids of chunks.
    pub(crate) fn new(py: Python<'_>, footprint: &[FootprintAttribute], reads_ids: bool) -> Self {
        let name = |name: &String| PyString::intern(py, name).unbind();
        let path = |entry: &FootprintAttribute| entry.attribute.path.iter().map(name).collect();
        Self { paths: footprint.iter().map(path).collect(), reads_ids }
    }

    /// Reads a chunk: a mapping with `id`, `attributes`, `type`, `parents`, `tags`, or an object that has them. An inner error is one of
    /// what it holds, for which it is denied.
    ///
    /// # Errors
    /// `InputError` if it is no chunk at all.
    pub(crate) fn read(
        &self,
        position: usize,
        chunk: &Bound<'_, PyAny>,
    ) -> PyResult<Result<PythonRow, InputError>> {
        let py = chunk.py();
        let Some(attributes) = field(chunk, intern!(py, "attributes"))? else {
            let message = format!("is a {} without `attributes`", json::type_name(chunk));
            return Err(error::unreadable(py, &InputError::new(format!("chunk {position}"), message)));
        };
        Ok(self.read_all(chunk, &attributes))
    }

    fn read_all(
        &self,
        chunk: &Bound<'_, PyAny>,
        attributes: &Bound<'_, PyAny>,
    ) -> Result<PythonRow, InputError> {
        let mut cells = Vec::with_capacity(self.paths.len());
        for path in &self.paths {
            cells.push(at(attributes, path)?);
        }
        let (entity_type, tags, ancestors) = identity(chunk)?;
        let id = if self.reads_ids { read_id(chunk)? } else { String::new() };
        Ok(PythonRow { id, entity_type, attributes: cells, tags, ancestors })
    }
}

/// A chunk with all of its metadata: for what is not known to read only some.
///
/// # Errors
/// With the place of what cannot be read.
pub(crate) fn whole(chunk: &Bound<'_, PyAny>) -> Result<Chunk, InputError> {
    let py = chunk.py();
    let raised = |error: PyErr| InputError::new("chunk", error);
    let attributes = field(chunk, intern!(py, "attributes")).map_err(raised)?;
    let attributes = attributes.ok_or_else(|| {
        InputError::new("chunk", format!("is a {} without `attributes`", json::type_name(chunk)))
    })?;
    let (entity_type, tags, ancestors) = identity(chunk)?;
    let mut whole = Chunk::new(read_id(chunk)?);
    if let Some(entity_type) = entity_type {
        whole.uid.entity_type = entity_type;
    }
    whole.attributes = json::to_object(&attributes).map_err(|error| error.within("attributes"))?;
    (whole.tags, whole.ancestors) = (tags, ancestors);
    Ok(whole)
}

/// A field of a chunk; none if it is None.
fn field<'py>(chunk: &Bound<'py, PyAny>, name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let value = match chunk.cast::<PyDict>() {
        Ok(dict) => dict.get_item(name)?,
        Err(_) => match chunk.cast::<PyMapping>() {
            Ok(mapping) => mapping.contains(name)?.then(|| mapping.get_item(name)).transpose()?,
            Err(_) => chunk.getattr_opt(name)?,
        },
    };
    Ok(value.filter(|value| !value.is_none()))
}

type Identity = (Option<String>, Attributes, BTreeSet<EntityUid>);

/// Type, tags and ancestors.
fn identity<'py>(chunk: &Bound<'py, PyAny>) -> Result<Identity, InputError> {
    let py = chunk.py();
    let get = |name: &Bound<'py, PyString>| {
        field(chunk, name).map_err(|error| InputError::new(name.to_string(), error))
    };
    let entity_type = get(intern!(py, "type"))?.map(|value| read_text(&value, "type")).transpose()?;
    let tags = match get(intern!(py, "tags"))? {
        Some(tags) => json::to_object(&tags).map_err(|error| error.within("tags"))?,
        None => Attributes::new(),
    };
    let mut ancestors = BTreeSet::new();
    if let Some(parents) = get(intern!(py, "parents"))? {
        let listed = parents.try_iter().map_err(|error| InputError::new("parents", error))?;
        for (index, parent) in listed.enumerate() {
            let parent = parent.map_err(|error| InputError::new("parents", error));
            ancestors.insert(
                parent
                    .and_then(|parent| uid(&parent))
                    .map_err(|error| InputError::new(format!("parents[{index}]"), error.message))?,
            );
        }
    }
    Ok((entity_type, tags, ancestors))
}

fn uid(parent: &Bound<'_, PyAny>) -> Result<EntityUid, InputError> {
    let py = parent.py();
    let part = |name: &Bound<'_, PyString>| {
        let value = field(parent, name).map_err(|error| InputError::new("", error))?;
        value.map_or_else(
            || Err(InputError::new("", format!("has no `{name}`"))),
            |value| read_text(&value, ""),
        )
    };
    Ok(EntityUid::new(part(intern!(py, "type"))?, part(intern!(py, "id"))?))
}

/// Ids are texts; many stores number their rows.
fn read_id(chunk: &Bound<'_, PyAny>) -> Result<String, InputError> {
    let id = field(chunk, intern!(chunk.py(), "id")).map_err(|error| InputError::new("id", error))?;
    let id = id.ok_or_else(|| InputError::new("id", "is missing"))?;
    if id.is_instance_of::<PyInt>() && !id.is_instance_of::<PyBool>() {
        return Ok(id.to_string());
    }
    read_text(&id, "id")
}

fn read_text(value: &Bound<'_, PyAny>, place: &str) -> Result<String, InputError> {
    let Ok(text) = value.cast::<PyString>() else {
        return Err(InputError::new(place, format!("is a {}, not a text", json::type_name(value))));
    };
    json::text(text).map(str::to_owned).map_err(|error| error.within(place))
}

/// The value at a path of mappings.
fn at(attributes: &Bound<'_, PyAny>, path: &[Py<PyString>]) -> Result<Owned, InputError> {
    let py = attributes.py();
    let mut value = attributes.clone();
    for name in path {
        // Objects other than mappings have no attributes here: these are data, not what Python may compute.
        let is_mapping = value.is_instance_of::<PyDict>() || value.cast::<PyMapping>().is_ok();
        let inner = if is_mapping { field(&value, name.bind(py)) } else { Ok(None) };
        match inner {
            Ok(Some(inner)) => value = inner,
            Ok(None) => return Ok(Owned::Absent),
            Err(error) => return Err(InputError::new(place(py, path), error)),
        }
    }
    own(&value).map_err(|error| {
        let outer = place(py, path);
        let dot = if error.place.is_empty() || error.place.starts_with('[') { "" } else { "." };
        InputError::new(format!("{outer}{dot}{}", error.place), error.message)
    })
}

fn own(value: &Bound<'_, PyAny>) -> Result<Owned, InputError> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Owned::Text(json::text(text)?.to_owned()));
    }
    if let Ok(value) = value.cast::<PyBool>() {
        return Ok(Owned::Bool(value.is_true()));
    }
    if value.is_instance_of::<PyInt>()
        && let Ok(number) = value.extract::<i64>()
    {
        return Ok(Owned::Long(number));
    }
    json::to_json(value).map(Owned::Json)
}

fn place(py: Python<'_>, path: &[Py<PyString>]) -> String {
    let names: Vec<String> = path.iter().map(|name| name.bind(py).to_string()).collect();
    format!("attributes.{}", path_text(&names))
}

impl Row for PythonRow {
    fn id(&self) -> &str {
        &self.id
    }

    fn attribute(&self, position: usize, _: &[String]) -> Cell<'_> {
        match self.attributes.get(position) {
            None | Some(Owned::Absent) => Cell::Absent,
            Some(Owned::Bool(value)) => Cell::Bool(*value),
            Some(Owned::Long(number)) => Cell::Long(*number),
            Some(Owned::Text(text)) => Cell::Text(text),
            Some(Owned::Json(json)) => Cell::Json(json),
        }
    }

    fn entity_type(&self) -> &str {
        self.entity_type.as_deref().unwrap_or(DEFAULT_TYPE)
    }

    fn tags(&self) -> &Attributes {
        &self.tags
    }

    fn ancestors(&self) -> &BTreeSet<EntityUid> {
        &self.ancestors
    }
}
