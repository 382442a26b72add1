//! All series of one metric object, in a lone process and in a directory.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use forkmeter_core::model::{SeriesView, SlotValues};
use forkmeter_core::store::{SeriesHandle, SeriesId, SeriesTable};
use forkmeter_core::{Descriptor, Exemplar, LabelSet, MetricType, Sample};
use forkmeter_shm::SharedSlots;
use pyo3::prelude::*;

use super::Series;
use crate::attached::Attached;
use crate::{exemplar, keeper, mode, shared};

/// Keeps the series of one metric object, whether or not an object in Python stands for them.
///
/// A series has its values in the table while the process is alone. Once there is a directory they move there, and the
/// table only knows of the series.
#[derive(Debug)]
pub(crate) struct Family {
    descriptor: Arc<Descriptor>,
    table: Arc<SeriesTable>,
    /// Where the series count that moved into a directory, by their numbers in the table; of those alone that are in it.
    moved: Attached<Vec<Option<SharedSlots>>>,
    /// Exemplars as they were given, by series and slot; few series have any, and none in a directory.
    exemplars: Attached<HashMap<(SeriesId, usize), Py<PyAny>>>,
    /// How many series the store had forgotten when none of the family was among them.
    forgotten_before: Attached<u64>,
    /// Whether the family is among those that move once there is a directory.
    is_waiting: AtomicBool,
}

impl Family {
    /// Makes a family without series; nobody knows of it yet.
    pub(crate) fn new(descriptor: Arc<Descriptor>) -> Arc<Self> {
        let table = SeriesTable::new(descriptor.label_names.len(), descriptor.slot_count());
        Arc::new(Self {
            descriptor,
            table,
            moved: Attached::default(),
            exemplars: Attached::default(),
            forgotten_before: Attached::default(),
            is_waiting: AtomicBool::new(false),
        })
    }

    /// Returns the metadata.
    pub(crate) fn descriptor(&self) -> &Arc<Descriptor> {
        &self.descriptor
    }

    /// Returns what knows of all series, and has the values of a lone process.
    pub(crate) fn table(&self) -> &Arc<SeriesTable> {
        &self.table
    }

    /// Makes the family known: in the directory if there is one, otherwise once there is.
    pub(crate) fn declare(self: &Arc<Self>, py: Python<'_>) {
        if mode::is_shared() {
            shared::declare(py, &self.descriptor);
            keeper::start_keeper(py);
        } else {
            self.wait();
        }
    }

    /// Returns a series, made at the first call, in the directory if there is one. Callers pass the time, as Python
    /// tells it.
    pub(crate) fn series(
        self: &Arc<Self>,
        py: Python<'_>,
        label_values: &[&str],
        created_seconds: f64,
    ) -> Arc<Series> {
        let series = Series::new(self, self.table.intern(label_values, created_seconds));
        if series.find_values(py) {
            // It stays where it moved, also when there is no directory any more.
        } else if mode::is_shared() {
            series.move_values(py, Some(label_values));
            keeper::start_keeper(py);
        } else {
            self.wait();
        }
        series
    }

    /// Forgets a series; its values in a directory stay.
    pub(crate) fn forget(&self, py: Python<'_>, label_values: &[&str]) -> bool {
        self.take_out(py, label_values, SeriesTable::remove)
    }

    /// As [`Family::forget`], for a series that is idle: who holds it while the process is alone counts on.
    pub(crate) fn expire(&self, py: Python<'_>, label_values: &[&str], now_seconds: f64) -> bool {
        self.take_out(py, label_values, |table, values| {
            table.expire(values, now_seconds)
        })
    }

    fn take_out(
        &self,
        py: Python<'_>,
        label_values: &[&str],
        from_table: impl FnOnce(&SeriesTable, &[&str]) -> bool,
    ) -> bool {
        let Some(series) = self.table.find(label_values) else {
            return false;
        };
        let id = series.id();
        let slots = self
            .moved
            .with(py, |moved| moved.get_mut(id.index())?.take());
        let exemplars = self.take_exemplars(py, id);
        drop(series);
        let was_there = match &slots {
            // Who holds it counts in the directory.
            Some(_) => self.table.remove(label_values),
            None => from_table(&self.table, label_values),
        };
        // Dropped last: the end of an object may run Python code.
        drop((slots, exemplars));
        was_there
    }

    /// Returns the series that moved into the directory and that another worker removed there.
    ///
    /// All are looked at only where the store has forgotten any since there were none.
    pub(crate) fn forgotten(&self, py: Python<'_>) -> Vec<SeriesHandle> {
        let so_far = SharedSlots::forgotten_so_far();
        if so_far == self.forgotten_before.get(py) {
            return Vec::new();
        }
        let is_forgotten = |slots: &Option<SharedSlots>| {
            let slots = slots.as_ref();
            slots.is_some_and(|slots| slots.is_forgotten())
        };
        let ids: HashSet<usize> = self.moved.with(py, |moved| {
            let numbered = moved.iter().enumerate();
            let forgotten = numbered.filter(|(_, slots)| is_forgotten(slots));
            forgotten.map(|(id, _)| id).collect()
        });
        if ids.is_empty() {
            self.forgotten_before.replace(py, so_far);
            return Vec::new();
        }
        let mut all = self.all();
        all.retain(|series| ids.contains(&series.id().index()));
        all
    }

    fn wait(self: &Arc<Self>) {
        // ORDERING: only threads that have the interpreter's lock come here.
        if !self.is_waiting.swap(true, Ordering::Relaxed) {
            shared::wait(self);
        }
    }

    /// Makes the family known in the directory, and moves the values of all series there.
    pub(crate) fn move_values(self: &Arc<Self>, py: Python<'_>) {
        // ORDERING: as in `wait`.
        self.is_waiting.store(false, Ordering::Relaxed);
        shared::declare(py, &self.descriptor);
        for series in self.all() {
            self.slots(py, &series, None);
        }
    }

    /// Returns all series.
    pub(crate) fn all(&self) -> Vec<SeriesHandle> {
        let mut ids = Vec::with_capacity(self.table.len());
        self.table.for_each(|series| ids.push(series.id()));
        let series = ids.into_iter();
        series.filter_map(|id| self.table.handle(id)).collect()
    }

    /// Returns where a series counts in the directory. Its values move there at the first call.
    ///
    /// Callers that know the label values pass them, so that they are not asked for.
    pub(super) fn slots(
        &self,
        py: Python<'_>,
        series: &SeriesHandle,
        label_values: Option<&[&str]>,
    ) -> SharedSlots {
        if let Some(slots) = self.known_slots(py, series.id()) {
            return slots;
        }
        let id = series.id().index();
        let own = label_values.is_none().then(|| series.label_values());
        let own: Vec<&str> = own.iter().flatten().map(|value| &**value).collect();
        let label_values = label_values.unwrap_or(&own);
        let slots = shared::intern(py, &self.descriptor, label_values);
        // From here on nothing lets other threads run, so no value is counted between the move and the switch.
        let (slots, is_first) = self.moved.with(py, |moved| {
            if let Some(slots) = moved.get(id).cloned().flatten() {
                // Another thread was faster.
                return (slots, false);
            }
            for index in 0..series.len() {
                let cell = series.cell(index);
                // ORDERING: a look; few have a value here.
                if cell.load(Ordering::Relaxed) == 0 {
                    continue;
                }
                // ORDERING: the swap moves each value once.
                let value = f64::from_bits(cell.swap(0, Ordering::AcqRel));
                if value != 0.0 {
                    slots.add(index, value);
                }
            }
            if !series.is_removed() {
                if moved.len() <= id {
                    moved.resize(id + 1, None);
                }
                moved[id] = Some(slots.clone());
            }
            (slots, true)
        });
        if slots.is_forgotten() {
            // It was while nobody could find it here; `forgotten` looks again.
            self.forgotten_before.replace(py, u64::MAX);
        }
        if is_first && self.descriptor.kind == MetricType::Info {
            shared::set_info(py, &self.descriptor, label_values, series.facts());
        }
        slots
    }

    /// Returns where a series counts that moved into a directory.
    pub(super) fn known_slots(&self, py: Python<'_>, series: SeriesId) -> Option<SharedSlots> {
        let find = |moved: &mut Vec<_>| moved.get(series.index()).cloned().flatten();
        self.moved.with(py, find)
    }

    /// Tells whether the table alone says what the family exposes.
    pub(crate) fn is_in_table(&self, py: Python<'_>) -> bool {
        self.moved
            .with(py, |moved| moved.iter().all(Option::is_none))
            && self.exemplars.with(py, |exemplars| exemplars.is_empty())
    }

    /// Returns the exemplar of a slot of a lone process, as it was given.
    pub(super) fn exemplar(
        &self,
        py: Python<'_>,
        series: SeriesId,
        index: usize,
    ) -> Option<Py<PyAny>> {
        self.exemplars.with(py, |exemplars| {
            let kept = exemplars.get(&(series, index));
            kept.map(|kept| kept.clone_ref(py))
        })
    }

    /// Replaces the exemplar of a slot of a lone process.
    pub(super) fn set_exemplar(
        &self,
        py: Python<'_>,
        series: SeriesId,
        index: usize,
        given: Option<Py<PyAny>>,
    ) {
        let key = (series, index);
        let replaced = self.exemplars.with(py, |exemplars| match given {
            Some(given) => exemplars.insert(key, given),
            None => exemplars.remove(&key),
        });
        // Dropped outside: the end of an object may run Python code.
        drop(replaced);
    }

    /// Takes all exemplars of a series, for the caller to drop where Python code may run.
    pub(super) fn take_exemplars(&self, py: Python<'_>, series: SeriesId) -> Vec<Py<PyAny>> {
        self.exemplars.with(py, |exemplars| {
            if exemplars.is_empty() {
                return Vec::new();
            }
            let is_of = |(id, _): &(SeriesId, usize), _: &mut Py<PyAny>| *id == series;
            exemplars.extract_if(is_of).map(|(_, kept)| kept).collect()
        })
    }

    /// Returns views of all series for [`Descriptor::expose`], which need no interpreter any more.
    ///
    /// # Errors
    ///
    /// Fails where a kept exemplar is none.
    pub(crate) fn views(self: &Arc<Self>, py: Python<'_>) -> PyResult<Vec<View>> {
        self.all()
            .into_iter()
            .map(|series| {
                let id = series.id();
                let given = (0..series.len()).map(|index| self.exemplar(py, id, index));
                let exemplars = given
                    .map(|given| match given {
                        Some(given) => exemplar::from_python(given.bind(py)),
                        None => Ok(None),
                    })
                    .collect::<PyResult<_>>()?;
                Ok(View {
                    slots: self.known_slots(py, id),
                    series,
                    exemplars,
                })
            })
            .collect()
    }
}

/// A series whose samples are being made.
#[derive(Debug)]
pub(crate) struct View {
    series: SeriesHandle,
    slots: Option<SharedSlots>,
    exemplars: Vec<Option<Exemplar>>,
}

impl View {
    /// Appends the series' samples.
    pub(crate) fn expose(
        &self,
        descriptor: &Descriptor,
        created_samples: bool,
        samples: &mut Vec<Sample>,
    ) {
        let names = descriptor.label_names.iter().cloned();
        let labels: LabelSet = names.zip(self.series.label_values()).collect();
        let view = SeriesView {
            labels,
            info: None,
            created_seconds: created_samples.then(|| self.series.created_seconds()),
            slots: self,
        };
        descriptor.expose(&view, samples);
    }
}

impl SlotValues for View {
    fn value(&self, index: usize) -> f64 {
        match &self.slots {
            Some(slots) => slots.get(index),
            None => self.series.get(index),
        }
    }

    fn exemplar(&self, index: usize) -> Option<Exemplar> {
        match &self.slots {
            Some(slots) => slots.exemplar(index),
            None => self.exemplars.get(index).cloned().flatten(),
        }
    }
}
