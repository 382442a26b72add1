//! The place of a directory: what stays the same when it is deleted and made again, so that a worker finds those that
//! counted there before.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::PoisonError;
use std::time::SystemTime;

use forkmeter_core::fork;

use super::once::OPEN;
use super::records::{self, u64_at};
use super::{DirectoryLock, HEADER_BYTES, MAGIC, WorkersFile};
use crate::sys;

/// Where in the header the place is, behind the word of the directory lock.
const PLACE_AT: usize = 48;
/// More than any worker file has in records that are in use.
const MAX_PEEKED_BYTES: usize = 1 << 20;

/// Returns a number for the folder that a directory is in and its name there; 0 where that is not known.
fn place_of(directory: &Path) -> u64 {
    let Ok(path) = fs::canonicalize(directory) else {
        return 0;
    };
    let parent = path.parent().unwrap_or(&path);
    let Ok(meta) = fs::metadata(parent) else {
        return 0;
    };
    // Numbers of folders are used again; when they were made tells them apart.
    let made = meta.created().ok();
    let made = made.and_then(|made| made.duration_since(SystemTime::UNIX_EPOCH).ok());
    let made = made.unwrap_or_default().as_nanos();
    let name = path.file_name().unwrap_or_default();
    let words = [meta.dev().to_le_bytes(), meta.ino().to_le_bytes()];
    let bytes = words.into_iter().flatten().chain(made.to_le_bytes());
    // FNV-1a: another build of this library has to come to the same number.
    let hash = bytes
        .chain(name.as_encoded_bytes().iter().copied())
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        });
    hash.max(1)
}

impl WorkersFile {
    /// Writes down where the directory is.
    pub(super) fn write_place(&self, _lock: &DirectoryLock<'_>) -> io::Result<()> {
        let place = self.path.parent().map_or(0, place_of);
        if self.place()? != place {
            sys::write_all_at(&self.file, &place.to_ne_bytes(), PLACE_AT as u64)?;
        }
        Ok(())
    }

    /// Returns where the directory is; 0 where nobody knows.
    pub(crate) fn place(&self) -> io::Result<u64> {
        let mut place = [0; 8];
        self.file.read_exact_at(&mut place, PLACE_AT as u64)?;
        Ok(u64::from_ne_bytes(place))
    }
}

/// Is what a worker file is to whoever looks for deleted files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// Of another place.
    Foreign,
    /// A deletion is a reset to its workers, or to one of them.
    Reset,
    /// Somebody is still changing the files beside it.
    Busy,
    /// Of the place that was asked for. Nobody can take its directory lock any more, or only who asks has it.
    Settled,
}

impl WorkersFile {
    /// Says what an open worker file of some process is, for a worker of this one, which has the directory lock.
    ///
    /// `path` leads to the file and to no other one.
    pub(crate) fn home_at(&self, _lock: &DirectoryLock<'_>, path: &Path, place: u64) -> Home {
        let _section = fork::enter();
        let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(meta) = fs::metadata(path) else {
            return Home::Foreign;
        };
        // A second descriptor of a file in which this process has locks must never come to be closed.
        let Some(known) = open.iter().find(|known| known.is(&meta)) else {
            let file = fs::File::open(path);
            return file.map_or(Home::Foreign, |file| home(&file, place, false));
        };
        let file = known.file.upgrade();
        drop(open);
        file.map_or(Home::Foreign, |file| {
            let is_own = std::ptr::eq(&raw const *file, self);
            let is_held = !is_own && file.threads.try_lock().is_err();
            home(&file.file, place, is_held)
        })
    }
}

/// `is_held` says whether a thread of this process has the lock, which the kernel does not say.
fn home(file: &fs::File, place: u64, is_held: bool) -> Home {
    let bytes = peek(file);
    let size = usize::try_from(HEADER_BYTES).unwrap_or(usize::MAX);
    let Some((header, mut records)) = bytes
        .split_at_checked(size)
        .map(|(header, records)| (header, records.chunks_exact(64)))
    else {
        return Home::Foreign;
    };
    if place == 0 || !header.starts_with(MAGIC) || u64_at(header, PLACE_AT) != place {
        Home::Foreign
    } else if records.any(records::resets) {
        Home::Reset
    } else if is_held || sys::is_range_locked(file, 0, HEADER_BYTES).unwrap_or(true) {
        Home::Busy
    } else {
        Home::Settled
    }
}

fn peek(file: &fs::File) -> Vec<u8> {
    let len = file.metadata().map_or(0, |meta| meta.len());
    let len = usize::try_from(len).map_or(MAX_PEEKED_BYTES, |len| len.min(MAX_PEEKED_BYTES));
    let mut bytes = vec![0; len];
    if file.read_exact_at(&mut bytes, 0).is_err() {
        bytes.clear();
    }
    bytes
}
