//! One open worker file per directory and process: closing any descriptor of it drops all of the process's locks.

use std::fs::{self, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use forkmeter_core::fork;

use super::WorkersFile;
use crate::sys::OwnFile;

/// How often to look whether another thread has closed the file.
const MAX_CLOSING: u32 = 1000;

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

pub(super) static OPEN: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// Is a worker file that this process has open, or that a thread is about to close.
#[derive(Debug)]
pub(super) struct Known {
    device: u64,
    inode: u64,
    pub(super) file: Weak<WorkersFile>,
    number: u64,
}

impl Known {
    pub(super) fn is(&self, meta: &Metadata) -> bool {
        self.device == meta.dev() && self.inode == meta.ino()
    }
}

/// Takes a file out of the table when it is dropped.
#[derive(Debug)]
pub(super) struct Listed(u64);

impl Drop for Listed {
    fn drop(&mut self) {
        let _section = fork::enter();
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|known| known.number != self.0);
    }
}

impl WorkersFile {
    pub(super) fn open_once(path: &Path, create: bool) -> io::Result<Arc<Self>> {
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
            header: OnceLock::new(),
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
    pub(super) fn disown(&self) {
        let _section = fork::enter();
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|known| known.number != self.listed.0);
    }
}
