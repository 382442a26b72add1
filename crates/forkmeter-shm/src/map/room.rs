//! Address space for windows, which is ours for ever, and what comes in the place of a file that is cut off under its
//! mapping.
//!
//! Touching a page beyond the end of its file raises SIGBUS, and only somebody else can have cut off a file of ours:
//! we reserve blocks before we touch them. The handler of `guard` puts memory there and lets the thread go on; the store
//! sees it by the epoch and makes the file again, as after a deletion.
#![expect(unsafe_code, reason = "reserves and replaces address space")]

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use crate::process;

/// The size of a window with what it shows beyond its end.
pub(super) const MAPPED_LEN: usize = (32 << 20) + (64 << 10);
/// Address space is set aside for this many windows at once.
const ROOM_WINDOWS: usize = 16;
/// What memory is put in the place of, at least. No machine that this runs on has larger pages.
const MAX_PAGE: usize = 64 << 10;
/// Says in the place of a cut that a window is not to be touched.
const NOT_OURS: usize = usize::MAX;
const _: () = assert!(MAPPED_LEN.is_multiple_of(MAX_PAGE));

/// The rooms of this process, the newest first. They are never given back, so the handler may walk them at any time.
static ROOMS: AtomicPtr<Room> = AtomicPtr::new(ptr::null_mut());
/// Keeps handlers of different threads apart.
static IS_REPLACING: AtomicBool = AtomicBool::new(false);
static CUTS: AtomicU64 = AtomicU64::new(0);

/// Is address space for some windows next to each other.
#[derive(Debug)]
struct Room {
    base: usize,
    /// From where on each window shows memory, because its file ends there.
    cuts: Box<[AtomicUsize]>,
    before: *const Room,
}

/// Is the address of one window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) address: NonNull<u8>,
    cut: &'static AtomicUsize,
}

// SAFETY: a place is an address in a mapping that is never unmapped; all access to it is through atomics, or by
// `Mapping::write` under the rules that stand there.
unsafe impl Send for Place {}
// SAFETY: as above.
unsafe impl Sync for Place {}

impl Place {
    /// Tells whether the file of the window was found cut off.
    pub(super) fn is_cut_off(self) -> bool {
        // ORDERING: pairs with the release in `replace`, for a caller that has seen the epoch change.
        self.cut.load(Ordering::Acquire) < MAPPED_LEN
    }

    /// Hears that the place may be somebody else's.
    pub(super) fn is_given_up(self) {
        // ORDERING: nobody has an address in the window.
        self.cut.store(NOT_OURS, Ordering::Relaxed);
    }

    /// Hears that the window shows a file from here on, whole.
    pub(super) fn is_mapped(self) {
        // ORDERING: nobody has an address in the window yet.
        self.cut.store(MAPPED_LEN, Ordering::Relaxed);
    }
}

/// Returns how often a file was found cut off.
pub(super) fn cuts() -> u64 {
    // ORDERING: the epoch says when to look, and changes afterwards.
    CUTS.load(Ordering::Acquire)
}

/// Reserves address space for windows, as many as there may be room for, but for one at least.
pub(super) fn reserve() -> io::Result<Vec<Place>> {
    let one = |_| reserve_for(1);
    reserve_for(ROOM_WINDOWS).or_else(one)
}

fn reserve_for(windows: usize) -> io::Result<Vec<Place>> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let (size, access) = (MAPPED_LEN * windows, libc::PROT_NONE);
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let base = unsafe { libc::mmap(ptr::null_mut(), size, access, flags, -1, 0) };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let base = NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
    let room: &'static mut Room = Box::leak(Box::new(Room {
        base: base.as_ptr().expose_provenance(),
        cuts: (0..windows).map(|_| AtomicUsize::new(MAPPED_LEN)).collect(),
        // ORDERING: rooms are made under the lock of `map`; the handler only reads.
        before: ROOMS.load(Ordering::Relaxed),
    }));
    let known = ptr::from_mut(room);
    // ORDERING: pairs with the acquire in `replace`.
    ROOMS.store(known, Ordering::Release);
    // SAFETY: leaked above, and only read from here on.
    let room: &'static Room = unsafe { &*known };
    let places = room.cuts.iter().enumerate().map(|(index, cut)| Place {
        // SAFETY: there is space for all windows in the mapping that was made above.
        address: unsafe { base.add(index * MAPPED_LEN) },
        cut,
    });
    Ok(places.collect())
}

/// Puts memory in the place of what a window shows from a page on, and tells whether the address is in a window.
///
/// Runs in a signal handler, with all signals blocked: system calls and atomics only.
pub(crate) fn replace(address: usize, page: usize) -> bool {
    // ORDERING: pairs with the release in `reserve_for`.
    let mut known = ROOMS.load(Ordering::Acquire).cast_const();
    // SAFETY: null, or a room that was leaked.
    while let Some(room) = unsafe { known.as_ref() } {
        if let Some(offset) = address.checked_sub(room.base)
            && let Some(cut) = room.cuts.get(offset / MAPPED_LEN)
        {
            let start = room.base + offset / MAPPED_LEN * MAPPED_LEN;
            return replace_in(start, offset % MAPPED_LEN / page * page, cut);
        }
        known = room.before;
    }
    false
}

fn replace_in(start: usize, from: usize, cut: &AtomicUsize) -> bool {
    // ORDERING: pairs with the release below.
    if IS_REPLACING.swap(true, Ordering::Acquire) {
        // Another thread is at it; the access comes again.
        return true;
    }
    // ORDERING: changed here and in `is_mapped` only, before anybody has an address in the window.
    let end = cut.load(Ordering::Relaxed);
    let is_ours = end != NOT_OURS;
    let is_replaced = is_ours && (from >= end || put_memory(start + from, end - from));
    if is_replaced && from < end {
        // ORDERING: pairs with `is_cut_off`; the epoch says when to look.
        cut.store(from, Ordering::Release);
        CUTS.fetch_add(1, Ordering::Release);
        process::next_epoch();
    }
    // ORDERING: as above.
    IS_REPLACING.store(false, Ordering::Release);
    is_replaced
}

/// Memory is shared with children: what is counted in it before they look is taken by one of them.
fn put_memory(address: usize, size: usize) -> bool {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let place = ptr::with_exposed_provenance_mut(address);
    // SAFETY: a part of one window is replaced that shows nothing: its file has ended before. It may be read and
    // written as before, by the atomics through which it is accessed.
    let mapped = unsafe { libc::mmap(place, size, access, flags, -1, 0) };
    mapped != libc::MAP_FAILED
}
