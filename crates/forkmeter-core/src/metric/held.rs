//! What a handle of a series is made of, and how it goes back to the thread that looked it up.

use std::ops::Deref;
use std::sync::Arc;

use super::recent::{self, Place};
use crate::model::Descriptor;
use crate::store::Slots;

/// Holds a series, as a part of a handle to it.
///
/// Counting the references of shared memory costs about as much as counting itself. So a thread that looks a series up
/// again gets the reference that its last such handle had: dropping a handle puts it back where the next lookup takes it.
#[derive(Debug)]
pub(super) struct Held {
    /// Taken only when this is dropped.
    series: Option<Arc<HeldSeries>>,
    /// Where a thread may remember the series.
    place: Place,
}

/// Is what the handles of a series share: its slots, and what its family is.
#[derive(Debug)]
pub(super) struct HeldSeries {
    pub(super) slots: Arc<dyn Slots>,
    pub(super) descriptor: Arc<Descriptor>,
}

impl Held {
    #[inline]
    pub(super) fn new(series: Arc<HeldSeries>, place: Place) -> Self {
        Self {
            series: Some(series),
            place,
        }
    }

    #[inline]
    fn series(&self) -> &Arc<HeldSeries> {
        let series = self.series.as_ref();
        series.expect("invariant: it is taken when the handle is dropped")
    }

    #[inline]
    pub(super) fn descriptor(&self) -> &Arc<Descriptor> {
        &self.series().descriptor
    }
}

impl Deref for Held {
    type Target = Arc<dyn Slots>;

    #[inline]
    fn deref(&self) -> &Arc<dyn Slots> {
        &self.series().slots
    }
}

impl Clone for Held {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(self.series()), self.place)
    }
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        // What is left is dropped after this, outside of the thread's memory, since dropping slots runs the code of a store.
        recent::take_back(&mut self.series, self.place);
    }
}
