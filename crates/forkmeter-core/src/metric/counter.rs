//! Counters: values that only go up.

use std::sync::Arc;

use super::error::{ErrorKind, Result};
use super::held::Held;
use super::{Builder, Metric, Series, check_exemplar, sealed};
use crate::model::{Exemplar, LabelSet, MetricType};
use crate::store::Slots;

/// Counts events or adds up amounts; goes only up, apart from [`Counter::reset`].
///
/// Clones count the same series. All workers of a program that share a store count together.
///
/// # Examples
///
/// ```
/// # use std::sync::Arc;
/// # use forkmeter_core::{metric::Counter, registry::Registry, store::HeapStore};
/// # let registry = Registry::new(Arc::new(HeapStore::new(|| 0.0)));
/// let sent = Counter::builder("sent_bytes", "Bytes sent.").register(&registry)?;
/// sent.inc_by(512.0);
/// assert!(sent.try_inc_by(-1.0).is_err());
/// assert_eq!(sent.get(), 512.0);
/// # Ok::<(), forkmeter_core::metric::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Counter {
    slots: Held,
}

impl sealed::Sealed for Counter {}

impl Metric for Counter {
    const KIND: MetricType = MetricType::Counter;

    fn from_series(series: Series<'_>) -> Self {
        Self { slots: series.held }
    }
}

impl Counter {
    /// Starts the declaration of a counter; `_total` at the end of the name is optional.
    pub fn builder(name: &str, help: &str) -> Builder<Self> {
        Builder::new(name, help)
    }

    /// Adds 1.
    #[inline]
    pub fn inc(&self) {
        self.slots.add(0, 1.0);
    }

    /// Adds `amount`; an amount below zero, or NaN, is not counted. See [`Counter::try_inc_by`] to be told.
    #[inline]
    pub fn inc_by(&self, amount: f64) {
        if amount >= 0.0 {
            self.slots.add(0, amount);
        }
    }

    /// Adds `amount`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidAmount`] when `amount` is below zero or NaN; then nothing is counted.
    #[inline]
    pub fn try_inc_by(&self, amount: f64) -> Result<()> {
        if amount >= 0.0 {
            self.slots.add(0, amount);
            return Ok(());
        }
        Err(ErrorKind::InvalidAmount { amount }.into())
    }

    /// Adds `amount` and remembers a link to the event that caused it, stamped with the present time.
    ///
    /// Takes a short lock, unlike [`Counter::inc`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidAmount`] as for [`Counter::try_inc_by`]. [`ErrorKind::InvalidExemplar`]
    /// when the labels cannot be exposed; the amount is counted even so.
    pub fn try_inc_by_with_exemplar(&self, amount: f64, labels: LabelSet) -> Result<()> {
        self.try_inc_by(amount)?;
        check_exemplar(&labels)?;
        self.slots.set_exemplar(
            0,
            Exemplar {
                labels,
                value: amount,
                timestamp: None,
            },
        );
        Ok(())
    }

    /// Adds 1 and remembers a link to the event; labels that cannot be exposed are left out.
    pub fn inc_with_exemplar<'a>(&self, labels: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let _ = self.try_inc_by_with_exemplar(1.0, LabelSet::from_pairs(labels));
    }

    /// Returns the count, of all workers together where the store is shared.
    pub fn get(&self) -> f64 {
        self.slots.get(0)
    }

    /// Returns the last exemplar.
    pub fn exemplar(&self) -> Option<Exemplar> {
        self.slots.exemplar(0)
    }

    /// Returns when the series was made or reset last, as Unix time in seconds.
    pub fn created_seconds(&self) -> f64 {
        self.slots.created_seconds()
    }

    /// Starts again from zero, for all workers, when a logical process begins anew.
    pub fn reset(&self) {
        self.slots.reset();
    }

    /// Returns the value cells, for bindings.
    pub fn slots(&self) -> &Arc<dyn Slots> {
        &self.slots
    }
}
