//! Mapped files: value cells that stay where they are while the file grows, and whose memory never goes away.
#![expect(
    unsafe_code,
    reason = "maps files and hands out references into the mapping"
)]

mod room;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use forkmeter_core::fork;

use self::room::{MAPPED_LEN, Place};
use crate::guard;

pub(crate) use self::room::replace;

/// A file is mapped in windows of this size, each when it is first needed. Windows may reach beyond the end of
/// the file: the pages there exist as soon as the file has grown to them.
const WINDOW_BYTES: u64 = 32 << 20;
/// A window also maps what is behind it, at least one page on any machine, so that a value and its timestamp are never torn apart.
const OVERLAP_BYTES: u64 = 64 << 10;
/// The official layout counts bytes in an int32.
pub(crate) const MAX_FILE_BYTES: u64 = 2 << 30;
const WINDOWS: usize = (MAX_FILE_BYTES / WINDOW_BYTES) as usize;
const _: () = assert!(MAPPED_LEN as u64 == WINDOW_BYTES + OVERLAP_BYTES);
/// How long a thread that read where a cell is may take to count there.
const LEAVE: Duration = Duration::from_secs(1);
/// How many windows that nobody needs wait for `LEAVE` to pass: a process may have 65,530 maps.
const MAX_LEFT: usize = 1024;

/// Address space for windows, the next one last. Windows that are next to each other become one map once they show
/// nothing.
static ROOM: Mutex<Vec<Place>> = Mutex::new(Vec::new());

/// The windows that nobody needs any more, the oldest first.
static LEFT: Mutex<VecDeque<(Window, Instant)>> = Mutex::new(VecDeque::new());

/// The windows that show nothing, the oldest first, and when they began to.
static FREE: Mutex<Free> = Mutex::new(Free {
    windows: VecDeque::new(),
    seconds: 0,
    last: None,
});

/// After how many seconds a window may show another file: then every thread has counted where it was about to.
const REUSE_SECONDS: u64 = 60;

/// Holds windows that may be used again some time.
#[derive(Debug)]
struct Free {
    windows: VecDeque<(Window, u64)>,
    /// In how many different seconds this process ran: one that was stopped comes back to threads that were too.
    seconds: u64,
    last: Option<Instant>,
}

impl Free {
    fn count_seconds(&mut self) {
        let now = Instant::now();
        let is_another = |last: Instant| now.duration_since(last) >= Duration::from_secs(1);
        if self.last.is_none_or(is_another) {
            self.last = Some(now);
            self.seconds += 1;
        }
    }

    fn put(&mut self, window: Window) {
        self.count_seconds();
        self.windows.push_back((window, self.seconds));
    }

    fn take(&mut self) -> Option<Window> {
        self.count_seconds();
        let (_, since) = self.windows.front()?;
        if self.seconds - since < REUSE_SECONDS {
            return None;
        }
        self.windows.pop_front().map(|(window, _)| window)
    }
}

/// Maps one file, shared and writable.
///
/// References to cells live as long as the process: a handle that another thread uses at this moment may still
/// point into a mapping that was dropped. So windows are never unmapped. Those of a dropped mapping show their
/// file for a while yet, and then private zeros, which takes neither the file's pages nor, where they are next
/// to each other, maps of their own. After [`REUSE_SECONDS`] one may show another file.
#[derive(Debug)]
pub(crate) struct Mapping {
    windows: Box<[OnceLock<Window>]>,
}

#[derive(Clone, Copy, Debug)]
struct Window(Place);

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

    /// Tells whether the bytes below `end` are mapped.
    pub(crate) fn covers(&self, end: u64) -> bool {
        let needed = usize::try_from(end.div_ceil(WINDOW_BYTES)).unwrap_or(usize::MAX);
        let windows = self.windows.get(..needed);
        windows.is_some_and(|windows| windows.iter().all(|window| window.get().is_some()))
    }

    /// Tells whether the file was found cut off; then the cells from there on show memory of this process and its
    /// children.
    pub(crate) fn is_cut_off(&self) -> bool {
        let mut windows = self.windows.iter().filter_map(OnceLock::get);
        windows.any(|window| window.0.is_cut_off())
    }

    /// As [`Mapping::is_cut_off`], of the windows of the bytes below `end`.
    pub(crate) fn is_cut_off_before(&self, end: u64) -> bool {
        let windows = usize::try_from(end.div_ceil(WINDOW_BYTES)).unwrap_or(WINDOWS);
        let mut windows = self.windows.iter().take(windows).filter_map(OnceLock::get);
        windows.any(|window| window.0.is_cut_off())
    }

    /// Returns the 8-byte cell at `offset`. It shows the file for as long as this mapping lives.
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

    /// Returns where in the file a cell stands.
    pub(crate) fn offset_of(&self, cell: &'static AtomicU64) -> Option<u64> {
        let address = ptr::from_ref(cell).addr();
        let mut windows = (0..).zip(&self.windows);
        windows.find_map(|(index, window)| {
            let base = window.get()?.0.address.addr().get();
            let inside = address.checked_sub(base)? as u64;
            (inside < WINDOW_BYTES).then_some(index * WINDOW_BYTES + inside)
        })
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
        Some(unsafe { window.0.address.add(inside) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let _section = fork::enter();
        let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let windows = self.windows.iter().filter_map(OnceLock::get);
        left.extend(windows.map(|window| (*window, now)));
        give_back_left(&mut left);
    }
}

/// Lets go of the files of windows that were left long enough ago.
fn give_back_left(left: &mut VecDeque<(Window, Instant)>) {
    let now = Instant::now();
    let is_due = |(_, since): &(Window, Instant)| now.duration_since(*since) > LEAVE;
    while left.len() > MAX_LEFT || left.front().is_some_and(is_due) {
        let Some((window, _)) = left.pop_front() else {
            break;
        };
        if window.give_back() {
            let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
            free.put(window);
        }
    }
}

impl Window {
    /// Puts private zeros in the place of the file; `false` where that failed.
    fn give_back(self) -> bool {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let len = MAPPED_LEN;
        // SAFETY: exactly one window is replaced, by memory that may be read and written as before: whoever
        // still counts there counts for nobody. Where it fails the window stays as it is, and is not used again.
        let address =
            unsafe { libc::mmap(self.0.address.as_ptr().cast(), len, access, flags, -1, 0) };
        address != libc::MAP_FAILED
    }
}

/// Returns how often a file was found cut off under its mapping: each time some store has to look.
pub(crate) fn cuts() -> u64 {
    room::cuts()
}

/// Returns an address for one window.
fn take_room() -> io::Result<Place> {
    let _section = fork::enter();
    give_back_left(&mut LEFT.lock().unwrap_or_else(PoisonError::into_inner));
    let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(window) = free {
        return Ok(window.0);
    }
    let mut room = ROOM.lock().unwrap_or_else(PoisonError::into_inner);
    if room.is_empty() {
        *room = room::reserve()?;
        room.reverse();
    }
    Ok(room.pop().ok_or(io::ErrorKind::OutOfMemory)?)
}

/// Says of the errors that file systems without shared mappings give what they mean.
fn cannot_map(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::ENODEV | libc::EINVAL | libc::EACCES | libc::EOPNOTSUPP) => {
            let text = format!("its file system cannot share memory between processes ({error})");
            io::Error::new(io::ErrorKind::Unsupported, text)
        }
        _ => error,
    }
}

fn map_window(file: &File, offset: u64) -> io::Result<Window> {
    // Where it cannot be installed, a file that somebody cuts off ends the process, as it would without us.
    let _ = guard::arm();
    let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let place = take_room()?;
    let (len, descriptor) = (MAPPED_LEN, file.as_raw_fd());
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let new = unsafe {
        libc::mmap(
            ptr::null_mut(),
            len,
            access,
            libc::MAP_SHARED,
            descriptor,
            offset,
        )
    };
    if new == libc::MAP_FAILED {
        let error = cannot_map(io::Error::last_os_error());
        let _section = fork::enter();
        let mut room = ROOM.lock().unwrap_or_else(PoisonError::into_inner);
        room.push(place);
        return Err(error);
    }
    // A mapping that fails at an address leaves a hole there, which others may fill; so it is moved once it is made.
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    let address: *mut libc::c_void = place.address.as_ptr().cast();
    // SAFETY: it goes to the room that was set aside for this window alone, or to the place of one whose readers
    // went long ago; nothing else that exists is touched.
    let moved = unsafe { libc::mremap(new, len, len, flags, address) };
    if moved == libc::MAP_FAILED {
        let error = io::Error::last_os_error();
        place.is_given_up();
        // SAFETY: made above, and nobody has an address in it.
        unsafe { libc::munmap(new, len) };
        return Err(error);
    }
    place.is_mapped();
    Ok(Window(place))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_used_again_after_many_seconds_of_its_process() {
        let second = Duration::from_secs(1);
        let mut free = Free {
            windows: VecDeque::new(),
            seconds: 7,
            last: None,
        };
        free.put(Window(room::reserve().unwrap()[0]));
        assert!(free.take().is_none());
        // A process that was stopped for an hour has run for one second more.
        free.last = Instant::now().checked_sub(3600 * second);
        assert!(free.take().is_none());
        assert_eq!(free.seconds, 9);
        for _ in 2..REUSE_SECONDS {
            free.last = Instant::now().checked_sub(second);
            assert!(free.take().is_none());
        }
        free.last = Instant::now().checked_sub(second);
        assert!(free.take().is_some());
        assert!(free.take().is_none());
    }
}
