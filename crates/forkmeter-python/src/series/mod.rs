//! The values of one series: its own while the process is alone, shared once there is a directory.

mod family;
mod place;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use forkmeter_core::store::SeriesHandle;
use forkmeter_core::{Descriptor, LabelSet};
use forkmeter_shm::{SharedSlots, process};
use pyo3::prelude::*;

pub(crate) use self::family::Family;
pub(crate) use self::place::Place;
use crate::{exemplar, keeper, mode, shared};

/// Holds one series of one metric object.
///
/// Two metric objects of the same name have different values in a lone process, and share them in a directory, as
/// the official client's objects share files.
#[derive(Debug)]
pub(crate) struct Series {
    /// The epoch in which the mode was looked up.
    epoch: AtomicU64,
    shared: OnceLock<SharedSlots>,
    own: SeriesHandle,
    family: Arc<Family>,
}

impl Series {
    fn new(family: &Arc<Family>, own: SeriesHandle) -> Arc<Self> {
        Arc::new(Self {
            epoch: AtomicU64::new(process::epoch()),
            shared: OnceLock::new(),
            own,
            family: Arc::clone(family),
        })
    }

    /// Returns the family's metadata.
    pub(crate) fn descriptor(&self) -> &Arc<Descriptor> {
        self.family.descriptor()
    }

    /// Returns all series of the metric object.
    pub(crate) fn family(&self) -> &Arc<Family> {
        &self.family
    }

    /// Tells whether the values are shared with other workers.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.get().is_some()
    }

    /// Counts where the series moved, if it did; tells whether that is so.
    fn find_values(&self, py: Python<'_>) -> bool {
        let known = self.family.known_slots(py, self.own.id());
        known.is_some_and(|slots| self.shared.set(slots).is_ok())
    }

    /// Moves the values into the shared slots; later calls do nothing.
    fn move_values(&self, py: Python<'_>, label_values: Option<&[&str]>) {
        if !self.is_shared() {
            let slots = self.family.slots(py, &self.own, label_values);
            let _ = self.shared.set(slots);
        }
    }

    /// Replaces the facts of an info series.
    pub(crate) fn set_facts(&self, py: Python<'_>, facts: LabelSet) {
        self.look(py);
        self.own.set_facts(facts.clone());
        if self.is_shared() {
            let own = self.own.label_values();
            let own: Vec<&str> = own.iter().map(|value| &**value).collect();
            shared::set_info(py, self.descriptor(), &own, facts);
        }
    }

    #[inline]
    fn look(&self, py: Python<'_>) {
        // ORDERING: a hint; see `process::epoch`.
        if self.epoch.load(Ordering::Relaxed) != process::epoch() {
            self.look_again(py);
        }
    }

    /// Follows a fork or a change of the directory, with the interpreter released while the directory is worked on.
    #[cold]
    fn look_again(&self, py: Python<'_>) {
        let epoch = process::epoch();
        if let Some(slots) = self.shared.get() {
            if !self.own.is_empty() {
                py.detach(|| slots.get(0));
            }
        } else {
            shared::move_waiting(py);
            if mode::is_shared() {
                self.move_values(py, None);
            }
        }
        keeper::start_keeper(py);
        // ORDERING: a stale value costs one more look.
        self.epoch.store(epoch, Ordering::Relaxed);
    }

    /// Returns where the values are, where nothing has changed since the last look.
    #[inline]
    pub(crate) fn place(&self) -> Option<Place<'_>> {
        // ORDERING: as in `look`.
        if self.epoch.load(Ordering::Relaxed) != process::epoch() {
            return None;
        }
        Some(self.known_place())
    }

    /// Returns where the values are, after a look whether anything changed.
    #[inline]
    pub(crate) fn current_place(&self, py: Python<'_>) -> Place<'_> {
        self.look(py);
        self.known_place()
    }

    #[inline]
    fn known_place(&self) -> Place<'_> {
        Place {
            shared: self.shared.get(),
            own: self.own.cells(),
            descriptor: self.descriptor(),
        }
    }

    /// Adds to a slot.
    #[inline]
    pub(crate) fn add(&self, py: Python<'_>, index: usize, delta: f64) {
        self.current_place(py).add(index, delta);
    }

    /// Replaces a slot's value.
    #[inline]
    pub(crate) fn set(&self, py: Python<'_>, index: usize, value: f64) {
        self.current_place(py).set(index, value);
    }

    /// Returns a slot's value.
    pub(crate) fn get(&self, py: Python<'_>, index: usize) -> f64 {
        self.look(py);
        match self.shared.get() {
            Some(slots) => slots.get(index),
            None => self.own.get(index),
        }
    }

    /// Sets every slot to zero and replaces the created time.
    pub(crate) fn reset(&self, py: Python<'_>, created_seconds: f64) {
        self.look(py);
        if let Some(slots) = self.shared.get() {
            py.detach(|| slots.reset());
            self.set_created_seconds(created_seconds);
        } else {
            self.own.reset(created_seconds);
            drop(self.family.take_exemplars(py, self.own.id()));
        }
    }

    /// Returns when the series was made, or what somebody assigned.
    pub(crate) fn created_seconds(&self) -> f64 {
        self.own.created_seconds()
    }

    /// Replaces when the series was made.
    pub(crate) fn set_created_seconds(&self, seconds: f64) {
        self.own.set_created_seconds(seconds);
    }

    /// Remembers the last exemplar of a slot, given as the package's `Exemplar` or `None`.
    pub(crate) fn set_exemplar(&self, index: usize, given: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = given.py();
        self.look(py);
        if let Some(slots) = self.shared.get() {
            if let Some(core) = exemplar::from_python(given)? {
                py.detach(|| slots.set_exemplar(index, core));
            }
            return Ok(());
        }
        let kept = (!given.is_none()).then(|| given.clone().unbind());
        self.family.set_exemplar(py, self.own.id(), index, kept);
        Ok(())
    }

    /// Returns the exemplar of a slot.
    pub(crate) fn exemplar(&self, py: Python<'_>, index: usize) -> PyResult<Option<Py<PyAny>>> {
        self.look(py);
        if let Some(slots) = self.shared.get() {
            let found = py.detach(|| slots.exemplar(index));
            return found.map(|core| exemplar::to_python(py, &core)).transpose();
        }
        Ok(self.family.exemplar(py, self.own.id(), index))
    }

    /// Tells whether the series was removed from its metric.
    pub(crate) fn is_removed(&self) -> bool {
        self.own.is_removed()
    }
}
