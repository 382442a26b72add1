//! Opens and reads files that anybody may change at any time: by reads, never by a mapping, so that a file
//! that shrinks gives short reads and no signal.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use super::FileState;
use crate::guard::GuardedMap;

/// Far more than the grain in which any file system keeps times that it takes from this machine's clock.
const STAMP_GRAIN: Duration = Duration::from_millis(100);

/// Is what the segment reader needs of a file; tests put files in its place that change while they are read.
pub(super) trait Source {
    fn size(&self) -> io::Result<u64>;
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl Source for File {
    fn size(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }
}

/// Reads by copying from a map instead of asking the kernel to copy.
impl Source for GuardedMap {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size_bytes() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        self.copy(buffer, offset)
            .ok_or_else(|| io::Error::other("the file was cut off"))
    }
}

/// Tells files apart across renames and replacements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    pub(super) inode: u64,
}

impl Identity {
    /// Returns the identity of what a path leads to.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

/// An open regular file.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) identity: Identity,
    /// What it takes on disk.
    pub(super) bytes: u64,
    /// How long it is.
    pub(super) size: u64,
    /// When it was written to by calls last, where that was long enough ago to tell it from a later write.
    pub(super) stamp: Option<Stamp>,
}

impl Opened {
    /// Tells whether a path leads to the file.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        Identity::of(path) == Some(self.identity)
    }
}

/// Changes whenever a file is written or cut off by calls; writes through a mapping may not change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: (i64, i64),
    changed: (i64, i64),
    size: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Option<Self> {
        let age = metadata.modified().ok()?.elapsed().ok()?;
        (age > STAMP_GRAIN).then(|| Self {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            size: metadata.len(),
        })
    }
}

/// Why a file cannot be read, in the words of the report.
pub(super) type Refusal = (FileState, String);

/// Opens a regular file for reading. Links are followed; anything that is no regular file is refused without
/// waiting for whoever is at the other end of it.
pub(super) fn open(path: &Path) -> Result<Opened, Refusal> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|error| refusal(&error))?;
    let metadata = file.metadata().map_err(|error| refusal(&error))?;
    if !metadata.is_file() {
        return Err((FileState::Foreign, "not a regular file".into()));
    }
    let identity = Identity {
        device: metadata.dev(),
        inode: metadata.ino(),
    };
    Ok(Opened {
        file,
        identity,
        bytes: metadata.blocks() * 512,
        size: metadata.len(),
        stamp: Stamp::of(&metadata),
    })
}

pub(super) fn refusal(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::NotFound => (FileState::Vanished, "went away".into()),
        _ => (FileState::Unreadable, error.to_string()),
    }
}

/// Reads until `buffer` is full or the file ends, and returns how many bytes there were.
pub(super) fn read_fully(
    source: &impl Source,
    buffer: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count.min(buffer.len() - filled),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads a whole side file of at most `limit` bytes.
pub(super) fn read_small(path: &Path, limit: u64) -> Result<(Vec<u8>, Opened), Refusal> {
    let opened = open(path)?;
    let size = opened.file.size().map_err(|error| refusal(&error))?;
    let length = usize::try_from(size.min(limit)).unwrap_or(0);
    let mut bytes = vec![0; length];
    let filled = read_fully(&opened.file, &mut bytes, 0).map_err(|error| refusal(&error))?;
    bytes.truncate(filled);
    Ok((bytes, opened))
}

/// Reads a whole side file of at most `limit` bytes; also returns what it takes on disk.
pub(crate) fn read_side_file(path: &Path, limit: u64) -> Result<(Vec<u8>, u64), Refusal> {
    read_small(path, limit).map(|(content, opened)| (content, opened.bytes))
}
