//! Histograms with fixed buckets.

mod buckets;

use std::sync::Arc;
use std::time::Duration;

pub(super) use buckets::checked;
pub use buckets::{DEFAULT_UPPER_BOUNDS, exponential_bounds, linear_bounds};

use super::error::Result;
use super::held::Held;
use super::{Builder, Metric, Series, check_exemplar, sealed};
use crate::model::{Exemplar, HISTOGRAM_FIRST_BUCKET, HISTOGRAM_SUM, LabelSet, MetricType};
use crate::store::Slots;

/// Counts observations in buckets with fixed upper bounds, and adds them up.
///
/// # Examples
///
/// ```
/// # use std::sync::Arc;
/// # use forkmeter_core::{metric::Histogram, registry::Registry, store::HeapStore};
/// # let registry = Registry::new(Arc::new(HeapStore::new(|| 0.0)));
/// let latency = Histogram::builder("latency_seconds", "Time to answer.")
///     .buckets([0.1, 1.0])
///     .register(&registry)?;
/// latency.observe(0.25);
/// latency.observe(0.1);
/// assert_eq!((latency.count(), latency.sum()), (2, 0.35));
/// assert_eq!(latency.bucket_counts(), [1, 1, 0]);
/// # Ok::<(), forkmeter_core::metric::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Histogram {
    slots: Held,
}

impl sealed::Sealed for Histogram {}

impl Metric for Histogram {
    const KIND: MetricType = MetricType::Histogram;

    fn from_series(series: Series<'_>) -> Self {
        Self { slots: series.held }
    }
}

impl<S> Builder<Histogram, S> {
    /// Sets the upper bounds, strictly ascending; `+Inf` is added where it is not the last one.
    ///
    /// [`DEFAULT_UPPER_BOUNDS`] when not called. An observation falls into the first bucket whose bound is not
    /// below it.
    pub fn buckets(mut self, upper_bounds: impl IntoIterator<Item = f64>) -> Self {
        self.upper_bounds = Some(upper_bounds.into_iter().collect());
        self
    }
}

impl Histogram {
    /// Starts the declaration of a histogram.
    pub fn builder(name: &str, help: &str) -> Builder<Self> {
        Builder::new(name, help)
    }

    /// Counts one observation in its bucket and adds it to the sum.
    ///
    /// Negative values are taken, but the sum then no longer only rises, which Prometheus expects. NaN makes the
    /// sum NaN and falls into no bucket, as in the official client.
    #[inline]
    pub fn observe(&self, value: f64) {
        self.record(value);
    }

    #[inline]
    fn record(&self, value: f64) -> Option<usize> {
        self.slots.add(HISTOGRAM_SUM, value);
        let slot =
            HISTOGRAM_FIRST_BUCKET + buckets::find(&self.slots.descriptor().upper_bounds, value)?;
        self.slots.add(slot, 1.0);
        Some(slot)
    }

    /// Observes a duration in seconds.
    #[inline]
    pub fn observe_duration(&self, duration: Duration) {
        self.observe(duration.as_secs_f64());
    }

    /// Observes `value` and remembers in its bucket a link to the event, stamped with the present time.
    ///
    /// Takes a short lock, unlike [`Histogram::observe`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidExemplar`](super::ErrorKind::InvalidExemplar) when the labels cannot be exposed; the value is observed even so.
    pub fn try_observe_with_exemplar(&self, value: f64, labels: LabelSet) -> Result<()> {
        let slot = self.record(value);
        check_exemplar(&labels)?;
        if let Some(slot) = slot {
            self.slots.set_exemplar(
                slot,
                Exemplar {
                    labels,
                    value,
                    timestamp: None,
                },
            );
        }
        Ok(())
    }

    /// Observes `value` with a link to the event; labels that cannot be exposed are left out.
    pub fn observe_with_exemplar<'a>(
        &self,
        value: f64,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) {
        let _ = self.try_observe_with_exemplar(value, LabelSet::from_pairs(labels));
    }

    /// Returns the number of observations.
    pub fn count(&self) -> u64 {
        self.bucket_counts().iter().sum()
    }

    /// Returns the sum of observations.
    pub fn sum(&self) -> f64 {
        self.slots.get(HISTOGRAM_SUM)
    }

    /// Returns the upper bounds, the last one `+Inf`.
    pub fn upper_bounds(&self) -> &[f64] {
        &self.slots.descriptor().upper_bounds
    }

    /// Returns the observations of each bucket alone (not cumulative), in the order of the upper bounds.
    pub fn bucket_counts(&self) -> Vec<u64> {
        let buckets = 0..self.slots.descriptor().upper_bounds.len();
        buckets
            .map(|index| whole(self.slots.get(HISTOGRAM_FIRST_BUCKET + index)))
            .collect()
    }

    /// Returns the last exemplar of each bucket, in the order of the upper bounds.
    pub fn exemplars(&self) -> Vec<Option<Exemplar>> {
        let buckets = 0..self.slots.descriptor().upper_bounds.len();
        buckets
            .map(|index| self.slots.exemplar(HISTOGRAM_FIRST_BUCKET + index))
            .collect()
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

/// Turns a count that is kept as a float into a whole number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and counts are whole and not negative"
)]
pub(super) fn whole(count: f64) -> u64 {
    count as u64
}
