//! The values of one series: its own while the process is alone, shared once there is a directory.

mod created;
mod family;
mod members;
mod place;
mod view;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use forkmeter_core::store::SeriesHandle;
use forkmeter_core::{Descriptor, LabelSet};
use forkmeter_shm::{SharedSlots, process};
use pyo3::prelude::*;

pub(crate) use self::family::Family;
pub(crate) use self::place::Place;
use crate::{exemplar, keeper, shared};

/// Holds one series of one metric object.
///
/// Two metric objects of the same name have different values in a lone process, and share them in a directory, as
/// the official client's objects share files.
#[derive(Debug)]
pub(crate) struct Series {
    /// The epoch in which the mode was looked up.
    epoch: AtomicU64,
    stored: OnceLock<SharedSlots>,
    /// What was made while the process was alone.
    own: Option<SeriesHandle>,
    family: Arc<Family>,
}

impl Series {
    /// Makes a series that counts in the family's table.
    fn alone(family: &Arc<Family>, own: SeriesHandle) -> Arc<Self> {
        Self::new(family, OnceLock::new(), Some(own))
    }

    /// Makes a series that counts in the store.
    fn stored(family: &Arc<Family>, slots: SharedSlots) -> Arc<Self> {
        Self::new(family, OnceLock::from(slots), None)
    }

    fn new(
        family: &Arc<Family>,
        stored: OnceLock<SharedSlots>,
        own: Option<SeriesHandle>,
    ) -> Arc<Self> {
        Arc::new(Self {
            epoch: AtomicU64::new(process::epoch()),
            stored,
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
        self.stored.get().is_some()
    }

    /// Replaces the facts of an info series.
    pub(crate) fn set_facts(&self, py: Python<'_>, facts: LabelSet) {
        self.look(py);
        if let Some(slots) = self.stored.get() {
            let values: Vec<&str> = slots.label_values().collect();
            shared::set_info(py, self.descriptor(), &values, facts);
        } else if let Some(own) = &self.own {
            own.set_facts(facts);
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
        if let Some(slots) = self.stored.get() {
            if !slots.is_empty() {
                py.detach(|| slots.get(0));
            }
        } else {
            shared::move_waiting(py);
            // What was removed before it could move counts for nobody.
            if self.family.is_stored(py)
                && let Some(own) = self.own.as_ref().filter(|own| !own.is_removed())
            {
                let slots = self.family.move_series(py, own);
                let _ = self.stored.set(slots);
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
            shared: self.stored.get(),
            own: self.own.as_ref().map_or(&[], SeriesHandle::cells),
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
        self.current_place(py).get(index)
    }

    /// Sets every slot to zero and replaces the created time.
    pub(crate) fn reset(&self, py: Python<'_>, created_seconds: f64) {
        self.look(py);
        if let Some(slots) = self.stored.get() {
            py.detach(|| slots.reset());
            let label_values: Vec<&str> = slots.label_values().collect();
            let created = &self.family.created;
            created.forget(py, label_values.iter().copied());
            created.note(py, &label_values, created_seconds, slots.created_seconds());
        } else if let Some(own) = &self.own {
            own.reset(created_seconds);
            drop(self.family.take_exemplars(py, own.id()));
        }
    }

    /// Returns when the series was made, or what somebody assigned.
    pub(crate) fn created_seconds(&self, py: Python<'_>) -> f64 {
        match (self.stored.get(), &self.own) {
            (Some(slots), _) => {
                let given = self.family.created.get(py, slots.label_values());
                given.unwrap_or_else(|| slots.created_seconds())
            }
            (None, own) => own.as_ref().map_or(0.0, SeriesHandle::created_seconds),
        }
    }

    /// Replaces when the series was made; other workers do not see that.
    pub(crate) fn set_created_seconds(&self, py: Python<'_>, seconds: f64) {
        if let Some(slots) = self.stored.get() {
            self.family.created.set(py, slots.label_values(), seconds);
        } else if let Some(own) = &self.own {
            own.set_created_seconds(seconds);
        }
    }

    /// Remembers the last exemplar of a slot, given as the package's `Exemplar` or `None`.
    pub(crate) fn set_exemplar(&self, index: usize, given: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = given.py();
        self.look(py);
        if let Some(slots) = self.stored.get() {
            if let Some(core) = exemplar::from_python(given)? {
                py.detach(|| slots.set_exemplar(index, core));
            }
        } else if let Some(own) = &self.own {
            let kept = (!given.is_none()).then(|| given.clone().unbind());
            self.family.set_exemplar(py, own.id(), index, kept);
        }
        Ok(())
    }

    /// Returns the exemplar of a slot.
    pub(crate) fn exemplar(&self, py: Python<'_>, index: usize) -> PyResult<Option<Py<PyAny>>> {
        self.look(py);
        if let Some(slots) = self.stored.get() {
            let found = py.detach(|| slots.exemplar(index));
            return found.map(|core| exemplar::to_python(py, &core)).transpose();
        }
        let own = self.own.as_ref();
        Ok(own.and_then(|own| self.family.exemplar(py, own.id(), index)))
    }

    /// Tells whether the series was removed from its metric.
    pub(crate) fn is_removed(&self) -> bool {
        match (self.stored.get(), &self.own) {
            (Some(slots), _) => slots.is_removed(),
            (None, own) => own.as_ref().is_some_and(SeriesHandle::is_removed),
        }
    }
}
