//! Where values live: the seam between metric kinds and storage.
//!
//! A store interns a series and hands out its [`Slots`]; metric kinds add to, set and read them; the registry
//! asks the store for everything it holds. The contract stands on the traits; every store is tested by the
//! one suite in `testkit/store_suite`.

mod heap;
mod table;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

pub use heap::HeapStore;
pub use table::{LabelValues, SeriesEntry, SeriesHandle, SeriesId, SeriesTable};

use crate::encode::Encoding;
use crate::model::{Descriptor, Exemplar, LabelSet, MetricFamily, OVERFLOW_LABEL_VALUE};

/// Returns the current Unix time in seconds; handed to stores and registries because this crate reads no clock.
pub type Clock = fn() -> f64;

/// Keeps the values of metric families.
///
/// No method fails because of storage: a store that cannot write where it should keeps the value in memory,
/// counts that, and publishes it later. All methods may be called from any thread, and again after a fork.
pub trait Store: fmt::Debug + Send + Sync {
    /// Makes a family known, so that it is exposed even without series. Idempotent.
    fn declare(&self, descriptor: &Arc<Descriptor>);

    /// Takes a declaration back: this process no longer exposes the family on its own account.
    ///
    /// A store of one process leaves the family out until it is declared again. Declared again with the same
    /// descriptor object it goes on with its values; with another one of the same name it starts without series.
    /// A store that workers share keeps everything, since others count on: the default does nothing.
    fn withdraw(&self, descriptor: &Arc<Descriptor>) {
        let _ = descriptor;
    }

    /// Returns the slots of a series, made at zero on the first call for these label values.
    ///
    /// Callers pass as many values as the descriptor has label names, and keep the handle: interning may take
    /// locks and do I/O, the handle does neither. Two calls for the same series return handles to the same
    /// cells, in the same process or in another one that shares the store (gauges: one cell per process).
    fn intern(&self, descriptor: &Arc<Descriptor>, label_values: &[&str]) -> Arc<dyn Slots>;

    /// As [`Store::intern`], unless the family would then have more than `max_series`. Removed ones do not count, and
    /// neither does that of [`OVERFLOW_LABEL_VALUE`].
    ///
    /// A store that workers share counts what all of them made, and may let workers that make series at the same time go
    /// over it by an eighth and one each (gauges: what this process made).
    fn intern_within(
        &self,
        descriptor: &Arc<Descriptor>,
        label_values: &[&str],
        max_series: usize,
    ) -> Option<Arc<dyn Slots>> {
        let known = self.series(descriptor);
        let is_overflow = |values: &[Arc<str>]| {
            values
                .first()
                .is_some_and(|value| **value == *OVERFLOW_LABEL_VALUE)
        };
        let is_it = |values: &[Arc<str>]| {
            let mut pairs = values.iter().zip(label_values);
            pairs.all(|(own, other)| **own == **other)
        };
        let count = known.iter().filter(|values| !is_overflow(values)).count();
        let has_room = count < max_series || known.iter().any(|values| is_it(values));
        has_room.then(|| self.intern(descriptor, label_values))
    }

    /// Removes a series from everybody's exposition and returns whether it was there.
    ///
    /// Handles that this process got before go on working but count nowhere; the series starts from zero when
    /// it is interned again.
    fn remove(&self, descriptor: &Arc<Descriptor>, label_values: &[&str]) -> bool;

    /// As [`Store::remove`], for a series in which nobody counted for long: handles that this process got before count on.
    /// What is counted through them makes the series anew, from zero, for everybody.
    ///
    /// Series of [`OVERFLOW_LABEL_VALUE`] may stay.
    fn expire(&self, descriptor: &Arc<Descriptor>, label_values: &[&str]) -> bool;

    /// Returns the label values of the series of a family that this store knows, in creation order.
    fn series(&self, descriptor: &Arc<Descriptor>) -> Vec<Box<[Arc<str>]>>;

    /// Sets the facts of a series of an info family.
    fn set_info(&self, descriptor: &Arc<Descriptor>, label_values: &[&str], facts: LabelSet);

    /// Returns the present time, as Unix time in seconds.
    fn now_seconds(&self) -> f64;

    /// Returns all families with their samples as one process sees them: the merge over all workers where the
    /// store is shared. What could not be read is left out and named in the errors.
    fn collect(&self) -> Collected;

    /// As [`Store::collect`], for samples of these names: may leave out families that have none of them, which begin
    /// with the family's name, and what only they need is not read.
    ///
    /// The default leaves nothing out.
    fn collect_named(&self, names: &HashSet<Box<str>>) -> Collected {
        let _ = names;
        self.collect()
    }

    /// Appends the families that [`Store::collect`] returns to an exposition, those that `is_visible` takes by their
    /// names, and returns the errors. `is_visible` is called once for each family and may not use the store.
    ///
    /// The default collects. A store may write its families without making samples of them.
    fn encode_into(
        &self,
        is_visible: &mut dyn FnMut(&Arc<str>) -> bool,
        encoding: &mut Encoding<'_>,
    ) -> Vec<String> {
        let Collected { families, errors } = self.collect();
        let visible = families.iter().filter(|family| is_visible(&family.name));
        encoding.families(visible);
        errors
    }
}

/// Gives access to the value cells of one series; which index is what says [`Descriptor::slot`].
///
/// The operations are atomic per slot, never block, do no I/O and never panic for an index below
/// [`Slots::len`].
pub trait Slots: fmt::Debug + Send + Sync {
    /// Returns the number of slots.
    fn len(&self) -> usize;

    /// Tells whether there is no slot.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds to a slot.
    fn add(&self, index: usize, delta: f64);

    /// Replaces a slot's value, and for `mostrecent` gauges remembers when.
    fn set(&self, index: usize, value: f64);

    /// Returns a slot's value: of a gauge this process's own, otherwise that of all workers together.
    fn get(&self, index: usize) -> f64;

    /// Remembers the last exemplar of a slot. One without timestamp is stamped with the present time.
    fn set_exemplar(&self, index: usize, exemplar: Exemplar);

    /// Returns the exemplar of a slot.
    fn exemplar(&self, index: usize) -> Option<Exemplar>;

    /// Returns when the series was made, as Unix time in seconds.
    fn created_seconds(&self) -> f64;

    /// Sets every slot to zero and the created time to now.
    fn reset(&self);

    /// Tells whether the store has forgotten the series, since another worker removed it. What is counted here is exposed
    /// all the same, and so is what is counted in the slots that the store hands out for the same label values.
    fn is_forgotten(&self) -> bool {
        false
    }
}

/// Holds what a collection found: families in a deterministic order, and what went wrong on the way.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    /// The families.
    pub families: Vec<MetricFamily>,
    /// What was left out and why, in words for a log.
    pub errors: Vec<String>,
}

/// Adds to a float that is kept as bits in an atomic cell; both stores count with it.
#[inline]
pub fn add_to_cell(cell: &AtomicU64, delta: f64) {
    // ORDERING: a cell is a lone number; only its own modification order matters.
    let bits = cell.load(Relaxed);
    let sum = (f64::from_bits(bits) + delta).to_bits();
    if let Err(seen) = cell.compare_exchange_weak(bits, sum, Relaxed, Relaxed) {
        add_to_contended_cell(cell, delta, seen);
    }
}

/// Goes on where another thread changed the cell in between.
///
/// Waits longer after each failure, so that the thread that has the cache line adds many times before it hands it over:
/// moving the line takes as long as tens of additions. The wait is bounded and nobody is waited for, so signal
/// handlers may come here.
#[cold]
fn add_to_contended_cell(cell: &AtomicU64, delta: f64, mut bits: u64) {
    const MAX_PAUSES: u32 = 64;
    let mut pauses = 8;
    loop {
        for _ in 0..pauses {
            std::hint::spin_loop();
        }
        pauses = (pauses * 2).min(MAX_PAUSES);
        // What was seen before the wait is old, so this mostly fails. That is meant: looking first makes it succeed
        // sooner, and the line changes hands twice as often.
        let sum = (f64::from_bits(bits) + delta).to_bits();
        // ORDERING: as in `add_to_cell`.
        match cell.compare_exchange_weak(bits, sum, Relaxed, Relaxed) {
            Ok(_) => return,
            Err(seen) => bits = seen,
        }
    }
}
