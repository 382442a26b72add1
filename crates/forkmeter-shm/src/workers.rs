//! Who is alive: the file of worker records, whose locks the kernel frees when a worker dies.
//!
//! The locks are POSIX record locks. They belong to the process, so forked children do not inherit them; the
//! price is that closing *any* descriptor of the file drops them all. Hence one open file per directory and
//! process, kept in a table, closed only when no store of the process uses it, and opened again only after that.

mod attached;

use std::fs::{self, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use forkmeter_core::fork;

use crate::layout::WORKERS_FILE;
use crate::process;
use crate::reader::WorkerReport;
use crate::sys::{self, OwnFile};

use self::attached::Attached;
pub(crate) use self::attached::Attachment;

/// How long to wait for the directory lock before values are kept in memory instead: longer than any holder
/// works, short enough for a request that meets a stopped holder.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// How often to look whether another thread has closed the file.
const MAX_CLOSING: u32 = 1000;

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

const FIRST_PAUSE: Duration = Duration::from_micros(20);

const MAGIC: &[u8; 8] = b"FORKMTRW";
const VERSION: u32 = 1;
const HEADER_BYTES: u64 = 64;
const RECORD_BYTES: u64 = 64;
const MAX_RECORDS: u16 = u16::MAX;
const TAG_BYTES: usize = 32;
const LOST_SERIES_AT: u64 = 24;
const CHANGES_AT: u64 = 32;

/// Holds what one look at the workers of a directory gave.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The records that are taken, by number.
    pub records: Vec<WorkerReport>,
    /// Series whose values were kept in memory by workers that died.
    pub lost_series: u64,
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
    /// Keeps threads of this process apart, which the record locks do not.
    threads: Mutex<()>,
    claim: Mutex<Option<Claim>>,
    attached: Mutex<Attached>,
    users: Arc<()>,
}

/// Says which record this process holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The record's number.
    pub(crate) index: u16,
    /// The name in this worker's file names.
    pub(crate) tag: String,
    generation: u64,
}

static OPEN: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// Is a worker file that this process has open, or that a thread is about to close.
#[derive(Debug)]
struct Known {
    device: u64,
    inode: u64,
    file: Weak<WorkersFile>,
    number: u64,
}

impl Known {
    fn is(&self, meta: &Metadata) -> bool {
        self.device == meta.dev() && self.inode == meta.ino()
    }
}

/// Takes a file out of the table when it is dropped.
#[derive(Debug)]
struct Listed(u64);

impl Drop for Listed {
    fn drop(&mut self) {
        let _section = fork::enter();
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|known| known.number != self.0);
    }
}

/// Holds the directory lock until it is dropped.
#[derive(Debug)]
pub(crate) struct DirectoryLock<'a> {
    file: &'a WorkersFile,
    _threads: MutexGuard<'a, ()>,
}

impl Drop for DirectoryLock<'_> {
    fn drop(&mut self) {
        // It can only fail for a bad descriptor, and then there is no lock to give back.
        let _ = sys::unlock_range(&self.file.file, 0, HEADER_BYTES);
    }
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

    fn open_once(path: &Path, create: bool) -> io::Result<Arc<Self>> {
        for _ in 0..MAX_CLOSING {
            if let Some(file) = Self::try_open_once(path, create)? {
                return Ok(file);
            }
            thread::sleep(Duration::from_micros(20));
        }
        // The thread that was closing it is not in this process: it forked in between.
        let _section = fork::enter();
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|known| known.file.strong_count() > 0);
        drop(open);
        Self::try_open_once(path, create)?.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                "another thread is closing the worker file",
            )
        })
    }

    /// Returns nothing while another thread closes the file.
    fn try_open_once(path: &Path, create: bool) -> io::Result<Option<Arc<Self>>> {
        let _section = fork::enter();
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked up by its identity *before* it is opened: a second descriptor must never come to be closed.
        match fs::symlink_metadata(path) {
            Ok(meta) => {
                if let Some(known) = open.iter().find(|known| known.is(&meta)) {
                    return Ok(known.file.upgrade());
                }
            }
            Err(error) if create && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut options = OpenOptions::new();
        options
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let (file, writable) = match options.clone().write(true).create(create).open(path) {
            Ok(file) => (file, true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
            // Where it is not there, what kept it from being made is the cause.
            Err(error) => match options.open(path) {
                Err(other) if other.kind() == io::ErrorKind::NotFound => return Err(error),
                other => (other?, false),
            },
        };
        let meta = file.metadata()?;
        if let Some(other) = open.iter().find(|known| known.is(&meta)) {
            // Somebody put the file back between the two looks. Closing it would drop our locks, so it leaks.
            std::mem::forget(file);
            return Ok(other.file.upgrade());
        }
        if !meta.is_file() {
            return Err(io::Error::other(format!(
                "{} is not a regular file",
                path.display()
            )));
        }
        // ORDERING: a ticket; any order will do.
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
        let file = Arc::new(Self {
            file: OwnFile::new(file)?,
            listed: Listed(number),
            path: path.to_owned(),
            writable,
            threads: Mutex::default(),
            claim: Mutex::default(),
            attached: Mutex::default(),
            users: Arc::default(),
        });
        open.push(Known {
            device: meta.dev(),
            inode: meta.ino(),
            file: Arc::downgrade(&file),
            number,
        });
        Ok(Some(file))
    }

    /// Lets others open the file anew: the program closed it behind our back.
    fn disown(&self) {
        let _section = fork::enter();
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|known| known.number != self.listed.0);
    }

    fn ensure_header(&self) -> io::Result<()> {
        let _lock = self.lock_directory()?;
        if self.file.metadata()?.len() < HEADER_BYTES {
            let mut header = [0; 64];
            header[..8].copy_from_slice(MAGIC);
            header[8..12].copy_from_slice(&VERSION.to_ne_bytes());
            header[12..16].copy_from_slice(&64_u32.to_ne_bytes());
            header[16..20].copy_from_slice(&64_u32.to_ne_bytes());
            sys::write_all_at(&self.file, &header, 0)?;
        }
        self.check_header()
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

    /// Waits for the directory lock, at most `LOCK_PATIENCE`.
    ///
    /// # Errors
    ///
    /// `TimedOut` when another process does not give it back, `NotFound` when the file was deleted.
    pub(crate) fn lock_directory(&self) -> io::Result<DirectoryLock<'_>> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.file.has_a_name() {
            return Err(self.was_deleted());
        }
        let start = Instant::now();
        let mut pause = FIRST_PAUSE;
        while !sys::try_lock_range(&self.file, 0, HEADER_BYTES)? {
            if start.elapsed() > LOCK_PATIENCE {
                let text = format!(
                    "the lock of {} is held by another process",
                    self.path.display()
                );
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(2));
        }
        let lock = DirectoryLock {
            file: self,
            _threads: threads,
        };
        // A lock on a file that was deleted keeps nobody out; it may have been while we waited.
        if pause == FIRST_PAUSE || self.file.has_a_name() {
            return Ok(lock);
        }
        Err(self.was_deleted())
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

    /// Returns the record of this process, taking one if it has none yet.
    ///
    /// `tag_is_free` says whether a tag's file names are free; `retire` clears away a dead worker's gauges and
    /// must succeed before its record or tag is used again. The caller holds the directory lock.
    pub(crate) fn claim(
        &self,
        lock: &DirectoryLock<'_>,
        tag_is_free: &dyn Fn(&str) -> bool,
        retire: &mut dyn FnMut(&WorkerReport) -> io::Result<()>,
    ) -> io::Result<Claim> {
        let mut claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = process::generation();
        if let Some(held) = claim.as_ref().filter(|held| held.generation == generation) {
            return Ok(held.clone());
        }
        let mut taken = Vec::new();
        let mut lost = 0;
        // This process holds no record now, so no record is alive because it is our own.
        for record in self.records_besides(None)? {
            if record.alive {
                taken.push(record);
            } else if retire(&record).is_ok() {
                lost += record.kept_series;
                self.write_record(record.index, 0, &WorkerReport::default())?;
            } else {
                taken.push(record);
            }
        }
        if lost > 0 {
            self.add_lost_series(lock, lost)?;
        }
        let index = (0..MAX_RECORDS)
            .find(|index| taken.iter().all(|record| record.index != *index))
            .ok_or_else(|| io::Error::other(format!("{} is full", self.path.display())))?;
        let pid = std::process::id();
        let tag = (0..=u32::MAX)
            .map(|turn| match turn {
                0 => pid.to_string(),
                turn => format!("{pid}-{turn}"),
            })
            .find(|tag| taken.iter().all(|record| record.tag != *tag) && tag_is_free(tag))
            .ok_or_else(|| io::Error::other("every name for this worker is taken"))?;
        if !sys::try_lock_range(&self.file, record_at(index), RECORD_BYTES)? {
            return Err(io::Error::other("a free worker record is locked"));
        }
        let record = WorkerReport {
            index,
            tag: tag.clone(),
            pid,
            alive: true,
            started_seconds: process::unix_seconds(),
            kept_series: 0,
        };
        self.write_record(index, 1, &record)?;
        let new = Claim {
            index,
            tag,
            generation,
        };
        *claim = Some(new.clone());
        Ok(new)
    }

    /// Counts series whose values are lost.
    pub(crate) fn add_lost_series(&self, _lock: &DirectoryLock<'_>, lost: u64) -> io::Result<()> {
        let sum = self.read_lost_series()?.saturating_add(lost);
        sys::write_all_at(&self.file, &sum.to_ne_bytes(), LOST_SERIES_AT)
    }

    /// Tells whether a record is there that this process took; `true` where that cannot be known.
    pub(crate) fn has(&self, claim: &Claim) -> bool {
        let mut record = [0; 8];
        match self.file.read_exact_at(&mut record, record_at(claim.index)) {
            Ok(()) => u32_at(&record, 4) == 1 && self.check_header().is_ok(),
            Err(error) => error.kind() != io::ErrorKind::UnexpectedEof,
        }
    }

    /// Takes the file away if its path names it still: somebody cut it off.
    pub(crate) fn discard(&self) -> io::Result<()> {
        let _lock = self.lock_directory()?;
        if self.is_current() {
            fs::remove_file(&self.path)?;
        }
        Ok(())
    }

    /// Writes down how many series this worker keeps in memory.
    pub(crate) fn report_kept(&self, claim: &Claim, kept_series: u64) -> io::Result<()> {
        sys::write_all_at(
            &self.file,
            &kept_series.to_ne_bytes(),
            record_at(claim.index) + 16,
        )
    }

    /// Reads all records that are taken, and asks the kernel who lives.
    pub(crate) fn records(&self) -> io::Result<Vec<WorkerReport>> {
        self.records_besides(self.own_index())
    }

    fn records_besides(&self, own: Option<u16>) -> io::Result<Vec<WorkerReport>> {
        let bytes = self.read_all()?;
        let mut records = Vec::new();
        let records_part = bytes.get(64..).unwrap_or_default();
        for (index, record) in (0..MAX_RECORDS).zip(records_part.chunks_exact(64)) {
            if u32_at(record, 4) != 1 {
                continue;
            }
            let tag = &record[32..32 + TAG_BYTES];
            let tag = tag.split(|byte| *byte == 0).next().unwrap_or_default();
            // One's own locks are invisible to the question.
            let alive = own == Some(index)
                || sys::is_range_locked(&self.file, record_at(index), RECORD_BYTES)?;
            records.push(WorkerReport {
                index,
                tag: String::from_utf8_lossy(tag).into_owned(),
                pid: u32_at(record, 0),
                alive,
                started_seconds: f64::from_bits(u64_at(record, 8)),
                kept_series: u64_at(record, 16),
            });
        }
        Ok(records)
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
        Ok(Observed {
            records,
            lost_series,
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

    fn own_index(&self) -> Option<u16> {
        let _section = fork::enter();
        let claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        claim
            .as_ref()
            .filter(|held| held.generation == process::generation())
            .map(|held| held.index)
    }

    fn read_all(&self) -> io::Result<Vec<u8>> {
        let limit = HEADER_BYTES + RECORD_BYTES * u64::from(MAX_RECORDS);
        let len =
            usize::try_from(self.file.metadata()?.len().min(limit)).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match self.file.read_at(&mut bytes[filled..], filled as u64)? {
                0 => break,
                count => filled += count,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn read_lost_series(&self) -> io::Result<u64> {
        let mut lost = [0; 8];
        self.file.read_exact_at(&mut lost, LOST_SERIES_AT)?;
        Ok(u64::from_ne_bytes(lost))
    }

    fn write_record(&self, index: u16, state: u32, record: &WorkerReport) -> io::Result<()> {
        let mut bytes = [0; 64];
        bytes[..4].copy_from_slice(&record.pid.to_ne_bytes());
        bytes[4..8].copy_from_slice(&state.to_ne_bytes());
        bytes[8..16].copy_from_slice(&record.started_seconds.to_ne_bytes());
        bytes[16..24].copy_from_slice(&record.kept_series.to_ne_bytes());
        let tag = record.tag.as_bytes();
        bytes[32..32 + tag.len()].copy_from_slice(tag);
        sys::write_all_at(&self.file, &bytes, record_at(index))
    }
}

fn record_at(index: u16) -> u64 {
    HEADER_BYTES + RECORD_BYTES * u64::from(index)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("invariant: four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(
        bytes[at..at + 8]
            .try_into()
            .expect("invariant: eight bytes"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_takes_one_record_and_is_alive() {
        let directory = tempfile::tempdir().unwrap();
        assert!(observe(directory.path()).unwrap().records.is_empty());
        let file = WorkersFile::open(directory.path()).unwrap();
        let take = || {
            let lock = file.lock_directory().unwrap();
            file.claim(&lock, &|tag| tag.contains('-'), &mut |_| Ok(()))
                .unwrap()
        };
        let claim = take();
        assert_eq!(claim.tag, format!("{}-1", std::process::id()));
        assert_eq!(take(), claim);
        let observed = observe(directory.path()).unwrap();
        assert_eq!(observed.records.len(), 1);
        assert!(observed.records[0].alive);
    }

    #[test]
    fn a_dead_workers_record_is_taken_over_after_it_was_retired() {
        let directory = tempfile::tempdir().unwrap();
        let file = WorkersFile::open(directory.path()).unwrap();
        let dead = WorkerReport {
            tag: "7".into(),
            pid: 7,
            kept_series: 3,
            ..Default::default()
        };
        file.write_record(0, 1, &dead).unwrap();
        assert_eq!(file.observe().unwrap().lost_series, 3);
        let mut retired = Vec::new();
        let lock = file.lock_directory().unwrap();
        let claim = file
            .claim(&lock, &|_| true, &mut |record| {
                retired.push(record.tag.clone());
                Ok(())
            })
            .unwrap();
        drop(lock);
        assert_eq!((claim.index, retired), (0, vec!["7".to_string()]));
        assert_eq!(file.observe().unwrap().lost_series, 3);
    }

    #[test]
    fn a_foreign_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(WORKERS_FILE), [b'x'; 200]).unwrap();
        let error = observe(directory.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(WorkersFile::open(directory.path()).is_err());
    }
}
