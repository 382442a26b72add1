//! Finds what other workers still hold of files that are gone: segments that only they have open.
//!
//! Whoever makes the first segment of a kind in a directory asks here, be it a worker that starts after a deletion, or
//! one that has not looked since the files that it has open were replaced by others. `/proc` leads to the open files of
//! other processes, whatever these do at the moment: a worker that was stopped is asked nothing.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::compact;
use crate::layout::{Mark, WORKERS_FILE};
use crate::segment::Segment;
use crate::sys;
use crate::workers::{DirectoryLock, Home, RECORD_BYTES, WorkersFile};

/// What the kernel puts behind the path of a file that has no name any more.
const DELETED: &[u8] = b" (deleted)";
/// How long to wait for whoever folds files that are gone.
const FOLD_PATIENCE: Duration = Duration::from_millis(100);
/// How long to go on from one look at who holds locks: the kernel stops all that lock or unlock files for it.
const LOOK_IS_FRESH: Duration = Duration::from_secs(1);

/// Are processes that may have files of deleted directories open.
#[derive(Debug)]
pub(super) struct Holders {
    /// Their folders in `/proc`.
    processes: Vec<PathBuf>,
    at: Instant,
}

impl Holders {
    /// Looks for them, which may take some milliseconds.
    pub(super) fn look() -> Self {
        Self {
            processes: processes(),
            at: Instant::now(),
        }
    }

    /// Tells whether whoever held files that are gone now was seen: it was looked for a moment ago.
    pub(super) fn is_fresh(&self) -> bool {
        self.at.elapsed() < LOOK_IS_FRESH
    }
}

/// Is an open file of some process.
#[derive(Debug)]
struct OpenFile {
    /// Leads to the file, whatever it is called.
    link: PathBuf,
    /// The folder that it is in, or was in when it was deleted.
    folder: PathBuf,
    name: String,
}

/// Returns the segments of a stem that holders of this place have open and that have no name in the directory any more;
/// none that has one of the `known` inodes.
///
/// Best effort: what cannot be seen here its own worker brings back with its next look.
pub(super) fn find(
    lock: &DirectoryLock<'_>,
    workers: &WorkersFile,
    directory: &Path,
    stem: &str,
    known: &HashSet<u64>,
    holders: &Holders,
) -> Vec<Segment> {
    let Ok(place) = workers.place() else {
        return Vec::new();
    };
    let mut known = known.clone();
    known.extend(inodes_of(directory, stem));
    let mut found = Vec::new();
    for process in &holders.processes {
        let homes = open_files(process, stem).into_iter();
        let homes = homes.filter(|file| file.name == WORKERS_FILE);
        let homes = homes.map(|file| (settle(|| workers.home_at(lock, &file.link, place)), file));
        let homes: Vec<(Home, OpenFile)> = homes.collect();
        if !homes.iter().any(|(home, _)| *home == Home::Settled) {
            continue;
        }
        // Once more: whoever was folding has others open now.
        let files = open_files(process, stem);
        // A forked child may have files of its parent's open, and others in the place where these were.
        let is_of_home = |file: &OpenFile| {
            let of_folder = homes.iter().filter(|(_, home)| home.folder == file.folder);
            let mut of_folder = of_folder
                .filter(|(home, _)| *home != Home::Foreign)
                .peekable();
            of_folder.peek().is_some() && of_folder.all(|(home, _)| *home == Home::Settled)
        };
        let segments = files.iter().filter(|file| file.name != WORKERS_FILE);
        for file in segments.filter(|file| is_of_home(file)) {
            let Some(segment) = open(&file.link, &known) else {
                continue;
            };
            known.insert(segment.inode());
            found.push(segment);
        }
    }
    found
}

/// Waits for whoever folds files that are gone: they are not to be counted before and after.
fn settle(look: impl Fn() -> Home) -> Home {
    let start = Instant::now();
    loop {
        let home = look();
        if home != Home::Busy || start.elapsed() > FOLD_PATIENCE {
            return home;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn is_of_stem(name: &str, stem: &str) -> bool {
    compact::number_in(name, stem).is_some()
        || compact::retired_names_of(stem).any(|retired| retired == name)
}

/// Returns the inodes of the segments of a stem that are in the directory.
fn inodes_of(directory: &Path, stem: &str) -> HashSet<u64> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let of_stem = entries.filter(|entry| {
        let name = entry.file_name();
        name.to_str().is_some_and(|name| is_of_stem(name, stem))
    });
    let metas = of_stem.filter_map(|entry| fs::symlink_metadata(entry.path()).ok());
    metas.map(|meta| meta.ino()).collect()
}

/// Returns the folders of processes of this user that hold a lock as workers do.
fn processes() -> Vec<PathBuf> {
    let Ok(locks) = fs::read_to_string("/proc/locks") else {
        return Vec::new();
    };
    let processes: HashSet<&str> = locks.lines().filter_map(worker_of_lock).collect();
    let user = sys::effective_user();
    let folders = processes.into_iter().map(|id| Path::new("/proc").join(id));
    let is_own = |folder: &PathBuf| fs::metadata(folder).is_ok_and(|meta| meta.uid() == user);
    folders.filter(is_own).collect()
}

/// Returns the process that holds a lock, as a line of `/proc/locks` says, if it may be that of a worker's record.
fn worker_of_lock(line: &str) -> Option<&str> {
    let mut words = line.split_ascii_whitespace().skip(1);
    if (words.next()?, words.next()?, words.next()?) != ("POSIX", "ADVISORY", "WRITE") {
        return None;
    }
    let process = words.next()?;
    let start: u64 = words.nth(1)?.parse().ok()?;
    let last: u64 = words.next()?.parse().ok()?;
    // Each worker holds a lock on its record, which begins at a multiple of its length. The directory lock, where the worker with the first record has it as well, is one with that.
    let first = start.max(RECORD_BYTES);
    let is_record =
        start.is_multiple_of(RECORD_BYTES) && last.checked_sub(first) == Some(RECORD_BYTES - 1);
    is_record.then_some(process)
}

/// Lists those of a process's open files that are named as segments of a stem, or as worker files.
fn open_files(process: &Path, stem: &str) -> Vec<OpenFile> {
    let entries = fs::read_dir(process.join("fd"));
    let links = entries.into_iter().flatten().flatten();
    let files = links.filter_map(|entry| {
        let link = entry.path();
        let path = fs::read_link(&link).ok()?;
        let bytes = path.as_os_str().as_bytes();
        let bytes = bytes.strip_suffix(DELETED).unwrap_or(bytes);
        let path = Path::new(OsStr::from_bytes(bytes));
        let name = path.file_name()?.to_str()?;
        (name == WORKERS_FILE || is_of_stem(name, stem)).then(|| OpenFile {
            link,
            folder: path.parent().unwrap_or(path).to_owned(),
            name: name.to_owned(),
        })
    });
    files.collect()
}

/// Opens a segment of another process unless it is known.
fn open(link: &Path, known: &HashSet<u64>) -> Option<Segment> {
    let is_known = |meta: &fs::Metadata| known.contains(&meta.ino());
    if fs::metadata(link).ok().is_none_or(|meta| is_known(&meta)) {
        return None;
    }
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK);
    let file = options.open(link).ok()?;
    let is_ours = |mark| matches!(mark, Mark::Shared | Mark::Sealed | Mark::Retired);
    Segment::from_file(file, link, &is_ours).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_of_records_are_told_from_others() {
        for (line, expected) in [
            ("1: POSIX  ADVISORY  WRITE 71 00:1b:9 64 127", Some("71")),
            ("23: POSIX  ADVISORY  WRITE 71 fe:00:9 640 703", Some("71")),
            ("1: POSIX  ADVISORY  WRITE 71 00:1b:9 0 127", Some("71")),
            ("1: POSIX  ADVISORY  WRITE 71 00:1b:9 0 63", None),
            ("1: POSIX  ADVISORY  WRITE 71 00:1b:9 0 191", None),
            ("1: POSIX  ADVISORY  WRITE 71 00:1b:9 64 EOF", None),
            ("1: POSIX  ADVISORY  WRITE 71 00:1b:9 65 128", None),
            ("1: POSIX  ADVISORY  READ 71 00:1b:9 64 127", None),
            ("1: FLOCK  ADVISORY  WRITE 71 00:1b:9 64 127", None),
            ("1: -> POSIX  ADVISORY  WRITE 71 00:1b:9 64 127", None),
            ("1: POSIX", None),
            ("", None),
        ] {
            assert_eq!(worker_of_lock(line), expected, "{line}");
        }
    }
}
