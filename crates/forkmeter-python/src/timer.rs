//! What `time()` returns: a context manager that measures, and decorates as well.

use pyo3::exceptions::PyAttributeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::attached::Attached;
use crate::call;
use crate::clock::{self, Moment};

/// Measures how long a block or a run takes, in seconds, and hands that to a metric.
///
/// What a subclass overrides is honoured, and so is a metric's method that somebody replaced: it is looked up when
/// the block ends.
#[pyclass(subclass, dict, weakref, frozen, module = "forkmeter.context_managers")]
#[derive(Debug, Default)]
pub(crate) struct Timer {
    metric: Attached<Option<Py<PyAny>>>,
    callback_name: Attached<Option<Py<PyString>>>,
    start: Attached<Option<Moment>>,
    duration: Attached<Option<f64>>,
}

fn unset(name: &'static str) -> PyErr {
    PyAttributeError::new_err(name)
}

impl Timer {
    /// Makes a timer for a method of a metric.
    #[inline]
    pub(crate) fn for_method<'py>(
        metric: &Bound<'py, PyAny>,
        callback_name: &Py<PyString>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = metric.py();
        let timer = Self {
            metric: Attached::new(Some(metric.clone().unbind())),
            callback_name: Attached::new(Some(callback_name.clone_ref(py))),
            start: Attached::default(),
            duration: Attached::default(),
        };
        Bound::new(py, timer)
    }

    /// Makes an ended timer one for a method of a metric.
    #[inline]
    pub(crate) fn start_anew(&self, metric: &Bound<'_, PyAny>, callback_name: &Py<PyString>) {
        let py = metric.py();
        self.set_metric(py, metric.clone().unbind());
        self.set_callback_name(py, callback_name.clone_ref(py));
    }

    /// Forgets all that it was for. May run Python code, when the metric goes.
    pub(crate) fn forget(&self, py: Python<'_>) {
        self.start.replace(py, None);
        self.duration.replace(py, None);
        let callback_name = self.callback_name.replace(py, None);
        drop(callback_name.map(|name| name.into_bound(py)));
        let metric = self.metric.replace(py, None);
        drop(metric.map(|metric| metric.into_bound(py)));
    }

    /// Starts the clock, where no other one stands in its place; tells whether that was so.
    #[inline]
    pub(crate) fn start_natively(&self, py: Python<'_>) -> Option<()> {
        self.start.replace(py, Some(clock::now_natively(py)?));
        Some(())
    }

    /// Stops the clock and keeps the seconds, under the same condition.
    #[inline]
    pub(crate) fn stop_natively(&self, py: Python<'_>) -> Option<f64> {
        let seconds = self.start.get(py)?.elapsed_natively(py)?;
        self.duration.replace(py, Some(seconds));
        Some(seconds)
    }

    /// Records the seconds by `record`, unless that does not do it.
    #[inline]
    pub(crate) fn record_natively(
        &self,
        py: Python<'_>,
        seconds: f64,
        record: impl FnOnce(&Bound<'_, PyAny>, &Bound<'_, PyString>, f64) -> Option<()>,
    ) -> Option<()> {
        let (metric, name) = (self.metric.bound(py)?, self.callback_name.bound(py)?);
        record(&metric, &name, seconds)
    }

    /// Gives the seconds to the metric.
    ///
    /// # Errors
    ///
    /// What the metric raises.
    #[inline]
    pub(crate) fn hand_over(&self, py: Python<'_>, seconds: f64) -> PyResult<()> {
        let (metric, name) = (self.metric(py)?, self.callback_name(py)?);
        call::call_with_number(&metric, &name, seconds)
    }
}

#[pymethods]
impl Timer {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::default()
    }

    fn __init__(&self, py: Python<'_>, metric: Py<PyAny>, callback_name: Py<PyString>) {
        self.set_metric(py, metric);
        self.set_callback_name(py, callback_name);
        self.set_duration(py, None);
    }

    #[getter]
    fn duration(&self, py: Python<'_>) -> Option<f64> {
        self.duration.get(py)
    }

    #[setter]
    fn set_duration(&self, py: Python<'_>, seconds: Option<f64>) {
        self.duration.replace(py, seconds);
    }

    #[getter(_metric)]
    fn metric<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.metric.bound(py).ok_or_else(|| unset("_metric"))
    }

    #[setter(_metric)]
    fn set_metric(&self, py: Python<'_>, metric: Py<PyAny>) {
        drop(self.metric.replace(py, Some(metric)));
    }

    #[getter(_callback_name)]
    fn callback_name<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        let name = self.callback_name.bound(py);
        name.ok_or_else(|| unset("_callback_name"))
    }

    #[setter(_callback_name)]
    fn set_callback_name(&self, py: Python<'_>, name: Py<PyString>) {
        drop(self.callback_name.replace(py, Some(name)));
    }

    #[getter(_start)]
    fn start_seconds(&self, py: Python<'_>) -> PyResult<f64> {
        let start = self.start.get(py).ok_or_else(|| unset("_start"))?;
        start.seconds(py)
    }

    #[setter(_start)]
    fn set_start_seconds(&self, py: Python<'_>, seconds: f64) {
        self.start.replace(py, Some(Moment::Told(seconds)));
    }

    fn _new_timer<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let (metric, name) = (slf.get().metric(py)?, slf.get().callback_name(py)?);
        if slf.is_exact_instance_of::<Self>() {
            return Ok(Self::for_method(&metric, &name.unbind())?.into_any());
        }
        let args = PyTuple::new(py, [metric, name.into_any()])?;
        call::call(slf.get_type().as_any(), &args, None)
    }

    /// Starts the clock.
    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        let start = clock::now(slf.py())?;
        slf.get().start.replace(slf.py(), Some(start));
        Ok(slf)
    }

    /// Stops the clock, keeps the seconds in `duration` and hands them over, also after an exception.
    fn __exit__(
        slf: &Bound<'_, Self>,
        typ: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (typ, value, traceback);
        let py = slf.py();
        let timer = slf.get();
        let start = timer.start.get(py).ok_or_else(|| unset("_start"))?;
        let seconds = start.elapsed_seconds(py)?;
        timer.set_duration(py, Some(seconds));
        timer.hand_over(py, seconds)
    }

    /// Chooses the series, at the latest inside the block.
    #[pyo3(signature = (*args, **kw))]
    fn labels(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        kw: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let metric = slf.get().metric(slf.py())?;
        let series = call::call_method(&metric, "labels", args, kw)?;
        slf.get().set_metric(slf.py(), series.unbind());
        Ok(())
    }

    /// Decorates a function of any kind; each run has a timer of its own.
    fn __call__<'py>(slf: &Bound<'py, Self>, f: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let new_timer = slf.as_any().getattr("_new_timer")?;
        call::decorate("decorate_run", f, &new_timer)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.metric.traverse(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        drop(self.metric.replace(py, None));
    }
}
