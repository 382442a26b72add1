//! All series of one metric object, in a lone process and in a directory.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use forkmeter_core::store::{SeriesHandle, SeriesId, SeriesTable};
use forkmeter_core::{Descriptor, LabelSet, MetricType};
use forkmeter_shm::SharedSlots;
use pyo3::prelude::*;

use super::Series;
use super::created::Created;
use super::members::Members;
use super::view::View;
use crate::attached::Attached;
use crate::{exemplar, keeper, mode, shared};

/// Keeps the series of one metric object, whether or not an object in Python stands for them.
///
/// They are in a table of the family's own while the process is alone. Once there is a directory the store has them, also
/// when there is none any more.
#[derive(Debug)]
pub(crate) struct Family {
    pub(super) descriptor: Arc<Descriptor>,
    table: Arc<SeriesTable>,
    is_stored: AtomicBool,
    pub(super) members: Members,
    pub(super) created: Created,
    /// Exemplars as they were given, by series and slot; few series have any, and none in a directory.
    exemplars: Attached<HashMap<(SeriesId, usize), Py<PyAny>>>,
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
            is_stored: AtomicBool::new(false),
            members: Members::default(),
            created: Created::default(),
            exemplars: Attached::default(),
            is_waiting: AtomicBool::new(false),
        })
    }

    /// Returns the metadata.
    pub(crate) fn descriptor(&self) -> &Arc<Descriptor> {
        &self.descriptor
    }

    /// Returns what has the series of a lone process.
    pub(crate) fn table(&self) -> &Arc<SeriesTable> {
        &self.table
    }

    /// Makes the family known: in the directory if there is one, otherwise once there is.
    pub(crate) fn declare(self: &Arc<Self>, py: Python<'_>) {
        if mode::is_shared() {
            self.move_values(py);
            keeper::start_keeper(py);
        } else {
            self.wait();
        }
    }

    /// Tells whether the store has the series. They move there now where that is due.
    #[inline]
    pub(super) fn is_stored(self: &Arc<Self>, py: Python<'_>) -> bool {
        // ORDERING: only threads that have the interpreter's lock come here.
        if !self.is_stored.load(Ordering::Relaxed) {
            if !mode::is_shared() {
                return false;
            }
            self.move_values(py);
        }
        true
    }

    /// Returns a series, made at the first call, in the directory if there is one. Callers pass the time, as Python
    /// tells it.
    pub(crate) fn series(
        self: &Arc<Self>,
        py: Python<'_>,
        label_values: &[&str],
        created_seconds: f64,
    ) -> Arc<Series> {
        if !self.is_stored(py) {
            let own = self.table.intern(label_values, created_seconds);
            self.wait();
            return Series::alone(self, own);
        }
        let slots = self.intern(py, label_values, LabelSet::empty);
        let of_store = slots.created_seconds();
        self.created
            .note(py, label_values, created_seconds, of_store);
        keeper::start_keeper(py);
        Series::stored(self, slots)
    }

    /// Looks up or makes a series in the store; the facts are those of a new one of an info family.
    fn intern(
        &self,
        py: Python<'_>,
        label_values: &[&str],
        facts: impl FnOnce() -> LabelSet,
    ) -> SharedSlots {
        let slots = shared::intern(py, &self.descriptor, label_values);
        self.members.add(py, label_values);
        if self.descriptor.kind == MetricType::Info && !slots.has_facts() {
            shared::set_info(py, &self.descriptor, label_values, facts());
        }
        slots
    }

    /// Adds a series that this metric had forgotten, where it is in the store.
    pub(crate) fn take_back(&self, py: Python<'_>, label_values: &[&str]) {
        if self.knows_store() {
            self.members.add(py, label_values);
        }
    }

    /// Forgets a series; its values in a directory stay.
    pub(crate) fn forget(&self, py: Python<'_>, label_values: &[&str]) -> bool {
        let was_alone = self.take_out(py, label_values, SeriesTable::remove);
        let was_stored = self.knows_store() && self.members.take_out(py, self, label_values);
        was_alone || was_stored
    }

    /// As [`Family::forget`], for a series that was removed from the directory.
    pub(crate) fn forget_removed(&self, py: Python<'_>, label_values: &[&str]) -> bool {
        let was_alone = self.take_out(py, label_values, SeriesTable::remove);
        self.members.forget(py, label_values) || was_alone
    }

    /// As [`Family::forget_removed`], for a series that is idle: who holds it while the process is alone counts on.
    pub(crate) fn expire(&self, py: Python<'_>, label_values: &[&str], now_seconds: f64) -> bool {
        let was_alone = self.take_out(py, label_values, |table, values| {
            table.expire(values, now_seconds)
        });
        self.members.forget(py, label_values) || was_alone
    }

    fn knows_store(&self) -> bool {
        // ORDERING: as in `is_stored`.
        self.is_stored.load(Ordering::Relaxed)
    }

    fn take_out(
        &self,
        py: Python<'_>,
        label_values: &[&str],
        from_table: impl FnOnce(&SeriesTable, &[&str]) -> bool,
    ) -> bool {
        self.created.forget(py, label_values.iter().copied());
        let Some(series) = self.table.find(label_values) else {
            return false;
        };
        let exemplars = self.take_exemplars(py, series.id());
        drop(series);
        let was_there = from_table(&self.table, label_values);
        // Dropped last: the end of an object may run Python code.
        drop(exemplars);
        was_there
    }

    fn wait(self: &Arc<Self>) {
        // ORDERING: as in `is_stored`.
        if !self.is_waiting.swap(true, Ordering::Relaxed) {
            shared::wait(self);
        }
    }

    /// Makes the family known in the directory, and moves the values of all series there.
    pub(crate) fn move_values(self: &Arc<Self>, py: Python<'_>) {
        // ORDERING: as in `is_stored`.
        self.is_waiting.store(false, Ordering::Relaxed);
        shared::declare(py, &self.descriptor);
        if !self.is_stored.swap(true, Ordering::Relaxed) {
            self.members.begin(py, self);
        }
        for series in self.of_table() {
            self.move_series(py, &series);
        }
    }

    /// Moves what a series counted while the process was alone to where it counts in the store.
    pub(super) fn move_series(&self, py: Python<'_>, series: &SeriesHandle) -> SharedSlots {
        let label_values = series.label_values();
        let label_values: Vec<&str> = label_values.iter().map(|value| &**value).collect();
        let slots = self.intern(py, &label_values, || series.facts());
        for index in 0..series.len() {
            // ORDERING: the swap moves each value once.
            let bits = series.cell(index).swap(0, Ordering::AcqRel);
            let value = f64::from_bits(bits);
            if value != 0.0 {
                slots.add(index, value);
            }
        }
        slots
    }

    fn of_table(&self) -> Vec<SeriesHandle> {
        let mut ids = Vec::with_capacity(self.table.len());
        self.table.for_each(|series| ids.push(series.id()));
        let series = ids.into_iter();
        series.filter_map(|id| self.table.handle(id)).collect()
    }

    fn of_store(&self, py: Python<'_>) -> Vec<SharedSlots> {
        let mut all = shared::all(py, &self.descriptor);
        all.retain(|series| self.members.has(py, series.label_values()));
        all
    }

    /// Calls `visit` with the label values of all series, in the order in which they were made, until it fails.
    pub(crate) fn visit_label_values<E>(
        self: &Arc<Self>,
        py: Python<'_>,
        mut visit: impl FnMut(&[&str]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.is_stored(py) {
            for series in self.of_store(py) {
                visit(&series.label_values().collect::<Vec<_>>())?;
            }
        } else {
            for series in self.of_table() {
                let values = series.label_values();
                visit(&values.iter().map(|value| &**value).collect::<Vec<_>>())?;
            }
        }
        Ok(())
    }

    /// Returns the number of series.
    pub(crate) fn len(self: &Arc<Self>, py: Python<'_>) -> usize {
        if self.is_stored(py) {
            self.of_store(py).len()
        } else {
            self.table.len()
        }
    }

    /// Returns about how many series there are, without waiting for anybody; nothing where that is not known now.
    pub(crate) fn len_at_once(&self) -> Option<usize> {
        if self.knows_store() {
            shared::store().count_at_once(&self.descriptor)
        } else {
            Some(self.table.len())
        }
    }

    /// Tells whether there is a series of these label values.
    pub(crate) fn has(self: &Arc<Self>, py: Python<'_>, label_values: &[&str]) -> bool {
        if self.is_stored(py) {
            let known = shared::find(py, &self.descriptor, label_values);
            known.is_some() && self.members.has(py, label_values.iter().copied())
        } else {
            self.table.find(label_values).is_some()
        }
    }

    /// Tells whether the table alone says what the family exposes.
    pub(crate) fn is_in_table(self: &Arc<Self>, py: Python<'_>) -> bool {
        !self.is_stored(py) && self.exemplars.with(py, |exemplars| exemplars.is_empty())
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
        if self.is_stored(py) {
            let view = |slots: SharedSlots| {
                let given = self.created.get(py, slots.label_values());
                let created_seconds = given.unwrap_or_else(|| slots.created_seconds());
                View::Stored {
                    slots,
                    created_seconds,
                }
            };
            return Ok(self.of_store(py).into_iter().map(view).collect());
        }
        let view = |series: SeriesHandle| {
            let given = (0..series.len()).map(|index| self.exemplar(py, series.id(), index));
            let exemplars = given
                .map(|given| match given {
                    Some(given) => exemplar::from_python(given.bind(py)),
                    None => Ok(None),
                })
                .collect::<PyResult<_>>()?;
            Ok(View::Alone { series, exemplars })
        };
        self.of_table().into_iter().map(view).collect()
    }
}
