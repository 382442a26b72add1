//! The cells of a series: where each slot is counted, and what memory holds of it; and beside them what else is small.

use std::ops::Deref;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::Kind;
use super::epoch::KnownEpoch;
use super::expired::Presence;
use crate::map::CellRef;

/// Is one slot: its cell in a file, while the series is published, and its own.
#[derive(Debug, Default)]
pub(in crate::store) struct Cell {
    pub(super) place: CellRef,
    pub(super) kept: AtomicU64,
}

/// Holds the slots of a series; most have one, which then takes no allocation.
///
/// Which of both it is takes one byte of eight. What else of a series takes less than eight bytes fills them, and so
/// stands in both, each time in the same place.
#[derive(Debug)]
pub(super) enum Cells {
    One {
        notes: Notes,
        epoch: KnownEpoch,
        cell: Cell,
    },
    Many {
        notes: Notes,
        epoch: KnownEpoch,
        cells: Box<[Cell]>,
    },
}

/// Is what takes a byte each. Its alignment is that of a byte, so that it fits in behind another one.
#[derive(Debug)]
pub(super) struct Notes {
    pub(super) kind: Kind,
    pub(super) presence: AtomicU8,
    marks: AtomicU8,
}

/// Says something of a series that is true or not.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum Mark {
    /// The store lists the series as kept in memory.
    Kept = 1,
    /// The segment of the cells was sealed, so that they are looked up anew before they are counted in.
    Left = 2,
}

impl Cells {
    pub(super) fn new(count: usize, kind: Kind) -> Self {
        let epoch = KnownEpoch::of_now();
        let notes = Notes {
            kind,
            presence: AtomicU8::new(Presence::There as u8),
            marks: AtomicU8::new(0),
        };
        match count {
            1 => Self::One {
                notes,
                epoch,
                cell: Cell::default(),
            },
            count => Self::Many {
                notes,
                epoch,
                cells: (0..count).map(|_| Cell::default()).collect(),
            },
        }
    }

    #[inline]
    pub(super) fn notes(&self) -> &Notes {
        match self {
            Self::One { notes, .. } | Self::Many { notes, .. } => notes,
        }
    }

    /// Returns the epoch in which the cells were looked up.
    #[inline]
    pub(super) fn epoch(&self) -> &KnownEpoch {
        match self {
            Self::One { epoch, .. } | Self::Many { epoch, .. } => epoch,
        }
    }
}

impl Deref for Cells {
    type Target = [Cell];

    #[inline]
    fn deref(&self) -> &[Cell] {
        match self {
            Self::One { cell, .. } => std::slice::from_ref(cell),
            Self::Many { cells, .. } => cells,
        }
    }
}

impl Notes {
    /// Tells whether a mark is set.
    pub(super) fn has(&self, mark: Mark) -> bool {
        // ORDERING: read and written under the store's lock only.
        self.marks.load(Ordering::Relaxed) & mark as u8 != 0
    }

    /// Sets a mark, or takes it away, and returns whether it was set.
    pub(super) fn mark(&self, mark: Mark, is_set: bool) -> bool {
        let bit = mark as u8;
        // ORDERING: as in `has`.
        let before = if is_set {
            self.marks.fetch_or(bit, Ordering::Relaxed)
        } else {
            self.marks.fetch_and(!bit, Ordering::Relaxed)
        };
        before & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_small_takes_no_room_beside_the_cells() {
        assert_eq!(size_of::<Cells>(), size_of::<Cell>() + 8);
        assert_eq!(size_of::<Cells>(), size_of::<Box<[Cell]>>() + 8);
    }

    #[test]
    fn each_slot_has_a_cell_of_its_own() {
        for count in [0, 1, 2, 17] {
            let cells = Cells::new(count, Kind::State);
            assert_eq!(cells.len(), count);
            assert_eq!(cells.notes().kind, Kind::State);
            for (number, cell) in (1..).zip(&*cells) {
                cell.kept.store(number, Ordering::Relaxed);
            }
            let kept = cells.iter().map(|cell| cell.kept.load(Ordering::Relaxed));
            assert!(kept.eq((1..).take(count)));
        }
    }

    #[test]
    fn one_mark_leaves_the_other_alone() {
        let cells = Cells::new(1, Kind::Shared);
        let notes = cells.notes();
        assert!(!notes.mark(Mark::Kept, true));
        assert!(notes.has(Mark::Kept) && !notes.has(Mark::Left));
        assert!(!notes.mark(Mark::Left, true));
        assert!(notes.mark(Mark::Kept, false));
        assert!(!notes.has(Mark::Kept) && notes.has(Mark::Left));
        assert!(notes.mark(Mark::Left, true));
        assert!(notes.mark(Mark::Left, false));
        assert!(!notes.mark(Mark::Left, false));
    }
}
