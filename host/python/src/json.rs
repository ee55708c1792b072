//! Between Python's values and JSON.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PyMapping, PySet, PyString, PyTuple};
use serde_json::{Map, Number, Value as Json};
use tamis_core::InputError;

/// Values nest at most this deep, as JSON does; what holds itself ends here too.
const MAX_DEPTH: usize = 127;

/// What a Python value is in JSON. Tuples and sets are lists, numbers of NumPy are numbers.
///
/// # Errors
/// With the place, for a value of a type that JSON has not, a number that is not finite, a key that is not a string, or nesting
/// beyond 127 levels.
pub(crate) fn to_json(value: &Bound<'_, PyAny>) -> Result<Json, InputError> {
    read(value, 0)
}

/// What a mapping is in JSON.
///
/// # Errors
/// As [`to_json`], and for what is no mapping.
pub(crate) fn to_object(value: &Bound<'_, PyAny>) -> Result<Map<String, Json>, InputError> {
    match to_json(value)? {
        Json::Object(object) => Ok(object),
        _ => Err(InputError::new("", format!("is a {}, not a mapping", type_name(value)))),
    }
}

/// What JSON is in Python.
pub(crate) fn to_python<'py>(py: Python<'py>, json: &Json) -> PyResult<Bound<'py, PyAny>> {
    Ok(match json {
        Json::Null => py.None().into_bound(py),
        Json::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => number.into_pyobject(py)?.into_any(),
            (_, Some(number), _) => number.into_pyobject(py)?.into_any(),
            (_, _, number) => number.into_pyobject(py)?.into_any(),
        },
        Json::String(text) => PyString::new(py, text).into_any(),
        Json::Array(values) => {
            let values = values.iter().map(|value| to_python(py, value)).collect::<PyResult<Vec<_>>>()?;
            PyList::new(py, values)?.into_any()
        }
        Json::Object(object) => {
            let dict = PyDict::new(py);
            for (name, value) in object {
                dict.set_item(name, to_python(py, value)?)?;
            }
            dict.into_any()
        }
    })
}

/// The name of a value's type, for messages.
pub(crate) fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "value".to_owned(), |name| name.to_string())
}

fn read(value: &Bound<'_, PyAny>, depth: usize) -> Result<Json, InputError> {
    if depth > MAX_DEPTH {
        return Err(InputError::new("", "nests too deep, or holds itself"));
    }
    if value.is_none() {
        return Ok(Json::Null);
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Json::String(self::text(text)?.to_owned()));
    }
    if let Ok(value) = value.cast::<PyBool>() {
        return Ok(Json::Bool(value.is_true()));
    }
    if value.is_instance_of::<PyInt>() {
        return integer(value);
    }
    if let Ok(number) = value.cast::<PyFloat>() {
        return finite(number.value());
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        // Of a copy: reading a value may run code that changes the dict.
        return object(dict.items().iter().map(|item| item.extract()), depth);
    }
    if value.is_instance_of::<PyList>()
        || value.is_instance_of::<PyTuple>()
        || value.is_instance_of::<PySet>()
        || value.is_instance_of::<PyFrozenSet>()
    {
        return array(value, depth);
    }
    if let Ok(mapping) = value.cast::<PyMapping>() {
        let items = mapping.items().map_err(|error| raised(&error))?;
        return object(items.iter().map(|item| item.extract()), depth);
    }
    let module = value.get_type().module().map(|module| module.to_string()).unwrap_or_default();
    if module == "numpy" {
        // A scalar becomes Python's own, an array a list; what is still NumPy's then is refused.
        let plain = value.call_method0("tolist").map_err(|error| raised(&error))?;
        if plain.get_type().is(value.get_type()) {
            return Err(unfit(value));
        }
        return read(&plain, depth + 1);
    }
    Err(unfit(value))
}

fn unfit(value: &Bound<'_, PyAny>) -> InputError {
    InputError::new("", format!("is a {}, which metadata has not", type_name(value)))
}

fn raised(error: &PyErr) -> InputError {
    InputError::new("", format!("cannot be read: {error}"))
}

pub(crate) fn text<'a>(text: &'a Bound<'_, PyString>) -> Result<&'a str, InputError> {
    text.to_str().map_err(|_| InputError::new("", "is a text that is not valid Unicode"))
}

fn integer(value: &Bound<'_, PyAny>) -> Result<Json, InputError> {
    if let Ok(number) = value.extract::<i64>() {
        return Ok(number.into());
    }
    if let Ok(number) = value.extract::<u64>() {
        return Ok(number.into());
    }
    // As JSON's own, which has no other way to say it.
    value.extract::<f64>().map_err(|error| raised(&error)).and_then(finite)
}

fn finite(number: f64) -> Result<Json, InputError> {
    Number::from_f64(number)
        .map(Json::Number)
        .ok_or_else(|| InputError::new("", "is a number that is not finite"))
}

fn array(values: &Bound<'_, PyAny>, depth: usize) -> Result<Json, InputError> {
    let values = values.try_iter().map_err(|error| raised(&error))?;
    let mut array = Vec::new();
    for (index, value) in values.enumerate() {
        let value = value.map_err(|error| raised(&error))?;
        array.push(read(&value, depth + 1).map_err(|error| inside(&format!("[{index}]"), error))?);
    }
    Ok(Json::Array(array))
}

fn object<'py>(
    items: impl Iterator<Item = PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)>>,
    depth: usize,
) -> Result<Json, InputError> {
    let mut object = Map::new();
    for item in items {
        let (name, value) = item.map_err(|error| raised(&error))?;
        let Ok(name) = name.cast::<PyString>() else {
            return Err(InputError::new("", format!("has a key that is a {}", type_name(&name))));
        };
        let name = text(name)?.to_owned();
        let value = read(&value, depth + 1).map_err(|error| inside(&name, error))?;
        object.insert(name, value);
    }
    Ok(Json::Object(object))
}

/// An error inside of what `outer` names: `acl[2]`, `owner.team`.
fn inside(outer: &str, error: InputError) -> InputError {
    let InputError { place, message } = error;
    let place = match place.as_str() {
        "" => outer.to_owned(),
        index if index.starts_with('[') => format!("{outer}{index}"),
        name => format!("{outer}.{name}"),
    };
    InputError { place, message }
}
