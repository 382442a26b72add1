//! How full a segment is of removed series, and what tells its workers to move on.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use super::Segment;
use crate::layout::{self, HEADER_SIZE, MARK_OFFSET, Mark};
use crate::workers::DirectoryLock;

/// Below this many bytes of removed series a segment stays as it is.
pub(super) const MIN_DEAD_BYTES: u64 = 256 << 10;

/// Says how many bytes of a segment live and removed series take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fill {
    pub(crate) live_bytes: u64,
    pub(crate) dead_bytes: u64,
}

impl Segment {
    /// Tells whether removed series take more bytes of the segment than live ones and `others` together, and
    /// enough to do something about it. Looks only where the segment has grown enough since the last look.
    pub(crate) fn is_crowded(&mut self, others: &mut dyn FnMut() -> u64) -> bool {
        if self.scanned < self.crowded_above {
            return false;
        }
        let Ok(fill) = self.fill() else {
            return false;
        };
        let needed = MIN_DEAD_BYTES.max(fill.live_bytes + others());
        let missing = needed.saturating_sub(fill.dead_bytes);
        self.crowded_above = self.scanned + missing.max(MIN_DEAD_BYTES / 4);
        missing == 0
    }

    /// Counts the bytes of live and of removed series.
    fn fill(&self) -> io::Result<Fill> {
        let mut bytes = vec![0; usize::try_from(self.scanned).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, 0)?;
        let mut fill = Fill::default();
        for entry in layout::Entries::of_segment(&bytes).map_while(Result::ok) {
            let size = layout::entry_len(entry.key.len()) as u64;
            let is_dead = layout::is_removed_slot(entry.value, entry.timestamp)
                || layout::is_removed_gauge(entry.value);
            if is_dead {
                fill.dead_bytes += size;
            } else {
                fill.live_bytes += size;
            }
        }
        Ok(fill)
    }

    /// Tells whether the segment's workers are to move on to another one.
    pub(crate) fn is_sealed(&self) -> bool {
        // ORDERING: pairs with the release in `seal`. Who sees it late moves on later.
        self.word(MARK_OFFSET)
            .is_some_and(|mark| mark == u32::from_le_bytes(Mark::Sealed.to_bytes()))
    }

    /// Tells whether what the segment held stands in another file.
    pub(crate) fn is_folded(&self) -> bool {
        self.is_sealed()
            && self
                .word(0)
                .is_some_and(|used| used as usize <= HEADER_SIZE)
    }

    fn word(&self, offset: usize) -> Option<u32> {
        let word = self.mapping.word(offset as u64)?;
        // ORDERING: pairs with the release in `seal` and in `publish`.
        Some(word.load(Ordering::Acquire))
    }

    /// Tells the segment's workers to move on: nothing is appended any more.
    pub(crate) fn seal(&self, _lock: &DirectoryLock<'_>) {
        if let Some(word) = self.mapping.word(MARK_OFFSET as u64) {
            let mark = u32::from_le_bytes(Mark::Sealed.to_bytes());
            // ORDERING: pairs with the acquire in `word`.
            word.store(mark, Ordering::Release);
        }
    }
}
