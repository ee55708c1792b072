//! Tables that come through Arrow's C interface.

use arrow_array::RecordBatch;
use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
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
    ArrowRows::new(batch, id, footprint).map_err(|error| error.within("table"))
}

#[allow(unsafe_code)]
fn reader(capsule: &Bound<'_, PyCapsule>) -> PyResult<RecordBatchStreamReader> {
    let stream = capsule.pointer_checked(Some(c"arrow_array_stream"))?;
    // SAFETY: A capsule of this name holds such a stream, says Arrow's capsule interface, which is moved out of it once: what is left is
    // an empty one, that the capsule releases as nothing.
    let reader = unsafe { RecordBatchStreamReader::from_raw(stream.as_ptr().cast::<FFI_ArrowArrayStream>()) };
    reader.map_err(|error| error::unreadable(capsule.py(), &InputError::new("table", error)))
}
