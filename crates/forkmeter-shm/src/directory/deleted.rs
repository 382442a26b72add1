//! Files that are gone, or that somebody cut off under us: what they hold goes into new ones.

use std::io;

use super::{MetaFile, OpenDirectory};
use crate::layout;
use crate::segment::Segment;

/// Is a segment of shared slots whose file was deleted, and the stem of its name.
#[derive(Debug)]
pub(crate) struct Deleted {
    pub(super) stem: Box<str>,
    pub(super) segment: Segment,
    /// Whether its deletion was a reset: of what it holds only what was counted since is still wanted.
    pub(super) is_reset: bool,
}

/// Says which files are no longer there.
#[derive(Debug)]
pub(crate) struct Gone {
    /// What their names begin with: one or more files of each were deleted.
    pub(crate) stems: Vec<Box<str>>,
    /// The inodes of segments of these names that are still there.
    pub(crate) staying: Vec<u64>,
    /// The files that were cut off.
    pub(crate) cuts: Vec<Cut>,
}

/// Is a segment that somebody cut off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) inode: u64,
    /// What of it is left.
    pub(crate) len: u64,
    /// Whether it is this worker that takes the file away, which of all workers one does.
    pub(crate) is_first: bool,
}

impl OpenDirectory {
    /// Tells whether the file of workers is still what its path names, with this worker in it. One that was cut off is
    /// taken away, so that all workers make another one.
    pub(crate) fn is_current(&self) -> bool {
        if !self.workers.is_current() {
            return false;
        }
        let is_whole = self
            .claim
            .as_ref()
            .is_none_or(|claim| self.workers.has(claim));
        if !is_whole {
            // Who cannot take it away tries again with the next look.
            let _ = self.workers.discard();
        }
        is_whole
    }

    /// Forgets the files that were deleted, replaced or cut off, and returns what they were.
    ///
    /// Segments of shared slots are added to `deleted`: they may hold what nobody else knows any more.
    pub(crate) fn forget_deleted(&mut self, deleted: &mut Vec<Deleted>, is_reset: bool) -> Gone {
        let cuts = self.discard_cut_off();
        let is_cut = |segment: &Segment| cuts.iter().any(|cut| cut.inode == segment.inode());
        let is_gone =
            |segment: &Segment| !segment.is_current() || !segment.is_open() || is_cut(segment);
        let mut stems: Vec<_> = self
            .sets
            .iter()
            .filter(|(stem, set)| set.iter().any(is_gone) || self.is_leaving_deleted(stem))
            .map(|(stem, _)| stem.clone())
            .collect();
        let mut staying = Vec::new();
        for stem in &stems {
            let left = self.take_leaving(stem);
            let segments = self.sets.remove(stem).into_iter().flatten().chain(left);
            for segment in segments.filter(Segment::is_open) {
                if segment.is_current() && !is_cut(&segment) {
                    // It is opened again by who needs it.
                    staying.push(segment.inode());
                } else if stem.ends_with("_shared") {
                    deleted.push(Deleted {
                        stem: stem.clone(),
                        segment,
                        is_reset,
                    });
                }
            }
        }
        self.forget_deleted_rest(deleted, is_reset);
        if !self.meta.is_current() {
            self.meta = MetaFile::new(&self.path);
            stems.push(layout::META_FILE.into());
        }
        Gone {
            stems,
            staying,
            cuts,
        }
    }

    /// Takes away the files that somebody cut off, so that to all workers they are deleted ones.
    fn discard_cut_off(&mut self) -> Vec<Cut> {
        let used = self
            .sets
            .iter()
            .flat_map(|(stem, set)| set.iter().map(move |one| (stem, one)));
        let rest = self.rest.iter();
        let rest = rest.flat_map(|(stem, rest)| rest.segments.iter().map(move |one| (stem, one)));
        let leaving = self.leaving.iter().map(|left| (&left.stem, &left.segment));
        let known = used.chain(rest).chain(leaving);
        let cut: Vec<(&Box<str>, &Segment)> =
            known.filter(|(_, segment)| segment.is_cut_off()).collect();
        let is_meta_cut = self.meta.is_cut_off();
        if cut.is_empty() && !is_meta_cut {
            return Vec::new();
        }
        // Without it, or where the directory cannot be written, the file stays; nobody counts in it any more.
        let lock = self.workers.lock_directory();
        if let (Ok(lock), true) = (&lock, is_meta_cut) {
            let _ = self.meta.discard(lock);
        }
        let cuts = cut.into_iter().map(|(stem, segment)| {
            let is_there = segment.is_current();
            let discarded = lock.as_ref().map(|lock| segment.discard(lock));
            let is_own = stem.starts_with("gauge_");
            Cut {
                inode: segment.inode(),
                len: segment.intact_len(),
                is_first: is_own || is_there && matches!(discarded, Ok(Ok(()))),
            }
        });
        cuts.collect()
    }

    /// Counts series whose values are lost.
    pub(crate) fn report_lost(&self, series: u64) -> io::Result<()> {
        let lock = self.workers.lock_directory()?;
        self.workers.add_lost_series(&lock, series)
    }
}
