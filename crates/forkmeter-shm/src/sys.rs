//! The system calls that the standard library has no words for, each behind a safe function.
#![expect(unsafe_code, reason = "calls into the C library")]

mod leases;
mod signals;

use std::fs::{self, File, Metadata};
use std::io;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::ptr;

use libc::{c_int, c_short, off_t};

pub(crate) use self::leases::{NoWriters, effective_user, is_local, rename_to_free};
pub use self::signals::{SignalMask, block_signals};

/// Takes a POSIX write lock on a byte range without waiting; `false` when another process holds it.
///
/// The lock belongs to this process: threads do not exclude each other by it, forked children do not
/// inherit it, and it ends with the process or with *any* descriptor of the file that this process closes.
pub(crate) fn try_lock_range(file: &File, start: u64, len: u64) -> io::Result<bool> {
    match record_lock(file, libc::F_SETLK, libc::F_WRLCK, start, len) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Takes a POSIX read lock on a byte range, as [`try_lock_range`]; several processes can hold one at a time.
pub(crate) fn try_share_range(file: &File, start: u64, len: u64) -> io::Result<bool> {
    match record_lock(file, libc::F_SETLK, libc::F_RDLCK, start, len) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Gives a byte range back.
pub(crate) fn unlock_range(file: &File, start: u64, len: u64) -> io::Result<()> {
    record_lock(file, libc::F_SETLK, libc::F_UNLCK, start, len).map(drop)
}

/// Tells whether another process holds a lock on a byte range.
pub(crate) fn is_range_locked(file: &File, start: u64, len: u64) -> io::Result<bool> {
    let found = record_lock(file, libc::F_GETLK, libc::F_WRLCK, start, len)?;
    Ok(c_int::from(found) != libc::F_UNLCK)
}

fn record_lock(
    file: &File,
    command: c_int,
    kind: c_int,
    start: u64,
    len: u64,
) -> io::Result<c_short> {
    // SAFETY: `flock` is plain data for which all-zero bytes are a valid value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = c_short::try_from(kind).map_err(io::Error::other)?;
    lock.l_whence = c_short::try_from(libc::SEEK_SET).map_err(io::Error::other)?;
    lock.l_start = off_t::try_from(start).map_err(io::Error::other)?;
    lock.l_len = off_t::try_from(len).map_err(io::Error::other)?;
    loop {
        // SAFETY: the descriptor is open for as long as `file` is borrowed, and `lock` outlives the call.
        let result = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) };
        if result == 0 {
            return Ok(lock.l_type);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Is an open file that knows itself: a program that becomes a daemon may close all its files and open others,
/// which then have our numbers.
#[derive(Debug)]
pub(crate) struct OwnFile {
    file: ManuallyDrop<File>,
    device: u64,
    inode: u64,
}

impl OwnFile {
    /// Takes an open file.
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self {
            file: ManuallyDrop::new(file),
            device: meta.dev(),
            inode: meta.ino(),
        })
    }

    /// Returns the number of the file on its device.
    pub(crate) fn inode(&self) -> u64 {
        self.inode
    }

    /// Tells whether a file is this one.
    pub(crate) fn is(&self, meta: &Metadata) -> bool {
        meta.dev() == self.device && meta.ino() == self.inode
    }

    /// Tells whether it is still open, under its number.
    pub(crate) fn is_open(&self) -> bool {
        self.file.metadata().is_ok_and(|meta| self.is(&meta))
    }

    /// Tells whether it is still open and has a name.
    pub(crate) fn has_a_name(&self) -> bool {
        let meta = self.file.metadata();
        meta.is_ok_and(|meta| self.is(&meta) && meta.nlink() > 0)
    }

    /// Returns how long it is; nothing where it is not open.
    pub(crate) fn len(&self) -> Option<u64> {
        let meta = self.file.metadata().ok()?;
        self.is(&meta).then_some(meta.len())
    }

    /// Tells whether it is what a path names.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|meta| self.is(&meta))
    }
}

impl Deref for OwnFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        // What is somebody else's by now is not ours to close.
        if self.is_open() {
            // SAFETY: dropped here and nowhere else, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
    }
}

/// Reserves disk blocks for `[start, end)` and grows the file to `end`, so that writing there through a
/// mapping cannot fail later.
///
/// # Errors
///
/// `StorageFull` when there is no room; the file may then have grown, but never shrinks.
pub(crate) fn allocate(file: &File, start: u64, end: u64) -> io::Result<()> {
    let offset = off_t::try_from(start).map_err(io::Error::other)?;
    let len = off_t::try_from(end - start).map_err(io::Error::other)?;
    check_limit(end)?;
    loop {
        // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed.
        let result = unsafe { libc::fallocate(file.as_raw_fd(), 0, offset, len) };
        if result == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            // File systems without the call: writing zeros reserves the blocks too.
            Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL) => {
                return write_zeros(file, start, end);
            }
            _ => return Err(error),
        }
    }
}

fn write_zeros(file: &File, start: u64, end: u64) -> io::Result<()> {
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut at = start.max(file.metadata()?.len());
    while at < end {
        let step = usize::try_from(end - at)
            .unwrap_or(usize::MAX)
            .min(ZEROS.len());
        write_all_at(file, &ZEROS[..step], at)?;
        at += step as u64;
    }
    Ok(())
}

/// Writes bytes to a place in a file. Whatever this crate writes to a file goes through here.
///
/// # Errors
///
/// `FileTooLarge` beyond the process's limit on file sizes, without the signal that ends processes there.
pub(crate) fn write_all_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    check_limit(at + bytes.len() as u64)?;
    file.write_all_at(bytes, at)
}

/// Makes a file of these bytes, in the place of what its path names.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_all_at(&File::create(path)?, bytes, 0)
}

/// Fails where the process may not make files that long: the kernel would send SIGXFSZ.
fn check_limit(end: u64) -> io::Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the limit outlives the call.
    let asked = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) };
    if asked == 0 && end > limit.rlim_cur {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    }
    Ok(())
}

/// Asks the C library to call these around every `fork` of this process, from now on.
pub(crate) fn at_fork(
    prepare: extern "C" fn(),
    parent: extern "C" fn(),
    child: extern "C" fn(),
) -> io::Result<()> {
    // SAFETY: the functions are `extern "C"`, never unwind, and stay loaded: this code is never unloaded.
    let result = unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(result))
    }
}

/// Makes the process that `command` starts get SIGTERM when the *thread* that starts it ends, so that it does
/// not outlive a parent that is killed. Start it from a thread that stays until the process has ended.
///
/// The signals `unblocked`, by number, are unblocked in it; all others are as in that thread.
pub fn end_with_parent(command: &mut Command, unblocked: &[c_int]) {
    let parent = libc::pid_t::try_from(std::process::id()).ok();
    let signals = signal_set(unblocked);
    let ask = move || {
        // SAFETY: the call takes plain numbers.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have ended before the call, and then nothing would ever come.
        // SAFETY: the call takes nothing and cannot fail.
        if Some(unsafe { libc::getppid() }) != parent {
            return Err(io::ErrorKind::NotFound.into());
        }
        // SAFETY: the set is initialised, and nothing is to be written to the null pointer.
        match unsafe {
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const signals, ptr::null_mut())
        } {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    };
    // SAFETY: between `fork` and `exec` the closure makes system calls and allocates nothing; the errors that it
    // makes hold plain numbers.
    unsafe {
        command.pre_exec(ask);
    }
}

/// Makes a set of signals; numbers that are no signals are left out.
fn signal_set(signals: &[c_int]) -> libc::sigset_t {
    // SAFETY: `sigset_t` is plain data, and all-zero bytes are its empty set on Linux.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    for &signal in signals {
        // SAFETY: the set is initialised; a number that is no signal changes nothing.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    set
}
