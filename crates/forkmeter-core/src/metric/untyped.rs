//! Untyped metrics: values whose type nobody knows.

use std::sync::Arc;

use super::held::Held;
use super::{Builder, Metric, Series, sealed};
use crate::model::{MetricType, MultiprocessMode};
use crate::store::Slots;

/// Holds a value of unknown type, for bridges from systems that do not tell counters from gauges.
///
/// Stored like a [`Gauge`](super::Gauge): every worker has its own value.
#[derive(Clone, Debug)]
pub struct Untyped {
    slots: Held,
}

impl sealed::Sealed for Untyped {}

impl Metric for Untyped {
    const KIND: MetricType = MetricType::Unknown;

    fn from_series(series: Series<'_>) -> Self {
        Self { slots: series.held }
    }
}

impl<S> Builder<Untyped, S> {
    /// Sets how the values of several workers become one exposition; [`MultiprocessMode::All`] when not called.
    pub fn multiprocess_mode(mut self, mode: MultiprocessMode) -> Self {
        self.mode = mode;
        self
    }
}

impl Untyped {
    /// Starts the declaration of an untyped metric.
    pub fn builder(name: &str, help: &str) -> Builder<Self> {
        Builder::new(name, help)
    }

    /// Replaces the value.
    #[inline]
    pub fn set(&self, value: f64) {
        self.slots.set(0, value);
    }

    /// Adds `amount`, which may be negative.
    #[inline]
    pub fn inc_by(&self, amount: f64) {
        self.slots.add(0, amount);
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
