//! Which shared segments a living process counts in: a read lock per segment, which the kernel drops with the
//! process. Whoever wants to take a segment away asks here first.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, PoisonError};

use forkmeter_core::fork;

use super::{DirectoryLock, WorkersFile};
use crate::process;
use crate::sys;

/// Where the locks are: behind every worker's record.
const ATTACHED_AT: u64 = 1 << 32;

/// Counts the attachments of this process: its stores share the process's locks.
#[derive(Debug, Default)]
pub(super) struct Attached {
    generation: u64,
    counts: HashMap<u32, u32>,
}

/// Keeps a segment from being taken away, for as long as it lives and in the process that made it.
#[derive(Debug)]
pub(crate) struct Attachment {
    file: Arc<WorkersFile>,
    place: u32,
    generation: u64,
}

impl WorkersFile {
    /// Attaches this process to the segment of a place. The caller has seen the segment under the same lock.
    pub(crate) fn attach(
        self: &Arc<Self>,
        _lock: &DirectoryLock<'_>,
        place: u32,
    ) -> io::Result<Attachment> {
        let generation = process::generation();
        let mut attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        if attached.generation != generation {
            // A forked child has none of the locks that its parent holds.
            *attached = Attached {
                generation,
                counts: HashMap::new(),
            };
        }
        let count = attached.counts.entry(place).or_default();
        if *count == 0 && !sys::try_share_range(&self.file, lock_at(place), 1)? {
            return Err(io::Error::other("a segment's lock is held by a stranger"));
        }
        *count += 1;
        Ok(Attachment {
            file: Arc::clone(self),
            place,
            generation,
        })
    }

    /// Tells whether any living process, this one included, counts in the segment of a place.
    pub(crate) fn is_attached(&self, _lock: &DirectoryLock<'_>, place: u32) -> io::Result<bool> {
        let attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        let is_own = attached.generation == process::generation();
        if is_own && attached.counts.get(&place).is_some_and(|count| *count > 0) {
            return Ok(true);
        }
        sys::is_range_locked(&self.file, lock_at(place), 1)
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let _section = fork::enter();
        let mut attached = self
            .file
            .attached
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_of_this_process =
            self.generation == process::generation() && self.generation == attached.generation;
        if !is_of_this_process {
            return;
        }
        if let Some(count) = attached.counts.get_mut(&self.place) {
            *count -= 1;
            if *count == 0 {
                attached.counts.remove(&self.place);
                // It can only fail for a bad descriptor, and then there is no lock to give back.
                let _ = sys::unlock_range(&self.file.file, lock_at(self.place), 1);
            }
        }
    }
}

fn lock_at(place: u32) -> u64 {
    ATTACHED_AT + u64::from(place)
}
