//! Where a series counts at the moment: the hot path without a look.

use std::sync::atomic::{AtomicU64, Ordering};

use forkmeter_core::Descriptor;
use forkmeter_core::model::{HISTOGRAM_FIRST_BUCKET, HISTOGRAM_SUM, SUMMARY_COUNT, SUMMARY_SUM};
use forkmeter_core::store::add_to_cell;
use forkmeter_shm::SharedSlots;

/// Up to so many bounds, comparing with all of them is faster than looking for the right one.
const MAX_COMPARED_BOUNDS: usize = 32;

/// Is where the values of a series are until the epoch changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(super) shared: Option<&'a SharedSlots>,
    pub(super) own: &'a [AtomicU64],
    pub(super) descriptor: &'a Descriptor,
}

impl Place<'_> {
    /// Adds to a slot.
    #[inline]
    pub(crate) fn add(&self, index: usize, delta: f64) {
        match self.shared {
            Some(slots) => slots.add(index, delta),
            None => add_to_cell(&self.own[index], delta),
        }
    }

    /// Replaces a slot's value.
    #[inline]
    pub(crate) fn set(&self, index: usize, value: f64) {
        match self.shared {
            Some(slots) => slots.set(index, value),
            // ORDERING: a lone value.
            None => self.own[index].store(value.to_bits(), Ordering::Relaxed),
        }
    }

    /// Returns a slot's value.
    pub(crate) fn get(&self, index: usize) -> f64 {
        match self.shared {
            Some(slots) => slots.get(index),
            // ORDERING: a lone value.
            None => f64::from_bits(self.own[index].load(Ordering::Relaxed)),
        }
    }

    /// Counts an observation of a summary.
    #[inline]
    pub(crate) fn observe_in_summary(&self, amount: f64) {
        self.add(SUMMARY_COUNT, 1.0);
        self.add(SUMMARY_SUM, amount);
    }

    /// Counts an observation of a histogram.
    #[inline]
    pub(crate) fn observe_in_histogram(&self, amount: f64) {
        self.add(HISTOGRAM_SUM, amount);
        let bounds = &self.descriptor.upper_bounds;
        let bucket = bucket(bounds, amount);
        // A NaN is in no bucket.
        if bucket < bounds.len() {
            self.add(HISTOGRAM_FIRST_BUCKET + bucket, 1.0);
        }
    }
}

/// Returns the index of the first bound that is not below an amount; the number of bounds where there is none.
#[inline]
fn bucket(bounds: &[f64], amount: f64) -> usize {
    if bounds.len() <= MAX_COMPARED_BOUNDS {
        // Without branches; bounds are sorted, and a NaN is above all of them.
        #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "true of a NaN as well")]
        let is_above = |bound: &f64| u64::from(!(amount <= *bound));
        let above: u64 = bounds.iter().map(is_above).sum();
        usize::try_from(above).unwrap_or(usize::MAX)
    } else if amount.is_nan() {
        bounds.len()
    } else {
        bounds.partition_point(|bound| *bound < amount)
    }
}
