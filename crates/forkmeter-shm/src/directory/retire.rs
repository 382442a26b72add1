//! What becomes of dead workers' gauges: `live*` values go, `min max sum mostrecent` are folded into one
//! retired file per mode, `all` keeps the last values of a bounded number of workers.
//!
//! Everything here runs under the directory lock.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use forkmeter_core::MultiprocessMode;
use forkmeter_core::model::MergeRule;

use super::journal;
use crate::layout::{self, HEADER_SIZE, Header, Mark, Step};
use crate::published;
use crate::reader::WorkerReport;
use crate::sys;
use crate::workers::DirectoryLock;

/// How many dead workers' gauges of mode `all` stay.
pub(super) const MAX_DEAD_WORKERS: usize = 64;

/// Tells whether a gauge file has this tag in its name.
pub(super) fn tag_is_used(directory: &Path, tag: &str) -> bool {
    MultiprocessMode::ALL
        .into_iter()
        .any(|mode| fs::symlink_metadata(directory.join(gauge_file(mode, tag))).is_ok())
}

fn gauge_file(mode: MultiprocessMode, tag: &str) -> String {
    format!("gauge_{mode}_{tag}{}", layout::SEGMENT_SUFFIX)
}

/// Clears away the gauges of a dead worker.
///
/// Files of the same name that are not that worker's (the official client's, say) are left alone.
pub(super) fn retire(
    lock: &DirectoryLock<'_>,
    directory: &Path,
    dead: &WorkerReport,
) -> io::Result<()> {
    published::remove(directory, &dead.tag);
    for mode in MultiprocessMode::ALL {
        let name = gauge_file(mode, &dead.tag);
        let path = directory.join(&name);
        if mark_of(&path)? != Some(Mark::Worker(dead.index)) {
            continue;
        }
        if mode.is_live() {
            fs::remove_file(&path)?;
        } else if mode.rule() == MergeRule::PerWorker {
            free_the_tag(directory, mode, &dead.tag)?;
        } else {
            let bytes = fs::read(&path)?;
            fold(lock, directory, mode, vec![(name, bytes)])?;
        }
    }
    Ok(())
}

/// Keeps a dead worker's file of mode `all`, and removes the oldest where there are too many.
///
/// The file keeps its name, so that the official reader shows the same `pid`; a later worker with that process
/// id takes another tag.
fn free_the_tag(directory: &Path, mode: MultiprocessMode, tag: &str) -> io::Result<()> {
    let path = directory.join(gauge_file(mode, tag));
    // Marked as nobody's: the record's number is about to be used again.
    let file = fs::OpenOptions::new().write(true).open(&path)?;
    sys::write_all_at(&file, &Mark::Retired.to_bytes(), layout::MARK_OFFSET as u64)?;
    let prefix = format!("gauge_{mode}_");
    let mut dead: Vec<(SystemTime, _)> = Vec::new();
    for entry in fs::read_dir(directory)?.flatten() {
        let name = entry.file_name();
        let is_of_mode = name.to_str().is_some_and(|name| name.starts_with(&prefix));
        if is_of_mode && mark_of(&entry.path())? == Some(Mark::Retired) {
            let modified = entry.metadata().and_then(|meta| meta.modified());
            dead.push((modified.unwrap_or(SystemTime::UNIX_EPOCH), entry.path()));
        }
    }
    dead.sort();
    let surplus = dead.len().saturating_sub(MAX_DEAD_WORKERS);
    dead.iter()
        .take(surplus)
        .try_for_each(|(_, path)| fs::remove_file(path))
}

/// Folds files, given by name and content, into the retired file of their mode.
pub(super) fn fold(
    lock: &DirectoryLock<'_>,
    directory: &Path,
    mode: MultiprocessMode,
    sources: Vec<(String, Vec<u8>)>,
) -> io::Result<()> {
    // What an older fold left unfinished may be the target.
    journal::finish(lock, directory)?;
    let target = gauge_file(mode, "retired");
    let mut merged = Entries::default();
    match fs::read(directory.join(&target)) {
        Ok(bytes) => merged.add(&bytes, mode.rule()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    for (_, bytes) in &sources {
        merged.add(bytes, mode.rule());
    }
    let bytes = merged.to_bytes()?;
    let sources = sources.into_iter().map(|(name, _)| name).collect();
    journal::replace(lock, directory, target, &bytes, sources, &mut |_| Ok(()))
}

/// Returns who wrote a segment; nothing where there is no such file, or none with a header.
pub(super) fn mark_of(path: &Path) -> io::Result<Option<Mark>> {
    let is_file = match fs::symlink_metadata(path) {
        Ok(meta) => meta.is_file(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !is_file {
        return Ok(None);
    }
    let mut header = [0; HEADER_SIZE];
    let read = File::open(path)?.read_exact(&mut header);
    Ok(read.is_ok().then(|| Header::from_bytes(header).mark))
}

/// Holds gauge entries by key, in the order in which they came.
#[derive(Debug, Default)]
struct Entries {
    index: HashMap<Box<[u8]>, usize>,
    entries: Vec<(Box<[u8]>, f64, f64)>,
}

impl Entries {
    /// Merges the entries of a segment in; of a damaged one those before the damage.
    fn add(&mut self, segment: &[u8], rule: MergeRule) {
        let Some((header, _)) = segment.split_first_chunk::<HEADER_SIZE>() else {
            return;
        };
        let used = u64::try_from(Header::from_bytes(*header).used).unwrap_or(0);
        let used = used.min(segment.len() as u64);
        let mut at = HEADER_SIZE;
        while let Ok(Step::Entry(entry, len)) = layout::step(&segment[at..], at as u64, used) {
            at += len;
            if layout::is_removed_gauge(entry.value) {
                continue;
            }
            if let Some(position) = self.index.get(entry.key) {
                let (_, value, timestamp) = &mut self.entries[*position];
                let later = (entry.value, entry.timestamp);
                (*value, *timestamp) = combine(rule, (*value, *timestamp), later);
            } else {
                let position = self.entries.len();
                self.index.insert(entry.key.into(), position);
                self.entries
                    .push((entry.key.into(), entry.value, entry.timestamp));
            }
        }
    }

    fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; HEADER_SIZE];
        for (key, value, timestamp) in &self.entries {
            layout::append_entry(&mut bytes, key, *value, *timestamp);
        }
        let used = i32::try_from(bytes.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        bytes[..HEADER_SIZE].copy_from_slice(
            &Header {
                used,
                mark: Mark::Retired,
            }
            .to_bytes(),
        );
        Ok(bytes)
    }
}

/// Combines two values of one series: what was retired before, and what comes to it.
fn combine(rule: MergeRule, before: (f64, f64), later: (f64, f64)) -> (f64, f64) {
    match rule {
        MergeRule::Sum => (before.0 + later.0, before.1.max(later.1)),
        // NaN is no measurement: it does not win over a number, as in the reader's merge.
        MergeRule::Min => (before.0.min(later.0), before.1),
        MergeRule::Max => (before.0.max(later.0), before.1),
        MergeRule::MostRecent if later.1 > before.1 => later,
        MergeRule::MostRecent | MergeRule::PerWorker => before,
    }
}
