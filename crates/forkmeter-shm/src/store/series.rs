//! A handle to the slots of one series, wherever they are at the moment.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use forkmeter_core::model::MergeRule;
use forkmeter_core::store::{Slots, add_to_cell};
use forkmeter_core::{Descriptor, Exemplar, LabelSet, MetricType, Timestamp, fork};

use super::Shared;
use crate::directory::{DRAIN, Place, is_shared};
use crate::layout;
use crate::map::{CellRef, timestamp_of};
use crate::process;
use crate::segment::{Found, Held};
use crate::side::exemplars::SlotId;

/// How often to look where values were moved to: a handle that outlives its store finds out nothing.
const MAX_LOOKS: u32 = 8;

/// Holds the slots of one series: in a mapped file where it is published, in its own memory where not.
///
/// The memory cells stay when it is published. A thread that was about to count there then still does, and the
/// next look of the store moves what it counted.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) descriptor: Arc<Descriptor>,
    pub(super) label_values: Box<[Arc<str>]>,
    pub(super) labels: LabelSet,
    store: Weak<Shared>,
    kind: Kind,
    /// The epoch in which `cells` was looked up.
    epoch: AtomicU64,
    cells: Box<[CellRef]>,
    kept: Box<[AtomicU64]>,
    kept_created_bits: AtomicU64,
    is_removed: AtomicBool,
    is_kept: AtomicBool,
    /// Whether the segment of the cells was sealed, so that they are looked up anew before they are counted in.
    is_left: AtomicBool,
    extra: Mutex<Extra>,
    this: Weak<Series>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Shared,
    Gauge,
    MostRecentGauge,
    State,
}

/// Is what few series have.
#[derive(Debug, Default)]
pub(super) struct Extra {
    pub(super) info: Option<LabelSet>,
    pub(super) value_offsets: Vec<u64>,
    pub(super) segment_inode: u64,
    mapping: Option<Arc<Held>>,
    left: Vec<Left>,
    kept_exemplars: Vec<Option<Exemplar>>,
}

/// Is a cell that the series was taken out of: a handle that read where it is may still count there.
#[derive(Debug)]
struct Left {
    index: usize,
    cell: &'static AtomicU64,
    _mapping: Option<Arc<Held>>,
    since: Instant,
}

impl Series {
    pub(super) fn new(
        store: &Arc<Shared>,
        descriptor: &Arc<Descriptor>,
        label_values: Box<[Arc<str>]>,
    ) -> Arc<Self> {
        let count = descriptor.slot_count();
        let labels = descriptor
            .label_names
            .iter()
            .cloned()
            .zip(label_values.iter().cloned())
            .collect();
        let kind = match descriptor.kind {
            _ if is_shared(descriptor) => Kind::Shared,
            MetricType::StateSet => Kind::State,
            _ if descriptor.mode.rule() == MergeRule::MostRecent => Kind::MostRecentGauge,
            _ => Kind::Gauge,
        };
        Arc::new_cyclic(|this| Self {
            labels,
            descriptor: Arc::clone(descriptor),
            label_values,
            store: Arc::downgrade(store),
            kind,
            epoch: AtomicU64::new(process::epoch()),
            cells: (0..count).map(|_| CellRef::default()).collect(),
            kept: (0..count).map(|_| AtomicU64::new(0)).collect(),
            kept_created_bits: AtomicU64::new((store.options.clock)().to_bits()),
            is_removed: AtomicBool::new(false),
            is_kept: AtomicBool::new(false),
            is_left: AtomicBool::new(false),
            extra: Mutex::default(),
            this: this.clone(),
        })
    }

    /// Returns the handle that everybody has.
    pub(super) fn this(&self) -> Option<Arc<Self>> {
        self.this.upgrade()
    }

    /// Tells whether the series stands in a file.
    pub(super) fn is_published(&self) -> bool {
        self.cells.iter().all(|cell| cell.get().is_some())
    }

    /// Remembers whether the store lists the series as kept in memory, and returns what it remembered.
    pub(super) fn list_as_kept(&self, is_kept: bool) -> bool {
        // ORDERING: read and written under the store's lock only.
        self.is_kept.swap(is_kept, Ordering::Relaxed)
    }

    /// Takes the value that memory holds for a slot, leaving zero.
    pub(super) fn take_kept(&self, index: usize) -> f64 {
        // ORDERING: the swap makes sure that each counted value is moved once.
        f64::from_bits(self.kept[index].swap(0, Ordering::AcqRel))
    }

    /// Forgets what memory holds: it is the parent's, or belongs to another directory.
    pub(super) fn forget_kept(&self) {
        for cell in &self.kept {
            // ORDERING: a lone value.
            cell.store(0, Ordering::Relaxed);
        }
    }

    /// Tells whether memory holds anything.
    pub(super) fn has_kept(&self) -> bool {
        // ORDERING: lone values.
        let mut kept = self.kept.iter();
        kept.any(|cell| cell.load(Ordering::Relaxed) != 0)
    }

    /// Points the handle to where the series stands now, and moves there what memory holds.
    pub(super) fn publish(&self, place: &Place) {
        // ORDERING: read and written under the store's lock only.
        let is_asked_for = !self.is_left.swap(false, Ordering::Relaxed);
        self.turn(place);
        if place.slots.iter().all(|found| !found.is_new) {
            if is_asked_for {
                self.revive();
            }
        } else if place.slots.iter().any(Found::has_value) {
            // It starts with a value that was set before it had a place.
            self.stamp_gauge(place.slots[0].cell);
        }
        self.move_kept();
    }

    /// Moves into the file what memory holds, and what was counted late where the series was before.
    pub(super) fn move_kept(&self) {
        self.extra().left.retain(|left| {
            // ORDERING: the swap makes sure that each counted value is moved once.
            let value = f64::from_bits(left.cell.swap(0, Ordering::AcqRel));
            add_to_cell(&self.kept[left.index], value);
            left.since.elapsed() < DRAIN
        });
        for (index, cell) in self.cells.iter().enumerate() {
            let Some(cell) = cell.get() else { continue };
            // ORDERING: a look; the swap in `take_kept` decides.
            if self.kept[index].load(Ordering::Relaxed) == 0 {
                continue;
            }
            let value = self.take_kept(index);
            match self.kind {
                Kind::Shared => add_to_cell(cell, value),
                Kind::Gauge | Kind::MostRecentGauge => {
                    // Moves are made under the store's lock, which the caller holds.
                    let _ = add_to_gauge(cell, value);
                    self.stamp_gauge(cell);
                }
                // ORDERING: a lone value.
                Kind::State => cell.store(value.to_bits(), Ordering::Relaxed),
            }
        }
    }

    /// Lets the handle look up its cells anew before it counts: their segment was sealed.
    pub(super) fn start_leaving(&self) {
        let created = self.created_seconds();
        // ORDERING: a lone value.
        self.kept_created_bits
            .store(created.to_bits(), Ordering::Relaxed);
        // ORDERING: as in `publish`.
        self.is_left.store(true, Ordering::Relaxed);
    }

    /// Tells whether the series has to be looked up anew because its segment was sealed.
    pub(super) fn is_left(&self) -> bool {
        // ORDERING: as in `publish`.
        self.is_left.load(Ordering::Relaxed)
    }

    /// Lets go of the cells in a sealed segment, where they are not looked up anew yet. What they hold stays.
    pub(super) fn leave(&self) {
        for cell in &self.cells {
            cell.turn(None);
        }
        let mut extra = self.extra();
        extra.value_offsets.clear();
        extra.segment_inode = 0;
        extra.mapping = None;
    }

    /// Points the handle to where its values were moved to.
    pub(super) fn turn(&self, place: &Place) {
        for (cell, found) in self.cells.iter().zip(&place.slots) {
            cell.turn(Some(found.cell));
        }
        self.remember(place);
    }

    fn remember(&self, place: &Place) {
        let mut extra = self.extra();
        extra.value_offsets = place.slots.iter().map(|found| found.value_offset).collect();
        extra.segment_inode = place.slots.first().map_or(0, |found| found.segment_inode);
        extra.mapping = Some(Arc::clone(&place.mapping));
    }

    /// Returns the inode of the segment in which the series stands; 0 where there is none.
    pub(super) fn segment_inode(&self) -> u64 {
        self.extra().segment_inode
    }

    /// Tells whether the slots are those of a series that was removed and not counted on since.
    pub(super) fn is_marked_removed(&self) -> bool {
        self.cells.iter().filter_map(CellRef::get).all(is_removed)
    }

    /// Returns what memory holds of a slot.
    pub(super) fn kept(&self, index: usize) -> f64 {
        // ORDERING: a lone value.
        f64::from_bits(self.kept[index].load(Ordering::Relaxed))
    }

    /// Takes the series back out of its file, values included: the file was deleted.
    ///
    /// A shared slot is emptied, so that of all workers that do this each value is taken by one.
    pub(super) fn withdraw(&self) {
        // ORDERING: as in `publish`.
        self.is_left.store(false, Ordering::Relaxed);
        let mapping = self.extra().mapping.take();
        // A gauge's file may still be there, where a zero would count.
        let nothing = match self.kind {
            Kind::Gauge | Kind::MostRecentGauge => layout::REMOVED_GAUGE_BITS,
            Kind::Shared | Kind::State => 0,
        };
        for (index, (cell, kept)) in self.cells.iter().zip(&self.kept).enumerate() {
            let Some(before) = cell.turn(None) else {
                continue;
            };
            if self.kind == Kind::Shared {
                let created = timestamp_of(before);
                // ORDERING: lone values.
                let created = f64::from_bits(created.load(Ordering::Relaxed)).abs();
                self.kept_created_bits
                    .store(created.to_bits(), Ordering::Relaxed);
                self.extra().left.push(Left {
                    index,
                    cell: before,
                    _mapping: mapping.clone(),
                    since: Instant::now(),
                });
            }
            // ORDERING: the swap makes sure that each counted value is moved once.
            let value = f64::from_bits(before.swap(nothing, Ordering::AcqRel));
            match self.kind {
                Kind::Gauge | Kind::MostRecentGauge if layout::is_removed_gauge(value) => {}
                // Its values are in a new file.
                _ if layout::is_moved_gauge(value) => {}
                // ORDERING: a lone value.
                Kind::State => kept.store(value.to_bits(), Ordering::Relaxed),
                _ => add_to_cell(kept, value),
            }
        }
    }

    /// Tells whether the series was taken out of its file, by whoever did it, and what was counted there since.
    pub(super) fn is_taken_out(&self) -> (bool, bool) {
        let mut is_removed = self.is_published();
        let mut has_value = false;
        for cell in self.cells.iter().filter_map(CellRef::get) {
            // ORDERING: lone values.
            let bits = cell.load(Ordering::Relaxed);
            let timestamp = f64::from_bits(timestamp_of(cell).load(Ordering::Relaxed));
            let is_gauge = matches!(self.kind, Kind::Gauge | Kind::MostRecentGauge);
            let removed = bits == layout::REMOVED_GAUGE_BITS;
            is_removed &= if is_gauge { removed } else { timestamp < 0.0 };
            has_value |= bits != 0 && !removed;
        }
        (is_removed, has_value)
    }

    /// Starts over as a series of now: its file was deleted, which is a reset.
    pub(super) fn start_anew(&self) {
        self.start_over();
        self.forget_kept();
        // ORDERING: a lone value.
        self.kept_created_bits
            .store(self.now().to_bits(), Ordering::Relaxed);
    }

    /// Lets go of the file and of what was counted there: the store moved to another directory, or this is a child and
    /// the values are the parent's. What memory holds was counted since, by a signal handler.
    pub(super) fn start_over(&self) {
        for cell in &self.cells {
            cell.turn(None);
        }
        // ORDERING: as in `publish`.
        self.is_left.store(false, Ordering::Relaxed);
        let mut extra = self.extra();
        *extra = Extra {
            info: extra.info.take(),
            ..Extra::default()
        };
    }

    /// Points the handle to memory of its own, for ever, and marks its shared slots: the series was removed.
    pub(super) fn remove(&self) {
        // ORDERING: read under the store's lock only.
        self.is_removed.store(true, Ordering::Relaxed);
        let now = self.now();
        for (cell, kept) in self.cells.iter().zip(&self.kept) {
            let before = cell.turn(None);
            // ORDERING: lone values.
            kept.store(0, Ordering::Relaxed);
            if matches!(self.kind, Kind::Shared | Kind::State)
                && let Some(before) = before
            {
                mark_slot_removed(before, now);
            }
        }
        *self.extra() = Extra::default();
    }

    /// Returns where the slot stands in which file.
    pub(super) fn slot_in_file(&self, index: usize) -> Option<SlotId> {
        let extra = self.extra();
        Some(SlotId {
            inode: extra.segment_inode,
            value_offset: *extra.value_offsets.get(index)?,
        })
    }

    /// Takes the removed mark from the slots: somebody asked for the series again.
    fn revive(&self) {
        for cell in self.cells.iter().filter_map(CellRef::get) {
            let timestamp = timestamp_of(cell);
            // ORDERING: lone values.
            let relaxed = Ordering::Relaxed;
            if matches!(self.kind, Kind::Gauge | Kind::MostRecentGauge) {
                let removed = layout::REMOVED_GAUGE_BITS;
                if cell.compare_exchange(removed, 0, relaxed, relaxed).is_ok() {
                    timestamp.store(0, relaxed);
                }
            } else if f64::from_bits(timestamp.load(Ordering::Relaxed)) < 0.0 {
                timestamp.store(self.now().to_bits(), Ordering::Relaxed);
            }
        }
    }

    /// Returns when the series was made, as this process knows.
    pub(super) fn kept_created_seconds(&self) -> f64 {
        // ORDERING: a lone value.
        f64::from_bits(self.kept_created_bits.load(Ordering::Relaxed))
    }

    pub(super) fn is_removed(&self) -> bool {
        // ORDERING: read under the store's lock only.
        self.is_removed.load(Ordering::Relaxed)
    }

    /// Remembers that the cells are those of now.
    pub(super) fn set_epoch(&self, epoch: u64) {
        // ORDERING: a stale value costs one more look.
        self.epoch.store(epoch, Ordering::Relaxed);
    }

    pub(super) fn extra(&self) -> std::sync::MutexGuard<'_, Extra> {
        self.extra.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> f64 {
        self.store
            .upgrade()
            .map_or_else(process::unix_seconds, |store| (store.options.clock)())
    }

    /// Returns the cell of a slot after a look whether anything changed.
    #[inline]
    fn cell(&self, index: usize) -> &AtomicU64 {
        // ORDERING: a hint; see `process::epoch`.
        let known = self.epoch.load(Ordering::Relaxed);
        if known != process::epoch() && !self.look_again() {
            return self.cell_until_later(index, known);
        }
        self.cells[index].get().unwrap_or(&self.kept[index])
    }

    /// Tells whether it could: a signal handler may have interrupted whoever holds the lock.
    #[cold]
    fn look_again(&self) -> bool {
        let Some(store) = self.store.upgrade() else {
            return true;
        };
        let Some(_section) = fork::try_enter() else {
            return false;
        };
        let mut state = store.lock();
        state.look_again(&store, self);
        true
    }

    /// Returns where a slot is counted until somebody may look again: where it is, if only forks came in between and
    /// the slot is everybody's, and otherwise in memory, from where it moves. Takes no lock and allocates nothing.
    #[cold]
    fn cell_until_later(&self, index: usize, known: u64) -> &AtomicU64 {
        let is_everybodys = matches!(self.kind, Kind::Shared | Kind::State);
        if let Some(cell) = self.cells[index].get()
            && is_everybodys
            && !process::has_moved_since(known)
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
        &self.kept[index]
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
            // ORDERING: a lone value.
            let before = self.cell(index).swap(value.to_bits(), Ordering::Relaxed);
            if before != layout::MOVED_GAUGE_BITS {
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

    /// Finds out where the values were moved to; tells whether it could, as [`Series::look_again`]. Whoever moved them
    /// holds the store's lock until the handle is turned, or is another process.
    #[cold]
    fn look_for_move(&self) -> bool {
        let Some(store) = self.store.upgrade() else {
            return true;
        };
        let Some(_section) = fork::try_enter() else {
            return false;
        };
        let mut state = store.lock();
        if self.kind == Kind::State {
            state.repair();
        }
        state.look_again(&store, self);
        true
    }

    /// Writes down when a `mostrecent` gauge changed; nothing where it was counted in memory.
    fn stamp_gauge(&self, changed: &AtomicU64) {
        if self.kind == Kind::MostRecentGauge
            && let Some(cell) = self.cells[0].get()
            && std::ptr::eq(cell, changed)
        {
            // ORDERING: a reader that sees a new value with an old time sees the new time at its next read.
            timestamp_of(cell).store(self.now().to_bits(), Ordering::Relaxed);
        }
    }
}

/// Adds to a gauge, unless it was moved to another file.
#[inline]
fn add_to_gauge(cell: &AtomicU64, delta: f64) -> bool {
    // ORDERING: a lone value.
    let mut bits = cell.load(Ordering::Relaxed);
    loop {
        let mut sum = f64::from_bits(bits) + delta;
        if sum.is_nan() {
            match bits {
                layout::REMOVED_GAUGE_BITS => sum = delta,
                layout::MOVED_GAUGE_BITS => return false,
                _ => {}
            }
        }
        // ORDERING: as above.
        let (sum, relaxed) = (sum.to_bits(), Ordering::Relaxed);
        match cell.compare_exchange_weak(bits, sum, relaxed, relaxed) {
            Ok(_) => return true,
            Err(seen) => bits = seen,
        }
    }
}

/// Marks the slots of a series as removed; tells whether they were not.
pub(super) fn mark_removed(place: &Place, now: f64) -> bool {
    let marked = place
        .slots
        .iter()
        .map(|found| mark_slot_removed(found.cell, now));
    marked.fold(false, |any, one| any | one)
}

/// Tells whether any slot of a series is one that was not removed, or was counted on since.
pub(super) fn is_alive(place: &Place) -> bool {
    place.slots.iter().any(|found| !is_removed(found.cell))
}

fn is_removed(cell: &'static AtomicU64) -> bool {
    // ORDERING: lone values.
    let value = f64::from_bits(cell.load(Ordering::Relaxed));
    let timestamp = f64::from_bits(timestamp_of(cell).load(Ordering::Relaxed));
    layout::is_removed_slot(value, timestamp)
}

/// Sets the slots of a series to zero as of now.
pub(super) fn reset_place(place: &Place, now: f64) {
    for found in &place.slots {
        // ORDERING: lone values.
        found.cell.store(0, Ordering::Relaxed);
        timestamp_of(found.cell).store(now.to_bits(), Ordering::Relaxed);
    }
}

fn mark_slot_removed(cell: &'static AtomicU64, now: f64) -> bool {
    let timestamp = timestamp_of(cell);
    // ORDERING: lone values; who counts between the two stores makes the series anew, as right after them.
    let created = f64::from_bits(timestamp.load(Ordering::Relaxed));
    let mark = if created == 0.0 { now } else { created.abs() };
    timestamp.store((-mark).to_bits(), Ordering::Relaxed);
    let value = cell.swap(0, Ordering::Relaxed);
    created >= 0.0 || value != 0
}

/// Shows what memory holds of a series, and not what its files do.
#[derive(Debug)]
pub(super) struct InMemory<'a>(pub(super) &'a Series);

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
        let extra = self.0.extra();
        extra.kept_exemplars.get(index).cloned().flatten()
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
        if self.kind == Kind::Shared {
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
        match self.kind {
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
        let kept = &self.kept[index];
        if self.kind == Kind::Shared
            && !self.is_removed()
            // A signal handler is told what the newest segment holds.
            && let Some(_section) = fork::enter_unless_handling()
        {
            let store = self.store.upgrade();
            let total = store.and_then(|store| store.lock().total(self, index));
            if let Some(total) = total {
                return total + self.kept(index);
            }
        }
        if self.kind == Kind::Shared && !std::ptr::eq(cell, kept) {
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
        extra.kept_exemplars.resize(self.cells.len(), None);
        extra.kept_exemplars[index] = (!written).then_some(exemplar);
    }

    fn exemplar(&self, index: usize) -> Option<Exemplar> {
        let _section = fork::enter();
        let store = self.store.upgrade().filter(|_| !self.is_removed());
        let written = store.and_then(|store| store.lock().exemplar(self, index));
        written.or_else(|| self.extra().kept_exemplars.get(index).cloned().flatten())
    }

    fn created_seconds(&self) -> f64 {
        // ORDERING: lone values.
        let cell = self.cells.first().and_then(CellRef::get);
        let bits = match cell.filter(|_| self.kind == Kind::Shared) {
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
            self.kept[index].store(0, Ordering::Relaxed);
            if let Some(cell) = self.cells[index]
                .get()
                .filter(|_| self.kind == Kind::Shared)
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
        self.extra().kept_exemplars.clear();
    }
}
