//! What `time()` returns: a context manager that measures, and decorates as well.

use pyo3::exceptions::PyAttributeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::call;
use crate::clock::{self, Moment};

/// Measures how long a block or a run takes, in seconds, and hands that to a metric.
///
/// What a subclass overrides is honoured, and so is a metric's method that somebody replaced: it is looked up when
/// the block ends.
#[pyclass(subclass, dict, weakref, module = "forkmeter.context_managers")]
#[derive(Debug, Default)]
pub(crate) struct Timer {
    metric: Option<Py<PyAny>>,
    callback_name: Option<Py<PyString>>,
    start: Option<Moment>,
    #[pyo3(get, set)]
    duration: Option<f64>,
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
            metric: Some(metric.clone().unbind()),
            callback_name: Some(callback_name.clone_ref(py)),
            start: None,
            duration: None,
        };
        Bound::new(py, timer)
    }
}

#[pymethods]
impl Timer {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::default()
    }

    fn __init__(&mut self, metric: Py<PyAny>, callback_name: Py<PyString>) {
        self.metric = Some(metric);
        self.callback_name = Some(callback_name);
        self.duration = None;
    }

    #[getter(_metric)]
    fn metric<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let metric = self.metric.as_ref().ok_or_else(|| unset("_metric"))?;
        Ok(metric.bind(py).clone())
    }

    #[setter(_metric)]
    fn set_metric(slf: &Bound<'_, Self>, metric: Py<PyAny>) {
        let replaced = slf.borrow_mut().metric.replace(metric);
        // Dropped without the borrow: the end of an object may run Python code.
        drop(replaced);
    }

    #[getter(_callback_name)]
    fn callback_name<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        let name = self.callback_name.as_ref();
        Ok(name
            .ok_or_else(|| unset("_callback_name"))?
            .bind(py)
            .clone())
    }

    #[setter(_callback_name)]
    fn set_callback_name(&mut self, name: Py<PyString>) {
        self.callback_name = Some(name);
    }

    #[getter(_start)]
    fn start_seconds(slf: &Bound<'_, Self>) -> PyResult<f64> {
        let start = slf.borrow().start.ok_or_else(|| unset("_start"))?;
        start.seconds(slf.py())
    }

    #[setter(_start)]
    fn set_start_seconds(&mut self, seconds: f64) {
        self.start = Some(Moment::Told(seconds));
    }

    fn _new_timer<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let (metric, name) = {
            let timer = slf.borrow();
            (timer.metric(py)?, timer.callback_name(py)?)
        };
        if slf.is_exact_instance_of::<Self>() {
            return Ok(Self::for_method(&metric, &name.unbind())?.into_any());
        }
        let args = PyTuple::new(py, [metric, name.into_any()])?;
        call::call(slf.get_type().as_any(), &args, None)
    }

    /// Starts the clock.
    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        let start = clock::now(slf.py())?;
        slf.borrow_mut().start = Some(start);
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
        let start = slf.borrow().start.ok_or_else(|| unset("_start"))?;
        let seconds = start.elapsed_seconds(py)?;
        let (metric, name) = {
            let mut timer = slf.borrow_mut();
            timer.duration = Some(seconds);
            (timer.metric(py)?, timer.callback_name(py)?)
        };
        call::call_with_number(&metric, &name, seconds)
    }

    /// Chooses the series, at the latest inside the block.
    #[pyo3(signature = (*args, **kw))]
    fn labels(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        kw: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let metric = slf.borrow().metric(slf.py())?;
        let series = call::call_method(&metric, "labels", args, kw)?;
        Self::set_metric(slf, series.unbind());
        Ok(())
    }

    /// Decorates a function of any kind; each run has a timer of its own.
    fn __call__<'py>(slf: &Bound<'py, Self>, f: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let new_timer = slf.as_any().getattr("_new_timer")?;
        call::decorate("decorate_run", f, &new_timer)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.metric)
    }

    fn __clear__(&mut self) {
        self.metric = None;
    }
}
