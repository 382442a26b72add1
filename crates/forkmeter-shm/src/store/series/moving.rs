//! Moves a handle between its file and its own memory, and between files.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use forkmeter_core::store::{Slots as _, add_to_cell};

use super::cells::Mark;
use super::expired::Presence;
use super::marks::{add_to_gauge, mark_slot_removed};
use super::{Cell, Extra, Kind, Left, Rare, Series};
use crate::directory::{DRAIN, Place};
use crate::layout;
use crate::map::timestamp_of;
use crate::segment::Found;

impl Series {
    /// Points the handle to where the series stands now, and moves there what memory holds.
    pub(in crate::store) fn publish(&self, place: &Place) {
        let is_asked_for = !self.cells.notes().mark(Mark::Left, false) && !self.is_expired();
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
    pub(in crate::store) fn move_kept(&self) {
        if let Some(rare) = &mut self.extra().rare {
            rare.left.retain(|left| {
                // ORDERING: the swap makes sure that each counted value is moved once.
                let value = f64::from_bits(left.cell.swap(0, Ordering::AcqRel));
                add_to_cell(&self.cells[left.index].kept, value);
                left.since.elapsed() < DRAIN
            });
        }
        for (index, Cell { place, kept }) in self.cells.iter().enumerate() {
            let Some(cell) = place.get() else { continue };
            // ORDERING: a look; the swap in `take_kept` decides.
            if kept.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let value = self.take_kept(index);
            if value == 0.0 {
                // That an expired series has nothing in memory is nothing to count.
                continue;
            }
            match self.kind() {
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
    pub(in crate::store) fn start_leaving(&self) {
        let created = self.created_seconds();
        // ORDERING: a lone value.
        self.kept_created_bits
            .store(created.to_bits(), Ordering::Relaxed);
        self.cells.notes().mark(Mark::Left, true);
    }

    /// Lets go of the cells in a sealed segment, where they are not looked up anew yet. What they hold stays.
    pub(in crate::store) fn leave(&self) {
        for cell in &*self.cells {
            cell.place.turn(None);
        }
        self.extra().mapping = None;
    }

    /// Points the handle to where its values were moved to.
    pub(in crate::store) fn turn(&self, place: &Place) {
        for (cell, found) in self.cells.iter().zip(&place.slots) {
            cell.place.turn(Some(found.cell));
        }
        self.extra().mapping = Some(Arc::clone(&place.mapping));
    }

    /// Takes the series back out of its file, because that or another one of its kind was deleted. What stands in a file
    /// that is still there, one of `staying`, stays.
    ///
    /// The value of a shared slot stays in the deleted file until there is another place: of all workers that take it out,
    /// the one that makes that place moves it, and no reader sees the series with less.
    pub(in crate::store) fn withdraw(&self, staying: &[u64]) {
        self.cells.notes().mark(Mark::Left, false);
        let (mapping, inode) = {
            let mut extra = self.extra();
            let inode = extra.segment_inode();
            (extra.mapping.take(), inode)
        };
        for (index, Cell { place, kept }) in self.cells.iter().enumerate() {
            let Some(before) = place.turn(None) else {
                continue;
            };
            match self.kind() {
                Kind::Shared => {
                    let created = timestamp_of(before);
                    // ORDERING: lone values.
                    let created = f64::from_bits(created.load(Ordering::Relaxed)).abs();
                    // Where the file was cut off it begins anew.
                    let created = if created == 0.0 { self.now() } else { created };
                    self.kept_created_bits
                        .store(created.to_bits(), Ordering::Relaxed);
                    if !staying.contains(&inode) {
                        self.extra().rare().left.push(Left {
                            index,
                            cell: before,
                            _mapping: mapping.clone(),
                            since: Instant::now(),
                        });
                    }
                }
                Kind::Gauge | Kind::MostRecentGauge => {
                    // ORDERING: the swap makes sure that each counted value is moved once. A gauge's file may still be
                    // there, where a zero would count.
                    let bits = before.swap(layout::REMOVED_GAUGE_BITS, Ordering::AcqRel);
                    let value = f64::from_bits(bits);
                    // One that was moved has its values in a new file.
                    if !layout::is_removed_gauge(value) && !layout::is_moved_gauge(value) {
                        add_to_cell(kept, value);
                    }
                }
                Kind::State => {
                    // ORDERING: as above; a lone value.
                    let value = before.swap(0, Ordering::AcqRel);
                    if !layout::is_moved_gauge(f64::from_bits(value)) {
                        kept.store(value, Ordering::Relaxed);
                    }
                }
            }
        }
    }

    /// Starts over as a series of now: its file was deleted, which is a reset.
    pub(in crate::store) fn start_anew(&self) {
        self.start_over();
        self.forget_kept();
        // ORDERING: a lone value.
        self.kept_created_bits
            .store(self.now().to_bits(), Ordering::Relaxed);
    }

    /// Lets go of the file and of what was counted there: the store moved to another directory, or this is a child and
    /// the values are the parent's. What memory holds was counted since, by a signal handler.
    pub(in crate::store) fn start_over(&self) {
        for cell in &*self.cells {
            cell.place.turn(None);
        }
        self.cells.notes().mark(Mark::Left, false);
        let mut extra = self.extra();
        let info = extra.rare.take().and_then(|rare| rare.info);
        *extra = Extra::default();
        if info.is_some() {
            *extra.rare() = Rare {
                info,
                ..Rare::default()
            };
        }
        drop(extra);
        self.mark_nothing();
    }

    /// Points the handle to memory of its own, for ever, and marks its shared slots: the series was removed.
    pub(in crate::store) fn remove(&self) {
        self.set_presence(Presence::Removed);
        let now = self.now();
        for Cell { place, kept } in &*self.cells {
            let before = place.turn(None);
            // ORDERING: lone values.
            kept.store(0, Ordering::Relaxed);
            if matches!(self.kind(), Kind::Shared | Kind::State)
                && let Some(before) = before
            {
                mark_slot_removed(before, now);
            }
        }
        let extra = std::mem::take(&mut *self.extra());
        for left in extra.left() {
            // What a deleted file holds is not to be brought back.
            mark_slot_removed(left.cell, now);
        }
    }

    /// Takes the removed mark from the slots: somebody asked for the series again.
    fn revive(&self) {
        for cell in self.places() {
            let timestamp = timestamp_of(cell);
            // ORDERING: lone values.
            let relaxed = Ordering::Relaxed;
            if matches!(self.kind(), Kind::Gauge | Kind::MostRecentGauge) {
                let removed = layout::REMOVED_GAUGE_BITS;
                if cell.compare_exchange(removed, 0, relaxed, relaxed).is_ok() {
                    timestamp.store(0, relaxed);
                }
            } else if f64::from_bits(timestamp.load(Ordering::Relaxed)) < 0.0 {
                timestamp.store(self.now().to_bits(), Ordering::Relaxed);
            }
        }
    }
}
