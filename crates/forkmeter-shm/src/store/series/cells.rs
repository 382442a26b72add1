//! The cells of a series: where each slot is counted, and what memory holds of it.

use std::ops::Deref;
use std::sync::atomic::AtomicU64;

use crate::map::CellRef;

/// Is one slot: its cell in a file, while the series is published, and its own.
#[derive(Debug, Default)]
pub(in crate::store) struct Cell {
    pub(super) place: CellRef,
    pub(super) kept: AtomicU64,
}

/// Holds the slots of a series; most have one, which then takes no allocation.
#[derive(Debug)]
pub(super) enum Cells {
    One(Cell),
    Many(Box<[Cell]>),
}

impl Cells {
    pub(super) fn new(count: usize) -> Self {
        match count {
            1 => Self::One(Cell::default()),
            count => Self::Many((0..count).map(|_| Cell::default()).collect()),
        }
    }
}

impl Deref for Cells {
    type Target = [Cell];

    #[inline]
    fn deref(&self) -> &[Cell] {
        match self {
            Self::One(cell) => std::slice::from_ref(cell),
            Self::Many(cells) => cells,
        }
    }
}
