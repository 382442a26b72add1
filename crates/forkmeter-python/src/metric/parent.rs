//! A metric with label names: its series, and the children that stand for some of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::children::{self, Children};
use super::objects::{self, ClassVersion};
use super::{Core, NativeMetric};
use crate::attached::Attached;
use crate::series::Family;
use crate::{call, default_bounds, plain};

const AS_DEFAULT: u8 = 0;
const BOUNDED: u8 = 1;
const UNBOUNDED: u8 = 2;

/// How many label values need no allocation to be looked at.
const FEW_LABELS: usize = 8;

/// Has children instead of values.
#[derive(Debug)]
pub(super) struct Parent {
    /// The series, where the metric is native.
    family: Option<Arc<Family>>,
    label_names: Py<PyTuple>,
    label_count: usize,
    /// Objects of series of the family.
    children: Attached<Children>,
    /// What a program put in their places, or is not native, by label values.
    others: Py<PyDict>,
    /// The class whose children were set up by the native half alone.
    plain_class: Attached<Option<ClassVersion>>,
    /// Whether Python decides if there is room for another series: one of the constants below.
    bounds: AtomicU8,
}

impl Parent {
    pub(super) fn new(label_names: &Bound<'_, PyTuple>, family: Option<Arc<Family>>) -> Self {
        Self {
            family,
            label_count: label_names.len(),
            label_names: label_names.clone().unbind(),
            children: Attached::default(),
            others: PyDict::new(label_names.py()).unbind(),
            plain_class: Attached::default(),
            bounds: AtomicU8::new(AS_DEFAULT),
        }
    }

    pub(super) fn family(&self) -> Option<&Arc<Family>> {
        self.family.as_ref()
    }

    pub(super) fn label_names<'py>(&self, py: Python<'py>) -> &Bound<'py, PyTuple> {
        self.label_names.bind(py)
    }

    /// Says whether Python makes all children from now on; where nothing is said, whether that is the default.
    pub(super) fn bound(&self, is_bounded: Option<bool>) {
        let bounds = is_bounded.map_or(
            AS_DEFAULT,
            |is_bounded| {
                if is_bounded { BOUNDED } else { UNBOUNDED }
            },
        );
        // ORDERING: only threads that have the interpreter's lock look.
        self.bounds.store(bounds, Ordering::Relaxed);
    }

    fn is_bounded(&self) -> bool {
        // ORDERING: as in `bound`.
        match self.bounds.load(Ordering::Relaxed) {
            AS_DEFAULT => default_bounds::has_limit(),
            bounds => bounds == BOUNDED,
        }
    }

    /// Hears that Python had a child set up by the native half alone.
    pub(super) fn know_plain_child(
        &self,
        metric: &Bound<'_, NativeMetric>,
        child: &Bound<'_, NativeMetric>,
    ) {
        let class = metric.get_type();
        if child.get_type().is(&class) {
            let version = ClassVersion::to_remember(&class);
            self.plain_class.replace(metric.py(), version);
        }
    }

    /// Returns the child of label values that are plainly text, made where that needs nothing of Python.
    #[inline]
    pub(super) fn child<'py>(
        &self,
        metric: &Bound<'py, NativeMetric>,
        values: &[Bound<'py, PyAny>],
    ) -> Option<Bound<'py, PyAny>> {
        if values.len() != self.label_count {
            return None;
        }
        let hash = children::hash(values)?;
        let found = self.object(hash, values);
        found.or_else(|| self.make_child(metric, hash, values))
    }

    #[cold]
    fn make_child<'py>(
        &self,
        metric: &Bound<'py, NativeMetric>,
        hash: u64,
        values: &[Bound<'py, PyAny>],
    ) -> Option<Bound<'py, PyAny>> {
        let py = metric.py();
        let family = self.family.as_ref()?;
        let class = metric.get_type();
        if self.is_bounded()
            || self.plain_class.get(py)? != ClassVersion::of(&class)?
            || !self.others.bind(py).is_empty()
        {
            return None;
        }
        let created_seconds = plain::seconds_of_plain_child(py)?;
        let key = PyTuple::new(py, values).ok()?;
        let series = with_text(values, |text| family.series(py, text, created_seconds))?;
        let child = call::new_instance(&class).ok()?;
        let native = child.cast::<NativeMetric>().ok()?;
        let origin = Some((metric.clone().into_any().unbind(), key.clone().unbind()));
        native
            .get()
            .core
            .set(Core::Series { series, origin })
            .ok()?;
        Some(self.add_own(hash, &key, &child))
    }

    /// Returns the child of a key, whoever made it; nothing where there is no such series.
    pub(super) fn known_child<'py>(
        &self,
        metric: &Bound<'py, NativeMetric>,
        key: &Bound<'py, PyTuple>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = metric.py();
        if let Some(other) = self.others.bind(py).get_item(key)? {
            return Ok(Some(other));
        }
        let key = &exact(key)?;
        let Some(hash) = children::hash(key.as_slice()) else {
            return Ok(None);
        };
        if let Some(child) = self.object(hash, key.as_slice()) {
            return Ok(Some(child));
        }
        if !self.has_series(key) {
            return Ok(None);
        }
        if let Some(child) = self.make_child(metric, hash, key.as_slice()) {
            return Ok(Some(child));
        }
        let child = call::call_method(metric, "_make_child", &PyTuple::new(py, [key])?, None)?;
        self.add(metric, key, &child).map(Some)
    }

    /// Adds a child unless there is one for the key, and returns the one that is there.
    pub(super) fn add<'py>(
        &self,
        metric: &Bound<'py, NativeMetric>,
        key: &Bound<'py, PyTuple>,
        child: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let others = self.others.bind(metric.py());
        if let Some(other) = others.get_item(key)? {
            return Ok(other);
        }
        let exact = exact(key)?;
        match children::hash(exact.as_slice()) {
            Some(hash) if is_own(metric, &exact, child) => {
                if let Some(family) = &self.family {
                    with_text(exact.as_slice(), |text| family.take_back(metric.py(), text));
                }
                Ok(self.add_own(hash, &exact, child))
            }
            _ => {
                others.set_item(key, child)?;
                Ok(child.clone())
            }
        }
    }

    /// Puts a child in the place of another.
    pub(super) fn replace<'py>(
        &self,
        metric: &Bound<'py, NativeMetric>,
        key: &Bound<'py, PyTuple>,
        child: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        if is_own(metric, &exact(key)?, child) {
            self.take_object(key)?;
            self.add(metric, key, child)?;
            return Ok(());
        }
        self.forget(key)?;
        self.others.bind(metric.py()).set_item(key, child)
    }

    /// Forgets the series of a key and its child; tells whether there was one.
    pub(super) fn forget(&self, key: &Bound<'_, PyTuple>) -> PyResult<bool> {
        let py = key.py();
        self.take_out(key, |family, text| family.forget(py, text))
    }

    /// As [`Parent::forget`], for a series that was removed from the directory.
    pub(super) fn forget_removed(&self, key: &Bound<'_, PyTuple>) -> PyResult<bool> {
        let py = key.py();
        self.take_out(key, |family, text| family.forget_removed(py, text))
    }

    /// As [`Parent::forget`], for a series that is idle; see [`Family::expire`].
    pub(super) fn expire(&self, key: &Bound<'_, PyTuple>, now_seconds: f64) -> PyResult<bool> {
        let py = key.py();
        self.take_out(key, |family, text| family.expire(py, text, now_seconds))
    }

    fn take_out(
        &self,
        key: &Bound<'_, PyTuple>,
        from_family: impl FnOnce(&Family, &[&str]) -> bool,
    ) -> PyResult<bool> {
        let was_object = self.take_object(key)?;
        let forget = |family: &Arc<Family>| {
            with_text(exact(key).ok()?.as_slice(), |text| {
                from_family(family, text)
            })
        };
        let was_series = self.family.as_ref().and_then(forget).unwrap_or(false);
        Ok(was_object || was_series)
    }

    fn take_object(&self, key: &Bound<'_, PyTuple>) -> PyResult<bool> {
        let py = key.py();
        let others = self.others.bind(py);
        if others.contains(key)? {
            others.del_item(key)?;
            return Ok(true);
        }
        let key = exact(key)?;
        let Some(hash) = children::hash(key.as_slice()) else {
            return Ok(false);
        };
        let take = |children: &mut Children| children.take(py, hash, key.as_slice());
        // Dropped outside: the end of an object may run Python code.
        let taken = self.children.with(py, take);
        Ok(taken.is_some())
    }

    /// Returns the label values of all children: of series in the order in which they were made, then of the others.
    pub(super) fn keys<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let mut keys = Vec::new();
        if let Some(family) = &self.family {
            family.visit_label_values(py, |values| -> PyResult<()> {
                keys.push(PyTuple::new(py, values)?);
                Ok(())
            })?;
        }
        for key in self.others.bind(py).keys() {
            keys.push(key.cast_into()?);
        }
        Ok(keys)
    }

    pub(super) fn len(&self, py: Python<'_>) -> usize {
        let series = self.family.as_ref().map_or(0, |family| family.len(py));
        series + self.others.bind(py).len()
    }

    /// Tells whether somebody holds the child of a key.
    pub(super) fn is_held(&self, key: &Bound<'_, PyTuple>) -> PyResult<bool> {
        let exact = exact(key)?;
        let hash = children::hash(exact.as_slice());
        let child = hash.and_then(|hash| self.object(hash, exact.as_slice()));
        Ok(
            // What has attributes of its own, such as a gauge's function, would not be made again as it is.
            child.is_some_and(|child| {
                objects::reference_count(&child) > OWN_REFERENCES || objects::has_attributes(&child)
            }) || self.others.bind(key.py()).contains(key)?,
        )
    }

    /// Returns the object that stands for the series of label values with this hash, if there is one.
    #[inline]
    fn object<'py>(&self, hash: u64, values: &[Bound<'py, PyAny>]) -> Option<Bound<'py, PyAny>> {
        let py = values.first()?.py();
        let find = |children: &mut Children| children.find(py, hash, values);
        self.children.with(py, find)
    }

    /// Returns the family, where all that it exposes is in it.
    pub(super) fn exposed_family(&self, py: Python<'_>) -> Option<&Arc<Family>> {
        let is_plain = |child: &Bound<'_, PyAny>| {
            let native = child.cast::<NativeMetric>();
            native.is_ok_and(|native| native.get().plain_series().is_some())
        };
        let family = self.family.as_ref()?;
        let is_exposed = self.others.bind(py).is_empty()
            && self.children.with(py, |all| all.are_all(py, is_plain));
        is_exposed.then_some(family)
    }

    fn has_series(&self, key: &Bound<'_, PyTuple>) -> bool {
        let find =
            |family: &Arc<Family>| with_text(key.as_slice(), |text| family.has(key.py(), text));
        self.family.as_ref().and_then(find).unwrap_or(false)
    }

    fn add_own<'py>(
        &self,
        hash: u64,
        key: &Bound<'py, PyTuple>,
        child: &Bound<'py, PyAny>,
    ) -> Bound<'py, PyAny> {
        let py = key.py();
        let add = |children: &mut Children| children.add(hash, key, child);
        let (child, is_time) = self.children.with(py, add);
        if is_time {
            self.sweep(py);
        }
        child
    }

    /// Lets go of children that nobody else holds and that are nothing but their series.
    #[cold]
    fn sweep(&self, py: Python<'_>) {
        let mut gone = Vec::new();
        for (values, child) in self.children.with(py, |children| children.all(py)) {
            // These may run Python code, in a garbage collection.
            if !plain::is_own_class(&child.get_type())
                || objects::has_attributes(&child)
                || plain::has_weakrefs(&child)
            {
                continue;
            }
            // From here to the end of the step nobody else runs.
            let Some(hash) = children::hash(values.as_slice()) else {
                continue;
            };
            if objects::reference_count(&child) <= OWN_REFERENCES {
                let take = |children: &mut Children| children.take(py, hash, values.as_slice());
                let taken = self.children.with(py, take);
                gone.extend(taken.map(|entry| entry.into_bound(py)));
            }
        }
        drop(gone);
        let family = self.family.as_ref();
        let series = family.and_then(|family| family.len_at_once());
        let later = |children: &mut Children| children.sweep_later(series.unwrap_or_default());
        self.children.with(py, later);
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.label_names)?;
        visit.call(&self.others)?;
        self.children.traverse(visit)
    }

    pub(super) fn clear(&self, py: Python<'_>) {
        let children = self.children.with(py, Children::take_all);
        drop(children);
    }
}

/// References to a child that nobody holds: the table's, and that of who looks.
const OWN_REFERENCES: isize = 2;

/// Tells whether a child stands for the series of a key in a metric's family.
fn is_own(
    metric: &Bound<'_, NativeMetric>,
    key: &Bound<'_, PyTuple>,
    child: &Bound<'_, PyAny>,
) -> bool {
    let Ok(native) = child.cast::<NativeMetric>() else {
        return false;
    };
    let Some(Core::Series {
        series,
        origin: Some((parent, values)),
    }) = native.get().core.get()
    else {
        return false;
    };
    let py = metric.py();
    children::hash(key.as_slice()).is_some()
        && parent.is(metric)
        && child.get_type().is(metric.get_type())
        && !series.is_removed()
        && objects::are_equal_texts(values.bind(py).as_slice(), key.as_slice())
}

/// Returns a key whose strings are of no class of somebody's own.
fn exact<'py>(key: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyTuple>> {
    let is_exact = |value: &Bound<'_, PyAny>| value.is_exact_instance_of::<PyString>();
    if key.as_slice().iter().all(is_exact) {
        return Ok(key.clone());
    }
    let py = key.py();
    let values = key.iter().map(|value| match value.cast::<PyString>() {
        Ok(text) => Ok(PyString::new(py, text.to_str()?).into_any()),
        Err(_) => Ok(value),
    });
    PyTuple::new(py, values.collect::<PyResult<Vec<_>>>()?)
}

/// Calls `f` with the text of strings; nothing where one has no text, such as half a pair of surrogates.
fn with_text<R>(values: &[Bound<'_, PyAny>], f: impl FnOnce(&[&str]) -> R) -> Option<R> {
    fn text<'a>(value: &'a Bound<'_, PyAny>) -> Option<&'a str> {
        value.cast::<PyString>().ok()?.to_str().ok()
    }
    if values.len() > FEW_LABELS {
        let texts = values.iter().map(text).collect::<Option<Vec<_>>>()?;
        return Some(f(&texts));
    }
    let mut texts = [""; FEW_LABELS];
    for (slot, value) in texts.iter_mut().zip(values) {
        *slot = text(value)?;
    }
    Some(f(&texts[..values.len()]))
}
