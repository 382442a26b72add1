//! What all native metrics have in common: their place, their children, their values as objects.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use forkmeter_core::{Descriptor, LabelSet};
use pyo3::exceptions::{PyAttributeError, PyIndexError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::call;
use crate::descriptor::Declaration;
use crate::series::Series;
use crate::shared;
use crate::value::NativeValue;

/// The native half of every metric object.
///
/// A metric that is not set up, whose class overrides what decides whether it can be used, or that was given foreign
/// value objects, has no native series: its methods then call their `_slow_*` twins in Python.
#[pyclass(subclass, frozen, module = "forkmeter._forkmeter")]
#[derive(Debug, Default)]
pub(crate) struct NativeMetric {
    core: OnceLock<Core>,
    is_foreign: AtomicBool,
    has_own_samples: AtomicBool,
}

#[derive(Debug)]
enum Core {
    /// A metric with label names, which has children instead of values.
    Parent {
        descriptor: Option<Arc<Descriptor>>,
        label_names: Py<PyTuple>,
        children: Py<PyDict>,
    },
    /// A metric with values.
    Series {
        series: Arc<Series>,
        /// The metric whose child this is, and its label values, where attributes are looked up there.
        origin: Option<(Py<PyAny>, Py<PyTuple>)>,
    },
}

impl NativeMetric {
    /// Returns the values, where the fast path may be taken.
    #[inline]
    pub(crate) fn series(&self) -> Option<&Arc<Series>> {
        // ORDERING: set before the foreign value can be seen by this thread, or by others through the interpreter.
        if self.is_foreign.load(Ordering::Relaxed) {
            return None;
        }
        match self.core.get() {
            Some(Core::Series { series, .. }) => Some(series),
            _ => None,
        }
    }

    /// Fails where the metric has no values but children, as the metric itself says where it is not native.
    #[inline]
    pub(crate) fn require_values(&self, metric: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.series().is_none() {
            let nothing = PyTuple::empty(metric.py());
            call::call_method(metric, "_raise_if_not_observable", &nothing, None)?;
        }
        Ok(())
    }

    /// Returns the family's metadata, where the metric is native.
    pub(crate) fn descriptor(&self) -> Option<&Arc<Descriptor>> {
        match self.core.get()? {
            Core::Parent { descriptor, .. } => descriptor.as_ref(),
            Core::Series { series, .. } => Some(series.descriptor()),
        }
    }

    /// Returns the native series behind the samples of a metric, with values or with children; nothing where any of
    /// them has its samples from elsewhere.
    pub(crate) fn exposed_series(metric: &Bound<'_, Self>) -> Option<Vec<Arc<Series>>> {
        let this = metric.get();
        let Core::Parent { children, .. } = this.core.get()? else {
            return Some(vec![Arc::clone(this.plain_series()?)]);
        };
        let children = children.bind(metric.py());
        let mut exposed = Vec::with_capacity(children.len());
        // No Python code runs in this loop, so nobody changes the dict meanwhile.
        for (_, child) in children {
            let child = child.cast::<Self>().ok()?;
            let Some(Core::Series {
                origin: Some((parent, _)),
                ..
            }) = child.get().core.get()
            else {
                return None;
            };
            if !parent.is(metric) || !child.get_type().is(metric.get_type()) {
                return None;
            }
            exposed.push(Arc::clone(child.get().plain_series()?));
        }
        Some(exposed)
    }

    fn plain_series(&self) -> Option<&Arc<Series>> {
        // ORDERING: as in `series`.
        if self.has_own_samples.load(Ordering::Relaxed) {
            return None;
        }
        self.series()
    }

    fn own_series(&self) -> PyResult<&Arc<Series>> {
        match self.core.get() {
            Some(Core::Series { series, .. }) => Ok(series),
            _ => Err(PyAttributeError::new_err(
                "this metric has no native values",
            )),
        }
    }

    fn start(
        &self,
        py: Python<'_>,
        descriptor: &Arc<Descriptor>,
        label_values: &Bound<'_, PyTuple>,
        created_seconds: f64,
        origin: Option<(Py<PyAny>, Py<PyTuple>)>,
    ) -> PyResult<()> {
        let values: Vec<String> = label_values.extract()?;
        let values = values.into_iter().map(Arc::from).collect();
        let series = Series::new(py, descriptor, values, created_seconds);
        let core = Core::Series { series, origin };
        // Set up already: the first one stays.
        let _ = self.core.set(core);
        Ok(())
    }

    /// Finds the child of label values that need no conversion.
    #[inline]
    fn find_child<'py>(
        &self,
        values: &Bound<'py, PyTuple>,
        by_name: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = values.py();
        let Some(Core::Parent {
            label_names,
            children,
            ..
        }) = self.core.get()
        else {
            return Ok(None);
        };
        let names = label_names.bind(py);
        let children = children.bind(py);
        let is_text = |value: &Bound<'_, PyAny>| value.is_exact_instance_of::<PyString>();
        match by_name {
            None => {
                if values.len() != names.len() || !values.iter_borrowed().all(|v| is_text(&v)) {
                    return Ok(None);
                }
                children.get_item(values)
            }
            Some(by_name) => {
                if !values.is_empty() || by_name.len() != names.len() {
                    return Ok(None);
                }
                let mut key = Vec::with_capacity(names.len());
                for name in names.iter_borrowed() {
                    match by_name.get_item(name)? {
                        Some(value) if is_text(&value) => key.push(value),
                        _ => return Ok(None),
                    }
                }
                children.get_item(PyTuple::new(py, key)?)
            }
        }
    }
}

#[pymethods]
impl NativeMetric {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::default()
    }

    /// Returns the child for label values, given in order or by name; makes it at the first call.
    #[pyo3(signature = (*labelvalues, **labelkwargs))]
    pub(crate) fn labels<'py>(
        slf: &Bound<'py, Self>,
        labelvalues: &Bound<'py, PyTuple>,
        labelkwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match slf.get().find_child(labelvalues, labelkwargs)? {
            Some(child) => Ok(child),
            None => call::call_method(slf, "_new_child", labelvalues, labelkwargs),
        }
    }

    /// Sets up a metric with children. A declaration makes the family known to the store.
    fn _start_parent(
        &self,
        py: Python<'_>,
        label_names: &Bound<'_, PyTuple>,
        declaration: Option<Declaration>,
    ) -> PyResult<()> {
        let names: Vec<String> = label_names.extract()?;
        let descriptor = declaration
            .map(|own| own.into_descriptor(&names))
            .transpose()?;
        let core = Core::Parent {
            descriptor: descriptor.clone(),
            label_names: label_names.clone().unbind(),
            children: PyDict::new(py).unbind(),
        };
        if self.core.set(core).is_ok()
            && let Some(descriptor) = &descriptor
        {
            shared::declare(py, descriptor);
        }
        Ok(())
    }

    /// Sets up a metric with values, or sets them to zero where it is set up.
    fn _start_series(
        &self,
        py: Python<'_>,
        label_names: &Bound<'_, PyTuple>,
        label_values: &Bound<'_, PyTuple>,
        declaration: Declaration,
        created_seconds: f64,
    ) -> PyResult<()> {
        if let Some(Core::Series { series, .. }) = self.core.get() {
            if !series.is_shared() {
                series.reset(py, created_seconds);
            }
            return Ok(());
        }
        let names: Vec<String> = label_names.extract()?;
        let descriptor = declaration.into_descriptor(&names)?;
        self.start(py, &descriptor, label_values, created_seconds, None)
    }

    /// Sets this up as the child of a native parent; tells whether that is possible.
    fn _start_child(
        &self,
        py: Python<'_>,
        parent: &Bound<'_, Self>,
        label_values: &Bound<'_, PyTuple>,
        created_seconds: f64,
    ) -> PyResult<bool> {
        let Some(Core::Parent {
            descriptor: Some(descriptor),
            ..
        }) = parent.get().core.get()
        else {
            return Ok(false);
        };
        let origin = (
            parent.clone().into_any().unbind(),
            label_values.clone().unbind(),
        );
        self.start(py, descriptor, label_values, created_seconds, Some(origin))?;
        Ok(true)
    }

    /// Says that values are kept by other objects, so that every method asks those.
    fn _use_foreign_values(&self) {
        // ORDERING: see `series`.
        self.is_foreign.store(true, Ordering::Relaxed);
    }

    /// Says that samples come from elsewhere than the native values.
    fn _use_own_samples(&self) {
        // ORDERING: see `series`.
        self.has_own_samples.store(true, Ordering::Relaxed);
    }

    #[getter]
    fn _is_native(&self) -> bool {
        self.series().is_some()
    }

    /// Whether the family stands in the store.
    #[getter]
    fn _is_declared(&self) -> bool {
        self.descriptor().is_some()
    }

    #[getter]
    fn _origin(&self, py: Python<'_>) -> Option<(Py<PyAny>, Py<PyTuple>)> {
        match self.core.get() {
            Some(Core::Series {
                origin: Some((parent, values)),
                ..
            }) => Some((parent.clone_ref(py), values.clone_ref(py))),
            _ => None,
        }
    }

    #[getter(_metrics)]
    fn children(&self, py: Python<'_>) -> PyResult<Py<PyDict>> {
        match self.core.get() {
            Some(Core::Parent { children, .. }) => Ok(children.clone_ref(py)),
            _ => Err(PyAttributeError::new_err("_metrics")),
        }
    }

    #[setter(_metrics)]
    fn replace_children(&self, other: &Bound<'_, PyDict>) -> PyResult<()> {
        let children = self.children(other.py())?;
        let children = children.bind(other.py());
        if !children.is(other) {
            children.clear();
            children.update(other.as_mapping())?;
        }
        Ok(())
    }

    fn _native_value(&self, index: usize) -> PyResult<NativeValue> {
        let series = self.own_series()?;
        if index >= series.descriptor().slot_count() {
            return Err(PyIndexError::new_err("no such value"));
        }
        Ok(NativeValue::new(Arc::clone(series), index))
    }

    /// Returns all values, in the order of the descriptor's slots.
    fn _native_values(&self, py: Python<'_>) -> PyResult<Vec<f64>> {
        let series = self.own_series()?;
        let count = series.descriptor().slot_count();
        Ok((0..count).map(|index| series.get(py, index)).collect())
    }

    fn _native_reset(&self, py: Python<'_>, created_seconds: f64) -> PyResult<()> {
        self.own_series()?.reset(py, created_seconds);
        Ok(())
    }

    /// Replaces the facts of an info metric.
    fn _set_facts(&self, py: Python<'_>, facts: Vec<(String, String)>) -> PyResult<()> {
        self.own_series()?
            .set_facts(py, LabelSet::from_pairs(facts));
        Ok(())
    }

    #[getter]
    fn _native_created(&self) -> PyResult<f64> {
        Ok(self.own_series()?.created_seconds())
    }

    #[setter(_native_created)]
    fn set_native_created(&self, seconds: f64) -> PyResult<()> {
        self.own_series()?.set_created_seconds(seconds);
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.core.get() {
            Some(Core::Parent {
                label_names,
                children,
                ..
            }) => {
                visit.call(label_names)?;
                visit.call(children)
            }
            Some(Core::Series {
                origin: Some((parent, values)),
                ..
            }) => {
                visit.call(parent)?;
                visit.call(values)
            }
            _ => Ok(()),
        }
    }
}
