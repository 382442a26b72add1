//! The segments that others count in, or nobody: what else holds values of the kinds that this process counts.

use std::io;
use std::sync::Arc;

use forkmeter_core::{Descriptor, LabelSet};

use super::keys::Keys;
use super::{Deleted, OpenDirectory, Place, compact, file_name, is_beyond_use, journal, place_in};
use crate::layout::Mark;
use crate::segment::{Segment, Wanted};
use crate::workers::DirectoryLock;

/// Are segments of shared slots that others count in, or nobody.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// The number of changes when they were listed.
    pub(super) changes: Option<u64>,
    pub(super) segments: Vec<Segment>,
}

impl OpenDirectory {
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
