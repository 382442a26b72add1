//! A value of a metric as an object: what `metric._value` and its like are.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::mode;
use crate::series::Series;

/// One value of a metric: `get`, `set`, `inc` and its exemplar.
#[pyclass(frozen, module = "forkmeter._forkmeter")]
#[derive(Debug)]
pub(crate) struct NativeValue {
    series: Arc<Series>,
    index: usize,
}

impl NativeValue {
    /// Makes an object for slot `index`, which exists.
    pub(crate) fn new(series: Arc<Series>, index: usize) -> Self {
        Self { series, index }
    }
}

#[pymethods]
impl NativeValue {
    fn inc(&self, py: Python<'_>, amount: f64) {
        self.series.add(py, self.index, amount);
    }

    #[pyo3(signature = (value, timestamp=None))]
    fn set(&self, py: Python<'_>, value: f64, timestamp: Option<f64>) {
        let _ = timestamp;
        self.series.set(py, self.index, value);
    }

    fn get(&self, py: Python<'_>) -> f64 {
        self.series.get(py, self.index)
    }

    fn set_exemplar(&self, exemplar: &Bound<'_, PyAny>) -> PyResult<()> {
        self.series.set_exemplar(self.index, exemplar)
    }

    fn get_exemplar(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.series.exemplar(py, self.index)
    }

    #[getter(_value)]
    fn value(&self, py: Python<'_>) -> f64 {
        self.get(py)
    }

    #[setter(_value)]
    fn assign_value(&self, py: Python<'_>, value: f64) {
        self.series.set(py, self.index, value);
    }

    #[getter(_exemplar)]
    fn last_exemplar(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.get_exemplar(py)
    }

    #[getter(_multiprocess)]
    #[expect(clippy::unused_self, reason = "an attribute of values in Python")]
    fn is_multiprocess(&self) -> bool {
        mode::is_shared()
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let name = &self.series.descriptor().name;
        format!("<value {} of {name}: {}>", self.index, self.get(py))
    }
}
