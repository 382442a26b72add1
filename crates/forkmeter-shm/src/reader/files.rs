//! Reads every file of a directory that was listed.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::listing::{Kind, Listed};
use super::name::Role;
use super::segment::{Access, Segment};
use super::source::{Refusal, open};
use super::{DirectoryReader, FileReport, FileState, Files, MAX_ATTEMPTS, crew};
use crate::guard;
use crate::layout::Mark;
use crate::workers::Observed;

/// From how many files on none is mapped, as a process may have some 65,000 maps.
const MAX_MAPS: usize = 16_384;
/// After how many files of a role, whose keys are mostly those of all, others may be read by a crew.
const FILES_BEFORE_CREW: usize = 4;

impl DirectoryReader {
    pub(super) fn read_files(&mut self, listed: &Listed, files: &mut Files) {
        self.stale |= self.meta_changed(files);
        let may_map = self.mapped_files && self.names.is_none();
        let mapped = may_map && listed.len() <= MAX_MAPS && guard::arm();
        let mut known = std::mem::take(&mut self.segments);
        let (mut role, mut of_role) = (None, 0);
        // Of the next files that are new.
        let mut ready = VecDeque::new();
        for (name, kind) in listed {
            if role.replace(kind.0) != Some(kind.0) {
                of_role = 0;
            }
            if of_role == FILES_BEFORE_CREW && self.names.is_none() {
                let is_new = |(name, _): &crew::Job<'_>| !known.contains_key(*name);
                let others = listed.range(name.clone()..);
                let others = others.take_while(|(_, other)| other.0 == kind.0);
                let jobs: Vec<_> = others.filter(is_new).collect();
                if jobs.len() >= crew::MIN_FILES {
                    // Who must not map files must not have threads either.
                    let haul = crew::read(&self.path, &jobs, &self.keys, may_map);
                    self.report.effort += haul.effort;
                    ready = haul.done.into();
                }
            }
            of_role += 1;
            let before = known.remove(name);
            let path = self.path.join(name);
            let done = if before.is_none() {
                ready.pop_front().flatten()
            } else {
                None
            };
            let report = self.read_file(name, path, kind, before, done, mapped);
            files.extend(report.map(|report| (name.clone(), report)));
        }
        self.stale |= !known.is_empty();
        let observed = self.observe_workers(files);
        let folded = self.folded(files);
        for (name, segment) in &mut self.segments {
            let counted = is_counted(segment, observed.as_ref())
                && !folded
                    .as_ref()
                    .is_some_and(|sources| sources.contains(name));
            self.stale |= segment.counted != counted;
            segment.counted = counted;
        }
        let observed = observed.unwrap_or_default();
        self.roll.stamp = observed.roll;
        self.report.workers = observed.records;
        self.report.lost_series = observed.lost_series;
    }

    /// Reads a file, unless that is `done`, and reports it if it is one that there must be.
    fn read_file(
        &mut self,
        name: &OsStr,
        path: PathBuf,
        kind: &Kind,
        before: Option<Segment>,
        done: Option<crew::Done>,
        mapped: bool,
    ) -> Option<FileReport> {
        let was_known = before.is_some();
        let mut read = match done {
            Some(done) => {
                self.stale = true;
                Ok(done)
            }
            None => self.read_segment(&path, kind, before, mapped),
        };
        for _ in 0..MAX_ATTEMPTS {
            let is_good = match &read {
                Ok((segment, _)) => !segment.was_moved(),
                // There may be another one by now.
                Err((state, _)) => *state != FileState::Vanished || !path.exists(),
            };
            if is_good {
                break;
            }
            read = self.read_segment(&path, kind, None, mapped);
        }
        match read {
            Ok((segment, bytes)) => {
                let (state, cause) = (segment.state, segment.cause.clone());
                let entries = segment.entries();
                self.segments.insert(name.to_owned(), segment);
                Some(FileReport {
                    path,
                    state,
                    bytes,
                    entries,
                    cause,
                })
            }
            Err((state, cause)) => {
                self.stale |= was_known;
                // Side files are not there unless they are needed.
                let is_needed = state != FileState::Vanished || kind.0 != Role::States;
                is_needed.then_some(FileReport {
                    path,
                    state,
                    bytes: 0,
                    entries: 0,
                    cause,
                })
            }
        }
    }

    /// Reads a segment on from what was known of it `before`. Returns it and what it takes on disk.
    fn read_segment(
        &mut self,
        path: &Path,
        (role, tag): &Kind,
        before: Option<Segment>,
        mapped: bool,
    ) -> Result<crew::Done, Refusal> {
        let opened = open(path)?;
        self.report.effort.opened_files += 1;
        let mut segment = before
            .filter(|segment| segment.identity == opened.identity)
            .unwrap_or_else(|| {
                self.stale = true;
                Segment::new(*role, Arc::clone(tag), opened.identity)
            });
        let (keys, window) = (&mut self.keys, &mut self.window);
        let access = match &self.names {
            Some(_) => Access::Named(&opened),
            None if mapped => Access::Mapped(&opened),
            None => Access::Read,
        };
        let begun = segment.begin(&opened.file, access, keys, window)?;
        let names = self.names.as_ref();
        self.stale |= segment.finish(begun, &opened.file, keys, names, window)?;
        self.report.effort.read_bytes += segment.read_bytes;
        let is_shared = matches!(segment.mark, Mark::Shared | Mark::Retired) && role.is_shared();
        if is_shared && !opened.is_at(path) {
            // Whoever brings back what it holds, or folds it, leaves zeros.
            self.stale = true;
            return Err((
                FileState::Vanished,
                "it was deleted while it was read".into(),
            ));
        }
        Ok((segment, opened.bytes))
    }
}

/// Tells whether a segment's values count: all but those of `live*` gauges whose worker is known to be dead.
fn is_counted(segment: &Segment, observed: Option<&Observed>) -> bool {
    let (Role::Gauge(mode), Mark::Worker(record)) = (segment.role, segment.mark) else {
        return true;
    };
    let Some(observed) = observed.filter(|_| mode.is_live()) else {
        return true;
    };
    let mut records = observed.records.iter();
    records.any(|worker| worker.alive && worker.index == record && *worker.tag == *segment.tag)
}
