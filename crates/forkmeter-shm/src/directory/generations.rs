//! The segments of shared slots in which this process counts, and those that it is leaving.
//!
//! Where removed series crowd a segment it is sealed, and each of its workers moves its handles on when it next looks
//! ([`OpenDirectory::start_leaving`]). A thread may have read just before where a cell is, so the process stays
//! attached for [`DRAIN`]; who leaves last folds what the segment holds (`compact`).

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::exemplars::Fate;
use super::{OpenDirectory, compact, file_name, is_beyond_use, journal};
use crate::layout::Mark;
use crate::segment::Segment;
use crate::side::exemplars::SlotId;
use crate::workers::DirectoryLock;

/// How long a thread that read where a cell is may take to count there.
pub(crate) const DRAIN: Duration = Duration::from_secs(1);

/// Is a sealed segment in which a handle of this process may still count.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) stem: Box<str>,
    pub(super) segment: Segment,
    since: Instant,
}

impl OpenDirectory {
    /// Seals the segments of a stem that removed series crowd, one after the other.
    pub(super) fn seal_crowded(&mut self, lock: &DirectoryLock<'_>, stem: &str) -> io::Result<()> {
        let is_busy = self.is_fold_due || self.leaving.iter().any(|left| *left.stem == *stem);
        let Some(set) = self.sets.get_mut(stem).filter(|_| !is_busy) else {
            return Ok(());
        };
        let path = &self.path;
        let mut others = || compact::retired_bytes(path, stem);
        for segment in set.iter_mut().filter(|segment| !segment.is_sealed()) {
            if segment.is_crowded(&mut others) {
                self.workers.announce_change(lock)?;
                segment.seal(lock);
            }
        }
        Ok(())
    }

    /// Opens the segments of a stem that other workers made, that series may be appended to, and that this process
    /// has not used yet.
    pub(super) fn open_existing(
        &mut self,
        lock: &DirectoryLock<'_>,
        stem: &str,
        mark: Mark,
    ) -> io::Result<()> {
        let numbers = match mark {
            Mark::Shared => compact::numbers(&self.path, stem)?,
            _ => vec![0],
        };
        for number in numbers {
            let path = self.path.join(file_name(stem, number));
            let set = self.sets.entry(stem.into()).or_default();
            if set.iter().any(|segment| segment.is_at(&path)) {
                continue;
            }
            match Segment::open_existing(&path, &|other| other == mark) {
                Ok(segment) => self.use_segment(lock, stem, number, segment)?,
                Err(error) if is_beyond_use(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes a new segment of a stem.
    pub(super) fn make_segment(
        &mut self,
        lock: &DirectoryLock<'_>,
        stem: &str,
        mark: Mark,
    ) -> io::Result<()> {
        if mark != Mark::Shared {
            let segment = Segment::open(lock, &self.path.join(file_name(stem, 0)), mark)?;
            return self.use_segment(lock, stem, 0, segment);
        }
        let is_free = |number: &u32| {
            let path = self.path.join(file_name(stem, *number));
            fs::symlink_metadata(path).is_err()
        };
        let number = (0..compact::MAX_NUMBER).find(is_free);
        let number = number.ok_or(io::ErrorKind::FileTooLarge)?;
        self.workers.announce_change(lock)?;
        let segment = Segment::open(lock, &self.path.join(file_name(stem, number)), mark)?;
        // A file that was deleted may have had the same inode.
        let inode = segment.inode();
        let fate = |slot: SlotId| {
            if slot.inode == inode {
                Fate::Gone
            } else {
                Fate::Stayed
            }
        };
        let _ = self.exemplars.move_slots(lock, &fate);
        self.use_segment(lock, stem, number, segment)?;
        if compact::numbers(&self.path, stem)? == [number] {
            self.bring_back_strays(lock, stem)?;
        }
        Ok(())
    }

    fn use_segment(
        &mut self,
        lock: &DirectoryLock<'_>,
        stem: &str,
        number: u32,
        segment: Segment,
    ) -> io::Result<()> {
        if let Some(place) = compact::attachment_place(stem, number) {
            segment.mapping().attach(self.workers.attach(lock, place)?);
        }
        #[cfg(test)]
        let segment = {
            let mut segment = segment;
            segment.limit(self.limit_bytes);
            segment
        };
        if let Some(rest) = self.rest.get_mut(stem) {
            rest.segments
                .retain(|other| other.inode() != segment.inode());
        }
        self.sets.entry(stem.into()).or_default().push(segment);
        Ok(())
    }

    /// Tells whether a segment in which this process counts was sealed.
    pub(crate) fn has_sealed(&self) -> bool {
        let mut segments = self.sets.values().flatten();
        segments.any(Segment::is_sealed)
    }

    /// Begins to leave the segments that were sealed, and returns their inodes. From here on the caller's handles
    /// look up their cells anew before they count.
    pub(crate) fn start_leaving(&mut self) -> Vec<u64> {
        let now = Instant::now();
        let mut inodes = Vec::new();
        for (stem, set) in &mut self.sets {
            for segment in set.extract_if(.., |segment| segment.is_sealed()) {
                inodes.push(segment.inode());
                self.leaving.push(Leaving {
                    stem: stem.clone(),
                    segment,
                    since: now,
                });
            }
        }
        inodes
    }

    /// Tells whether there is a segment that was left long enough ago.
    pub(crate) fn has_left(&self) -> bool {
        self.leaving.iter().any(Leaving::is_over)
    }

    /// Returns the inodes of the segments that were left long enough ago.
    pub(crate) fn left(&self) -> Vec<u64> {
        let over = self.leaving.iter().filter(|left| left.is_over());
        over.map(|left| left.segment.inode()).collect()
    }

    /// Lets go of the segments that were left long enough ago, and folds those in which nobody counts any more.
    /// The caller's handles point to them no longer.
    pub(crate) fn leave(&mut self) -> io::Result<()> {
        for left in self.leaving.extract_if(.., |left| left.is_over()) {
            // What is not folded now is one of the rest.
            if let Some(rest) = self.rest.get_mut(&left.stem) {
                rest.changes = None;
            }
        }
        let workers = Arc::clone(&self.workers);
        let lock = workers.lock_directory()?;
        workers.check_current()?;
        self.fold_all(&lock)
    }

    /// Folds the sealed segments in which no living process counts.
    pub(super) fn fold_all(&mut self, lock: &DirectoryLock<'_>) -> io::Result<()> {
        let mut result = Ok(());
        for stem in compact::stems() {
            match compact::fold(lock, &self.workers, &self.path, &stem) {
                Ok(None) => {}
                Ok(Some(mut folded)) => {
                    // Best effort: counting goes on without exemplars.
                    let _ = self.exemplars.move_slots(lock, &|slot| folded.fate(slot));
                    // Others may have let go of what was folded, so it is this worker that brings it back.
                    let rest = self.rest.entry(stem.into()).or_default();
                    rest.segments.extend(folded.take_target());
                }
                Err(error) => result = Err(error),
            }
        }
        self.is_fold_due = result.is_err();
        result
    }

    /// Attaches a forked child to the segments in which it goes on counting. Returns the inodes of those that are gone.
    ///
    /// # Errors
    ///
    /// The child must not count in any of them then.
    pub(crate) fn attach_child(&mut self) -> io::Result<Vec<u64>> {
        let workers = Arc::clone(&self.workers);
        let lock = workers.lock_directory()?;
        journal::finish(&lock, &self.path)?;
        let mut gone = Vec::new();
        let leaving = self.leaving.iter().map(|left| (&left.stem, &left.segment));
        let used = self.sets.iter();
        let used = used.flat_map(|(stem, set)| set.iter().map(move |segment| (stem, segment)));
        for (stem, segment) in used.chain(leaving) {
            let Some(place) = segment
                .number(stem)
                .and_then(|number| compact::attachment_place(stem, number))
            else {
                continue;
            };
            if segment.is_folded() {
                gone.push(segment.inode());
            } else {
                segment.mapping().attach(workers.attach(&lock, place)?);
            }
        }
        self.forget_segments(&gone);
        Ok(gone)
    }

    fn forget_segments(&mut self, inodes: &[u64]) {
        let is_kept = |segment: &Segment| !inodes.contains(&segment.inode());
        for set in self.sets.values_mut() {
            set.retain(is_kept);
        }
        self.leaving.retain(|left| is_kept(&left.segment));
    }

    /// Forgets every segment of shared slots. The caller's handles point to them no longer.
    pub(crate) fn forget_shared(&mut self) {
        self.sets.retain(|stem, _| !stem.ends_with("_shared"));
        self.leaving.clear();
        self.rest.clear();
    }

    pub(super) fn is_leaving_deleted(&self, stem: &str) -> bool {
        let mut leaving = self.leaving.iter().filter(|left| *left.stem == *stem);
        leaving.any(|left| !left.segment.is_current())
    }

    pub(super) fn take_leaving(&mut self, stem: &str) -> Vec<Segment> {
        let of_stem = |left: &mut Leaving| *left.stem == *stem;
        let left = self.leaving.extract_if(.., of_stem);
        left.map(|left| left.segment).collect()
    }
}

impl Leaving {
    fn is_over(&self) -> bool {
        self.since.elapsed() > DRAIN
    }
}
