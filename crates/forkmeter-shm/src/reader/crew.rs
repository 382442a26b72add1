//! Reads many new files at once, in as many threads as there are processors, once a few of them were read.
//!
//! Thousands of left-over files mostly hold the same series. So their keys are looked up only, which several threads can
//! do, and where their entries stand is kept once. What brings a new key is left to the caller.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder};

use super::keys::{KeyTable, KnownKeys};
use super::listing::Kind;
use super::name::Role;
use super::segment::{Access, Located, Segment};
use super::source::open;
use crate::layout::Mark;

/// From how many files on a crew is worth its keep.
pub(super) const MIN_FILES: usize = 256;
/// How many threads there are at most, the caller's included: beyond it the kernel's own locks decide.
pub(super) const MAX_THREADS: usize = 8;

/// Is a file to read, by its name and what that says.
pub(super) type Job<'a> = (&'a OsString, &'a Kind);

/// Is a segment that was read, and what its file takes on disk.
pub(super) type Done = (Segment, u64);

/// Reads new files of a directory, and returns what each held in their order: nothing where it is not the official
/// client's, has a key that is new, or could not be read.
///
/// Without `threads` the caller's thread does it all, for processes that may fork meanwhile: a child would miss the others.
pub(super) fn read(
    directory: &Path,
    jobs: &[Job<'_>],
    keys: &KeyTable,
    threads: bool,
) -> Vec<Option<Done>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut member = Member {
            directory,
            keys,
            leader: None,
            window: Vec::new(),
        };
        let mut done = Vec::new();
        loop {
            // ORDERING: a ticket; the jobs were there before the threads.
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(index) else {
                return done;
            };
            done.push((index, member.read(job)));
        }
    };
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let others = if threads {
        processors.min(MAX_THREADS) - 1
    } else {
        0
    };
    let mut done = thread::scope(|scope| {
        let start = |_| {
            let builder = Builder::new().name("forkmeter-read".into());
            builder.spawn_scoped(scope, work).ok()
        };
        // Where no thread can be had, this one does their part.
        let others: Vec<_> = (0..others).filter_map(start).collect();
        let mut done = work();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, done)| done).collect()
}

/// Is what each thread has.
struct Member<'a> {
    directory: &'a Path,
    keys: &'a KeyTable,
    /// The role of the segment that was read last, and where its entries stand, which the next one is expected to have too.
    leader: Option<(Role, Arc<[Located]>)>,
    window: Vec<u8>,
}

impl Member<'_> {
    fn read(&mut self, (name, (role, tag)): &Job<'_>) -> Option<Done> {
        let opened = open(&self.directory.join(name)).ok()?;
        let file = &opened.file;
        let mut segment = Segment::new(*role, Arc::clone(tag), opened.identity);
        let begun = segment.begin(file, Access::Read, self.keys, &mut self.window);
        let begun = begun.ok()?;
        if segment.mark != Mark::Official {
            return None;
        }
        if let Some((_, places)) = self.leader.take_if(|(leaders, _)| leaders == role) {
            segment.follow(places);
        }
        let mut keys = KnownKeys(self.keys);
        let finished = segment.finish(begun, file, &mut keys, None, &mut self.window);
        finished.ok()?;
        self.leader = segment.lead().map(|places| (*role, places));
        Some((segment, opened.bytes))
    }
}
