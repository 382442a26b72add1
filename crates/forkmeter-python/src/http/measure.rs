//! One family of a recorder, and how a number gets into it.

use std::sync::Arc;

use forkmeter_core::MetricType;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyString, PyTuple};

use crate::call;
use crate::metric::NativeMetric;
use crate::series::Series;

/// Says what is measured of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantity {
    /// That there was one.
    Requests,
    /// How long it took, in seconds.
    Duration,
    /// The size of its body, in bytes.
    RequestSize,
    /// The size of the response's body, in bytes.
    ResponseSize,
    /// That it is being answered.
    InProgress,
}

impl Quantity {
    pub(super) fn parse(name: &str) -> PyResult<Self> {
        match name {
            "requests" => Ok(Self::Requests),
            "duration" => Ok(Self::Duration),
            "request_size" => Ok(Self::RequestSize),
            "response_size" => Ok(Self::ResponseSize),
            "in_progress" => Ok(Self::InProgress),
            _ => Err(PyValueError::new_err(format!(
                "nothing is measured as {name:?}"
            ))),
        }
    }
}

/// Says where a label gets its value from.
#[derive(Debug, FromPyObject)]
pub(super) enum Source {
    /// Always the same.
    Constant((Py<PyString>,)),
    /// The label that the program computes, by its place.
    Custom(usize),
    /// What every request has.
    Known(String),
}

/// One family, and its labels.
#[derive(Debug)]
pub(super) struct Measure {
    pub(super) quantity: Quantity,
    pub(super) family: Py<PyAny>,
    pub(super) sources: Vec<Source>,
}

/// The label values of a request.
#[derive(Debug)]
pub(super) struct Values<'a, 'py> {
    pub(super) method: &'a Bound<'py, PyString>,
    pub(super) route: &'a Bound<'py, PyAny>,
    pub(super) status: &'a Bound<'py, PyString>,
    pub(super) custom: &'a [Bound<'py, PyAny>],
}

impl Measure {
    /// Tells whether a label says which route it was.
    pub(super) fn has_route(&self) -> bool {
        let is_route = |source: &Source| matches!(source, Source::Known(name) if name == "route");
        self.sources.iter().any(is_route)
    }

    /// Tells whether a series can show an exemplar.
    pub(super) fn takes_exemplars(&self) -> bool {
        matches!(self.quantity, Quantity::Requests | Quantity::Duration)
    }

    /// Puts the family's label values in order.
    pub(super) fn key<'py>(
        &self,
        py: Python<'py>,
        values: &Values<'_, 'py>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let mut key = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            key.push(match source {
                Source::Constant((text,)) => text.bind(py).clone().into_any(),
                Source::Custom(index) => values.custom[*index].clone(),
                Source::Known(name) => match name.as_str() {
                    "method" => values.method.clone().into_any(),
                    "route" => values.route.clone(),
                    "status" => values.status.clone().into_any(),
                    _ => {
                        return Err(PyValueError::new_err(format!("no label is {name:?}")));
                    }
                },
            });
        }
        PyTuple::new(py, key)
    }

    /// Returns the series of label values; the family itself where it has no labels.
    pub(super) fn series<'py>(&self, key: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let family = self.family.bind(key.py());
        if key.is_empty() {
            return Ok(family.clone());
        }
        match family.cast::<NativeMetric>() {
            Ok(native) => NativeMetric::labels(native, key, None),
            // A metric of another client.
            Err(_) => call::call_method(family, "labels", key, None),
        }
    }
}

/// Returns the values of a series, where they can be recorded in without running Python code.
pub(super) fn native_series<'a>(series: &'a Bound<'_, PyAny>) -> Option<&'a Arc<Series>> {
    series.cast::<NativeMetric>().ok()?.get().series()
}

/// Records a number, with labels of an exemplar if there are any.
pub(super) fn record(
    series: &Bound<'_, PyAny>,
    value: f64,
    exemplar: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = series.py();
    if exemplar.is_none()
        && let Some(native) = native_series(series)
    {
        match native.descriptor().kind {
            MetricType::Histogram => native.current_place(py).observe_in_histogram(value),
            MetricType::Summary => native.current_place(py).observe_in_summary(value),
            _ => native.add(py, 0, value),
        }
        return Ok(());
    }
    let observes = series.hasattr("observe")?;
    let kwargs = exemplar
        .filter(|_| !series.is_instance_of::<crate::kinds::NativeSummary>())
        .map(|exemplar| {
            let kwargs = PyDict::new(py);
            kwargs.set_item("exemplar", exemplar).map(|()| kwargs)
        })
        .transpose()?;
    let method = if observes { "observe" } else { "inc" };
    let args = PyTuple::new(py, [PyFloat::new(py, value)])?;
    call::call_method(series, method, &args, kwargs.as_ref())?;
    Ok(())
}
