//! Gauges and state sets: removing a gauge everywhere, and rewriting a file that removed series crowd.
//!
//! Such a file is replaced by a new one. This store's handles are turned while it is locked, and whoever read just
//! before where a cell is, or knows the old file, meets [`MOVED_GAUGE_BITS`] there. Only one process adds in a gauge
//! file; state sets are set by all, and what is there last counts.

use hashbrown::hash_map::Entry;
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use forkmeter_core::{Descriptor, LabelSet};

use super::keys::Keys;
use super::{DRAIN, OpenDirectory, Place, place_in};
use crate::layout::{self, MOVED_GAUGE_BITS, Mark, REMOVED_GAUGE_BITS};
use crate::map::timestamp_of;
use crate::segment::{Held, Segment, Wanted};

/// Is a gauge file that was replaced, while a thread may still set a gauge in it.
#[derive(Debug)]
pub(crate) struct Rewritten {
    since: Instant,
    moved: Vec<Moved>,
    _old: Arc<Held>,
    _new: Arc<Held>,
}

/// Is where a gauge was, where it is, and what it was when it moved.
#[derive(Clone, Copy, Debug)]
struct Moved {
    old: &'static AtomicU64,
    new: &'static AtomicU64,
    bits: u64,
}

fn is_states(stem: &str) -> bool {
    stem == layout::STATES_FILE
}

impl Rewritten {
    /// Tells whether every thread has counted where it was about to.
    pub(crate) fn is_over(&self) -> bool {
        self.since.elapsed() > DRAIN
    }

    /// Moves what was set where gauges were.
    pub(crate) fn settle(&self) {
        for moved in &self.moved {
            // ORDERING: lone values.
            let late = moved.old.swap(MOVED_GAUGE_BITS, Ordering::AcqRel);
            if late != MOVED_GAUGE_BITS {
                // Whoever changed it since is later still.
                let relaxed = Ordering::Relaxed;
                let _ = moved
                    .new
                    .compare_exchange(moved.bits, late, relaxed, relaxed);
            }
        }
    }
}

impl OpenDirectory {
    /// Returns the stem of a file of this worker's gauges, or of state sets, that removed ones crowd.
    pub(crate) fn crowded_gauges(&mut self) -> Option<Box<str>> {
        let own = self.sets.iter_mut();
        let mut own = own.filter(|(stem, _)| stem.starts_with("gauge_") || is_states(stem));
        let crowded = own.find_map(|(stem, set)| {
            let mut segments = set.iter_mut();
            segments
                .any(|segment| segment.is_crowded(&mut || 0))
                .then_some(stem)
        });
        crowded.cloned()
    }

    /// Replaces a file of this worker's gauges, or of state sets, by one without the removed ones. The caller turns its handles to the
    /// new file before it lets anybody count.
    ///
    /// Nothing happens where another store of this process has handles into the file.
    pub(crate) fn rewrite_gauges(&mut self, stem: &str) -> io::Result<Option<Rewritten>> {
        let workers = Arc::clone(&self.workers);
        if !is_states(stem) && !workers.has_one_user(&self.user) {
            return Ok(None);
        }
        let lock = workers.lock_directory()?;
        workers.check_current()?;
        let Some([old]) = self.sets.get_mut(stem).map(Vec::as_mut_slice) else {
            return Ok(None);
        };
        if !old.is_current() {
            return Ok(None);
        }
        let mut entries = old.entries()?;
        let is_state = is_states(stem);
        entries.retain(|entry| {
            let is_removed = entry.value_bits == REMOVED_GAUGE_BITS;
            !(is_removed || is_state && entry.is_removed_slot())
        });
        let mut bytes = Vec::new();
        for entry in &entries {
            let (value, timestamp) = (entry.value_bits, entry.timestamp_bits);
            let (value, timestamp) = (f64::from_bits(value), f64::from_bits(timestamp));
            layout::append_entry(&mut bytes, &entry.key, value, timestamp);
        }
        let mut new = old.replace(&lock, &bytes)?;
        new.catch_up()?;
        let mut moved = Vec::new();
        for entry in &entries {
            let Some(found) = new.find_all(&[Wanted::new(&entry.key, 0.0)]) else {
                continue;
            };
            let new = found[0].cell;
            // ORDERING: lone values. Who added or set in between did so in the old file, which is read now.
            let bits = entry.cell.swap(MOVED_GAUGE_BITS, Ordering::AcqRel);
            if bits != entry.value_bits {
                let timestamp = timestamp_of(entry.cell).load(Ordering::Relaxed);
                timestamp_of(new).store(timestamp, Ordering::Relaxed);
                new.store(bits, Ordering::Relaxed);
            }
            let old = entry.cell;
            moved.push(Moved { old, new, bits });
        }
        let rewritten = Rewritten {
            since: Instant::now(),
            moved,
            _old: old.mapping(),
            _new: new.mapping(),
        };
        *old = new;
        Ok(Some(rewritten))
    }

    /// Returns the place of a series in a file that is open, where it is known there.
    pub(crate) fn known_place(&self, descriptor: &Descriptor, labels: &LabelSet) -> Option<Place> {
        let keys = Keys::of(descriptor, labels);
        let wanted = keys.wanted(0.0);
        let mut set = self.sets.get(&*self.stem(descriptor).ok()?)?.iter();
        set.find_map(|segment| place_in(segment, &wanted))
    }

    /// Marks a gauge as removed in every worker's file of its mode, the retired ones included; tells whether any had
    /// it. Workers that set or add later make it anew, from zero.
    pub(crate) fn remove_gauge(
        &mut self,
        descriptor: &Descriptor,
        labels: &LabelSet,
    ) -> io::Result<bool> {
        let workers = Arc::clone(&self.workers);
        let _lock = workers.lock_directory()?;
        workers.check_current()?;
        let keys = Keys::of(descriptor, labels);
        let wanted = keys.wanted(0.0);
        let prefix = format!("gauge_{}_", descriptor.mode);
        self.peers.retain(|_, segment| segment.is_current());
        let mut was_there = false;
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let is_of_mode = name.to_str().is_some_and(|name| {
                name.starts_with(&prefix) && name.ends_with(layout::SEGMENT_SUFFIX)
            });
            if !is_of_mode {
                continue;
            }
            let path = self.path.join(&name);
            let mut own = self.sets.values_mut().flatten();
            let own = own.find(|segment| segment.is_at(&path) && segment.is_current());
            let segment = match (own, self.peers.entry(name)) {
                (Some(segment), _) => segment,
                (None, Entry::Occupied(known)) => known.into_mut(),
                (None, Entry::Vacant(vacant)) => {
                    let is_ours = |mark| matches!(mark, Mark::Worker(_) | Mark::Retired);
                    match Segment::open_existing(&path, &is_ours) {
                        Ok(segment) => vacant.insert(segment),
                        // Another client's file, or one that went away.
                        Err(_) => continue,
                    }
                }
            };
            // Of a damaged file the part before the damage counts.
            let _ = segment.catch_up();
            for found in segment.find_all(&wanted).into_iter().flatten() {
                // ORDERING: its owner may change it at the same time and wins or loses.
                let before = found.cell.swap(REMOVED_GAUGE_BITS, Ordering::Relaxed);
                was_there |= before != REMOVED_GAUGE_BITS;
            }
        }
        Ok(was_there)
    }
}
