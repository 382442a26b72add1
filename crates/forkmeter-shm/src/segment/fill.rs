//! How full a segment is of removed series, and what tells its workers to move on.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use super::{SCAN_BYTES, Segment};
use crate::layout::{self, Entry, HEADER_SIZE, MARK_OFFSET, Mark, Step};
use crate::workers::DirectoryLock;

/// Below this many bytes of removed series a segment stays as it is.
pub(super) const MIN_DEAD_BYTES: u64 = 256 << 10;

/// Says how many bytes of a segment live and removed series take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fill {
    pub(crate) live_bytes: u64,
    pub(crate) dead_bytes: u64,
}

impl Fill {
    fn count(&mut self, entry: &Entry<'_>, size: u64) {
        let is_dead = layout::is_removed_slot(entry.value, entry.timestamp)
            || layout::is_removed_gauge(entry.value);
        if is_dead {
            self.dead_bytes += size;
        } else {
            self.live_bytes += size;
        }
    }
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
        let mut fill = Fill::default();
        // A part at a time: memory for all of it would stay with the process.
        let mut window = vec![0; SCAN_BYTES];
        let mut at = HEADER_SIZE as u64;
        while at < self.scanned {
            let room = usize::try_from(self.scanned - at).unwrap_or(usize::MAX);
            let filled = room.min(window.len());
            self.file.read_exact_at(&mut window[..filled], at)?;
            let start = at;
            let needed = loop {
                let seen = usize::try_from(at - start).map_err(io::Error::other)?;
                match layout::step(&window[seen..filled], at, self.scanned) {
                    Ok(Step::Entry(entry, size)) => {
                        fill.count(&entry, size as u64);
                        at += size as u64;
                    }
                    Ok(Step::More(needed)) => break needed,
                    Ok(Step::End) => break 0,
                    Err(_) => return Ok(fill),
                }
            };
            if needed > window.len() {
                window.resize(needed, 0);
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
