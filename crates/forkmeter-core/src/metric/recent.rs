//! What each thread looked up last, so that looking it up again takes no lock.
//!
//! Called by families only. A thread keeps a fixed number of slot handles, also of series that were removed since;
//! these are not handed out, because removing changes the family's generation.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::Slots;

/// How many series a thread remembers; each has one place where it can stand.
const PLACES: usize = 128;

thread_local! {
    // Empty until the thread first looks a series up, so that other threads do not pay for it.
    static RECENT: RefCell<Vec<Option<Line>>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug)]
struct Line {
    stamp: Stamp,
    hash: u64,
    label_values: Box<[Box<str>]>,
    slots: Arc<dyn Slots>,
}

/// Says of which family a lookup was, and after which of its removals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    family: u64,
    generation: u64,
}

/// Gives a family its stamps.
#[derive(Debug)]
pub(super) struct Generation {
    family: u64,
    generation: AtomicU64,
}

impl Generation {
    /// Makes the generation of a new family.
    pub(super) fn new() -> Self {
        static FAMILIES: AtomicU64 = AtomicU64::new(0);
        // ORDERING: a ticket; any order will do.
        let family = FAMILIES.fetch_add(1, Ordering::Relaxed);
        Self {
            family,
            generation: AtomicU64::new(0),
        }
    }

    /// Returns the stamp of now.
    #[inline]
    pub(super) fn stamp(&self) -> Stamp {
        // ORDERING: a thread that was told of a removal sees its generation too; for one that was not, the
        // lookup came before the removal. What the stamp guards is read from this thread's own memory.
        Stamp {
            family: self.family,
            generation: self.generation.load(Ordering::Relaxed),
        }
    }

    /// Makes all threads forget the family's series. The caller holds the lock under which lookups are remembered.
    pub(super) fn advance(&self) {
        // ORDERING: as in `stamp`.
        self.generation.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns the slots that this thread looked up under the same stamp, if it remembers.
#[inline]
pub(super) fn find(stamp: Stamp, hash: u64, label_values: &[&str]) -> Option<Arc<dyn Slots>> {
    let found = RECENT.try_with(|recent| {
        let recent = recent.try_borrow().ok()?;
        let line = recent.get(place(hash))?.as_ref()?;
        (line.hash == hash && line.stamp == stamp && line.is_of(label_values))
            .then(|| Arc::clone(&line.slots))
    });
    found.ok().flatten()
}

/// Remembers a lookup in place of another one.
pub(super) fn remember(stamp: Stamp, hash: u64, label_values: &[&str], slots: &Arc<dyn Slots>) {
    let label_values = label_values.iter().map(|value| Box::from(*value)).collect();
    let line = Line {
        stamp,
        hash,
        label_values,
        slots: Arc::clone(slots),
    };
    let replaced = RECENT.try_with(|recent| {
        let mut recent = recent.try_borrow_mut().ok()?;
        if recent.is_empty() {
            recent.resize_with(PLACES, || None);
        }
        recent[place(hash)].replace(line)
    });
    // Not before here, since dropping slots runs the code of a store.
    drop(replaced);
}

fn place(hash: u64) -> usize {
    // The low bits choose buckets in hash tables; these are as good.
    (hash >> 32) as usize % PLACES
}

impl Line {
    fn is_of(&self, label_values: &[&str]) -> bool {
        self.label_values.len() == label_values.len()
            && self
                .label_values
                .iter()
                .zip(label_values)
                .all(|(own, other)| **own == **other)
    }
}
