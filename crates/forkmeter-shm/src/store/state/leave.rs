//! Moves handles on from segments that were sealed because removed series crowd them.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use super::State;
use crate::directory::{OpenDirectory, Rewritten, is_shared};
use crate::process;
use crate::segment::Found;
use crate::store::series::{Series, is_alive, reset_place};

impl State {
    /// Moves on from segments that were sealed, and lets go of those that were left long enough ago.
    pub(super) fn leave_sealed(&mut self) {
        let Some(open) = self.open.as_mut() else {
            return;
        };
        if open.has_sealed() {
            let inodes = open.start_leaving();
            for series in self.all_series() {
                if inodes.contains(&series.segment_inode()) {
                    series.start_leaving();
                }
            }
            // Each handle looks its cells up anew before it counts; who has looked already counts where it was.
            process::next_epoch();
        }
        if self.open.as_ref().is_some_and(OpenDirectory::has_left) {
            self.let_go();
        }
        if self.rewritten.iter().any(Rewritten::is_over) {
            self.rewritten
                .drain(..)
                .for_each(|rewritten| rewritten.settle());
        }
        let crowded = self.open.as_mut().filter(|_| self.rewritten.is_empty());
        if let Some(stem) = crowded.and_then(OpenDirectory::crowded_gauges) {
            self.rewrite_gauges(&stem);
        }
    }

    /// Moves this worker's gauges to a new file, because removed ones crowd the old one.
    fn rewrite_gauges(&mut self, stem: &str) {
        let Some(open) = self.open.as_mut() else {
            return;
        };
        let rewritten = match open.rewrite_gauges(stem) {
            Ok(Some(rewritten)) => rewritten,
            Ok(None) => return,
            Err(error) => return self.note_side_file(Err::<(), _>(error)),
        };
        let mut removed = HashSet::new();
        for series in self.all_series() {
            let Some(open) = self.open.as_ref() else {
                return;
            };
            let is_moved = open.stem(&series.descriptor).is_ok_and(|own| *own == *stem);
            if !is_moved || !series.is_published() {
                continue;
            }
            if let Some(place) = open.known_place(&series.descriptor, &series.labels()) {
                series.turn(&place);
            } else {
                // Another worker removed it.
                series.leave();
                removed.insert(Arc::as_ptr(&series));
            }
        }
        process::next_epoch();
        rewritten.settle();
        self.rewritten.push(rewritten);
        self.forget(&removed);
    }

    fn let_go(&mut self) {
        let Some(inodes) = self.open.as_ref().map(OpenDirectory::left) else {
            return;
        };
        let mut unused = Vec::new();
        let mut removed: HashSet<*const Series> = HashSet::new();
        for series in self.all_series() {
            if !series.is_left() {
                continue;
            }
            if inodes.contains(&series.segment_inode()) {
                if series.is_marked_removed() {
                    removed.insert(Arc::as_ptr(&series));
                }
                series.leave();
            } else if !series.is_published() && is_shared(&series.descriptor) {
                unused.push(series);
            }
        }
        if let Some(open) = self.open.as_mut() {
            let identities = unused
                .iter()
                .map(|series| (&*series.descriptor, series.labels()));
            // What cannot be known now is asked again with the next segment.
            let alive = open.are_alive(identities, &is_alive).unwrap_or_default();
            for (series, _) in unused.iter().zip(alive).filter(|(_, alive)| !alive) {
                removed.insert(Arc::as_ptr(series));
            }
            let left = open.leave();
            self.note_side_file(left);
        }
        self.forget(&removed);
    }

    /// Forgets series that other workers removed; who still has a handle may count on it.
    fn forget(&mut self, removed: &HashSet<*const Series>) {
        if removed.is_empty() {
            return;
        }
        let is_removed = |series: &Arc<Series>| removed.contains(&Arc::as_ptr(series));
        for family in &mut self.families {
            let gone = family.retain(|series| !is_removed(series));
            for series in &gone {
                series.forget();
            }
            self.former.extend(gone.iter().map(Arc::downgrade));
        }
        self.former.retain(|series| series.strong_count() > 0);
    }

    /// Attaches a forked child to the segments in which its handles go on counting.
    pub(super) fn attach_child(&mut self, all: &[Arc<Series>]) {
        let Some(open) = self.open.as_mut() else {
            return;
        };
        let shared = || all.iter().filter(|series| is_shared(&series.descriptor));
        match open.attach_child() {
            Ok(gone) => {
                for series in shared().filter(|series| gone.contains(&series.segment_inode())) {
                    series.start_leaving();
                    series.leave();
                }
            }
            // The files are gone, and are made again with what the mappings hold.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                for series in shared() {
                    series.start_leaving();
                    series.leave();
                }
                open.forget_shared();
                self.note(Err::<(), _>(error));
            }
        }
    }

    /// Adds up a slot over all segments, where it may stand in more than one.
    pub(in crate::store) fn total(&mut self, series: &Series, index: usize) -> Option<f64> {
        let open = self.open.as_mut()?;
        if series.is_published() && open.has_one_place(&series.descriptor) {
            return None;
        }
        let mut total = 0.0;
        let visited = open.visit_places(&series.descriptor, &series.labels(), &mut |place| {
            // ORDERING: a lone value.
            let bits = place.slots[index]
                .cell
                .load(std::sync::atomic::Ordering::Relaxed);
            total += f64::from_bits(bits);
        });
        visited.ok().map(|()| total)
    }

    /// Sets a series to zero wherever it stands.
    pub(in crate::store) fn reset_others(&mut self, series: &Series) {
        let now = (self.clock)();
        let Some(open) = self.open.as_mut().filter(|_| is_shared(&series.descriptor)) else {
            return;
        };
        if !open.has_one_place(&series.descriptor) {
            let mut slots = Vec::new();
            let visited = open.visit_places(&series.descriptor, &series.labels(), &mut |place| {
                reset_place(place, now);
                slots.extend(place.slots.iter().map(Found::id));
            });
            let cleared = visited.and_then(|()| open.clear_exemplars(&series.descriptor, &slots));
            self.note_side_file(cleared);
        }
    }
}
