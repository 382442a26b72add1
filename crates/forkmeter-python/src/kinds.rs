//! The native methods of each metric type: what happens on the hot path.
//!
//! Every method first asks for the native series; without one it calls its twin in Python, which checks in the
//! official client's order and works with any value object.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyTuple};

use crate::call;
use crate::exception_counter::ExceptionCounter;
use crate::inprogress_tracker::InprogressTracker;
use crate::metric::NativeMetric;
use crate::names::names;
use crate::timer::Timer;

/// An amount as it was passed; nothing where it was left out.
#[derive(Clone, Copy)]
pub(crate) struct Amount<'a, 'py>(Option<Borrowed<'a, 'py, PyAny>>);

impl<'a, 'py> FromPyObject<'a, 'py> for Amount<'a, 'py> {
    type Error = PyErr;

    fn extract(given: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self(Some(given)))
    }
}

impl Amount<'_, '_> {
    /// Returns the amount as a float, 1 where it was left out.
    #[inline]
    fn value(self) -> PyResult<f64> {
        match &self.0 {
            None => Ok(1.0),
            Some(given) => match given.cast_exact::<PyFloat>() {
                Ok(float) => Ok(float.value()),
                Err(_) => call::as_float(*given),
            },
        }
    }

    /// Calls a twin in Python with the amount as it was passed.
    #[cold]
    fn call(
        self,
        metric: &Bound<'_, PyAny>,
        method: &str,
        exemplar: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = metric.py();
        let kwargs = PyDict::new(py);
        if let Some(exemplar) = exemplar {
            kwargs.set_item("exemplar", exemplar)?;
        }
        let args = match &self.0 {
            None => PyTuple::empty(py),
            Some(given) => PyTuple::new(py, [given])?,
        };
        call::call_method(metric, method, &args, Some(&kwargs))?;
        Ok(())
    }
}

/// The native half of `Counter`.
#[pyclass(extends = NativeMetric, subclass, frozen, module = "forkmeter._forkmeter")]
#[derive(Debug)]
pub(crate) struct NativeCounter;

/// The native half of `Gauge`.
#[pyclass(extends = NativeMetric, subclass, frozen, module = "forkmeter._forkmeter")]
#[derive(Debug)]
pub(crate) struct NativeGauge;

/// The native half of `Summary`.
#[pyclass(extends = NativeMetric, subclass, frozen, module = "forkmeter._forkmeter")]
#[derive(Debug)]
pub(crate) struct NativeSummary;

/// The native half of `Histogram`.
#[pyclass(extends = NativeMetric, subclass, frozen, module = "forkmeter._forkmeter")]
#[derive(Debug)]
pub(crate) struct NativeHistogram;

/// The native half of `Info` and `Enum`.
#[pyclass(extends = NativeMetric, subclass, frozen, module = "forkmeter._forkmeter")]
#[derive(Debug)]
pub(crate) struct NativeStates;

#[pymethods]
impl NativeCounter {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        PyClassInitializer::from(NativeMetric::default()).add_subclass(Self)
    }

    /// Adds to the counter: 1, or an amount that is not negative.
    #[pyo3(signature = (amount=Amount(None), exemplar=None), text_signature = "($self, amount=1, exemplar=None)")]
    fn inc(
        slf: &Bound<'_, Self>,
        amount: Amount<'_, '_>,
        exemplar: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        if let Some(series) = slf.as_super().get().series()
            && exemplar.is_none()
        {
            let amount = amount.value()?;
            if amount < 0.0 {
                return Err(PyValueError::new_err(
                    "Counters can only be incremented by non-negative amounts.",
                ));
            }
            series.add(py, 0, amount);
            return Ok(());
        }
        amount.call(slf.as_any(), "_slow_inc", exemplar)
    }

    /// Returns what counts exceptions of some types; the signature that programs see, with its default, is Python's.
    fn _count_exceptions(
        slf: &Bound<'_, Self>,
        exception: Bound<'_, PyAny>,
    ) -> PyResult<ExceptionCounter> {
        slf.as_super().get().require_values(slf.as_any())?;
        Ok(ExceptionCounter::of(slf.clone().into_any(), exception))
    }
}

#[pymethods]
impl NativeGauge {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        PyClassInitializer::from(NativeMetric::default()).add_subclass(Self)
    }

    /// Adds to the gauge.
    #[pyo3(signature = (amount=Amount(None)), text_signature = "($self, amount=1)")]
    fn inc(slf: &Bound<'_, Self>, amount: Amount<'_, '_>) -> PyResult<()> {
        let py = slf.py();
        if let Some(series) = slf.as_super().get().series() {
            series.add(py, 0, amount.value()?);
            return Ok(());
        }
        amount.call(slf.as_any(), "_slow_inc", None)
    }

    /// Takes away from the gauge.
    #[pyo3(signature = (amount=Amount(None)), text_signature = "($self, amount=1)")]
    fn dec(slf: &Bound<'_, Self>, amount: Amount<'_, '_>) -> PyResult<()> {
        let py = slf.py();
        if let Some(series) = slf.as_super().get().series() {
            series.add(py, 0, -amount.value()?);
            return Ok(());
        }
        amount.call(slf.as_any(), "_slow_dec", None)
    }

    /// Replaces the gauge's value by anything that `float` takes.
    fn set(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        if let Some(series) = slf.as_super().get().series() {
            let value = if let Ok(float) = value.cast_exact::<PyFloat>() {
                float.value()
            } else {
                let args = PyTuple::new(py, [value])?;
                call::call(py.get_type::<PyFloat>().as_any(), &args, None)?.extract()?
            };
            series.set(py, 0, value);
            return Ok(());
        }
        call::call_method(slf, "_slow_set", &PyTuple::new(py, [value])?, None)?;
        Ok(())
    }

    /// Adds 1 while a `with` block or a decorated function runs.
    fn track_inprogress(slf: &Bound<'_, Self>) -> PyResult<InprogressTracker> {
        slf.as_super().get().require_values(slf.as_any())?;
        Ok(InprogressTracker::of(slf.clone().into_any()))
    }

    /// Sets the gauge to the seconds that a `with` block or a decorated function took.
    fn time<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Timer>> {
        Timer::for_method(slf.as_any(), &names().set)
    }
}

#[pymethods]
impl NativeSummary {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        PyClassInitializer::from(NativeMetric::default()).add_subclass(Self)
    }

    /// Counts an observation and adds it to the sum.
    fn observe(slf: &Bound<'_, Self>, amount: Amount<'_, '_>) -> PyResult<()> {
        let py = slf.py();
        if let Some(series) = slf.as_super().get().series() {
            let amount = amount.value()?;
            series.current_place(py).observe_in_summary(amount);
            return Ok(());
        }
        amount.call(slf.as_any(), "_slow_observe", None)
    }

    /// Observes the seconds that a `with` block or a decorated function takes.
    fn time<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Timer>> {
        Timer::for_method(slf.as_any(), &names().observe)
    }
}

#[pymethods]
impl NativeHistogram {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        PyClassInitializer::from(NativeMetric::default()).add_subclass(Self)
    }

    /// Counts an observation in its bucket and adds it to the sum.
    #[pyo3(signature = (amount, exemplar=None))]
    fn observe(
        slf: &Bound<'_, Self>,
        amount: Amount<'_, '_>,
        exemplar: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        if let Some(series) = slf.as_super().get().series()
            && exemplar.is_none()
        {
            let amount = amount.value()?;
            series.current_place(py).observe_in_histogram(amount);
            return Ok(());
        }
        amount.call(slf.as_any(), "_slow_observe", exemplar)
    }

    /// Observes the seconds that a `with` block or a decorated function takes.
    fn time<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Timer>> {
        Timer::for_method(slf.as_any(), &names().observe)
    }
}

#[pymethods]
impl NativeStates {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        PyClassInitializer::from(NativeMetric::default()).add_subclass(Self)
    }
}
