//! Brings back what deleted segments of shared slots hold.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use forkmeter_core::store::add_to_cell;

use super::strays::{self, Holders};
use super::{Deleted, OpenDirectory, compact};
use crate::layout::{self, Mark};
use crate::segment::Wanted;
use crate::workers::DirectoryLock;

/// How many slots are made at once; no file is as big as so many of them.
const MAX_SLOTS: usize = 1 << 18;

/// Is a slot of deleted segments; a series may stand in several.
#[derive(Debug)]
struct Slot {
    key: Vec<u8>,
    timestamp: f64,
    cells: Vec<&'static AtomicU64>,
}

impl Slot {
    /// Takes what was counted.
    fn take(&self) -> f64 {
        // ORDERING: the swap makes sure that of all workers that do this one moves the value.
        let take = |cell: &&AtomicU64| f64::from_bits(cell.swap(0, Ordering::AcqRel));
        self.cells.iter().map(take).sum()
    }
}

impl OpenDirectory {
    /// Moves what deleted segments hold to the files of now. What fails stays in `deleted`.
    ///
    /// All slots of a kind appear at once, each with its whole value, so that no reader sees a counter that went down.
    pub(crate) fn rescue(&mut self, deleted: &mut Vec<Deleted>) -> io::Result<()> {
        let workers = Arc::clone(&self.workers);
        while let Some(stem) = deleted.last().map(|one| one.stem.clone()) {
            let of_stem = |one: &&mut Deleted| one.stem == stem;
            // Before the lock, and only where nobody has taken it all: looking makes others wait.
            if !slots_of(deleted.iter_mut().filter(of_stem))?.is_empty() {
                self.look_for_holders();
            }
            let lock = workers.lock_directory()?;
            let mut slots = slots_of(deleted.iter_mut().filter(of_stem))?;
            if !slots.is_empty() {
                // Whoever has looked before this worker has the rest, where files were deleted twice or folded.
                let known = deleted.iter().map(|one| one.segment.inode()).collect();
                let strays = self.strays(&lock, &stem, &known);
                if !strays.is_empty() {
                    deleted.extend(strays);
                    slots = slots_of(deleted.iter_mut().filter(of_stem))?;
                }
            }
            self.move_slots(&lock, &stem, &slots)?;
            deleted.retain(|one| one.stem != stem);
        }
        Ok(())
    }

    /// Moves what other workers hold of deleted segments of a stem, of which there is none in the directory, to a new
    /// one, so that whoever starts after a deletion does not begin at zero for all to see.
    pub(super) fn bring_back_strays(
        &mut self,
        lock: &DirectoryLock<'_>,
        stem: &str,
    ) -> io::Result<()> {
        if self.is_bringing_back {
            return Ok(());
        }
        let mut strays = self.strays(lock, stem, &HashSet::new());
        let slots = slots_of(strays.iter_mut())?;
        self.move_slots(lock, stem, &slots)
    }

    /// Looks who may have deleted files open, before the first segment of a stem is made: nobody waits meanwhile.
    pub(super) fn look_before_first(&mut self, stem: &str) -> io::Result<()> {
        if compact::numbers(&self.path, stem)?.is_empty() {
            self.look_for_holders();
        }
        Ok(())
    }

    fn look_for_holders(&mut self) {
        let is_known = self.holders.as_ref().is_some_and(Holders::is_fresh);
        if !self.resets && !is_known {
            self.holders = Some(Holders::look());
        }
    }

    fn strays(
        &mut self,
        lock: &DirectoryLock<'_>,
        stem: &str,
        known: &HashSet<u64>,
    ) -> Vec<Deleted> {
        // Under the lock where there was no reason to look before it.
        self.look_for_holders();
        let Some(holders) = self.holders.as_ref().filter(|_| !self.resets) else {
            return Vec::new();
        };
        let segments = strays::find(lock, &self.workers, &self.path, stem, known, holders);
        let strays = segments.into_iter().map(|segment| Deleted {
            stem: stem.into(),
            segment,
            is_reset: false,
        });
        strays.collect()
    }

    fn move_slots(
        &mut self,
        lock: &DirectoryLock<'_>,
        stem: &str,
        slots: &[Slot],
    ) -> io::Result<()> {
        self.is_bringing_back = true;
        let moved = self.try_move_slots(lock, stem, slots);
        self.is_bringing_back = false;
        if !slots.is_empty() {
            // Readers wait for it where some files of a kind are gone.
            self.workers.announce_change(lock)?;
        }
        moved
    }

    fn try_move_slots(
        &mut self,
        lock: &DirectoryLock<'_>,
        stem: &str,
        slots: &[Slot],
    ) -> io::Result<()> {
        for slots in slots.chunks(MAX_SLOTS) {
            let wanted = slots.iter();
            let wanted = wanted.map(|slot| Wanted::new(&slot.key, slot.timestamp));
            let wanted: Vec<_> = wanted.collect();
            let mut take = |index: usize| slots[index].take();
            let place = self.append(lock, stem, Mark::Shared, &wanted, &mut take)?;
            for (slot, found) in slots.iter().zip(&place.slots) {
                // What was counted there since, or all, where another worker has made the slot.
                let value = slot.take();
                if value != 0.0 {
                    add_to_cell(found.cell, value);
                }
            }
        }
        Ok(())
    }
}

/// Returns the slots that are to be brought back, in the order in which they were made.
fn slots_of<'a>(deleted: impl Iterator<Item = &'a mut Deleted>) -> io::Result<Vec<Slot>> {
    let mut slots: Vec<Slot> = Vec::new();
    let mut index: HashMap<Vec<u8>, usize> = HashMap::new();
    for one in deleted {
        let entries = one.segment.entries()?;
        // A worker that came before this one has left zeros only.
        let is_taken = entries.iter().all(|entry| entry.value_bits == 0);
        for entry in entries {
            let timestamp = f64::from_bits(entry.timestamp_bits);
            let value = f64::from_bits(entry.value_bits);
            let is_reset = one.is_reset && timestamp >= 0.0;
            if is_taken || is_reset || layout::is_removed_slot(value, timestamp) {
                continue;
            }
            match index.entry(entry.key) {
                Entry::Occupied(known) => {
                    let slot = &mut slots[*known.get()];
                    slot.timestamp = created(slot.timestamp, timestamp);
                    slot.cells.push(entry.cell);
                }
                Entry::Vacant(vacant) => {
                    slots.push(Slot {
                        key: vacant.key().clone(),
                        timestamp,
                        cells: vec![entry.cell],
                    });
                    vacant.insert(slots.len() - 1);
                }
            }
        }
    }
    Ok(slots)
}

/// Returns when a slot was made that stands in two segments: a removed one does not say.
fn created(one: f64, other: f64) -> f64 {
    match (one.is_sign_negative(), other.is_sign_negative()) {
        (true, false) => other,
        (false, true) => one,
        _ if one.abs() < other.abs() => one,
        _ => other,
    }
}
