//! What only its own process can compute: each worker publishes it in a file of its own, and whoever collects reads
//! the files of those that live.
//!
//! No lock is needed: a worker writes beside what it published before and then names the new place, so that one that
//! is stopped or stuck holds nobody up. It shows what it published last, as long as it lives.

mod merge;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use crate::layout::PUBLISHED_PREFIX;
use crate::reader::{FileReport, FileState, Names, Snapshot, WorkerReport, read_side_file};
use crate::side::HEADER_SIZE;
use crate::side::published::{MAX_FILE_SIZE, MAX_PAYLOAD_SIZE, Start};
use crate::workers::observe;

pub use self::merge::merge;
pub use crate::side::published::Published;

/// What the name of a file that is being written ends with; no tag ends so.
const TEMPORARY_SUFFIX: &str = ".new";

/// How often a file is read again that is being written, it seems.
const MAX_LOOKS: usize = 3;
/// A file that is longer than this and so many documents is replaced by a shorter one.
const SPARE_SIZE: usize = 64 << 10;
const MAX_GROWTH: usize = 4;

/// Holds what the live workers of a directory published.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The tags of the workers, and what they published, by record number.
    pub workers: Vec<(String, Published)>,
    /// How reading each file went.
    pub files: Vec<FileReport>,
}

/// Says what becomes of the files of workers that are dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadFiles {
    /// They stay, for those who may write in the directory.
    Keep,
    /// They are removed.
    Remove,
}

/// Reads what the live workers of a directory published, but for the one that asks.
///
/// Never fails as a whole: what cannot be read is named in the reports.
pub fn find(directory: &Path, own_tag: Option<&str>, dead: DeadFiles) -> Found {
    find_named(directory, own_tag, dead, None)
}

/// As [`find`], for samples of some names: of workers that published no family with such a name nothing is decoded.
pub(crate) fn find_named(
    directory: &Path,
    own_tag: Option<&str>,
    dead: DeadFiles,
    names: Option<&Names>,
) -> Found {
    // Listed before anybody is asked whether he lives: the writer of a file that is listed had his record.
    let files = list(directory);
    let mut found = Found::default();
    if files.is_empty() {
        return found;
    }
    let Ok(observed) = observe(directory) else {
        return found;
    };
    for name in files {
        let path = directory.join(&name);
        let tag = &name[PUBLISHED_PREFIX.len()..];
        let owner = tag.strip_suffix(TEMPORARY_SUFFIX).unwrap_or(tag);
        let worker = observed.records.iter().find(|worker| worker.tag == owner);
        let Some(worker) = worker.filter(|worker| worker.alive) else {
            if dead == DeadFiles::Remove {
                // Somebody else may have been faster.
                let _ = fs::remove_file(&path);
            }
            continue;
        };
        if owner != tag || own_tag == Some(tag) {
            continue;
        }
        match read(&path, worker, names) {
            Ok((published, report)) => {
                found.workers.push((tag.to_owned(), published));
                found.files.push(report);
            }
            Err(report) if report.state == FileState::Vanished => {}
            Err(report) => found.files.push(report),
        }
    }
    found.workers.sort_by_key(|(_, published)| published.record);
    found
}

/// Adds what the live workers of a directory published to what was read from it. Families of the same name that stand
/// there already stay as they are.
pub fn add_to(snapshot: &mut Snapshot, directory: &Path) {
    let found = find(directory, None, DeadFiles::Keep);
    let known: HashSet<Arc<str>> = snapshot
        .families
        .iter()
        .map(|family| Arc::clone(&family.name))
        .collect();
    let merged = merge(found.workers);
    let new = merged
        .into_iter()
        .filter(|family| !known.contains(&family.name))
        .map(Arc::new);
    snapshot.families.extend(new);
    snapshot.report.files.extend(found.files);
}

/// Lists the files of what workers published, those that are being written included.
fn list(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names
        .filter(|name| name.starts_with(PUBLISHED_PREFIX))
        .collect();
    names.sort();
    names
}

fn read(
    path: &Path,
    worker: &WorkerReport,
    names: Option<&Names>,
) -> Result<(Published, FileReport), FileReport> {
    let is_wanted = |document: &[u8]| names.is_none_or(|names| may_hold(document, names));
    let report = |state, bytes, entries, cause| FileReport {
        path: path.to_owned(),
        state,
        bytes,
        entries,
        cause,
    };
    let mut looks = 0;
    let (published, bytes) = loop {
        let (content, bytes) = read_side_file(path, MAX_FILE_SIZE as u64)
            .map_err(|(state, cause)| report(state, 0, 0, cause))?;
        match Published::from_bytes_if(&content, is_wanted) {
            Ok(published) => break (published, bytes),
            // It may have been written twice meanwhile.
            Err(_) if looks < MAX_LOOKS => looks += 1,
            Err(error) => return Err(report(FileState::Corrupt, bytes, 0, error.to_string())),
        }
    };
    if published.record != worker.index {
        let cause = "of a dead worker that had the same name".to_owned();
        return Err(report(FileState::Vanished, bytes, 0, cause));
    }
    let entries = published.families.iter();
    let entries = entries.map(|(family, _)| family.samples.len()).sum();
    let read = report(FileState::Ok, bytes, entries, String::new());
    Ok((published, read))
}

/// Tells whether a document may have a family with a sample of one of these names.
fn may_hold(document: &[u8], names: &Names) -> bool {
    // Who wrote a letter in another way may have written any of them so.
    let is_plain = !contains(document, b"\\u");
    !is_plain
        || names
            .stems()
            .any(|stem| contains(document, stem.as_bytes()))
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    let Some((first, rest)) = word.split_first() else {
        return true;
    };
    let mut left = text;
    while let Some(at) = left.iter().position(|byte| byte == first) {
        left = &left[at + 1..];
        if left.starts_with(rest) {
            return true;
        }
    }
    false
}

/// Publishes in the file of a worker.
///
/// # Errors
///
/// When the directory is gone or full, or there is too much to publish; what was published before then stays.
pub(crate) fn write(directory: &Path, tag: &str, published: &Published) -> io::Result<()> {
    let payload = published.payload();
    if payload.len() > MAX_PAYLOAD_SIZE {
        let text = format!("{} bytes are too many to publish", payload.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let path = directory.join(format!("{PUBLISHED_PREFIX}{tag}"));
    if matches!(rewrite(&path, published, &payload), Ok(true)) {
        return Ok(());
    }
    let temporary = directory.join(format!("{PUBLISHED_PREFIX}{tag}{TEMPORARY_SUFFIX}"));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let written = open(options, &temporary)
        .and_then(|mut file| {
            file.write_all(&published.header(HEADER_SIZE, &payload))?;
            file.write_all(&payload)
        })
        .and_then(|()| fs::rename(&temporary, &path));
    if written.is_err() {
        // A full disk wants its blocks back.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Writes into the file beside what stands there, which readers go on to read until the header names the new place.
/// Tells whether there is such a file.
///
/// File systems that write a file to the disk when it replaces another one, as ext4 does, take milliseconds for that.
fn rewrite(path: &Path, published: &Published, payload: &[u8]) -> io::Result<bool> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let file = open(options, path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() > (SPARE_SIZE + MAX_GROWTH * payload.len()) as u64 {
        return Ok(false);
    }
    let mut header = [0; HEADER_SIZE];
    file.read_exact_at(&mut header, 0)?;
    let Some(start) = Start::from_bytes(&header)
        .ok()
        .filter(|start| start.record == published.record)
    else {
        return Ok(false);
    };
    let offset = start.offset_beside(payload.len());
    file.write_all_at(payload, offset as u64)?;
    file.write_all_at(&published.header(offset, payload), 0)?;
    Ok(true)
}

fn open(mut options: OpenOptions, path: &Path) -> io::Result<File> {
    options
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

/// Removes the files of a dead worker.
pub(crate) fn remove(directory: &Path, tag: &str) {
    for suffix in ["", TEMPORARY_SUFFIX] {
        // Most workers have none; whoever collects tries again.
        let _ = fs::remove_file(directory.join(format!("{PUBLISHED_PREFIX}{tag}{suffix}")));
    }
}
