//! The segments of shared slots: those in which this process counts, those that it is leaving, and the rest.
//!
//! Where removed series crowd a segment it is sealed, and each of its workers moves its handles on when it next looks
//! ([`OpenDirectory::start_leaving`]). A thread may have read just before where a cell is, so the process stays
//! attached for [`DRAIN`]; who leaves last folds what the segment holds (`compact`).

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forkmeter_core::{Descriptor, LabelSet};

use super::exemplars::Fate;
use super::keys::Keys;
use super::{Deleted, OpenDirectory, Place, compact, file_name, is_beyond_use, journal, place_in};
use crate::layout::Mark;
use crate::segment::{Segment, Wanted};
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

/// Are segments of shared slots that others count in, or nobody.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// The number of changes when they were listed.
    changes: Option<u64>,
    pub(super) segments: Vec<Segment>,
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
        self.use_segment(lock, stem, number, segment)
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
        self.leaving.retain(|left| !left.is_over());
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
                Ok(Some(folded)) => {
                    // Best effort: counting goes on without exemplars.
                    let _ = self.exemplars.move_slots(lock, &|slot| folded.fate(slot));
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

    /// Shows `visit` every place of a series, whoever made it. Nobody folds, and nobody makes one, meanwhile.
    pub(crate) fn visit_places(
        &mut self,
        descriptor: &Descriptor,
        labels: &LabelSet,
        visit: &mut dyn FnMut(&Place),
    ) -> io::Result<()> {
        let workers = Arc::clone(&self.workers);
        let lock = workers.lock_directory()?;
        workers.check_current()?;
        self.visit_places_under(&lock, descriptor, labels, visit)
    }

    fn visit_places_under(
        &mut self,
        lock: &DirectoryLock<'_>,
        descriptor: &Descriptor,
        labels: &LabelSet,
        visit: &mut dyn FnMut(&Place),
    ) -> io::Result<()> {
        let stem = self.stem(descriptor)?;
        let keys = Keys::of(descriptor, labels);
        let wanted = keys.wanted(0.0);
        let mark = self.mark(descriptor);
        if mark == Mark::Shared {
            self.list_rest(lock, &stem)?;
        } else {
            self.open_existing(lock, &stem, mark)?;
        }
        let used = self.sets.get_mut(&*stem).into_iter().flatten();
        let rest = self.rest.get_mut(&*stem);
        let rest = rest.into_iter().flat_map(|rest| &mut rest.segments);
        let leaving = self.leaving.iter_mut().filter(|left| *left.stem == *stem);
        let leaving = leaving.map(|left| &mut left.segment);
        for segment in used.chain(rest).chain(leaving) {
            if segment.has_a_name() {
                visit_places_in(segment, &wanted, visit)?;
            }
        }
        Ok(())
    }

    /// Says of each series whether it stands anywhere as one that is there, as `is_alive` says of its places.
    pub(crate) fn are_alive<'a>(
        &mut self,
        series: impl Iterator<Item = (&'a Descriptor, LabelSet)>,
        is_alive: &dyn Fn(&Place) -> bool,
    ) -> io::Result<Vec<bool>> {
        let workers = Arc::clone(&self.workers);
        let lock = workers.lock_directory()?;
        workers.check_current()?;
        let mut all = Vec::new();
        for (descriptor, labels) in series {
            let mut is_one_alive = false;
            self.visit_places_under(&lock, descriptor, &labels, &mut |place| {
                is_one_alive |= is_alive(place);
            })?;
            all.push(is_one_alive);
        }
        Ok(all)
    }

    /// Tells whether a series of a stem can stand in one segment only, as of the last look.
    pub(crate) fn has_one_place(&self, descriptor: &Descriptor) -> bool {
        let Ok(stem) = self.stem(descriptor) else {
            return false;
        };
        let is_alone = self.sets.get(&*stem).is_none_or(|set| set.len() <= 1)
            && !self.leaving.iter().any(|left| *left.stem == *stem);
        is_alone
            && self.rest.get(&*stem).is_some_and(|rest| {
                rest.segments.is_empty()
                    && rest.changes.is_some()
                    && rest.changes == self.workers.changes().ok()
            })
    }

    /// Lists the segments of a stem that this process does not count in.
    fn list_rest(&mut self, lock: &DirectoryLock<'_>, stem: &str) -> io::Result<()> {
        let changes = self.workers.changes()?;
        let rest = self.rest.entry(stem.into()).or_default();
        let is_known =
            rest.changes == Some(changes) && rest.segments.iter().all(Segment::has_a_name);
        if is_known {
            return Ok(());
        }
        // Whoever died while files were folded had announced the change.
        journal::finish(lock, &self.path)?;
        rest.segments.retain(Segment::is_current);
        let numbers = compact::numbers(&self.path, stem)?;
        let mut names: Vec<_> = numbers
            .iter()
            .map(|number| file_name(stem, *number))
            .collect();
        names.extend(compact::retired_names_of(stem));
        for name in names {
            let path = self.path.join(name);
            let mut known = self.sets.get(stem).into_iter().flatten();
            let mut leaving = self.leaving.iter().map(|left| &left.segment);
            let is_known = known.any(|segment| segment.is_at(&path))
                || leaving.any(|segment| segment.is_at(&path))
                || rest.segments.iter().any(|segment| segment.is_at(&path));
            if is_known {
                continue;
            }
            let is_ours = |mark| matches!(mark, Mark::Shared | Mark::Sealed | Mark::Retired);
            match Segment::open_existing(&path, &is_ours) {
                Ok(segment) => rest.segments.push(segment),
                Err(error) if is_beyond_use(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        rest.changes = Some(changes);
        Ok(())
    }

    /// Opens what else holds values of the kinds that this process counts, so that it can be made again when it is
    /// deleted.
    pub(crate) fn look_at_rest(&mut self) -> io::Result<()> {
        let changes = self.workers.changes()?;
        let stems = self.sets.keys().filter(|stem| stem.ends_with("_shared"));
        let is_known = |stem: &str| {
            let rest = self.rest.get(stem);
            rest.is_some_and(|rest| rest.changes == Some(changes))
        };
        let stems: Vec<_> = stems.filter(|stem| !is_known(stem)).cloned().collect();
        if stems.is_empty() {
            return Ok(());
        }
        let workers = Arc::clone(&self.workers);
        let lock = workers.lock_directory()?;
        workers.check_current()?;
        stems
            .iter()
            .try_for_each(|stem| self.list_rest(&lock, stem))
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

    /// Forgets what was deleted of the rest; what was folded holds nothing any more.
    pub(super) fn forget_deleted_rest(&mut self, deleted: &mut Vec<Deleted>, is_reset: bool) {
        for (stem, rest) in &mut self.rest {
            let gone = rest
                .segments
                .extract_if(.., |segment| !segment.is_current());
            deleted.extend(gone.filter(Segment::is_open).map(|segment| Deleted {
                stem: stem.clone(),
                segment,
                is_reset,
            }));
        }
    }
}

impl Leaving {
    fn is_over(&self) -> bool {
        self.since.elapsed() > DRAIN
    }
}

fn visit_places_in(
    segment: &mut Segment,
    wanted: &[Wanted<'_>],
    visit: &mut dyn FnMut(&Place),
) -> io::Result<()> {
    // Of a damaged file the part before the damage counts.
    match segment.catch_up() {
        Err(error) if !is_beyond_use(&error) => return Err(error),
        _ => {}
    }
    if let Some(place) = place_in(segment, wanted) {
        visit(&place);
    }
    Ok(())
}
