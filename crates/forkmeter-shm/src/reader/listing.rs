//! Finds the segments of a directory.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use super::name::{self, Role};
use super::{FileReport, FileState, Files};
use crate::layout::{self, SEGMENT_SUFFIX, STATES_FILE};

/// The segments to read, by name.
pub(super) type Listed = BTreeMap<OsString, Kind>;
/// What the name of a segment says: its role and its worker's tag.
pub(super) type Kind = (Role, Arc<str>);

/// Lists the segments of a directory by name. Everything named like one that is none is reported.
///
/// Names that begin with a dot are passed over, as by the official client's `*.db`.
pub(super) fn list(directory: &Path, files: &mut Files) -> Listed {
    let mut listed = Listed::new();
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            report_directory(directory, &error, files);
            return listed;
        }
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                report_directory(directory, &error, files);
                break;
            }
        };
        let name = entry.file_name();
        let text = name.to_string_lossy();
        let segment = layout::name_before_taken(&text).unwrap_or(&text);
        if !segment.ends_with(SEGMENT_SUFFIX) || segment.starts_with('.') {
            continue;
        }
        let kind = entry.file_type();
        // Where a link leads is seen when it is opened.
        let may_be_file = kind
            .as_ref()
            .map_or(true, |kind| kind.is_file() || kind.is_symlink());
        let cause = match name::parse(segment) {
            Some(found) if may_be_file => {
                listed.insert(name, found);
                continue;
            }
            Some(_) => "not a regular file",
            None => "name says no known type and mode",
        };
        let path = directory.join(&name);
        let bytes = path
            .symlink_metadata()
            .map_or(0, |metadata| metadata.blocks() * 512);
        let report = FileReport {
            path,
            state: FileState::Foreign,
            bytes,
            entries: 0,
            cause: cause.into(),
        };
        files.insert(name, report);
    }
    listed.insert(STATES_FILE.into(), (Role::States, Arc::default()));
    listed
}

fn report_directory(directory: &Path, error: &io::Error, files: &mut Files) {
    // A directory that is not there yet holds nothing, which is no fault.
    if error.kind() == io::ErrorKind::NotFound {
        return;
    }
    let report = FileReport {
        path: directory.into(),
        state: FileState::Unreadable,
        bytes: 0,
        entries: 0,
        cause: error.to_string(),
    };
    files.insert(OsString::new(), report);
}

/// Tells one state of a file that is folded into from the next; inodes alone are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Folding {
    inode: u64,
    changed: (i64, i64),
}

/// Returns what a name stands for now.
pub(super) fn folding(path: &Path) -> Option<Folding> {
    let metadata = path.metadata().ok()?;
    Some(Folding {
        inode: metadata.ino(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}
