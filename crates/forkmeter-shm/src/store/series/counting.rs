//! Counting through a handle: the hot path, and what it does when something changed.

use std::sync::atomic::{AtomicU64, Ordering};

use forkmeter_core::store::{Slots, add_to_cell};
use forkmeter_core::{Exemplar, Timestamp, fork};

use super::epoch::has_moved_since;
use super::expired::Presence;
use super::marks::add_to_gauge;
use super::{Kind, Series};
use crate::layout;
use crate::map::timestamp_of;

/// How often to look where values were moved to: a handle that outlives its store finds out nothing.
const MAX_LOOKS: u32 = 8;

impl Series {
    /// Returns the cell of a slot after a look whether anything changed.
    #[inline]
    fn cell(&self, index: usize) -> &AtomicU64 {
        let (known, is_now) = self.cells.epoch().look();
        if !is_now && !self.look_again() {
            return self.cell_until_later(index, known);
        }
        let cell = &self.cells[index];
        cell.place.get().unwrap_or(&cell.kept)
    }

    /// Tells whether it could: a signal handler may have interrupted whoever holds the lock.
    #[cold]
    fn look_again(&self) -> bool {
        self.look(false)
    }

    /// Looks where the cells are, once deleted files were made again if so asked; tells as [`Series::look_again`].
    fn look(&self, repairs: bool) -> bool {
        let Some(store) = self.store.upgrade() else {
            return true;
        };
        let Some(_section) = fork::try_enter() else {
            return false;
        };
        let mut state = store.lock();
        if repairs {
            state.repair();
        }
        state.look_again(&store, self);
        true
    }

    /// Returns where a slot is counted until somebody may look again: where it is, if only forks came in between and
    /// the slot is everybody's, and otherwise in memory, from where it moves. Takes no lock and allocates nothing.
    #[cold]
    fn cell_until_later(&self, index: usize, known: u32) -> &AtomicU64 {
        let is_everybodys = matches!(self.kind(), Kind::Shared | Kind::State);
        if let Some(cell) = self.cells[index].place.get()
            && is_everybodys
            && !has_moved_since(known)
        {
            return cell;
        }
        self.cell_of_late_counts(index)
    }

    /// Returns the cell in memory, and has the store look there.
    fn cell_of_late_counts(&self, index: usize) -> &AtomicU64 {
        if let Some(store) = self.store.upgrade() {
            // ORDERING: a hint; what is counted after it was taken back is seen at the next look at the series.
            store.has_late_counts.store(true, Ordering::Relaxed);
        }
        &self.cells[index].kept
    }

    fn add_to_gauge(&self, index: usize, delta: f64) {
        for _ in 0..=MAX_LOOKS {
            let cell = self.cell(index);
            if add_to_gauge(cell, delta) {
                return self.stamp_gauge(cell);
            }
            if !self.look_for_move() {
                return add_to_cell(self.cell_of_late_counts(index), delta);
            }
        }
    }

    /// Sets a state, which another worker may have moved to a new file.
    fn set_state(&self, index: usize, value: f64) {
        for _ in 0..MAX_LOOKS {
            let cell = self.cell(index);
            // ORDERING: a lone value.
            let before = cell.swap(value.to_bits(), Ordering::Relaxed);
            if before != layout::MOVED_GAUGE_BITS {
                if value == 0.0 {
                    self.bring_back_state(index, cell);
                }
                break;
            }
            if !self.look_for_move() {
                let late = self.cell_of_late_counts(index);
                // ORDERING: as above.
                late.store(value.to_bits(), Ordering::Relaxed);
                break;
            }
        }
    }

    /// Takes the mark of a removed series away, which the first state does not outweigh.
    fn bring_back_state(&self, index: usize, changed: &AtomicU64) {
        if let Some(cell) = self.cells[index].place.get()
            && std::ptr::eq(cell, changed)
        {
            // ORDERING: a lone value.
            let created = f64::from_bits(timestamp_of(cell).load(Ordering::Relaxed));
            timestamp_of(cell).store(created.abs().to_bits(), Ordering::Relaxed);
        }
    }

    /// Finds out where the values were moved to; tells whether it could, as [`Series::look_again`]. Whoever moved them
    /// holds the store's lock until the handle is turned, or is another process.
    #[cold]
    fn look_for_move(&self) -> bool {
        self.look(self.kind() == Kind::State)
    }

    /// Writes down when a `mostrecent` gauge changed; nothing where it was counted in memory.
    pub(super) fn stamp_gauge(&self, changed: &AtomicU64) {
        if self.kind() == Kind::MostRecentGauge
            && let Some(cell) = self.cells[0].place.get()
            && std::ptr::eq(cell, changed)
        {
            // ORDERING: a reader that sees a new value with an old time sees the new time at its next read.
            timestamp_of(cell).store(self.now().to_bits(), Ordering::Relaxed);
        }
    }
}

/// Shows what memory holds of a series, and not what its files do.
#[derive(Debug)]
pub(in crate::store) struct InMemory<'a>(pub(in crate::store) &'a Series);

impl Slots for InMemory<'_> {
    fn len(&self) -> usize {
        self.0.cells.len()
    }
    fn add(&self, _: usize, _: f64) {}
    fn set(&self, _: usize, _: f64) {}
    fn get(&self, index: usize) -> f64 {
        self.0.kept(index)
    }
    fn set_exemplar(&self, _: usize, _: Exemplar) {}
    fn exemplar(&self, index: usize) -> Option<Exemplar> {
        self.0.extra().kept_exemplar(index)
    }
    fn created_seconds(&self) -> f64 {
        self.0.kept_created_seconds()
    }
    fn reset(&self) {}
}

impl Slots for Series {
    fn len(&self) -> usize {
        self.cells.len()
    }

    #[inline]
    fn add(&self, index: usize, delta: f64) {
        if self.kind() == Kind::Shared {
            add_to_cell(self.cell(index), delta);
        } else {
            self.add_to_gauge(index, delta);
        }
    }

    fn set(&self, index: usize, value: f64) {
        let store = || {
            let cell = self.cell(index);
            // ORDERING: a lone value.
            cell.store(value.to_bits(), Ordering::Relaxed);
            cell
        };
        match self.kind() {
            Kind::Shared | Kind::Gauge => {
                store();
            }
            Kind::MostRecentGauge => self.stamp_gauge(store()),
            Kind::State => self.set_state(index, value),
        }
    }

    fn get(&self, index: usize) -> f64 {
        let mut cell = self.cell(index);
        // ORDERING: lone values.
        let mut value = f64::from_bits(cell.load(Ordering::Relaxed));
        let mut looks = 0..MAX_LOOKS;
        while value.to_bits() == layout::MOVED_GAUGE_BITS
            && looks.next().is_some()
            && self.look_for_move()
        {
            cell = self.cell(index);
            // ORDERING: as above.
            value = f64::from_bits(cell.load(Ordering::Relaxed));
        }
        let kept = &self.cells[index].kept;
        if self.kind() == Kind::Shared
            && !self.is_removed()
            // A signal handler is told what the newest segment holds.
            && let Some(_section) = fork::enter_unless_handling()
        {
            let store = self.store.upgrade();
            let total = store.and_then(|store| store.lock().total(self, index));
            let here = if std::ptr::eq(cell, kept) { 0.0 } else { value };
            return total.unwrap_or(here) + self.kept(index);
        }
        if self.kind() == Kind::Shared && !std::ptr::eq(cell, kept) {
            return value + f64::from_bits(kept.load(Ordering::Relaxed));
        }
        if layout::is_removed_gauge(value) || layout::is_moved_gauge(value) {
            0.0
        } else {
            value
        }
    }

    fn set_exemplar(&self, index: usize, exemplar: Exemplar) {
        let _section = fork::enter();
        let timestamp = exemplar
            .timestamp
            .or_else(|| Some(Timestamp::Seconds(self.now())));
        let exemplar = Exemplar {
            timestamp,
            ..exemplar
        };
        let written = self
            .store
            .upgrade()
            .filter(|_| !self.is_removed())
            .is_some_and(|store| store.lock().set_exemplar(self, index, exemplar.clone()));
        let mut extra = self.extra();
        // Most are written, and then there is nothing to keep nor, mostly, to forget.
        if !written || extra.rare.is_some() {
            let kept = &mut extra.rare().kept_exemplars;
            kept.resize(self.cells.len(), None);
            kept[index] = (!written).then_some(exemplar);
        }
    }

    fn exemplar(&self, index: usize) -> Option<Exemplar> {
        let _section = fork::enter();
        let store = self.store.upgrade().filter(|_| !self.is_removed());
        let written = store.and_then(|store| store.lock().exemplar(self, index));
        written.or_else(|| self.extra().kept_exemplar(index))
    }

    fn created_seconds(&self) -> f64 {
        // ORDERING: lone values.
        let cell = self.cells.first().and_then(|cell| cell.place.get());
        let bits = match cell.filter(|_| self.kind() == Kind::Shared) {
            Some(cell) => timestamp_of(cell).load(Ordering::Relaxed),
            None => self.kept_created_bits.load(Ordering::Relaxed),
        };
        f64::from_bits(bits).abs()
    }

    fn reset(&self) {
        let now = self.now().to_bits();
        for index in 0..self.cells.len() {
            let cell = self.cell(index);
            // ORDERING: lone values.
            cell.store(0, Ordering::Relaxed);
            self.cells[index].kept.store(0, Ordering::Relaxed);
            if let Some(cell) = self.cells[index]
                .place
                .get()
                .filter(|_| self.kind() == Kind::Shared)
            {
                timestamp_of(cell).store(now, Ordering::Relaxed);
            }
        }
        // ORDERING: as above.
        self.kept_created_bits.store(now, Ordering::Relaxed);
        let _section = fork::enter();
        if let Some(store) = self.store.upgrade().filter(|_| !self.is_removed()) {
            let mut state = store.lock();
            state.reset_others(self);
            state.clear_exemplars(self);
        }
        if let Some(rare) = &mut self.extra().rare {
            rare.kept_exemplars.clear();
        }
    }

    fn is_forgotten(&self) -> bool {
        self.is(Presence::Forgotten)
    }
}
