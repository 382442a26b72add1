//! One segment file as its writers see it: mapped, indexed by key, appended to under the directory lock.

mod append;
mod damage;
mod fill;
mod held;
mod index;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use self::held::Held;
use self::index::Index;
use crate::layout::{self, HEADER_SIZE, Header, Mark, Step};
use crate::map::{MAX_FILE_BYTES, Mapping};
use crate::side::exemplars::SlotId;
use crate::sys::{self, OwnFile};
use crate::workers::DirectoryLock;

const PAGE: u64 = 4096;
/// Files double until they grow by this much at a time.
const MAX_GROWTH_BYTES: u64 = 1 << 20;
const SCAN_BYTES: usize = 64 << 10;
/// Where a segment is built before it gets its name; the directory lock keeps writers apart.
const NEW_FILE: &str = "forkmeter.new";

/// Is an open segment of ours.
#[derive(Debug)]
pub(crate) struct Segment {
    path: PathBuf,
    file: OwnFile,
    mapping: Arc<Held>,
    allocated: u64,
    scanned: u64,
    /// At which size it is worth to count what of it is dead.
    crowded_above: u64,
    is_damaged: bool,
    limit_bytes: u64,
    index: Index,
    /// Entries that are about to be written; empty otherwise.
    entries: Vec<u8>,
}

/// Is one slot to be looked up or made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    key: &'a [u8],
    hash: u32,
    timestamp: f64,
}

/// Is an entry as it was read, and its value's cell.
#[derive(Clone, Debug)]
pub(crate) struct OwnEntry {
    pub(crate) key: Vec<u8>,
    pub(crate) value_bits: u64,
    pub(crate) timestamp_bits: u64,
    pub(crate) cell: &'static AtomicU64,
}

/// Is a slot that was looked up: its value cell, where it stands, and whether it was made just now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) cell: &'static AtomicU64,
    pub(crate) value_offset: u64,
    pub(crate) segment_inode: u64,
    pub(crate) is_new: bool,
}

impl<'a> Wanted<'a> {
    /// Says that a slot is wanted, and which timestamp it has if it is made.
    pub(crate) fn new(key: &'a [u8], timestamp: f64) -> Self {
        let hash = index::short_hash(key);
        Self {
            key,
            hash,
            timestamp,
        }
    }
}

impl OwnEntry {
    /// Tells whether it is a slot that was removed.
    pub(crate) fn is_removed_slot(&self) -> bool {
        let timestamp = f64::from_bits(self.timestamp_bits);
        layout::is_removed_slot(f64::from_bits(self.value_bits), timestamp)
    }
}

impl Found {
    /// Returns what the exemplars' file calls the slot.
    pub(crate) fn id(&self) -> SlotId {
        SlotId {
            inode: self.segment_inode,
            value_offset: self.value_offset,
        }
    }

    /// Tells whether the slot holds anything but zero.
    pub(crate) fn has_value(&self) -> bool {
        // ORDERING: a lone value.
        self.cell.load(Ordering::Relaxed) != 0
    }
}

impl Segment {
    /// Opens a segment, or makes it: complete, with its mark, before it gets its name.
    ///
    /// # Errors
    ///
    /// `InvalidData` when the file is there and is not a segment with this mark; `StorageFull` when a new one
    /// has no room.
    pub(crate) fn open(lock: &DirectoryLock<'_>, path: &Path, mark: Mark) -> io::Result<Self> {
        match Self::open_existing(path, &|other| other == mark) {
            Err(error) if error.kind() == io::ErrorKind::NotFound || is_empty(path) => {
                Self::create(lock, path, mark)?;
                Self::open_existing(path, &|other| other == mark)
            }
            other => other,
        }
    }

    fn create(lock: &DirectoryLock<'_>, path: &Path, mark: Mark) -> io::Result<()> {
        Self::write_whole(lock, path, mark.to_bytes(), &[])
    }

    /// Puts another segment in place of this one, with the same mark and these entries.
    pub(crate) fn replace(&self, lock: &DirectoryLock<'_>, entries: &[u8]) -> io::Result<Self> {
        let word = self.mapping.word(layout::MARK_OFFSET as u64);
        let word = word.ok_or(io::ErrorKind::UnexpectedEof)?;
        // ORDERING: only its owner changes the mark, and is here.
        let mark = word.load(Ordering::Relaxed).to_le_bytes();
        Self::write_whole(lock, &self.path, mark, entries)?;
        Self::open_existing(&self.path, &|other| other.to_bytes() == mark)
    }

    fn write_whole(
        _lock: &DirectoryLock<'_>,
        path: &Path,
        mark: [u8; 4],
        entries: &[u8],
    ) -> io::Result<()> {
        let new = path.with_file_name(NEW_FILE);
        // What a worker left that died here; it may have been another user's.
        let _ = fs::remove_file(&new);
        let made = (|| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(true);
            let file = options.custom_flags(libc::O_NOFOLLOW).open(&new)?;
            let size = HEADER_SIZE + entries.len();
            sys::allocate(&file, 0, (size as u64).next_multiple_of(PAGE))?;
            let used = i32::try_from(size).map_err(|_| io::ErrorKind::FileTooLarge)?;
            let mark = Mark::from_bytes(mark);
            sys::write_all_at(&file, entries, HEADER_SIZE as u64)?;
            sys::write_all_at(&file, &Header { used, mark }.to_bytes(), 0)?;
            fs::rename(&new, path)
        })();
        if made.is_err() {
            // Nobody reads it under this name; a full disk wants its block back.
            let _ = fs::remove_file(&new);
        }
        made
    }

    /// Opens a segment that is there and is one of ours, as its mark says.
    pub(crate) fn open_existing(path: &Path, is_ours: &dyn Fn(Mark) -> bool) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        Self::from_file(options.open(path)?, path, is_ours)
    }

    /// As [`Segment::open_existing`], of a file that is open for reading and writing; `path` is what it is called.
    pub(crate) fn from_file(
        file: File,
        path: &Path,
        is_ours: &dyn Fn(Mark) -> bool,
    ) -> io::Result<Self> {
        let meta = file.metadata()?;
        let mut header = [0; HEADER_SIZE];
        let is_ours = meta.is_file()
            && file.read_exact_at(&mut header, 0).is_ok()
            && is_ours(Header::from_bytes(header).mark);
        if !is_ours {
            return Err(invalid(path, "is not a segment of ours"));
        }
        let used = u64::try_from(Header::from_bytes(header).used).unwrap_or(0);
        // Another worker may have grown it between the two looks.
        if used > meta.len() && used > file.metadata()?.len() {
            return Err(invalid(path, "is shorter than it says"));
        }
        let mapping = Mapping::new();
        mapping.cover(&file, PAGE)?;
        Ok(Self {
            path: path.to_owned(),
            mapping: Arc::new(Held::new(mapping, meta.ino())),
            allocated: meta.len() / PAGE * PAGE,
            scanned: HEADER_SIZE as u64,
            crowded_above: fill::MIN_DEAD_BYTES,
            is_damaged: false,
            limit_bytes: MAX_FILE_BYTES,
            index: Index::default(),
            entries: Vec::new(),
            file: OwnFile::new(file)?,
        })
    }

    /// Returns the file's inode number.
    pub(crate) fn inode(&self) -> u64 {
        self.file.inode()
    }

    /// Returns the number in the file's name; `stem` is what is before it.
    pub(crate) fn number(&self, stem: &str) -> Option<u32> {
        let name = self.path.file_name()?.to_str()?;
        crate::directory::compact::number_in(name, stem)
    }

    /// Tells whether this segment was opened at `path`.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        self.path == path
    }

    /// Tells whether the file is still what its path names.
    pub(crate) fn is_current(&self) -> bool {
        self.file.is_at(&self.path)
    }

    /// Tells, cheaper, whether the file is still open and has a name.
    pub(crate) fn has_a_name(&self) -> bool {
        self.file.has_a_name()
    }

    /// Tells whether the file is still open.
    pub(crate) fn is_open(&self) -> bool {
        self.file.is_open()
    }

    /// Returns the mapping, which keeps cells showing the file, and the file from being taken away.
    pub(crate) fn mapping(&self) -> Arc<Held> {
        Arc::clone(&self.mapping)
    }

    /// Makes the segment full at a size below 2 GiB.
    #[cfg(test)]
    pub(crate) fn limit(&mut self, bytes: u64) {
        self.limit_bytes = bytes;
    }

    /// Indexes what other writers appended since the last look, and returns the bytes in use.
    pub(crate) fn catch_up(&mut self) -> io::Result<u64> {
        if self.is_damaged {
            return Err(invalid(&self.path, "has a damaged entry"));
        }
        let word = self.mapping.word(0).ok_or(io::ErrorKind::UnexpectedEof)?;
        // ORDERING: pairs with the release in `publish`: entries below `used` are complete.
        let used = u64::from(word.load(Ordering::Acquire));
        if used == self.scanned {
            return Ok(used);
        }
        let len = self.file.metadata()?.len();
        if used < self.scanned || used > len || !used.is_multiple_of(8) {
            return Err(invalid(
                &self.path,
                "has an impossible number of bytes in use",
            ));
        }
        self.allocated = self.allocated.max(len / PAGE * PAGE);
        self.mapping.cover(&self.file, used)?;
        let mut window = vec![0; SCAN_BYTES];
        while self.scanned < used {
            let room = usize::try_from(used - self.scanned).unwrap_or(usize::MAX);
            let filled = room.min(window.len());
            self.file
                .read_exact_at(&mut window[..filled], self.scanned)?;
            let mut at = 0;
            let needed = loop {
                let offset = self.scanned + at as u64;
                let step = layout::step(&window[at..filled], offset, used).map_err(|error| {
                    // What was read stays known, and is not read again.
                    self.scanned = offset;
                    self.is_damaged = true;
                    io::Error::new(io::ErrorKind::InvalidData, error)
                })?;
                match step {
                    Step::Entry(entry, len) => {
                        self.index
                            .remember(index::short_hash(entry.key), entry.value_offset);
                        at += len;
                    }
                    Step::More(needed) => break needed,
                    Step::End => break 0,
                }
            };
            self.scanned += at as u64;
            if needed > window.len() {
                window.resize(needed, 0);
            }
        }
        Ok(used)
    }

    /// Returns the entries.
    pub(crate) fn entries(&mut self) -> io::Result<Vec<OwnEntry>> {
        // Of a damaged file the part before the damage counts.
        let _ = self.catch_up();
        // Of one that was cut off, what is there.
        let len = self.scanned.min(self.file.len().unwrap_or(0));
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, 0)?;
        let mut entries = Vec::new();
        for entry in layout::Entries::of_segment(&bytes).map_while(Result::ok) {
            if let Some(cell) = self.mapping.cell(entry.value_offset) {
                entries.push(OwnEntry {
                    key: entry.key.to_vec(),
                    value_bits: entry.value.to_bits(),
                    timestamp_bits: entry.timestamp.to_bits(),
                    cell,
                });
            }
        }
        Ok(entries)
    }
}

/// Tells whether there is a file without anything in it: somebody emptied it.
fn is_empty(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == 0)
}

fn invalid(path: &Path, what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{} {what}", path.display()),
    )
}
