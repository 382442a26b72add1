//! Whether anybody writes to a file: asked by a lease, which the kernel grants only where nobody does.
#![expect(unsafe_code, reason = "calls into the C library")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libc::c_int;

/// `F_SETSIG`, which the crate `libc` lacks for this platform; Linux has the same number everywhere.
const F_SETSIG: c_int = 10;

/// Is the kernel's word that no process has a file open for writing, nor mapped for it.
///
/// It holds for all processes of this kernel, whatever their pid namespaces. Whoever opens the file for writing waits
/// until the lease is dropped, at most for the 45 seconds of `/proc/sys/fs/lease-break-time`; readers do not notice it.
#[derive(Debug)]
pub(crate) struct NoWriters {
    file: File,
}

impl NoWriters {
    /// Asks for a file that was opened for reading only. It has to belong to this process' user.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where somebody writes to it; others where the kernel does not know.
    pub(crate) fn of(file: File) -> io::Result<Self> {
        // The signal to whoever holds a lease that is wanted: this one is ignored where nobody handles it.
        lease(&file, F_SETSIG, libc::SIGURG)?;
        lease(&file, libc::F_SETLEASE, libc::F_RDLCK)?;
        Ok(Self { file })
    }

    /// Returns the file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Tells whether nobody has tried to open the file for writing.
    pub(crate) fn still_holds(&self) -> bool {
        lease(&self.file, libc::F_GETLEASE, 0).is_ok_and(|kind| kind == libc::F_RDLCK)
    }
}

impl Drop for NoWriters {
    fn drop(&mut self) {
        // Closing the file does it as well.
        let _ = lease(&self.file, libc::F_SETLEASE, libc::F_UNLCK);
    }
}

fn lease(file: &File, command: c_int, argument: c_int) -> io::Result<c_int> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, argument) } {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

/// Renames a file unless there is one of the new name.
///
/// # Errors
///
/// `AlreadyExists` where there is.
pub(crate) fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    let from = CString::new(from.as_os_str().as_bytes())?;
    let to = CString::new(to.as_os_str().as_bytes())?;
    // SAFETY: both strings end with a zero byte and outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// File systems whose files only this kernel opens: ext, XFS, Btrfs, bcachefs, F2FS, ZFS, tmpfs, ramfs, overlayfs.
const LOCAL: [u64; 9] = [
    0xEF53,
    0x5846_5342,
    0x9123_683E,
    0xCA45_1A4E,
    0xF2F5_2010,
    0x2FC1_2FC1,
    0x0102_1994,
    0x8584_58F6,
    0x794C_7630,
];

/// Tells whether a path is on a file system that no other machine and no other kernel shares.
pub(crate) fn is_local(path: &Path) -> io::Result<bool> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `statfs` is plain data for which all-zero bytes are a valid value.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the string ends with a zero byte; it and the struct outlive the call.
    if unsafe { libc::statfs(path.as_ptr(), &raw mut found) } != 0 {
        return Err(io::Error::last_os_error());
    }
    #[expect(
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "a magic number of 32 bits, in a word whose type depends on the platform"
    )]
    let kind = u64::from(found.f_type as u32);
    Ok(LOCAL.contains(&kind))
}

/// Returns the user that this process acts as.
pub(crate) fn effective_user() -> u32 {
    // SAFETY: the call takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}
