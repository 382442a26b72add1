//! Folds what dead processes of the official client left: one file per process and kind becomes one per kind.
//!
//! Three things keep that right at every instruction. A file is *taken*, by a rename, before it is folded: from then on
//! no process can come to write to it, not even one that is given the process id in its name; and forkmeter's readers
//! count it under its new name. What is taken is folded under the journal, as the files of forkmeter's own dead workers.
//! And whoever comes after a kill finds what was taken, and folds it.

mod judge;
mod taken;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use forkmeter_core::fork;
use forkmeter_core::model::MergeRule;

use self::judge::{Candidate, Scan};
use self::taken::Taken;
use super::exemplars::ExemplarFile;
use super::{compact, journal, retire};
use crate::fault;
use crate::layout::GC_FILE;
use crate::process;
use crate::reader::name::Role;
use crate::workers::{DirectoryLock, WorkersFile};

/// How many files are folded while the directory is locked.
const BATCH_FILES: usize = 128;
/// How many bytes of them, but for a file that has more alone.
const BATCH_BYTES: u64 = 32 << 20;
/// How often to wait for the directory lock, half a second each time.
const LOCK_ATTEMPTS: usize = 10;
/// How long to leave readers alone between two batches, at least.
const MIN_PAUSE: Duration = Duration::from_millis(10);
/// And at most.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Says which files to fold.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// For how long a file must not have been written to by a call. Writes through a mapping may not count.
    pub min_age: Duration,
    /// Trusts process ids and ages where the kernel cannot say whether a file is in use.
    pub force: bool,
    /// Looks, and changes nothing.
    pub dry_run: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            min_age: Duration::from_secs(60),
            force: false,
            dry_run: false,
        }
    }
}

/// Says how far a fold is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many files of dead processes were looked after.
    pub done: usize,
    /// How many there are.
    pub files: usize,
}

/// Says what a fold did; after a look without changes, what it would have done.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Outcome {
    /// The segments in the directory before, those taken by an interrupted fold included.
    pub files_before: usize,
    /// The segments in the directory after.
    pub files_after: usize,
    /// What they took on disk before.
    pub bytes_before: u64,
    /// What they take after.
    pub bytes_after: u64,
    /// The processes whose files were folded or removed.
    pub processes: usize,
    /// The files that were folded.
    pub folded: usize,
    /// The files that were removed: gauges of `live` modes, and of mode `all` beyond the newest ones.
    pub removed: usize,
    /// The files of the official client that stay as they are, by name.
    pub kept: Vec<Kept>,
}

/// Names a file that stays as it is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Kept {
    /// The file.
    pub path: PathBuf,
    /// Why it stays.
    pub reason: Reason,
    /// What is wrong with it, where that is the reason.
    pub cause: String,
}

/// Says why a file stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// There is a process with the id in its name.
    Alive,
    /// A process has it open for writing, or mapped.
    InUse,
    /// It was written to not long enough ago.
    Recent,
    /// It is one of the newest with gauges of mode `all`, whose values are shown for each process.
    AllMode,
    /// What its name says of the process is not a process id.
    NoProcess,
    /// It belongs to another user, who has to fold it.
    OtherUser,
    /// The kernel does not say whether somebody writes to it.
    Unsure,
    /// It is damaged or cannot be read.
    Bad,
}

impl Reason {
    /// Returns a word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::InUse => "in_use",
            Self::Recent => "recent",
            Self::AllMode => "all_mode",
            Self::NoProcess => "no_process",
            Self::OtherUser => "other_user",
            Self::Unsure => "unsure",
            Self::Bad => "bad",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Folds the files that dead processes of the official client left in a directory, and finishes a fold that was
/// interrupted.
///
/// forkmeter's readers show the same values at every moment, but for gauges of the `live` modes, which go with their
/// process, and all but the newest 64 files with gauges of mode `all`. The official client's reader does so before and
/// after, not in between. Files of forkmeter, and those that are not the official client's, stay as they are.
///
/// A file is folded when its name gives a process id, no process has that id, it is old enough, belongs to this
/// process' user and is whole, and the kernel says that no process, of whatever pid namespace, has it open for writing
/// or mapped.
///
/// `progress` is told before each of the steps. The directory is locked for some milliseconds at a time.
///
/// # Errors
///
/// Fails when the directory cannot be listed or written, when it is on a file system that other machines may share
/// (`Unsupported`, unless `force` is set), or when another process holds its lock (`TimedOut`). What was folded before
/// stays folded.
pub fn fold(
    directory: &Path,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> io::Result<Outcome> {
    process::install_fork_hooks()?;
    let started = Instant::now();
    let mut scan = judge::scan(directory, options)?;
    let looking = started.elapsed();
    let mut outcome = Outcome {
        files_before: scan.files,
        files_after: scan.files,
        bytes_before: scan.bytes,
        bytes_after: scan.bytes,
        ..Outcome::default()
    };
    if options.dry_run {
        scan.dead.iter().for_each(|dead| outcome.count(dead));
        outcome.finish(scan);
        return Ok(outcome);
    }
    if !scan.dead.is_empty() || scan.is_interrupted {
        let workers = WorkersFile::open(directory)?;
        let fold = Fold {
            directory,
            workers: &workers,
            options,
        };
        let files = scan.dead.len();
        let mut dead = std::mem::take(&mut scan.dead);
        while !dead.is_empty() {
            progress(Progress {
                done: files - dead.len(),
                files,
            });
            let batch = next_batch(&mut dead);
            fold.batch(batch, &mut outcome, &mut scan)?;
            if !dead.is_empty() {
                thread::sleep(pause(looking, dead.len(), files));
            }
        }
        progress(Progress { done: files, files });
        fold.end()?;
        (outcome.files_after, outcome.bytes_after) = judge::size(directory)?;
    }
    outcome.finish(scan);
    Ok(outcome)
}

impl Outcome {
    fn count(&mut self, candidate: &Candidate) {
        if candidate.is_removed() {
            self.removed += 1;
        } else {
            self.folded += 1;
        }
    }

    fn finish(&mut self, scan: Scan) {
        self.processes = scan.processes.len();
        self.kept = scan.kept;
        self.kept.sort_by(|a, b| a.path.cmp(&b.path));
    }
}

/// Returns for how long to leave readers alone: a look at a file here takes some four times as long as reading it again,
/// and a reader needs to find time to read what is left without a change.
fn pause(looking: Duration, left: usize, files: usize) -> Duration {
    let part = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let left = (looking / part(files).max(1)).saturating_mul(part(left));
    (left / 2).clamp(MIN_PAUSE, MAX_PAUSE)
}

/// Takes the next files from those that are left; they are sorted by what they are folded into.
fn next_batch(dead: &mut Vec<Candidate>) -> Vec<Candidate> {
    let mut bytes = 0;
    let fits = |candidate: &Candidate| {
        bytes += candidate.used;
        bytes <= BATCH_BYTES
    };
    let most = &dead[..dead.len().min(BATCH_FILES)];
    let count = most.iter().map(fits).take_while(|fits| *fits).count();
    let rest = dead.split_off(count.max(1));
    std::mem::replace(dead, rest)
}

/// Is a fold under way.
struct Fold<'a> {
    directory: &'a Path,
    workers: &'a WorkersFile,
    options: &'a Options,
}

impl Fold<'_> {
    /// Takes and folds some files.
    fn batch(
        &self,
        batch: Vec<Candidate>,
        outcome: &mut Outcome,
        scan: &mut Scan,
    ) -> io::Result<()> {
        let _section = fork::enter();
        let lock = self.lock()?;
        fs::write(self.directory.join(GC_FILE), b"")?;
        fault::point();
        let mut groups: Vec<(Role, Vec<Taken>)> = Vec::new();
        for candidate in batch {
            match taken::take(&lock, self.directory, &candidate, self.options) {
                Ok(taken) => {
                    outcome.count(&candidate);
                    scan.processes.insert(candidate.process());
                    match groups.last_mut() {
                        Some((role, group)) if *role == candidate.role => group.push(taken),
                        _ => groups.push((candidate.role, vec![taken])),
                    }
                }
                Err(None) => {}
                Err(Some(kept)) => scan.kept.push(kept),
            }
        }
        let mut result = Ok(());
        for (role, group) in groups {
            if result.is_ok() {
                result = self.group(&lock, role, &group);
            }
            if result.is_err() {
                // Unless the fold took effect, and its sources count no more.
                let is_decided = journal::finish(&lock, self.directory).is_ok();
                for taken in group.iter().filter(|_| is_decided) {
                    taken.put_back(&lock);
                }
            }
        }
        result
    }

    /// Folds the taken files of one kind and mode, or removes them.
    fn group(&self, lock: &DirectoryLock<'_>, role: Role, group: &[Taken]) -> io::Result<()> {
        let with_entries = || group.iter().filter(|taken| taken.has_entries());
        let names = || with_entries().map(|taken| taken.name().to_owned());
        let is_empty = with_entries().next().is_none();
        match role {
            _ if is_empty => {}
            Role::Gauge(mode) if mode.is_live() || mode.rule() == MergeRule::PerWorker => {}
            Role::Gauge(mode) => {
                let bytes = with_entries().map(|taken| taken.bytes().to_vec());
                retire::fold(lock, self.directory, mode, names().zip(bytes).collect())?;
            }
            _ => {
                let kind = role.kind().as_str();
                let segments = with_entries().map(Taken::without_times).collect();
                let names = names().collect();
                let folded =
                    compact::retire(lock, self.workers, self.directory, kind, segments, names)?;
                // Best effort: counting goes on without exemplars.
                let _ =
                    ExemplarFile::new(self.directory).move_slots(lock, &|slot| folded.fate(slot));
            }
        }
        for taken in group {
            match fs::remove_file(self.directory.join(taken.name())) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => fault::point(),
            }
        }
        Ok(())
    }

    /// Says that there is nothing more to finish.
    fn end(&self) -> io::Result<()> {
        let _section = fork::enter();
        let _lock = self.lock()?;
        if judge::has_taken(self.directory)? {
            return Ok(());
        }
        match fs::remove_file(self.directory.join(GC_FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Locks the directory, and finishes a fold that somebody did not live to finish.
    fn lock(&self) -> io::Result<DirectoryLock<'_>> {
        let mut attempt = 1;
        let lock = loop {
            match self.workers.lock_directory() {
                Err(error)
                    if error.kind() == io::ErrorKind::TimedOut && attempt < LOCK_ATTEMPTS =>
                {
                    attempt += 1;
                }
                other => break other?,
            }
        };
        self.workers.check_current()?;
        journal::finish(&lock, self.directory)?;
        Ok(lock)
    }
}
