//! Gauges: values that go up and down.

use std::sync::Arc;

use super::held::Held;
use super::{Builder, Metric, Series, sealed};
use crate::model::{MetricType, MultiprocessMode};
use crate::store::Slots;

/// Holds a value that goes up and down.
///
/// Every worker of a program has its own value; the family's [`MultiprocessMode`] says how they are exposed.
///
/// # Examples
///
/// ```
/// # use std::sync::Arc;
/// # use forkmeter_core::{MultiprocessMode, metric::Gauge, registry::Registry, store::HeapStore};
/// # let registry = Registry::new(Arc::new(HeapStore::new(|| 0.0)));
/// let running = Gauge::builder("running_jobs", "Jobs that run now.")
///     .multiprocess_mode(MultiprocessMode::LiveSum)
///     .register(&registry)?;
/// {
///     let _running = running.track_in_progress();
///     assert_eq!(running.get(), 1.0);
/// }
/// assert_eq!(running.get(), 0.0);
/// # Ok::<(), forkmeter_core::metric::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Gauge {
    slots: Held,
}

impl sealed::Sealed for Gauge {}

impl Metric for Gauge {
    const KIND: MetricType = MetricType::Gauge;

    fn from_series(series: Series<'_>) -> Self {
        Self { slots: series.held }
    }
}

impl<S> Builder<Gauge, S> {
    /// Sets how the values of several workers become one exposition; [`MultiprocessMode::All`] when not called.
    pub fn multiprocess_mode(mut self, mode: MultiprocessMode) -> Self {
        self.mode = mode;
        self
    }
}

impl Gauge {
    /// Starts the declaration of a gauge.
    pub fn builder(name: &str, help: &str) -> Builder<Self> {
        Builder::new(name, help)
    }

    /// Replaces the value; NaN and infinities are kept.
    #[inline]
    pub fn set(&self, value: f64) {
        self.slots.set(0, value);
    }

    /// Adds 1.
    #[inline]
    pub fn inc(&self) {
        self.slots.add(0, 1.0);
    }

    /// Subtracts 1.
    #[inline]
    pub fn dec(&self) {
        self.slots.add(0, -1.0);
    }

    /// Adds `amount`, which may be negative. In the `mostrecent` modes this keeps the time of the last `set`.
    #[inline]
    pub fn inc_by(&self, amount: f64) {
        self.slots.add(0, amount);
    }

    /// Subtracts `amount`, which may be negative.
    #[inline]
    pub fn dec_by(&self, amount: f64) {
        self.slots.add(0, -amount);
    }

    /// Adds 1 until the guard is dropped, also when that happens in a panic.
    pub fn track_in_progress(&self) -> InProgress {
        self.inc();
        InProgress {
            gauge: self.clone(),
        }
    }

    /// Returns this worker's value.
    pub fn get(&self) -> f64 {
        self.slots.get(0)
    }

    /// Returns the value cells, for bindings.
    pub fn slots(&self) -> &Arc<dyn Slots> {
        &self.slots
    }
}

/// Keeps a gauge one higher; made by [`Gauge::track_in_progress`].
#[derive(Debug)]
#[must_use = "the gauge goes down when this is dropped"]
pub struct InProgress {
    gauge: Gauge,
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}
