//! What happens to a store: forks, other directories, deleted files, disks without room.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use forkmeter_core::MetricType;

use super::family::{Family, HANDLES_OF_A_FAMILY};
use super::{State, is_later};
use crate::directory::{OpenDirectory, is_shared};
use crate::process;
use crate::store::series::Series;
use crate::store::{Directory, Options, trouble};

/// How long to leave a directory alone after it could not be written.
const RETRY: Duration = Duration::from_secs(1);
/// Its family's, and the caller's.
const HANDLES_OF_A_NEW_SERIES: usize = HANDLES_OF_A_FAMILY + 1;

impl State {
    /// Notices that this is a forked child, and that another directory is wanted.
    pub(in crate::store) fn follow(&mut self, options: &Options) {
        let generation = process::generation();
        if self.generation != generation {
            self.generation = generation;
            self.become_child();
        }
        let wanted = match &options.directory {
            Directory::Fixed(path) => Some(path.clone()),
            Directory::Follow(resolve) => resolve(),
        };
        if self.wanted != wanted {
            self.move_to(wanted);
        } else if self.open.is_none() && self.wanted.is_some() {
            self.retry();
        }
        self.leave_sealed();
    }

    /// Starts this worker's own gauges, and leaves what the parent keeps in memory to the parent.
    fn become_child(&mut self) {
        if self.wanted.is_none() {
            // A lone process that forks: parent and child go on with copies, as memory does.
            return;
        }
        // As it is now: a change of the directory that is noticed next begins another one.
        let epoch = process::epoch();
        self.retry_at = None;
        self.reported_kept = 0;
        self.forget_lists();
        let all = self.all_series();
        for series in &all {
            if !is_shared(&series.descriptor) && series.descriptor.kind != MetricType::StateSet {
                series.start_over();
            }
        }
        if let Some(open) = self.open.as_mut() {
            open.forget_own_gauges();
            let taken = open.take_record();
            if self.resets {
                open.reset_on_deletion(true);
            }
            self.note(taken);
            self.attach_child(&all);
        }
        for series in &all {
            if !series.is_published() && !series.is_left() && !series.is_expired() {
                self.publish_or_keep(series);
            }
            // Signal handlers need not wait for its own next look.
            if series.is_published() && !series.is_left() {
                series.set_epoch(epoch);
            }
        }
    }

    /// Moves to another directory, or to none. What was counted stays where it is; what only memory holds comes
    /// along into the first directory.
    fn move_to(&mut self, wanted: Option<PathBuf>) {
        let had_one = self.wanted.is_some();
        if !had_one {
            // What was counted in memory comes along.
            self.look_at_expired();
        }
        self.moves += 1;
        self.place = wanted
            .as_ref()
            .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        self.wanted = wanted;
        self.open = None;
        self.deleted.clear();
        self.retry_at = None;
        self.retry_side_files_at = None;
        self.forget_lists();
        self.undeclared = true;
        if had_one {
            self.forget_unused();
        }
        let mut pending = Vec::new();
        for series in self.all_series() {
            if had_one {
                series.start_over();
            }
            // Labelled series appear in another directory once they are used there.
            if series.is_unlabelled() || !had_one && !series.is_expired() {
                pending.push(series);
            }
        }
        process::next_epoch();
        if self.wanted.is_some() {
            for series in &pending {
                self.keep(series);
            }
            self.retry();
        }
    }

    /// Forgets the families and series that nobody can count on any more: they stay in the directory before.
    fn forget_unused(&mut self) {
        for family in &mut self.families {
            // Facts are set without a handle: they live as long as their metric, which holds the descriptor.
            let has_metric = family.descriptor.kind == MetricType::Info && family.is_declared();
            family.retain(|series| has_metric || Family::is_held(series));
        }
        let is_used = |family: &Family| family.has_series() || family.is_declared();
        self.families.retain(is_used);
        let names = self.families.iter().map(|family| &family.descriptor.name);
        self.by_name = names.cloned().zip(0..).collect();
    }

    /// Forgets what memory holds for the directory before, or for the parent. A series that is in neither list has in
    /// memory only what signal handlers counted since.
    fn forget_lists(&mut self) {
        for series in self.unpublished.drain(..) {
            series.list_as_kept(false);
            series.forget_kept();
        }
        // ORDERING: a hint. Where both came together, what was counted late here outweighs what a thread counted for
        // the directory before, in the moment between reading where that was and counting.
        let has_late_counts = self.has_late_counts.load(Ordering::Relaxed);
        for (series, _) in self.draining.drain(..) {
            if !has_late_counts {
                series.forget_kept();
            }
        }
        self.rewritten.clear();
    }

    /// Moves to where it belongs what signal handlers counted in memory while they could not look.
    pub(super) fn take_late_counts(&mut self) {
        // ORDERING: a hint; what is counted after it was taken back is seen at the next look at the series.
        if !self.has_late_counts.swap(false, Ordering::Relaxed) {
            return;
        }
        for series in self.all_series() {
            if !series.has_kept() {
                continue;
            }
            if series.is_published() && !series.is_left() {
                series.move_kept();
            } else if self.wanted.is_some() {
                self.publish_or_keep(&series);
            }
        }
    }

    /// Opens the wanted directory and publishes what is kept, unless that failed a moment ago.
    pub(super) fn retry(&mut self) {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        let Some(wanted) = self.place.clone() else {
            return;
        };
        if self.open.is_none() {
            match OpenDirectory::open(&wanted, self.clock) {
                Ok(mut open) => {
                    if self.resets {
                        open.reset_on_deletion(true);
                    }
                    self.open = Some(open);
                    self.undeclared = true;
                }
                Err(error) => return self.note(Err::<(), _>(error)),
            }
        }
        self.retry_at = None;
        // First, as it brings back everything at once, what handles here are for as well.
        let rescued = self.rescue();
        let pending = std::mem::take(&mut self.unpublished);
        self.moves += u64::from(!pending.is_empty());
        for series in &pending {
            series.list_as_kept(false);
        }
        for series in &pending {
            self.publish_or_keep(series);
        }
        self.report_kept();
        self.note(rescued);
    }

    /// Moves what deleted files hold to those of now.
    fn rescue(&mut self) -> io::Result<()> {
        match self.open.as_mut().filter(|_| !self.deleted.is_empty()) {
            Some(open) => open.rescue(&mut self.deleted),
            None => Ok(()),
        }
    }

    /// Publishes a series, or remembers that its values are in memory.
    pub(super) fn publish_or_keep(&mut self, series: &Arc<Series>) {
        if self.wanted.is_none() {
            return;
        }
        let is_due = self.retry_at.is_none_or(|at| Instant::now() >= at);
        let result = match self.open.as_mut() {
            Some(open) if is_due => publish(open, series),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        };
        match result {
            Ok(()) => {
                if series.list_as_kept(false) {
                    self.moves += 1;
                    self.unpublished.retain(|other| !Arc::ptr_eq(other, series));
                }
                // Only a handle that others have can be counting in memory.
                if Arc::strong_count(series) > HANDLES_OF_A_NEW_SERIES {
                    self.draining.push((Arc::clone(series), Instant::now()));
                }
                return;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // It is this series that cannot be written, or its file is not ours; others have a place.
            Err(error) if is_of_one_series(&error) => {
                self.remember(&error);
            }
            Err(error) => {
                let is_deleted = error.kind() == io::ErrorKind::NotFound;
                self.note(Err::<(), _>(error));
                if is_deleted && !self.is_repairing {
                    self.keep(series);
                    return self.repair();
                }
            }
        }
        self.keep(series);
    }

    pub(super) fn keep(&mut self, series: &Arc<Series>) {
        if !series.list_as_kept(true) {
            self.unpublished.push(Arc::clone(series));
        }
        self.report_kept();
    }

    pub(super) fn write_declarations(&mut self) {
        if !self.undeclared || is_later(self.retry_at) || is_later(self.retry_side_files_at) {
            return;
        }
        let Some(open) = self.open.as_mut() else {
            return;
        };
        let mut result = Ok(());
        for family in &mut self.families {
            if family.is_declared_in.as_deref() != Some(open.path()) {
                result = open.declare(&family.descriptor);
                if result.is_err() {
                    break;
                }
                family.is_declared_in = Some(open.path().to_owned());
            }
        }
        self.undeclared = result.is_err();
        self.note_side_file(result);
    }

    /// Remembers why the directory could not be written, and leaves it alone for a while.
    pub(super) fn note<T>(&mut self, result: io::Result<T>) {
        if let Err(error) = result {
            self.remember(&error);
            self.retry_at = Some(Instant::now() + RETRY);
        }
    }

    /// Lets the next look try again what failed a moment ago.
    pub(in crate::store) fn forget_failures(&mut self) {
        self.retry_at = None;
        self.retry_side_files_at = None;
    }

    fn remember(&mut self, error: &io::Error) {
        self.last_error_kind = Some(error.kind());
        self.last_error = Some(trouble::describe(self.place.as_deref(), error));
    }

    /// As [`State::note`], where counting goes on without the file.
    pub(super) fn note_side_file<T>(&mut self, result: io::Result<T>) {
        if let Err(error) = result {
            self.remember(&error);
            self.retry_side_files_at = Some(Instant::now() + RETRY);
        }
    }

    fn report_kept(&mut self) {
        let kept = self.unpublished.len() as u64;
        if kept != self.reported_kept
            && let Some(open) = &self.open
        {
            open.report_kept(kept);
            self.reported_kept = kept;
        }
    }
}

fn is_of_one_series(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::IsADirectory
    )
}

/// Tells whether a series that stood in a sealed segment is one that was not removed.
fn is_alive_anywhere(open: &mut OpenDirectory, series: &Series) -> io::Result<bool> {
    if series.is_published() {
        return Ok(!series.is_marked_removed());
    }
    let mut is_alive = false;
    open.visit_places(&series.descriptor, &series.labels(), &mut |place| {
        is_alive |= crate::store::series::is_alive(place);
    })?;
    Ok(is_alive)
}

/// Looks up or makes the place of a series and moves its values there.
fn publish(open: &mut OpenDirectory, series: &Arc<Series>) -> io::Result<()> {
    let descriptor = &series.descriptor;
    if descriptor.kind == MetricType::Info {
        let info = series.info().unwrap_or_default();
        return open.set_info(&descriptor.name, &series.labels(), Some(info));
    }
    let mut created = series.kept_created_seconds();
    let is_left = series.is_left() && is_shared(descriptor);
    if series.is_expired() || is_left && !is_alive_anywhere(open, series)? {
        // It expired, or was removed by another worker, and stays so until somebody counts.
        created = -created;
    }
    let place = open.intern(descriptor, &series.sorted_labels(), created, &mut |index| {
        series.take_kept(index)
    })?;
    series.publish(&place);
    Ok(())
}
