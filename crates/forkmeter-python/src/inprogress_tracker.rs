//! What `track_inprogress()` returns: a context manager that decorates as well.

use pyo3::exceptions::PyAttributeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::call;
use crate::names::names;

/// Keeps a gauge at the number of blocks or runs that are under way.
#[pyclass(subclass, dict, weakref, module = "forkmeter.context_managers")]
#[derive(Debug, Default)]
pub(crate) struct InprogressTracker {
    gauge: Option<Py<PyAny>>,
}

impl InprogressTracker {
    /// Makes a tracker of a gauge.
    pub(crate) fn of(gauge: Bound<'_, PyAny>) -> Self {
        let gauge = Some(gauge.unbind());
        Self { gauge }
    }
}

#[pymethods]
impl InprogressTracker {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::default()
    }

    fn __init__(slf: &Bound<'_, Self>, gauge: Py<PyAny>) {
        Self::set_gauge(slf, gauge);
    }

    #[getter(_gauge)]
    fn gauge<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.gauge {
            Some(gauge) => Ok(gauge.bind(py).clone()),
            None => Err(PyAttributeError::new_err("_gauge")),
        }
    }

    #[setter(_gauge)]
    fn set_gauge(slf: &Bound<'_, Self>, gauge: Py<PyAny>) {
        let replaced = slf.borrow_mut().gauge.replace(gauge);
        // Dropped without the borrow: the end of an object may run Python code.
        drop(replaced);
    }

    /// Increments the gauge.
    fn __enter__(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let gauge = slf.borrow().gauge(py)?;
        call::call_without_arguments(&gauge, names().inc.bind(py))
    }

    /// Decrements the gauge.
    fn __exit__(
        slf: &Bound<'_, Self>,
        typ: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (typ, value, traceback);
        let py = slf.py();
        let gauge = slf.borrow().gauge(py)?;
        call::call_without_arguments(&gauge, names().dec.bind(py))
    }

    /// Decorates a function of any kind.
    fn __call__<'py>(slf: &Bound<'py, Self>, f: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        call::decorate("decorate_within", f, slf)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.gauge)
    }

    fn __clear__(&mut self) {
        self.gauge = None;
    }
}
