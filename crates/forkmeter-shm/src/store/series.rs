//! A handle to the slots of one series, wherever they are at the moment.

mod cells;
mod counting;
mod epoch;
mod expired;
mod marks;
mod moving;
mod values;

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use forkmeter_core::model::MergeRule;
use forkmeter_core::{Descriptor, Exemplar, LabelSet, MetricType};

use self::cells::{Cell, Cells, Mark};
pub(super) use self::counting::InMemory;
use self::marks::is_removed;
pub(super) use self::marks::{is_alive, mark_removed, reset_place};
pub(super) use self::values::Values;
use super::Shared;
use crate::directory::{Cut, is_shared};
use crate::layout;
use crate::map::timestamp_of;
use crate::process;
use crate::segment::Held;
use crate::side::exemplars::SlotId;

/// Holds the slots of one series: in a mapped file where it is published, in its own memory where not.
///
/// The memory cells stay when it is published. A thread that was about to count there then still does, and the
/// next look of the store moves what it counted.
#[derive(Debug)]
pub(super) struct Series {
    home: Arc<Home>,
    pub(super) values: Values,
    /// Beside what else is small.
    cells: Cells,
    kept_created_bits: AtomicU64,
    extra: Mutex<Extra>,
}

/// Is what the series of a family have in common; each of them derefs to it.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) descriptor: Arc<Descriptor>,
    store: Weak<Shared>,
}

impl Home {
    pub(super) fn new(store: &Arc<Shared>, descriptor: &Arc<Descriptor>) -> Arc<Self> {
        Arc::new(Self {
            descriptor: Arc::clone(descriptor),
            store: Arc::downgrade(store),
        })
    }
}

impl Deref for Series {
    type Target = Home;

    #[inline]
    fn deref(&self) -> &Home {
        &self.home
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Shared,
    Gauge,
    MostRecentGauge,
    State,
}

/// Is what changes under the store's lock, or with an exemplar.
#[derive(Debug, Default)]
pub(super) struct Extra {
    mapping: Option<Arc<Held>>,
    rare: Option<Box<Rare>>,
}

/// Is what few series have, so that the others do not pay for it.
#[derive(Debug, Default)]
struct Rare {
    info: Option<LabelSet>,
    left: Vec<Left>,
    kept_exemplars: Vec<Option<Exemplar>>,
}

/// Is a cell that the series was taken out of. What it holds is moved when the series is published again, and a handle
/// that read before where the cell is may still count there.
#[derive(Debug)]
struct Left {
    index: usize,
    cell: &'static AtomicU64,
    _mapping: Option<Arc<Held>>,
    since: Instant,
}

impl Extra {
    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    fn left(&self) -> &[Left] {
        self.rare.as_ref().map_or(&[], |rare| &rare.left)
    }

    fn kept_exemplar(&self, index: usize) -> Option<Exemplar> {
        let kept = &self.rare.as_ref()?.kept_exemplars;
        kept.get(index)?.clone()
    }

    fn segment_inode(&self) -> u64 {
        self.mapping.as_ref().map_or(0, |mapping| mapping.inode())
    }
}

impl Series {
    pub(super) fn new(home: &Arc<Home>, values: Values, created_seconds: f64) -> Arc<Self> {
        let descriptor = &home.descriptor;
        let kind = match descriptor.kind {
            _ if is_shared(descriptor) => Kind::Shared,
            MetricType::StateSet => Kind::State,
            _ if descriptor.mode.rule() == MergeRule::MostRecent => Kind::MostRecentGauge,
            _ => Kind::Gauge,
        };
        Arc::new(Self {
            values,
            cells: Cells::new(descriptor.slot_count(), kind),
            kept_created_bits: AtomicU64::new(created_seconds.to_bits()),
            extra: Mutex::default(),
            home: Arc::clone(home),
        })
    }

    /// Returns the label values, in the order of the label names.
    pub(super) fn label_values(&self) -> impl Iterator<Item = &str> {
        self.values.iter(self.descriptor.label_names.len())
    }

    /// Returns the labels.
    pub(super) fn labels(&self) -> LabelSet {
        let names = self.descriptor.label_names.iter().cloned();
        names.zip(self.label_values()).collect()
    }

    /// Returns names and values as a set of them yields them.
    pub(super) fn sorted_labels(&self) -> Vec<(&str, &str)> {
        let names = self.descriptor.label_names.iter().map(|name| &**name);
        let mut pairs: Vec<_> = names.zip(self.label_values()).collect();
        pairs.sort_by_key(|(name, _)| *name);
        // Descriptors have each name once; of one that has not the last value counts, as in a set.
        pairs.reverse();
        pairs.dedup_by_key(|(name, _)| *name);
        pairs.reverse();
        pairs
    }

    /// Tells whether it is the one series of a family without labels.
    pub(super) fn is_unlabelled(&self) -> bool {
        self.descriptor.label_names.is_empty()
    }

    #[inline]
    fn kind(&self) -> Kind {
        self.cells.notes().kind
    }

    /// Yields the cells in files.
    fn places(&self) -> impl Iterator<Item = &'static AtomicU64> {
        self.cells.iter().filter_map(|cell| cell.place.get())
    }

    /// Tells whether the series stands in a file.
    pub(super) fn is_published(&self) -> bool {
        self.cells.iter().all(|cell| cell.place.get().is_some())
    }

    /// Remembers whether the store lists the series as kept in memory, and returns what it remembered.
    pub(super) fn list_as_kept(&self, is_kept: bool) -> bool {
        self.cells.notes().mark(Mark::Kept, is_kept)
    }

    /// Takes the value that memory, or a file that was deleted, holds for a slot, leaving zero.
    pub(super) fn take_kept(&self, index: usize) -> f64 {
        let take = |cell: &AtomicU64| {
            // ORDERING: the swap makes sure that each counted value is moved once.
            f64::from_bits(cell.swap(0, Ordering::AcqRel))
        };
        let extra = self.extra();
        let left = extra.left().iter().filter(|left| left.index == index);
        let value = take(&self.cells[index].kept) + left.map(|left| take(left.cell)).sum::<f64>();
        // That nothing was counted in memory is not a value of an expired series.
        if value == 0.0 && self.is_expired() {
            0.0
        } else {
            value
        }
    }

    /// Forgets what memory holds: it is the parent's, or belongs to another directory.
    pub(super) fn forget_kept(&self) {
        let nothing = self.nothing();
        for cell in &*self.cells {
            // ORDERING: a lone value.
            cell.kept.store(nothing, Ordering::Relaxed);
        }
    }

    /// Tells whether memory holds anything.
    pub(super) fn has_kept(&self) -> bool {
        let nothing = self.nothing();
        // ORDERING: lone values.
        let kept = |cell: &Cell| cell.kept.load(Ordering::Relaxed);
        self.cells
            .iter()
            .any(|cell| ![0, nothing].contains(&kept(cell)))
    }

    /// Tells whether the series has to be looked up anew because its segment was sealed.
    pub(super) fn is_left(&self) -> bool {
        self.cells.notes().has(Mark::Left)
    }

    /// Returns the inode of the segment in which the series stands; 0 where there is none.
    pub(super) fn segment_inode(&self) -> u64 {
        self.extra().segment_inode()
    }

    /// Tells whether the slots are those of a series that was removed and not counted on since.
    pub(super) fn is_marked_removed(&self) -> bool {
        self.places().all(is_removed)
    }

    /// Returns what memory, or a file that was deleted, holds of a slot. Locks.
    pub(super) fn kept(&self, index: usize) -> f64 {
        // ORDERING: lone values.
        let value = |cell: &AtomicU64| f64::from_bits(cell.load(Ordering::Relaxed));
        let extra = self.extra();
        let left = extra.left().iter().filter(|left| left.index == index);
        value(&self.cells[index].kept) + left.map(|left| value(left.cell)).sum::<f64>()
    }

    /// Tells whether the series was taken out of a file that was deleted not longer ago than that.
    pub(super) fn is_withdrawn_since(&self, ago: Duration) -> bool {
        let extra = self.extra();
        let mut left = extra.left().iter();
        left.any(|left| left.since.elapsed() < ago)
    }

    /// Tells whether the series was taken out of its file, by whoever did it, and what was counted there since.
    pub(super) fn is_taken_out(&self) -> (bool, bool) {
        let mut is_removed = self.is_published();
        let mut has_value = false;
        for cell in self.places() {
            // ORDERING: lone values.
            let bits = cell.load(Ordering::Relaxed);
            let timestamp = f64::from_bits(timestamp_of(cell).load(Ordering::Relaxed));
            let is_gauge = matches!(self.kind(), Kind::Gauge | Kind::MostRecentGauge);
            let removed = bits == layout::REMOVED_GAUGE_BITS;
            is_removed &= if is_gauge { removed } else { timestamp < 0.0 };
            has_value |= bits != 0 && !removed;
        }
        (is_removed, has_value)
    }

    /// Tells whether values of the series were lost with a part of its file; `is_counted` asks for those of a file that
    /// this worker took away.
    pub(super) fn is_cut(&self, cuts: &[Cut], is_counted: bool) -> bool {
        let extra = self.extra();
        let offsets = (0..self.cells.len()).filter_map(|index| self.value_offset(&extra, index));
        let end = offsets.max().map_or(0, |last| last + 16);
        let mut cuts = cuts.iter().filter(|cut| cut.is_first || !is_counted);
        cuts.any(|cut| cut.inode == extra.segment_inode() && cut.len < end)
    }

    /// Returns where the slot stands in which file.
    pub(super) fn slot_in_file(&self, index: usize) -> Option<SlotId> {
        let extra = self.extra();
        Some(SlotId {
            inode: extra.segment_inode(),
            value_offset: self.value_offset(&extra, index)?,
        })
    }

    fn value_offset(&self, extra: &Extra, index: usize) -> Option<u64> {
        let cell = self.cells.get(index)?.place.get()?;
        extra.mapping.as_ref()?.offset_of(cell)
    }

    /// Returns the facts of an info series.
    pub(super) fn info(&self) -> Option<LabelSet> {
        self.extra().rare.as_ref()?.info.clone()
    }

    /// Replaces the facts of an info series.
    pub(super) fn set_info(&self, facts: LabelSet) {
        self.extra().rare().info = Some(facts);
    }

    /// Returns when the series was made, as this process knows.
    pub(super) fn kept_created_seconds(&self) -> f64 {
        // ORDERING: a lone value.
        f64::from_bits(self.kept_created_bits.load(Ordering::Relaxed))
    }

    /// Remembers that the cells are those of now.
    pub(super) fn set_epoch(&self, epoch: u64) {
        self.cells.epoch().set(epoch);
    }

    fn extra(&self) -> std::sync::MutexGuard<'_, Extra> {
        self.extra.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> f64 {
        self.store
            .upgrade()
            .map_or_else(process::unix_seconds, |store| (store.options.clock)())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_of_one_slot_takes_a_hundred_and_four_bytes() {
        // With the two counts of its handles; an allocation of eight more takes sixteen.
        assert_eq!(size_of::<Series>() + 16, 104);
    }
}
