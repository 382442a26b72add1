//! Converts exemplars between the package's named tuple and the model.

use forkmeter_core::{Exemplar, LabelSet, Timestamp};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

/// Reads an `Exemplar`; nothing for `None`.
pub(crate) fn from_python(given: &Bound<'_, PyAny>) -> PyResult<Option<Exemplar>> {
    if given.is_none() {
        return Ok(None);
    }
    let py = given.py();
    let labels = given.getattr(intern!(py, "labels"))?;
    let mut pairs: Vec<(String, String)> = Vec::new();
    for item in labels.call_method0(intern!(py, "items"))?.try_iter()? {
        pairs.push(item?.extract()?);
    }
    let timestamp = given.getattr(intern!(py, "timestamp"))?;
    Ok(Some(Exemplar {
        labels: LabelSet::from_pairs(pairs),
        value: given.getattr(intern!(py, "value"))?.extract()?,
        timestamp: if timestamp.is_none() {
            None
        } else {
            Some(Timestamp::Seconds(
                timestamp
                    .call_method0(intern!(py, "__float__"))?
                    .extract()?,
            ))
        },
    }))
}

/// Makes an `Exemplar`.
pub(crate) fn to_python(py: Python<'_>, exemplar: &Exemplar) -> PyResult<Py<PyAny>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = CLASS.import(py, "forkmeter.samples", "Exemplar")?;
    let labels = PyDict::new(py);
    for (name, value) in exemplar.labels.iter() {
        labels.set_item(name, value)?;
    }
    let timestamp = exemplar.timestamp.map(Timestamp::as_seconds);
    Ok(class.call1((labels, exemplar.value, timestamp))?.unbind())
}
