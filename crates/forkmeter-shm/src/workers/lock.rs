//! The directory lock, which is a range of the worker file that the kernel frees when its holder dies.

use std::io;
use std::sync::{MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{HEADER_BYTES, WorkersFile};
use crate::sys;

/// How long to wait for the directory lock before values are kept in memory instead: longer than any holder
/// works, short enough for a request that meets a stopped holder.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

const FIRST_PAUSE: Duration = Duration::from_micros(20);

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
}
