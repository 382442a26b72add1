//! Looks up the slots of series and makes those that are missing.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use forkmeter_core::Descriptor;

use super::keys::{Keys, Labels};
use super::looked::Looked;
use super::{OpenDirectory, Place, is_beyond_use, is_shared, place_in};
use crate::layout::Mark;
use crate::segment::{Segment, Wanted};
use crate::workers::DirectoryLock;

impl OpenDirectory {
    /// Looks up the slots of a series and makes those that are missing.
    ///
    /// `initial` gives the value that a new slot starts with; it is asked only for slots that are certain to
    /// be made. `created_seconds` is when the series was made, where it is not there yet.
    pub(crate) fn intern(
        &mut self,
        descriptor: &Descriptor,
        labels: &Labels<'_>,
        created_seconds: f64,
        initial: &mut dyn FnMut(usize) -> f64,
    ) -> io::Result<Place> {
        let now = Instant::now();
        let at_once = self.intern_at_once(descriptor, labels, created_seconds, initial);
        if let Some(place) = at_once {
            return Ok(place);
        }
        let mut keys = Keys::default();
        keys.write(descriptor, labels);
        let wanted = keys.wanted(timestamp(descriptor, created_seconds));
        let stem = self.stem(descriptor)?;
        let known = self.sets.get(&*stem).into_iter().flatten();
        let mut known = known.filter_map(|segment| Some((segment, place_in(segment, &wanted)?)));
        let is_usable = |segment: &Segment| segment.has_a_name() && !segment.is_sealed();
        if let Some((_, place)) = known.find(|(segment, _)| is_usable(segment)) {
            return Ok(place);
        }
        let mark = self.mark(descriptor);
        if mark == Mark::Shared && !self.sets.contains_key(&*stem) {
            self.look_before_first(&stem)?;
        }
        let workers = Arc::clone(&self.workers);
        let lock = workers.lock_directory()?;
        let place = self.append(&lock, &stem, mark, &wanted, initial)?;
        self.looked = Looked::at(now);
        Ok(place)
    }

    /// As [`OpenDirectory::intern`], without a system call and without waiting for anybody: what is known, or can be
    /// appended in memory alone. Nothing where that does not go, and then nothing happened.
    pub(crate) fn intern_at_once(
        &mut self,
        descriptor: &Descriptor,
        labels: &Labels<'_>,
        created_seconds: f64,
        initial: &mut dyn FnMut(usize) -> f64,
    ) -> Option<Place> {
        if !self.looked.is_fresh(Instant::now()) {
            return None;
        }
        let mut keys = std::mem::take(&mut self.keys);
        keys.write(descriptor, labels);
        let timestamp = timestamp(descriptor, created_seconds);
        let place = keys.with_wanted(timestamp, |wanted| {
            self.place_at_once(descriptor, wanted, initial)
        });
        self.keys = keys;
        place
    }

    fn place_at_once(
        &mut self,
        descriptor: &Descriptor,
        wanted: &[Wanted<'_>],
        initial: &mut dyn FnMut(usize) -> f64,
    ) -> Option<Place> {
        let stem = self.stem(descriptor).ok()?;
        let set = self.sets.get_mut(&*stem)?;
        let mut usable = set.iter().filter(|segment| !segment.is_sealed());
        if let Some(place) = usable.find_map(|segment| place_in(segment, wanted)) {
            return Some(place);
        }
        let [segment] = set.as_mut_slice() else {
            return None;
        };
        // Some are known where another client, or another declaration, made them.
        if wanted.len() > 1 && wanted.iter().any(|one| segment.knows(one)) {
            return None;
        }
        let lock = self.workers.lock_to_append(self.claim.as_ref()?)?;
        let slots = segment.append_at_once(&lock, wanted, initial)?;
        Some(Place::new(slots, segment))
    }

    /// Has the next new series look whether the files are there, where it would trust a look of a moment ago.
    pub(crate) fn doubt(&mut self) {
        self.looked = Looked::default();
    }

    pub(super) fn append(
        &mut self,
        lock: &DirectoryLock<'_>,
        stem: &str,
        mark: Mark,
        wanted: &[Wanted<'_>],
        initial: &mut dyn FnMut(usize) -> f64,
    ) -> io::Result<Place> {
        let is_numbered = matches!(mark, Mark::Shared);
        if is_numbered {
            self.seal_crowded(lock, stem)?;
        }
        let set = self.sets.entry(stem.into()).or_default();
        if set.iter().any(|segment| !segment.has_a_name()) {
            let text = format!("a file of {stem} was deleted");
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        let mut tried = 0;
        loop {
            for segment in &mut self.sets.entry(stem.into()).or_default()[tried..] {
                match segment.find_or_append(lock, wanted, initial) {
                    Err(error) if is_numbered && is_beyond_use(&error) => {}
                    other => return other.map(|slots| Place::new(slots, segment)),
                }
            }
            // A file that is full, damaged or not ours stays as it is; another one takes the series.
            tried = self.sets.get(stem).map_or(0, Vec::len);
            self.workers.check_current()?;
            self.open_existing(lock, stem, mark)?;
            if self.sets.get(stem).map_or(0, Vec::len) == tried {
                self.make_segment(lock, stem, mark)?;
            }
        }
    }
}

/// Returns the timestamp of a new slot of a series that was made at a time.
fn timestamp(descriptor: &Descriptor, created_seconds: f64) -> f64 {
    if is_shared(descriptor) {
        created_seconds
    } else {
        0.0
    }
}
