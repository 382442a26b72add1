//! Who is alive: the file of worker records, whose locks the kernel frees when a worker dies.
//!
//! The locks are POSIX record locks. They belong to the process, so forked children do not inherit them; the
//! price is that closing *any* descriptor of the file drops them all. Hence one open file per directory and
//! process, kept in a table, closed only when no store of the process uses it, and opened again only after that.

mod attached;
mod lock;
mod once;
mod place;
mod records;
mod word;

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use crate::layout::WORKERS_FILE;
use crate::map::Mapping;
use crate::reader::WorkerReport;
use crate::sys::{self, OwnFile};

use self::attached::Attached;
pub(crate) use self::attached::Attachment;
pub(crate) use self::lock::{AppendLock, DirectoryLock};
use self::once::Listed;
pub(crate) use self::place::Home;
use self::records::u32_at;
pub(crate) use self::records::{Claim, RECORD_BYTES};

const MAGIC: &[u8; 8] = b"FORKMTRW";
const VERSION: u32 = 1;
const HEADER_BYTES: u64 = 64;
const CHANGES_AT: u64 = 32;

/// Holds what one look at the workers of a directory gave.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The records that are taken, by number.
    pub records: Vec<WorkerReport>,
    /// Series whose values were kept in memory by workers that died.
    pub lost_series: u64,
    /// Tells one state of the shared segments from the next; nothing where there is no file of workers.
    pub(crate) roll: Option<RollStamp>,
}

/// Says which worker file a directory has, and how often its shared segments came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RollStamp {
    pub(crate) inode: u64,
    pub(crate) changes: u64,
}

/// Looks at the workers of a directory, without becoming one.
///
/// # Errors
///
/// When the file exists but cannot be read, or is not such a file. A missing file means that no worker of
/// ours was ever there, which is no error.
pub fn observe(directory: &Path) -> io::Result<Observed> {
    match WorkersFile::open_existing(directory) {
        Ok(file) => file.observe(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Observed::default()),
        Err(error) => Err(error),
    }
}

/// Is the one open worker file of a directory in this process.
#[derive(Debug)]
pub(crate) struct WorkersFile {
    // Closed before it leaves the table: fields are dropped in this order.
    file: OwnFile,
    listed: Listed,
    path: PathBuf,
    writable: bool,
    /// Shows the header, where the word of the lock stands, once somebody locked.
    header: OnceLock<Mapping>,
    /// Keeps threads of this process apart, which the record locks do not.
    threads: Mutex<()>,
    claim: Mutex<Option<Claim>>,
    attached: Mutex<Attached>,
    users: Arc<()>,
}

impl WorkersFile {
    /// Opens the file of `directory` for a worker; makes it where it is missing.
    pub(crate) fn open(directory: &Path) -> io::Result<Arc<Self>> {
        let path = directory.join(WORKERS_FILE);
        let file = Self::open_once(&path, true)?;
        if !file.writable {
            let text = format!("{} is not writable", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        file.ensure_header()?;
        Ok(file)
    }

    fn open_existing(directory: &Path) -> io::Result<Arc<Self>> {
        Self::open_once(&directory.join(WORKERS_FILE), false)
    }

    fn ensure_header(&self) -> io::Result<()> {
        let lock = self.lock_directory()?;
        if self.file.metadata()?.len() < HEADER_BYTES {
            let mut header = [0; 64];
            header[..8].copy_from_slice(MAGIC);
            header[8..12].copy_from_slice(&VERSION.to_ne_bytes());
            header[12..16].copy_from_slice(&64_u32.to_ne_bytes());
            header[16..20].copy_from_slice(&64_u32.to_ne_bytes());
            sys::write_all_at(&self.file, &header, 0)?;
        }
        self.check_header()?;
        // Best effort: it is for those who come after a deletion.
        let _ = self.write_place(&lock);
        Ok(())
    }

    fn check_header(&self) -> io::Result<()> {
        let mut header = [0; 20];
        self.file.read_exact_at(&mut header, 0)?;
        let expected: [u32; 3] = [VERSION, 64, 64];
        let found = [8, 12, 16].map(|at| u32_at(&header, at));
        if header[..8] == *MAGIC && found == expected {
            return Ok(());
        }
        let text = format!(
            "{} is not a worker file of version {VERSION}",
            self.path.display()
        );
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }

    /// Tells whether the file is still what its path names. The lock tells only whether it has a name: whoever
    /// opens another file of the directory asks here, since the directory may have been moved.
    pub(crate) fn is_current(&self) -> bool {
        if !self.file.is_open() {
            self.disown();
            return false;
        }
        self.file.is_at(&self.path)
    }

    /// Fails unless the file is still what its path names.
    pub(crate) fn check_current(&self) -> io::Result<()> {
        if self.is_current() {
            Ok(())
        } else {
            Err(self.was_deleted())
        }
    }

    fn was_deleted(&self) -> io::Error {
        let text = format!("{} was deleted", self.path.display());
        io::Error::new(io::ErrorKind::NotFound, text)
    }

    /// Takes the file away if its path names it still: somebody cut it off.
    pub(crate) fn discard(&self) -> io::Result<()> {
        let _lock = self.lock_directory()?;
        if self.is_current() {
            fs::remove_file(&self.path)?;
        }
        Ok(())
    }

    fn observe(&self) -> io::Result<Observed> {
        if self.file.metadata()?.len() < HEADER_BYTES {
            // Its maker died, or had no room, before it wrote the header: nobody is here yet.
            return Ok(Observed::default());
        }
        self.check_header()?;
        let records = self.records()?;
        let dead = records.iter().filter(|record| !record.alive);
        let lost_series =
            self.read_lost_series()? + dead.map(|record| record.kept_series).sum::<u64>();
        let roll = RollStamp {
            inode: self.file.inode(),
            changes: self.changes()?,
        };
        Ok(Observed {
            records,
            lost_series,
            roll: Some(roll),
        })
    }

    /// Counts one more store of this process that uses the directory, until it is dropped.
    pub(crate) fn user(&self) -> Arc<()> {
        Arc::clone(&self.users)
    }

    /// Tells whether this user is the only one.
    pub(crate) fn has_one_user(&self, user: &Arc<()>) -> bool {
        Arc::ptr_eq(user, &self.users) && Arc::strong_count(user) == 2
    }

    /// Returns how often shared segments came or went; whoever remembers another number lists them anew.
    pub(crate) fn changes(&self) -> io::Result<u64> {
        let mut changes = [0; 8];
        self.file.read_exact_at(&mut changes, CHANGES_AT)?;
        Ok(u64::from_ne_bytes(changes))
    }

    /// Says that shared segments are about to come or go.
    pub(crate) fn announce_change(&self, _lock: &DirectoryLock<'_>) -> io::Result<()> {
        let changes = self.changes()?.wrapping_add(1);
        sys::write_all_at(&self.file, &changes.to_ne_bytes(), CHANGES_AT)
    }
}

#[cfg(test)]
mod tests;
