//! Mapped files: value cells that stay where they are while the file grows, and never go away.
#![expect(
    unsafe_code,
    reason = "maps files and hands out references into the mapping"
)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// A file is mapped in windows of this size, each when it is first needed. Windows may reach beyond the end of
/// the file: the pages there exist as soon as the file has grown to them.
const WINDOW_BYTES: u64 = 32 << 20;
/// A window also maps the page behind it, so that a value and its timestamp are never torn apart.
const OVERLAP_BYTES: u64 = 4096;
/// The official layout counts bytes in an int32.
pub(crate) const MAX_FILE_BYTES: u64 = 2 << 30;
const WINDOWS: usize = (MAX_FILE_BYTES / WINDOW_BYTES) as usize;

/// Maps one file, shared and writable.
///
/// Windows are never unmapped, so that references to cells live as long as the process: a handle that another
/// thread uses at this moment may still point into a file that was deleted. What it keeps is address space,
/// and the pages of deleted files.
#[derive(Debug)]
pub(crate) struct Mapping {
    windows: Box<[OnceLock<Window>]>,
}

#[derive(Clone, Copy, Debug)]
struct Window(NonNull<u8>);

// SAFETY: a window is the address of a shared mapping that is never unmapped; all access to it is through
// atomics, or by `Mapping::write` under the rules that stand there.
unsafe impl Send for Window {}
// SAFETY: as above.
unsafe impl Sync for Window {}

impl Mapping {
    /// Makes a mapping without windows.
    pub(crate) fn new() -> Self {
        Self {
            windows: (0..WINDOWS).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Maps what is needed of `file` to reach the bytes below `end`.
    pub(crate) fn cover(&self, file: &File, end: u64) -> io::Result<()> {
        let needed = usize::try_from(end.div_ceil(WINDOW_BYTES)).map_err(io::Error::other)?;
        let windows = self
            .windows
            .get(..needed)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        for (index, window) in windows.iter().enumerate() {
            if window.get().is_none() {
                let mapped = map_window(file, index as u64 * WINDOW_BYTES)?;
                // A second mapping by a racing thread would be harmless, and stores are locked anyway.
                let _ = window.set(mapped);
            }
        }
        Ok(())
    }

    /// Returns the 8-byte cell at `offset`.
    ///
    /// The caller has grown the file to `offset + 8` and covered it; an offset that is not a multiple of 8 or
    /// not covered gives `None`.
    pub(crate) fn cell(&self, offset: u64) -> Option<&'static AtomicU64> {
        let address = self.address(offset, 8)?;
        #[expect(clippy::cast_ptr_alignment, reason = "`address` checks the alignment")]
        // SAFETY: the address lies in a window that is never unmapped, and is aligned for a u64 (checked in
        // `address`). Everybody, in every process, accesses cells atomically.
        Some(unsafe { &*address.as_ptr().cast::<AtomicU64>() })
    }

    /// Returns the 4-byte word at `offset`, as [`Mapping::cell`].
    pub(crate) fn word(&self, offset: u64) -> Option<&'static AtomicU32> {
        let address = self.address(offset, 4)?;
        #[expect(clippy::cast_ptr_alignment, reason = "`address` checks the alignment")]
        // SAFETY: as in `cell`.
        Some(unsafe { &*address.as_ptr().cast::<AtomicU32>() })
    }

    /// Copies bytes into the file. The caller holds the directory lock, has allocated the blocks, and nobody
    /// reads there before a later release store publishes it.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let room =
                usize::try_from(WINDOW_BYTES - at % WINDOW_BYTES).map_err(io::Error::other)?;
            let (now, later) = rest.split_at(rest.len().min(room));
            let address = self.address(at, 1).ok_or(io::ErrorKind::FileTooLarge)?;
            // SAFETY: `now` ends inside the window of `address`. The two do not overlap, and nobody else
            // accesses these bytes (the function's contract).
            unsafe { ptr::copy_nonoverlapping(now.as_ptr(), address.as_ptr(), now.len()) };
            at += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    fn address(&self, offset: u64, align: u64) -> Option<NonNull<u8>> {
        if !offset.is_multiple_of(align) {
            return None;
        }
        let window = self
            .windows
            .get(usize::try_from(offset / WINDOW_BYTES).ok()?)?
            .get()?;
        let inside = usize::try_from(offset % WINDOW_BYTES).ok()?;
        // SAFETY: `inside` is less than the window's size, so the result is in the same mapping.
        Some(unsafe { window.0.add(inside) })
    }
}

fn map_window(file: &File, offset: u64) -> io::Result<Window> {
    let len = usize::try_from(WINDOW_BYTES + OVERLAP_BYTES).map_err(io::Error::other)?;
    let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice; nothing that exists is touched.
    let address = unsafe {
        libc::mmap(
            ptr::null_mut(),
            len,
            access,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            offset,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let address = NonNull::new(address.cast::<u8>());
    Ok(Window(address.expect(
        "invariant: mmap returns an address or MAP_FAILED",
    )))
}

/// Points to a mapped cell, or nowhere; may be turned to another cell while threads use it.
#[derive(Debug, Default)]
pub(crate) struct CellRef(AtomicPtr<AtomicU64>);

impl CellRef {
    /// Returns the cell, if there is one.
    #[inline]
    pub(crate) fn get(&self) -> Option<&'static AtomicU64> {
        // ORDERING: pairs with the release in `turn`, so that the mapping is seen before the pointer into it.
        let pointer = self.0.load(Ordering::Acquire);
        // SAFETY: the pointer is null or came from a `&'static` in `turn`.
        unsafe { pointer.as_ref() }
    }

    /// Points to another cell and returns the one before.
    pub(crate) fn turn(&self, cell: Option<&'static AtomicU64>) -> Option<&'static AtomicU64> {
        let pointer = cell.map_or(ptr::null_mut(), |cell| ptr::from_ref(cell).cast_mut());
        // ORDERING: release pairs with `get`; acquire makes the old cell's mapping visible to the caller.
        let before = self.0.swap(pointer, Ordering::AcqRel);
        // SAFETY: as in `get`.
        unsafe { before.as_ref() }
    }
}

/// Returns the timestamp cell that stands right behind a value cell of a segment.
pub(crate) fn timestamp_of(value: &'static AtomicU64) -> &'static AtomicU64 {
    let timestamp = ptr::from_ref(value).wrapping_add(1);
    // SAFETY: value cells come from complete entries of a segment (the only callers), where the timestamp
    // follows the value; `Mapping::cell` gave an address at most 8 bytes before its window's end, and the
    // mapping goes on for `OVERLAP_BYTES` behind it.
    unsafe { &*timestamp }
}
