//! Summaries: observations as count and sum.

use std::sync::Arc;
use std::time::Duration;

use super::held::Held;
use super::{Builder, Metric, Series, sealed};
use crate::model::{MetricType, SUMMARY_COUNT, SUMMARY_SUM};
use crate::store::Slots;

/// Adds up observations and counts them, without quantiles.
///
/// # Examples
///
/// ```
/// # use std::sync::Arc;
/// # use forkmeter_core::{metric::Summary, registry::Registry, store::HeapStore};
/// # let registry = Registry::new(Arc::new(HeapStore::new(|| 0.0)));
/// let sizes = Summary::builder("request_size_bytes", "Sizes of requests.").register(&registry)?;
/// sizes.observe(512.0);
/// assert_eq!((sizes.count(), sizes.sum()), (1, 512.0));
/// # Ok::<(), forkmeter_core::metric::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Summary {
    slots: Held,
}

impl sealed::Sealed for Summary {}

impl Metric for Summary {
    const KIND: MetricType = MetricType::Summary;

    fn from_series(series: Series<'_>) -> Self {
        Self { slots: series.held }
    }
}

impl Summary {
    /// Starts the declaration of a summary.
    pub fn builder(name: &str, help: &str) -> Builder<Self> {
        Builder::new(name, help)
    }

    /// Counts one observation and adds `value` to the sum.
    ///
    /// Negative values are taken, but the sum then no longer only rises, which Prometheus expects. NaN makes
    /// the sum NaN.
    #[inline]
    pub fn observe(&self, value: f64) {
        self.slots.add(SUMMARY_COUNT, 1.0);
        self.slots.add(SUMMARY_SUM, value);
    }

    /// Observes a duration in seconds.
    #[inline]
    pub fn observe_duration(&self, duration: Duration) {
        self.observe(duration.as_secs_f64());
    }

    /// Returns the number of observations.
    pub fn count(&self) -> u64 {
        super::histogram::whole(self.slots.get(SUMMARY_COUNT))
    }

    /// Returns the sum of observations.
    pub fn sum(&self) -> f64 {
        self.slots.get(SUMMARY_SUM)
    }

    /// Returns when the series was made or reset last, as Unix time in seconds.
    pub fn created_seconds(&self) -> f64 {
        self.slots.created_seconds()
    }

    /// Starts again from zero, for all workers.
    pub fn reset(&self) {
        self.slots.reset();
    }

    /// Returns the value cells, for bindings.
    pub fn slots(&self) -> &Arc<dyn Slots> {
        &self.slots
    }
}
