//! What somebody else did to a file under its writers.

use std::fs;
use std::io;
use std::sync::atomic::Ordering;

use super::Segment;
use crate::workers::DirectoryLock;

impl Segment {
    /// Tells whether somebody cut the file off, or overwrote its header: what it held may be gone.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.mapping.is_cut_off() || self.intact_len() < self.scanned
    }

    /// Returns how much of what was in use still is.
    pub(crate) fn intact_len(&self) -> u64 {
        let len = self.file.len().unwrap_or(self.scanned);
        if len < self.scanned {
            // What is not there is better not touched.
            return len;
        }
        // ORDERING: pairs with the release in `publish`.
        let used = self
            .mapping
            .word(0)
            .map(|word| word.load(Ordering::Acquire));
        // A segment that was folded is empty and sealed.
        let used = used.map_or(0, u64::from);
        if self.is_sealed() { self.scanned } else { used }
    }

    /// Takes the file away if its path names it still. What is left of it is known here.
    pub(crate) fn discard(&self, _lock: &DirectoryLock<'_>) -> io::Result<()> {
        if self.is_current() {
            fs::remove_file(&self.path)?;
        }
        Ok(())
    }
}
