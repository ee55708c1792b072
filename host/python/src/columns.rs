//! Tables that come through Arrow's C interface.

use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use arrow_array::{Array, RecordBatch};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use tamis_core::InputError;
use tamis_core::manifest::FootprintAttribute;
use tamis_core::row::ArrowRows;

use crate::error;

/// The batches of a table that has `__arrow_c_stream__`.
///
/// # Errors
/// `InputError` for a stream that cannot be read.
pub(crate) fn batches(table: &Bound<'_, PyAny>) -> PyResult<Vec<RecordBatch>> {
    let py = table.py();
    let capsule = table.call_method0("__arrow_c_stream__")?;
    let reader = reader(capsule.cast::<PyCapsule>()?)?;
    let batches: Result<Vec<_>, _> = py.detach(|| reader.collect());
    batches.map_err(|error| error::unreadable(py, &InputError::new("table", error)))
}

/// The rows of a batch, for a policy with this footprint.
///
/// # Errors
/// As [`ArrowRows::new`].
pub(crate) fn rows<'a>(
    batch: &'a RecordBatch,
    id: Option<&str>,
    footprint: &[FootprintAttribute],
) -> Result<ArrowRows<'a>, InputError> {
    check(batch, id, footprint).map_err(|error| error.within("table"))?;
    ArrowRows::new(batch, id, footprint).map_err(|error| error.within("table"))
}

/// What comes through the interface is what its producer says it is. In what is read of it, that is looked at: texts are UTF-8, and offsets
/// lie inside.
fn check(batch: &RecordBatch, id: Option<&str>, footprint: &[FootprintAttribute]) -> Result<(), InputError> {
    let names = footprint.iter().filter_map(|entry| entry.attribute.path.first()).map(String::as_str);
    for name in names.chain(id) {
        if let Some(column) = batch.column_by_name(name) {
            column.to_data().validate_full().map_err(|error| InputError::new(name, error))?;
        }
    }
    Ok(())
}

#[allow(unsafe_code)]
fn reader(capsule: &Bound<'_, PyCapsule>) -> PyResult<RecordBatchStreamReader> {
    let stream = capsule.pointer_checked(Some(c"arrow_array_stream"))?;
    // SAFETY: A capsule of this name holds such a stream, says Arrow's capsule interface, which is moved out of it once: what is left is
    // an empty one, that the capsule releases as nothing.
    let reader = unsafe { RecordBatchStreamReader::from_raw(stream.as_ptr().cast::<FFI_ArrowArrayStream>()) };
    reader.map_err(|error| error::unreadable(capsule.py(), &InputError::new("table", error)))
}
