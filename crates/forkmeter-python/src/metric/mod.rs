//! What all native metrics have in common: their place, their children, their values as objects.

mod children;
mod objects;
mod parent;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use forkmeter_core::{Descriptor, LabelSet};
use pyo3::exceptions::{PyAttributeError, PyIndexError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

pub(crate) use self::objects::ClassVersion;
use self::parent::Parent;
use crate::call;
use crate::descriptor::Declaration;
use crate::series::{Family, Series};
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
    Parent(Box<Parent>),
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
        Some(self.family()?.descriptor())
    }

    /// Returns all series of the metric object, where it is native; of a child, those of its parent.
    pub(crate) fn family(&self) -> Option<&Arc<Family>> {
        match self.core.get()? {
            Core::Parent(parent) => parent.family(),
            Core::Series { series, .. } => Some(series.family()),
        }
    }

    /// Returns the native series behind all samples of a metric without labels or with children; nothing where some
    /// samples come from elsewhere.
    pub(crate) fn exposed_family(&self, py: Python<'_>) -> Option<&Arc<Family>> {
        match self.core.get()? {
            Core::Parent(parent) => parent.exposed_family(py),
            Core::Series {
                origin: Some(_), ..
            } => None,
            Core::Series { .. } => Some(self.plain_series()?.family()),
        }
    }

    fn parent(&self) -> PyResult<&Parent> {
        match self.core.get() {
            Some(Core::Parent(parent)) => Ok(parent),
            _ => Err(PyAttributeError::new_err("_metrics")),
        }
    }

    /// Returns the child of label values that need no conversion, where there is one, or one can be made natively.
    #[inline]
    pub(crate) fn child<'py>(
        metric: &Bound<'py, Self>,
        label_values: &[Bound<'py, PyAny>],
    ) -> Option<Bound<'py, PyAny>> {
        match metric.get().core.get()? {
            Core::Parent(parent) => parent.child(metric, label_values),
            Core::Series { .. } => None,
        }
    }

    /// Returns the names of the labels of a metric with children.
    pub(crate) fn label_names<'py>(&self, py: Python<'py>) -> Option<&Bound<'py, PyTuple>> {
        Some(self.parent().ok()?.label_names(py))
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
        family: &Arc<Family>,
        label_values: &Bound<'_, PyTuple>,
        created_seconds: f64,
        origin: Option<(Py<PyAny>, Py<PyTuple>)>,
    ) -> PyResult<()> {
        let values: Vec<String> = label_values.extract()?;
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let series = family.series(py, &values, created_seconds);
        let core = Core::Series { series, origin };
        // Set up already: the first one stays.
        let _ = self.core.set(core);
        Ok(())
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
        let values = labelvalues.as_slice();
        match labelkwargs {
            None if let Some(child) = Self::child(slf, values) => Ok(child),
            _ => call::call_method(slf, "_new_child", labelvalues, labelkwargs),
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
        let family = descriptor.map(Family::new);
        let core = Core::Parent(Box::new(Parent::new(label_names, family.clone())));
        if self.core.set(core).is_ok()
            && let Some(family) = &family
        {
            family.declare(py);
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
        let family = Family::new(descriptor);
        self.start(py, &family, label_values, created_seconds, None)
    }

    /// Sets this up as the child of a native parent; tells whether that is possible.
    fn _start_child(
        slf: &Bound<'_, Self>,
        parent: &Bound<'_, Self>,
        label_values: &Bound<'_, PyTuple>,
        created_seconds: f64,
    ) -> PyResult<bool> {
        let Some(Core::Parent(known)) = parent.get().core.get() else {
            return Ok(false);
        };
        let Some(family) = known.family() else {
            return Ok(false);
        };
        let origin = Some((
            parent.clone().into_any().unbind(),
            label_values.clone().unbind(),
        ));
        let py = slf.py();
        slf.get()
            .start(py, family, label_values, created_seconds, origin)?;
        known.know_plain_child(parent, slf);
        Ok(true)
    }

    /// Says whether Python decides from now on if a child can be made; with `None` where that is the default.
    #[pyo3(signature = (is_bounded))]
    fn _bound_children(&self, is_bounded: Option<bool>) -> PyResult<()> {
        self.parent()?.bound(is_bounded);
        Ok(())
    }

    /// Returns the child of label values; nothing where there is none.
    fn _child<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let parent = slf.get().parent()?;
        match key.cast::<PyTuple>() {
            Ok(key) => parent.known_child(slf, key),
            Err(_) => Ok(None),
        }
    }

    /// Adds a child unless there is one, and returns the one that is there.
    fn _add_child<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyTuple>,
        child: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.get().parent()?.add(slf, key, child)
    }

    /// Puts a child in the place of another.
    fn _replace_child(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyTuple>,
        child: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        slf.get().parent()?.replace(slf, key, child)
    }

    /// Forgets a child and its series in this process; tells whether there was one.
    fn _forget_child(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let parent = self.parent()?;
        match key.cast::<PyTuple>() {
            Ok(key) => parent.forget(key),
            Err(_) => Ok(false),
        }
    }

    /// As `_forget_child`, for a series that was removed from the directory, if it was in one.
    fn _forget_removed_child(&self, key: &Bound<'_, PyTuple>) -> PyResult<bool> {
        self.parent()?.forget_removed(key)
    }

    /// As `_forget_removed_child`, for a series in which nobody counts: who gets hold of it meanwhile counts on.
    fn _expire_child(&self, key: &Bound<'_, PyTuple>, now_seconds: f64) -> PyResult<bool> {
        self.parent()?.expire(key, now_seconds)
    }

    /// Returns the label values of all children, in the order in which they were made.
    fn _child_keys<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        self.parent()?.keys(py)
    }

    fn _child_count(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.parent()?.len(py))
    }

    /// Tells whether somebody but the metric holds a child.
    fn _is_child_held(&self, key: &Bound<'_, PyTuple>) -> PyResult<bool> {
        self.parent()?.is_held(key)
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
    fn _native_created(&self, py: Python<'_>) -> PyResult<f64> {
        Ok(self.own_series()?.created_seconds(py))
    }

    #[setter(_native_created)]
    fn set_native_created(&self, py: Python<'_>, seconds: f64) -> PyResult<()> {
        self.own_series()?.set_created_seconds(py, seconds);
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.core.get() {
            Some(Core::Parent(parent)) => parent.traverse(&visit),
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

    fn __clear__(&self, py: Python<'_>) {
        if let Some(Core::Parent(parent)) = self.core.get() {
            parent.clear(py);
        }
    }
}
