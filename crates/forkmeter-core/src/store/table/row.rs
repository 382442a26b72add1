//! Where the cells of a series lie, and who holds them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Cells of a row before its slots: how many hold it, and when it was made.
const HOLDERS: usize = 0;
const CREATED: usize = 1;
const FIRST_SLOT: usize = 2;

/// Is set in the holders' count once the series was removed.
const REMOVED: u64 = 1 << 63;
/// Is set in the holders' count while the series is expired.
const EXPIRED: u64 = 1 << 62;

/// The bits of minus zero, which stand in the slots of a series that expired: adding and setting make another number of
/// them, and so does who sets a gauge to zero.
const NOT_COUNTED: u64 = 1 << 63;

/// The rows of a slab double up to this many, so that few series take little and many waste little.
const MAX_SLAB_ROWS_LOG2: u32 = 10;

/// Says where in its slab the cells of a series lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    first: usize,
    slot_count: usize,
}

impl Row {
    pub(super) const fn slot_count(self) -> usize {
        self.slot_count
    }

    #[inline]
    pub(super) fn slots(self, cells: &[AtomicU64]) -> &[AtomicU64] {
        &cells[self.first + FIRST_SLOT..][..self.slot_count]
    }

    /// Returns the cell of a slot; panics where there is none, so that no neighbour is ever changed.
    #[inline]
    pub(super) fn slot(self, cells: &[AtomicU64], index: usize) -> &AtomicU64 {
        assert!(index < self.slot_count, "slot {index} does not exist");
        &cells[self.first + FIRST_SLOT + index]
    }

    pub(super) fn created_seconds(self, cells: &[AtomicU64]) -> f64 {
        // ORDERING: a lone value.
        f64::from_bits(cells[self.first + CREATED].load(Ordering::Relaxed))
    }

    pub(super) fn set_created_seconds(self, cells: &[AtomicU64], seconds: f64) {
        // ORDERING: a lone value.
        cells[self.first + CREATED].store(seconds.to_bits(), Ordering::Relaxed);
    }

    /// Makes the row a series that nobody holds yet. The caller knows that nobody else uses it.
    pub(super) fn begin(self, cells: &[AtomicU64], created_seconds: f64) {
        for slot in self.slots(cells) {
            // ORDERING: others learn of the row by the table's lock.
            slot.store(0, Ordering::Relaxed);
        }
        self.set_created_seconds(cells, created_seconds);
        // ORDERING: as above.
        cells[self.first + HOLDERS].store(0, Ordering::Relaxed);
    }

    /// Raises the count of holders; the caller holds the row already, or the table's lock with the series in it.
    pub(super) fn hold(self, cells: &[AtomicU64]) {
        // ORDERING: as for a reference count: whoever may raise it is ordered before the release by other means.
        cells[self.first + HOLDERS].fetch_add(1, Ordering::Relaxed);
    }

    /// Lowers the count, and tells whether that made the row free.
    pub(super) fn release(self, cells: &[AtomicU64]) -> bool {
        // ORDERING: what a holder did to the cells comes before what the row's next series does to them.
        cells[self.first + HOLDERS].fetch_sub(1, Ordering::AcqRel) == REMOVED | 1
    }

    /// Marks the series as removed, and tells whether that made the row free. Called once for a series.
    pub(super) fn remove(self, cells: &[AtomicU64]) -> bool {
        // ORDERING: as in `release`.
        cells[self.first + HOLDERS].fetch_or(REMOVED, Ordering::AcqRel) == 0
    }

    /// Tells whether anybody holds the row.
    pub(super) fn is_held(self, cells: &[AtomicU64]) -> bool {
        // ORDERING: what was counted by whoever let go of it is seen; see `release`.
        cells[self.first + HOLDERS].load(Ordering::Acquire) & !(REMOVED | EXPIRED) != 0
    }

    /// Marks the series as expired, with a zero in every slot that tells whether somebody counts.
    pub(super) fn expire(self, cells: &[AtomicU64]) {
        for slot in self.slots(cells) {
            // ORDERING: lone values.
            slot.store(NOT_COUNTED, Ordering::Relaxed);
        }
        // ORDERING: read and written under the table's lock only.
        cells[self.first + HOLDERS].fetch_or(EXPIRED, Ordering::Relaxed);
    }

    pub(super) fn is_expired(self, cells: &[AtomicU64]) -> bool {
        // ORDERING: as in `expire`.
        cells[self.first + HOLDERS].load(Ordering::Relaxed) & EXPIRED != 0
    }

    /// Tells whether anybody counted since the row expired.
    pub(super) fn is_counted(self, cells: &[AtomicU64]) -> bool {
        let mut slots = self.slots(cells).iter();
        // ORDERING: lone values.
        slots.any(|slot| slot.load(Ordering::Relaxed) != NOT_COUNTED)
    }

    /// Takes the mark away, and makes plain zeros of the slots in which nobody counted.
    pub(super) fn bring_back(self, cells: &[AtomicU64]) {
        // ORDERING: as in `expire`.
        cells[self.first + HOLDERS].fetch_and(!EXPIRED, Ordering::Relaxed);
        for slot in self.slots(cells) {
            // ORDERING: lone values. Where it fails somebody counted.
            let relaxed = Ordering::Relaxed;
            let _ = slot.compare_exchange(NOT_COUNTED, 0, relaxed, relaxed);
        }
    }

    pub(super) fn is_removed(self, cells: &[AtomicU64]) -> bool {
        // ORDERING: a hint.
        cells[self.first + HOLDERS].load(Ordering::Relaxed) & REMOVED != 0
    }
}

/// Is all rows of a table, in slabs that never move and live as long as the table.
#[derive(Debug)]
pub(super) struct Rows {
    slot_count: usize,
    slabs: Vec<Arc<[AtomicU64]>>,
    count: u32,
}

impl Rows {
    pub(super) const fn new(slot_count: usize) -> Self {
        Self {
            slot_count,
            slabs: Vec::new(),
            count: 0,
        }
    }

    /// Returns how many rows were ever made.
    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    /// Makes another row and returns its number.
    pub(super) fn grow(&mut self) -> u32 {
        let id = self.count;
        let (slab, _) = locate(id);
        if slab == self.slabs.len() {
            let rows = 1 << MAX_SLAB_ROWS_LOG2.min(slab.try_into().unwrap_or(u32::MAX));
            let cells = rows * self.row_len();
            self.slabs
                .push((0..cells).map(|_| AtomicU64::new(0)).collect());
        }
        self.count = id
            .checked_add(1)
            .expect("invariant: so many series fill the memory first");
        id
    }

    #[inline]
    pub(super) fn row(&self, id: u32) -> (&Arc<[AtomicU64]>, Row) {
        let (slab, in_slab) = locate(id);
        let row = Row {
            first: in_slab * self.row_len(),
            slot_count: self.slot_count,
        };
        (&self.slabs[slab], row)
    }

    fn row_len(&self) -> usize {
        FIRST_SLOT + self.slot_count
    }
}

/// Returns the slab of a row and the row's place in it.
#[inline]
fn locate(id: u32) -> (usize, usize) {
    let max_rows = 1 << MAX_SLAB_ROWS_LOG2;
    if let Some(past) = id.checked_sub(max_rows - 1) {
        let slab = MAX_SLAB_ROWS_LOG2 + past / max_rows;
        return (slab as usize, (past % max_rows) as usize);
    }
    let slab = (id + 1).ilog2();
    (slab as usize, (id + 1 - (1 << slab)) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_cells_of_its_own() {
        let mut rows = Rows::new(2);
        for expected in 0..5_000 {
            assert_eq!(rows.grow(), expected);
            let (cells, row) = rows.row(expected);
            for slot in row.slots(cells) {
                assert_eq!(slot.swap(u64::from(expected) + 1, Ordering::Relaxed), 0);
            }
            row.set_created_seconds(cells, f64::from(expected));
        }
        for id in 0..5_000 {
            let (cells, row) = rows.row(id);
            let values = row.slots(cells).iter().map(|c| c.load(Ordering::Relaxed));
            assert!(values.eq([u64::from(id) + 1; 2]), "{id}");
            assert!((row.created_seconds(cells) - f64::from(id)).abs() < 0.5);
        }
    }
}
