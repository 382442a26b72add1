//! What `track_inprogress()` returns: a context manager that decorates as well.

use pyo3::exceptions::PyAttributeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::attached::Attached;
use crate::call;
use crate::names::names;

/// Keeps a gauge at the number of blocks or runs that are under way.
#[pyclass(subclass, dict, weakref, frozen, module = "forkmeter.context_managers")]
#[derive(Debug, Default)]
pub(crate) struct InprogressTracker {
    gauge: Attached<Option<Py<PyAny>>>,
}

impl InprogressTracker {
    /// Makes a tracker of a gauge.
    pub(crate) fn of(gauge: Bound<'_, PyAny>) -> Self {
        let gauge = Attached::new(Some(gauge.unbind()));
        Self { gauge }
    }

    /// Returns the gauge, if there is one.
    #[inline]
    pub(crate) fn known_gauge<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.gauge.bound(py)
    }
}

#[pymethods]
impl InprogressTracker {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::default()
    }

    fn __init__(&self, py: Python<'_>, gauge: Py<PyAny>) {
        self.set_gauge(py, gauge);
    }

    #[getter(_gauge)]
    fn gauge<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.known_gauge(py)
            .ok_or_else(|| PyAttributeError::new_err("_gauge"))
    }

    #[setter(_gauge)]
    fn set_gauge(&self, py: Python<'_>, gauge: Py<PyAny>) {
        drop(self.gauge.replace(py, Some(gauge)));
    }

    /// Increments the gauge.
    fn __enter__(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let gauge = slf.get().gauge(py)?;
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
        let gauge = slf.get().gauge(py)?;
        call::call_without_arguments(&gauge, names().dec.bind(py))
    }

    /// Decorates a function of any kind.
    fn __call__<'py>(slf: &Bound<'py, Self>, f: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        call::decorate("decorate_within", f, slf)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.gauge.traverse(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        drop(self.gauge.replace(py, None));
    }
}
