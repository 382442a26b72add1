//! Converts exemplars between the package's named tuple and the model.

use forkmeter_core::{Exemplar, LabelSet, Timestamp};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::call;

/// Reads an `Exemplar`; nothing for `None`.
pub(crate) fn from_python(given: &Bound<'_, PyAny>) -> PyResult<Option<Exemplar>> {
    if given.is_none() {
        return Ok(None);
    }
    let labels = given.getattr("labels")?;
    let mut pairs: Vec<(String, String)> = Vec::new();
    for item in labels.call_method0("items")?.try_iter()? {
        pairs.push(item?.extract()?);
    }
    let timestamp = given.getattr("timestamp")?;
    Ok(Some(Exemplar {
        labels: LabelSet::from_pairs(pairs),
        value: given.getattr("value")?.extract()?,
        timestamp: if timestamp.is_none() {
            None
        } else {
            Some(Timestamp::Seconds(
                timestamp.call_method0("__float__")?.extract()?,
            ))
        },
    }))
}

/// Makes an `Exemplar`.
pub(crate) fn to_python(py: Python<'_>, exemplar: &Exemplar) -> PyResult<Py<PyAny>> {
    let class = py.import("forkmeter.samples")?.getattr("Exemplar")?;
    let labels = PyDict::new(py);
    for (name, value) in exemplar.labels.iter() {
        labels.set_item(name, value)?;
    }
    let timestamp = exemplar.timestamp.map(Timestamp::as_seconds);
    let args = (labels, exemplar.value, timestamp).into_pyobject(py)?;
    Ok(call::call(&class, &args, None)?.unbind())
}
