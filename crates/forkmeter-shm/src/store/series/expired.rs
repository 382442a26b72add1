//! Whether a series is there, was removed for good, or expired until somebody counts.

use std::sync::atomic::Ordering;

use super::{Cell, Kind, Series};
use crate::map::timestamp_of;

/// Says what became of a series.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum Presence {
    There,
    Removed,
    Expired,
    /// Another worker removed it, and nobody counted in it since.
    Forgotten,
}

/// The bits of minus zero: what memory holds of an expired series in which nobody counted. Adding and setting make another
/// number of them, and so does who sets a gauge to zero.
const NOT_COUNTED: u64 = 1 << 63;

impl Series {
    /// Tells whether the series was removed for good.
    pub(in crate::store) fn is_removed(&self) -> bool {
        self.is(Presence::Removed)
    }

    /// Tells whether the series expired, and its store has not found out that somebody counted since.
    pub(in crate::store) fn is_expired(&self) -> bool {
        self.is(Presence::Expired)
    }

    /// Marks the series as one that the store does not know any more.
    pub(in crate::store) fn forget(&self) {
        self.set_presence(Presence::Forgotten);
    }

    pub(super) fn is(&self, presence: Presence) -> bool {
        // ORDERING: written under the store's lock; others take it for a hint.
        self.cells.notes().presence.load(Ordering::Relaxed) == presence as u8
    }

    pub(super) fn set_presence(&self, presence: Presence) {
        // ORDERING: as in `is`.
        self.cells
            .notes()
            .presence
            .store(presence as u8, Ordering::Relaxed);
    }

    /// Returns the bits with which memory says that it holds nothing.
    pub(super) fn nothing(&self) -> u64 {
        let is_in_memory = self.is_expired() && !self.is_published();
        if is_in_memory { NOT_COUNTED } else { 0 }
    }

    /// Begins to be expired; who marks the slots in files is the caller.
    pub(in crate::store) fn expire(&self) {
        self.set_presence(Presence::Expired);
        self.forget_kept();
        // ORDERING: a lone value.
        self.kept_created_bits
            .store(self.now().to_bits(), Ordering::Relaxed);
        if let Some(rare) = &mut self.extra().rare {
            rare.kept_exemplars.clear();
            for left in rare.left.drain(..) {
                // What a deleted file holds is not to be brought back.
                super::marks::mark_slot_removed(left.cell, self.now());
            }
        }
    }

    /// Tells whether somebody counted since the series expired.
    pub(in crate::store) fn is_counted(&self) -> bool {
        // Of what stands in no file everything that is not the mark was counted.
        let in_memory = |Cell { place, kept }: &Cell| {
            // ORDERING: a lone value.
            let bits = kept.load(Ordering::Relaxed);
            bits != NOT_COUNTED && (bits != 0 || place.get().is_none())
        };
        let (is_taken_out, has_value) = self.is_taken_out();
        let is_in_file = self.is_published() && (has_value || !is_taken_out);
        is_in_file || self.cells.iter().any(in_memory)
    }

    /// Is there again.
    pub(in crate::store) fn bring_back(&self) {
        self.set_presence(Presence::There);
        for Cell { place, kept } in &*self.cells {
            // ORDERING: a lone value. Where it fails somebody counted.
            let relaxed = Ordering::Relaxed;
            let _ = kept.compare_exchange(NOT_COUNTED, 0, relaxed, relaxed);
            if let Some(cell) = place.get()
                && matches!(self.kind(), Kind::Shared | Kind::State)
            {
                let timestamp = timestamp_of(cell);
                // ORDERING: as above.
                let created = f64::from_bits(timestamp.load(relaxed)).abs();
                timestamp.store(created.to_bits(), relaxed);
            }
        }
    }

    /// Marks memory again after the series left its file.
    pub(super) fn mark_nothing(&self) {
        let nothing = self.nothing();
        for cell in &*self.cells {
            // ORDERING: a lone value. Where it fails somebody counted.
            let relaxed = Ordering::Relaxed;
            let _ = cell.kept.compare_exchange(0, nothing, relaxed, relaxed);
        }
    }
}
