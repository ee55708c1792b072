//! Python's objects as chunks: read once, with the interpreter.

use std::collections::BTreeSet;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFrozenSet, PyInt, PyList, PyMapping, PySet, PyString, PyTuple};
use tamis_core::decision::path_text;
use tamis_core::{Attributes, Chunk, EntityUid, InputError};
use tamis_runtime::Policy;

use crate::rows::{Head, Rows, Value};
use crate::{error, json};

/// Reads of chunks what one policy reads.
pub(crate) struct Reader {
    /// The names of each attribute of the footprint, as Python has them.
    paths: Vec<Vec<Py<PyString>>>,
    parts: Parts,
}

/// What is read of a chunk besides its attributes.
#[derive(Clone, Copy)]
struct Parts {
    id: bool,
    entity_type: bool,
    tags: bool,
    ancestors: bool,
}

/// Chunks that were read, and for each how that went: with an error, it is denied.
pub(crate) struct Read {
    pub(crate) rows: Rows,
    pub(crate) faults: Vec<Option<InputError>>,
}

impl Reader {
    /// Of what `policy` reads.
    pub(crate) fn new(py: Python<'_>, policy: &Policy) -> Self {
        let footprint = &policy.manifest().footprint;
        let name = |name: &String| PyString::intern(py, name).unbind();
        let paths = footprint.iter().map(|entry| entry.attribute.path.iter().map(name).collect());
        let parts = Parts {
            id: policy.reads_ids(),
            entity_type: policy.reads_entity_types(),
            tags: policy.reads_tags(),
            ancestors: policy.reads_ancestors(),
        };
        Self { paths: paths.collect(), parts }
    }

    /// How many attributes are read of each chunk.
    pub(crate) fn width(&self) -> usize {
        self.paths.len()
    }

    /// Reads chunks: each a mapping with `id`, `attributes`, `type`, `parents`, `tags`, or an object that has them.
    ///
    /// # Errors
    /// `InputError` for what is no chunk at all.
    pub(crate) fn read(&self, chunks: &[Bound<'_, PyAny>]) -> PyResult<Read> {
        let rows = Rows::with_room(chunks.len(), self.width());
        let mut read = Read { rows, faults: Vec::with_capacity(chunks.len()) };
        for (position, chunk) in chunks.iter().enumerate() {
            let py = chunk.py();
            let Some(attributes) = field(chunk, intern!(py, "attributes"))? else {
                let message = format!("is a {} without `attributes`", json::type_name(chunk));
                return Err(error::unreadable(py, &InputError::new(format!("chunk {position}"), message)));
            };
            let mark = read.rows.mark();
            let head = self.read_attributes(&attributes, &mut read.rows);
            let head = head.and_then(|()| read_head(chunk, self.parts, &mut read.rows));
            match head.and_then(|head| check_size(read.rows.since(&mark)).map(|()| head)) {
                Ok(head) => {
                    read.rows.end(head);
                    read.faults.push(None);
                }
                Err(fault) => {
                    read.rows.forget(&mark);
                    read.faults.push(Some(fault));
                }
            }
        }
        Ok(read)
    }

    fn read_attributes(&self, attributes: &Bound<'_, PyAny>, rows: &mut Rows) -> Result<(), InputError> {
        // Metadata that nobody has parsed has no attributes, and a policy may allow what lacks them.
        if attributes.cast::<PyDict>().is_err() && attributes.cast::<PyMapping>().is_err() {
            let message = format!("is a {}, not a mapping", json::type_name(attributes));
            return Err(InputError::new("attributes", message));
        }
        for path in &self.paths {
            let value = match at(attributes, path)? {
                None => Value::Absent,
                Some(value) => keep(&value, rows).map_err(|error| inside(value.py(), path, error))?,
            };
            rows.value(value);
        }
        Ok(())
    }
}

/// Texts that a policy reads of one chunk are at most this large: it has memory for some, and one chunk must not be what keeps all others
/// from being decided on.
const MAX_TEXTS: usize = 4 << 20;

fn check_size(size: usize) -> Result<(), InputError> {
    if size <= MAX_TEXTS {
        return Ok(());
    }
    let message = format!("{size} bytes of text are read of it, and {MAX_TEXTS} are the limit");
    Err(InputError::new("attributes", message))
}

/// A chunk with all of its metadata: for what is not known to read only some. One without an id has an empty one.
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
    let id = field(chunk, intern!(py, "id")).map_err(raised)?;
    let mut whole = Chunk::new(id.map(|id| text_of_id(&id)).transpose()?.unwrap_or_default());
    if let Some(entity_type) = field(chunk, intern!(py, "type")).map_err(raised)? {
        whole.uid.entity_type = text(&entity_type, "type")?;
    }
    whole.attributes = json::to_object(&attributes).map_err(|error| error.within("attributes"))?;
    (whole.tags, whole.ancestors) = (tags(chunk)?.unwrap_or_default(), ancestors(chunk)?);
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

/// The value at a path of mappings. Objects other than mappings have no attributes here: these are data, not what Python may compute.
fn at<'py>(
    attributes: &Bound<'py, PyAny>,
    path: &[Py<PyString>],
) -> Result<Option<Bound<'py, PyAny>>, InputError> {
    let py = attributes.py();
    let step = |value: &Bound<'py, PyAny>, name: &Py<PyString>| {
        let name = name.bind(py);
        let inner = match value.cast::<PyDict>() {
            Ok(dict) => dict.get_item(name),
            Err(_) if value.cast::<PyMapping>().is_ok() => field(value, name),
            Err(_) => Ok(None),
        };
        inner
            .map(|inner| inner.filter(|inner| !inner.is_none()))
            .map_err(|error| inside(py, path, InputError::new("", error)))
    };
    let Some((first, rest)) = path.split_first() else { return Ok(None) };
    let mut value = step(attributes, first)?;
    for name in rest {
        let Some(outer) = value else { return Ok(None) };
        value = step(&outer, name)?;
    }
    Ok(value)
}

fn keep(value: &Bound<'_, PyAny>, rows: &mut Rows) -> Result<Value, InputError> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Value::Text(rows.text(json::text(text)?)));
    }
    if let Ok(value) = value.cast::<PyBool>() {
        return Ok(Value::Bool(value.is_true()));
    }
    if value.is_instance_of::<PyInt>()
        && let Ok(number) = value.extract::<i64>()
    {
        return Ok(Value::Long(number));
    }
    let mark = rows.mark();
    let first = rows.elements();
    let is_kept = match (value.cast::<PyList>(), value.cast::<PyTuple>()) {
        (Ok(list), _) => keep_texts(list.iter(), rows)?,
        (_, Ok(tuple)) => keep_texts(tuple.iter(), rows)?,
        _ => false,
    };
    if is_kept {
        return Ok(Value::Texts(first..rows.elements()));
    }
    rows.forget(&mark);
    json::to_json(value).map(|json| Value::Json(Box::new(json)))
}

/// Keeps the elements of a list, if all are texts.
fn keep_texts<'py>(
    mut elements: impl Iterator<Item = Bound<'py, PyAny>>,
    rows: &mut Rows,
) -> Result<bool, InputError> {
    for (index, element) in elements.by_ref().enumerate() {
        let Ok(text) = element.cast::<PyString>() else { return Ok(false) };
        let text = json::text(text).map_err(|error| InputError::new(format!("[{index}]"), error.message))?;
        rows.element(text);
    }
    Ok(true)
}

fn read_head(chunk: &Bound<'_, PyAny>, parts: Parts, rows: &mut Rows) -> Result<Head, InputError> {
    let py = chunk.py();
    let mut head = Head::default();
    if parts.id {
        let id = field(chunk, intern!(py, "id")).map_err(|error| InputError::new("id", error))?;
        let id = id.ok_or_else(|| InputError::new("id", "is missing"))?;
        head.id = rows.text(&text_of_id(&id)?);
    }
    if parts.entity_type {
        let entity_type =
            field(chunk, intern!(py, "type")).map_err(|error| InputError::new("type", error))?;
        head.entity_type = entity_type.map(|value| Ok(rows.text(&text(&value, "type")?))).transpose()?;
    }
    if parts.tags {
        head.tags = tags(chunk)?.map(Box::new);
    }
    if parts.ancestors {
        head.ancestors = ancestors(chunk)?;
    }
    Ok(head)
}

fn tags(chunk: &Bound<'_, PyAny>) -> Result<Option<Attributes>, InputError> {
    let tags = field(chunk, intern!(chunk.py(), "tags")).map_err(|error| InputError::new("tags", error))?;
    tags.map(|tags| json::to_object(&tags).map_err(|error| error.within("tags"))).transpose()
}

fn ancestors(chunk: &Bound<'_, PyAny>) -> Result<BTreeSet<EntityUid>, InputError> {
    let raised = |error: PyErr| InputError::new("parents", error);
    let Some(parents) = field(chunk, intern!(chunk.py(), "parents")).map_err(raised)? else {
        return Ok(BTreeSet::new());
    };
    // Of what can be read only once, a second decision would see nothing.
    let is_list = parents.is_instance_of::<PyList>()
        || parents.is_instance_of::<PyTuple>()
        || parents.is_instance_of::<PySet>()
        || parents.is_instance_of::<PyFrozenSet>();
    if !is_list {
        let message = format!("is a {}, not a list", json::type_name(&parents));
        return Err(InputError::new("parents", message));
    }
    let parents = parents.try_iter().map_err(raised)?;
    let parent = |(index, parent): (usize, PyResult<Bound<'_, PyAny>>)| {
        uid(&parent.map_err(raised)?)
            .map_err(|error| InputError::new(format!("parents[{index}]"), error.message))
    };
    parents.enumerate().map(parent).collect()
}

fn uid(parent: &Bound<'_, PyAny>) -> Result<EntityUid, InputError> {
    let py = parent.py();
    let part = |name: &Bound<'_, PyString>| {
        let value = field(parent, name).map_err(|error| InputError::new("", error))?;
        value.map_or_else(|| Err(InputError::new("", format!("has no `{name}`"))), |value| text(&value, ""))
    };
    Ok(EntityUid::new(part(intern!(py, "type"))?, part(intern!(py, "id"))?))
}

/// Ids are texts; many stores number their rows.
fn text_of_id(id: &Bound<'_, PyAny>) -> Result<String, InputError> {
    if id.is_instance_of::<PyInt>() && !id.is_instance_of::<PyBool>() {
        return Ok(id.to_string());
    }
    text(id, "id")
}

fn text(value: &Bound<'_, PyAny>, place: &str) -> Result<String, InputError> {
    let Ok(text) = value.cast::<PyString>() else {
        return Err(InputError::new(place, format!("is a {}, not a text", json::type_name(value))));
    };
    json::text(text).map(str::to_owned).map_err(|error| error.within(place))
}

/// An error in the attribute at a path.
fn inside(py: Python<'_>, path: &[Py<PyString>], error: InputError) -> InputError {
    let names: Vec<String> = path.iter().map(|name| name.bind(py).to_string()).collect();
    let dot = if error.place.is_empty() || error.place.starts_with('[') { "" } else { "." };
    InputError::new(format!("attributes.{}{dot}{}", path_text(&names), error.place), error.message)
}
