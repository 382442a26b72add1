//! Bounds of metrics: whether there is room for a new series, and which series nobody counts in.

use std::sync::{Arc, Mutex, PoisonError};

use forkmeter_core::idle::{IdleWatch, LabelValues};
use forkmeter_core::store::Store;
use forkmeter_core::{LabelSet, MetricFamily, fork};
use pyo3::prelude::*;

use crate::family::NativeFamily;
use crate::metric::NativeMetric;
use crate::{mode, shared};

/// Tells whether a series of a metric is there, or has room, among those of all workers; nothing in a lone process, where
/// the metric itself knows. Where there is room it is made.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "the signature is PyO3's")]
pub(crate) fn has_room(
    metric: &Bound<'_, NativeMetric>,
    label_values: Vec<String>,
    max_series: usize,
) -> Option<bool> {
    let descriptor = metric.get().descriptor().cloned()?;
    if !mode::is_shared() {
        return None;
    }
    let interned = metric.py().detach(|| {
        let values: Vec<&str> = label_values.iter().map(String::as_str).collect();
        shared::store().intern_within(&descriptor, &values, max_series)
    });
    Some(interned.is_some())
}

/// Watches the series of a metric for those in which nobody counts.
#[pyclass(frozen, module = "forkmeter._forkmeter")]
#[derive(Debug)]
pub(crate) struct NativeIdleWatch(Mutex<IdleWatch>);

#[pymethods]
impl NativeIdleWatch {
    #[new]
    fn new(idle_seconds: f64) -> Self {
        Self(Mutex::new(IdleWatch::new(idle_seconds)))
    }

    /// Looks at the metric's family as it was collected at a time, and returns the label values of what is idle.
    fn look(
        &self,
        metric: &Bound<'_, NativeMetric>,
        family: &NativeFamily,
        now_seconds: f64,
    ) -> Vec<Vec<String>> {
        let Some(descriptor) = metric.get().descriptor().cloned() else {
            return Vec::new();
        };
        let family = family.model();
        let idle = metric.py().detach(|| {
            let _section = fork::enter();
            let mut watch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            watch.look(&descriptor, &family, now_seconds)
        });
        let text = |values: LabelValues| values.iter().map(ToString::to_string).collect();
        idle.into_iter().map(text).collect()
    }
}

/// Returns a family of a metric without the series of these label values.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "the signature is PyO3's")]
pub(crate) fn without_series(
    metric: &Bound<'_, NativeMetric>,
    family: &NativeFamily,
    series: Vec<Vec<String>>,
) -> NativeFamily {
    let names = metric.get().descriptor().map(|own| own.label_names.clone());
    let names = names.unwrap_or_default();
    let is_of = |labels: &LabelSet, values: &Vec<String>| {
        let mut pairs = names.iter().zip(values);
        pairs.all(|(name, value)| labels.get(name) == Some(value))
    };
    let mut family: MetricFamily = Arc::unwrap_or_clone(family.model());
    family
        .samples
        .retain(|sample| !series.iter().any(|values| is_of(&sample.labels, values)));
    family.into()
}
