//! Reads many new files at once, in as many threads as there are processors, once a few of them were read.
//!
//! The files of many workers mostly hold the same series. So their keys are looked up only, which several threads can
//! do, and where their entries stand is kept once. What brings a new key is left to the caller.

use std::ffi::OsString;
use std::fs::File;
use std::iter;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder};

use super::keys::{KeyTable, KnownKeys};
use super::listing::Kind;
use super::name::Role;
use super::report::Effort;
use super::segment::{Access, Located, Segment};
use super::source::open;
use crate::layout::Mark;

/// From how many files on a crew is worth its keep.
pub(super) const MIN_FILES: usize = 16;
/// How many threads there are at most, the caller's included: beyond it the kernel's own locks decide.
pub(super) const MAX_THREADS: usize = 8;

/// After how many files in a row that cannot be read so the rest is left to the caller too.
const MAX_REFUSALS: usize = 16;

/// Is a file to read, by its name and what that says.
pub(super) type Job<'a> = (&'a OsString, &'a Kind);

/// Is a segment that was read, and what its file takes on disk.
pub(super) type Done = (Segment, u64);

/// Is what a crew read.
#[derive(Debug)]
pub(super) struct Haul {
    /// What each file held, in their order: nothing where it is not the official client's, has a key that is new, or could
    /// not be read.
    pub(super) done: Vec<Option<Done>>,
    /// What it took, with that of files that have to be read again.
    pub(super) effort: Effort,
}

/// Reads new files of a directory.
///
/// Without `threads` the caller's thread does it all, for processes that may fork meanwhile: a child would miss the others.
pub(super) fn read(directory: &Path, jobs: &[Job<'_>], keys: &KeyTable, threads: bool) -> Haul {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut member = Member::new(directory, keys);
        loop {
            // ORDERING: a ticket; the jobs were there before the threads.
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(index).filter(|_| member.refusals < MAX_REFUSALS) else {
                return member;
            };
            member.take(index, job);
        }
    };
    let others = if threads {
        thread::available_parallelism().map_or(0, |all| all.get().min(MAX_THREADS) - 1)
    } else {
        0
    };
    let members = thread::scope(|scope| {
        let start = |_| {
            let builder = Builder::new().name("forkmeter-read".into());
            builder.spawn_scoped(scope, work).ok()
        };
        // Where no thread can be had, this one does their part.
        let others: Vec<_> = (0..others).filter_map(start).collect();
        let mut members = vec![work()];
        for other in others {
            members.push(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        members
    });
    let mut haul = Haul {
        done: iter::repeat_with(|| None).take(jobs.len()).collect(),
        effort: Effort::default(),
    };
    for member in members {
        haul.effort += member.effort;
        for (index, done) in member.done {
            haul.done[index] = Some(done);
        }
    }
    haul
}

/// Is what each thread has.
#[derive(Debug)]
struct Member<'a> {
    directory: &'a Path,
    keys: &'a KeyTable,
    /// The role of the segment that was read last, and where its entries stand, which the next one is expected to have too.
    leader: Option<(Role, Arc<[Located]>)>,
    window: Vec<u8>,
    done: Vec<(usize, Done)>,
    effort: Effort,
    /// How many files in a row were none that it can read.
    refusals: usize,
}

impl<'a> Member<'a> {
    fn new(directory: &'a Path, keys: &'a KeyTable) -> Self {
        Self {
            directory,
            keys,
            leader: None,
            window: Vec::new(),
            done: Vec::new(),
            effort: Effort::default(),
            refusals: 0,
        }
    }

    fn take(&mut self, index: usize, job: &Job<'_>) {
        match self.read(job) {
            Some(done) => {
                self.done.push((index, done));
                self.refusals = 0;
            }
            None => self.refusals += 1,
        }
    }

    fn read(&mut self, (name, (role, tag)): &Job<'_>) -> Option<Done> {
        let opened = open(&self.directory.join(name)).ok()?;
        self.effort.opened_files += 1;
        let mut segment = Segment::new(*role, Arc::clone(tag), opened.identity);
        let is_read = self.read_into(&mut segment, &opened.file);
        self.effort.read_bytes += segment.read_bytes;
        if !is_read {
            return None;
        }
        self.leader = segment.lead().map(|places| (*role, places));
        Some((segment, opened.bytes))
    }

    fn read_into(&mut self, segment: &mut Segment, file: &File) -> bool {
        let Ok(begun) = segment.begin(file, Access::Read, self.keys, &mut self.window) else {
            return false;
        };
        if segment.mark != Mark::Official {
            return false;
        }
        let leader = self
            .leader
            .as_ref()
            .filter(|(role, _)| *role == segment.role);
        if let Some((_, places)) = leader {
            segment.follow(Arc::clone(places));
        }
        let mut keys = KnownKeys(self.keys);
        let finished = segment.finish(begun, file, &mut keys, None, &mut self.window);
        finished.is_ok()
    }
}
