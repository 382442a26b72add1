//! The values of one series: its own while the process is alone, shared once there is a directory.

mod place;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use forkmeter_core::model::{SeriesView, SlotValues};
use forkmeter_core::store::Slots;
use forkmeter_core::{Descriptor, Exemplar, LabelSet, MetricType, Sample, fork};
use forkmeter_shm::process;
use pyo3::prelude::*;

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
    shared: OnceLock<Arc<dyn Slots>>,
    own: Box<[AtomicU64]>,
    /// When it was made, or what somebody assigned.
    created_bits: AtomicU64,
    descriptor: Arc<Descriptor>,
    label_values: Box<[Arc<str>]>,
    /// Exemplars as they were given; few series have any.
    exemplars: Mutex<Vec<Option<Py<PyAny>>>>,
    /// The facts of an info series.
    facts: Mutex<LabelSet>,
}

impl Series {
    /// Makes a series, in the directory if there is one. Callers pass the time, as Python tells it.
    pub(crate) fn new(
        py: Python<'_>,
        descriptor: &Arc<Descriptor>,
        label_values: Box<[Arc<str>]>,
        created_seconds: f64,
    ) -> Arc<Self> {
        let epoch = process::epoch();
        let series = Arc::new(Self {
            epoch: AtomicU64::new(epoch),
            shared: OnceLock::new(),
            own: (0..descriptor.slot_count())
                .map(|_| AtomicU64::new(0))
                .collect(),
            created_bits: AtomicU64::new(created_seconds.to_bits()),
            descriptor: Arc::clone(descriptor),
            label_values,
            exemplars: Mutex::default(),
            facts: Mutex::default(),
        });
        if mode::is_shared() {
            series.publish(py);
            keeper::start_keeper(py);
        } else {
            shared::wait(&series);
        }
        series
    }

    /// Returns the family's metadata.
    pub(crate) fn descriptor(&self) -> &Arc<Descriptor> {
        &self.descriptor
    }

    /// Tells whether the values are shared with other workers.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.get().is_some()
    }

    /// Moves the values into the shared slots; later calls do nothing.
    pub(crate) fn publish(&self, py: Python<'_>) {
        if self.is_shared() {
            return;
        }
        let slots = shared::intern(py, &self.descriptor, &self.label_values);
        // From here on nothing lets other threads run, so no value is counted between the move and the switch.
        for (index, own) in self.own.iter().enumerate() {
            // ORDERING: the swap moves each value once.
            let value = f64::from_bits(own.swap(0, Ordering::AcqRel));
            if value != 0.0 {
                slots.add(index, value);
            }
        }
        let _ = self.shared.set(slots);
        if self.descriptor.kind == MetricType::Info {
            self.publish_facts(py);
        }
    }

    /// Replaces the facts of an info series.
    pub(crate) fn set_facts(&self, py: Python<'_>, facts: LabelSet) {
        self.look(py);
        {
            let _section = fork::enter();
            *self.facts.lock().unwrap_or_else(PoisonError::into_inner) = facts;
        }
        if self.is_shared() {
            self.publish_facts(py);
        }
    }

    fn publish_facts(&self, py: Python<'_>) {
        let facts = {
            let _section = fork::enter();
            self.facts
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        };
        shared::set_info(py, &self.descriptor, &self.label_values, facts);
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
            shared::publish_waiting(py);
            if mode::is_shared() {
                self.publish(py);
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
            shared: self.shared.get().map(|slots| &**slots),
            own: &self.own,
            descriptor: &self.descriptor,
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
            // ORDERING: a lone value.
            None => f64::from_bits(self.own[index].load(Ordering::Relaxed)),
        }
    }

    /// Returns a view for [`Descriptor::expose`], which needs no interpreter any more.
    ///
    /// # Errors
    ///
    /// Fails where a kept exemplar is none.
    pub(crate) fn view(self: &Arc<Self>, py: Python<'_>) -> PyResult<View> {
        self.look(py);
        let kept: Vec<Option<Py<PyAny>>> = {
            let _section = fork::enter();
            let exemplars = self.exemplars();
            let clone = |kept: &Option<Py<PyAny>>| kept.as_ref().map(|kept| kept.clone_ref(py));
            exemplars.iter().map(clone).collect()
        };
        let convert = |kept: Option<Py<PyAny>>| match kept {
            Some(kept) => exemplar::from_python(kept.bind(py)),
            None => Ok(None),
        };
        Ok(View {
            series: Arc::clone(self),
            exemplars: kept.into_iter().map(convert).collect::<PyResult<_>>()?,
        })
    }

    /// Sets every slot to zero and replaces the created time.
    pub(crate) fn reset(&self, py: Python<'_>, created_seconds: f64) {
        self.look(py);
        if let Some(slots) = self.shared.get() {
            py.detach(|| slots.reset());
        } else {
            for cell in &self.own {
                // ORDERING: a lone value.
                cell.store(0, Ordering::Relaxed);
            }
            let taken = {
                let _section = fork::enter();
                std::mem::take(&mut *self.exemplars())
            };
            // Dropped without the lock: the end of an object may run Python code.
            drop(taken);
        }
        self.set_created_seconds(created_seconds);
    }

    /// Returns when the series was made.
    pub(crate) fn created_seconds(&self) -> f64 {
        // ORDERING: a lone value.
        f64::from_bits(self.created_bits.load(Ordering::Relaxed))
    }

    /// Replaces when the series was made.
    pub(crate) fn set_created_seconds(&self, seconds: f64) {
        // ORDERING: a lone value.
        self.created_bits
            .store(seconds.to_bits(), Ordering::Relaxed);
    }

    fn exemplars(&self) -> MutexGuard<'_, Vec<Option<Py<PyAny>>>> {
        self.exemplars
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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
        let replaced = {
            let _section = fork::enter();
            let mut exemplars = self.exemplars();
            if exemplars.len() <= index {
                exemplars.resize_with(self.own.len(), || None);
            }
            std::mem::replace(&mut exemplars[index], kept)
        };
        // Dropped without the lock: the end of an object may run Python code.
        drop(replaced);
        Ok(())
    }

    /// Returns the exemplar of a slot.
    pub(crate) fn exemplar(&self, py: Python<'_>, index: usize) -> PyResult<Option<Py<PyAny>>> {
        self.look(py);
        if let Some(slots) = self.shared.get() {
            let found = py.detach(|| slots.exemplar(index));
            return found.map(|core| exemplar::to_python(py, &core)).transpose();
        }
        let _section = fork::enter();
        let exemplars = self.exemplars();
        Ok(exemplars
            .get(index)
            .and_then(Option::as_ref)
            .map(|kept| kept.clone_ref(py)))
    }
}

/// A series whose samples are being made.
#[derive(Debug)]
pub(crate) struct View {
    series: Arc<Series>,
    exemplars: Vec<Option<Exemplar>>,
}

impl View {
    /// Appends the series' samples.
    pub(crate) fn expose(&self, created_samples: bool, samples: &mut Vec<Sample>) {
        let series = &*self.series;
        let labels = series.descriptor.label_names.iter().cloned();
        let view = SeriesView {
            labels: labels.zip(series.label_values.iter().cloned()).collect(),
            info: None,
            created_seconds: created_samples.then(|| series.created_seconds()),
            slots: self,
        };
        series.descriptor.expose(&view, samples);
    }
}

impl SlotValues for View {
    fn value(&self, index: usize) -> f64 {
        match self.series.shared.get() {
            Some(slots) => slots.get(index),
            // ORDERING: a lone value.
            None => f64::from_bits(self.series.own[index].load(Ordering::Relaxed)),
        }
    }

    fn exemplar(&self, index: usize) -> Option<Exemplar> {
        match self.series.shared.get() {
            Some(slots) => slots.exemplar(index),
            None => self.exemplars.get(index).cloned().flatten(),
        }
    }
}
