//! Survives files that somebody cuts off under their mapping, and maps such files for reading.
//!
//! Touching a mapped page beyond the end of its file raises SIGBUS. While a thread reads a [`GuardedMap`], the
//! handler that [`arm`] installs puts zeros in the place of what is gone, and the read is called off. In a file that
//! this process counts in it puts memory there (`map`), and the store makes the file again. The signal is passed on to
//! whoever handled it before in all other cases. Mapped reads are for the directory reader of a program that asked for
//! them; other readers use system calls.
//!
//! A handler that is installed later gets the signal first. One that hands on what is not its own, with the address,
//! changes nothing; with another one, what becomes of a file that is cut off is as if we were not there.
#![expect(unsafe_code, reason = "maps files and handles a signal")]

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::map;

thread_local! {
    /// The addresses that this thread is reading; the signal comes to the thread that touches a page.
    static WATCHED: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    static CALLED_OFF: Cell<bool> = const { Cell::new(false) };
}

/// Who handled the signal before.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();
/// The size of a page, which a handler may not ask for.
static PAGE: AtomicUsize = AtomicUsize::new(0);

type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// Installs the handler, once, and tells whether it is in place. Another one may have been installed since;
/// then nothing may be read from a map.
pub(crate) fn arm() -> bool {
    let Ok(current) = current_action() else {
        return false;
    };
    if current.sa_sigaction == on_sigbus as Handler as usize {
        return true;
    }
    if BEFORE.set(current).is_err() {
        return false;
    }
    // SAFETY: the call has no preconditions.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    // ORDERING: before the handler is there.
    PAGE.store(usize::try_from(page).unwrap_or(4096), Ordering::Relaxed);
    let flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    let mut action = action(on_sigbus as Handler as usize, flags);
    // Another handler that counts would wait for the memory that this one is about to put there.
    // SAFETY: the set is part of an action that is initialised.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    // SAFETY: the action is complete, and its handler takes what SA_SIGINFO promises.
    unsafe { libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) == 0 }
}

fn current_action() -> io::Result<libc::sigaction> {
    let mut current = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: asking changes nothing and writes to `current` only.
    if unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), current.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it is filled; all zeros would be valid too.
    Ok(unsafe { current.assume_init() })
}

fn action(handler: usize, flags: c_int) -> libc::sigaction {
    // SAFETY: all zeros is a valid action: the default one, with no flags and no blocked signals.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    action
}

extern "C" fn on_sigbus(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid `info` to a handler with SA_SIGINFO.
    let received = unsafe { &*info };
    // SAFETY: the kernel fills in the address for this signal; where somebody else sent it, what is read
    // there is some number that is in no map.
    let address = unsafe { received.si_addr() } as usize;
    let (start, end) = WATCHED.try_with(Cell::get).unwrap_or_default();
    if (start..end).contains(&address) && put_zeros(start, end) {
        let _ = CALLED_OFF.try_with(|called_off| called_off.set(true));
        return;
    }
    // ORDERING: stored before the handler was there.
    if received.si_code == libc::BUS_ADRERR && map::replace(address, PAGE.load(Ordering::Relaxed)) {
        return;
    }
    pass_on(signal, info, context);
}

/// Replaces the whole mapping. Runs in the handler: system calls only.
fn put_zeros(start: usize, end: usize) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    let place = ptr::with_exposed_provenance_mut(start);
    // SAFETY: `start..end` is a `GuardedMap` that is borrowed by the read that was interrupted, so nobody
    // else's memory is replaced, and it stays readable.
    let mapped = unsafe { libc::mmap(place, end - start, libc::PROT_READ, flags, -1, 0) };
    mapped != libc::MAP_FAILED
}

fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let before = BEFORE
        .get()
        .copied()
        .unwrap_or_else(|| action(libc::SIG_DFL, 0));
    if before.sa_sigaction == libc::SIG_DFL || before.sa_sigaction == libc::SIG_IGN {
        let default = action(libc::SIG_DFL, 0);
        // SAFETY: the default action is valid; the signal is raised again and ends the process, as it would
        // have without us.
        unsafe { libc::sigaction(signal, &raw const default, ptr::null_mut()) };
        // SAFETY: raising a signal has no preconditions.
        unsafe { libc::raise(signal) };
    } else if before.sa_flags & libc::SA_SIGINFO != 0 {
        // SAFETY: whoever installed it with SA_SIGINFO gave a function of this type.
        let handler = unsafe { std::mem::transmute::<usize, Handler>(before.sa_sigaction) };
        handler(signal, info, context);
    } else {
        // SAFETY: whoever installed it without SA_SIGINFO gave a function of this type.
        let handler =
            unsafe { std::mem::transmute::<usize, extern "C" fn(c_int)>(before.sa_sigaction) };
        handler(signal);
    }
}

/// Is a file's first bytes in memory, as they are at every moment.
#[derive(Debug)]
pub(crate) struct GuardedMap {
    base: NonNull<AtomicU64>,
    size_bytes: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread; it is only ever read, atomically.
unsafe impl Send for GuardedMap {}

impl GuardedMap {
    /// Maps `size_bytes` bytes of a file, which should have as many.
    pub(crate) fn new(file: &File, size_bytes: usize) -> io::Result<Self> {
        let (protection, flags) = (libc::PROT_READ, libc::MAP_SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size_bytes,
                protection,
                flags,
                file.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        base.expose_provenance();
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, size_bytes })
    }

    /// Returns how many bytes are mapped.
    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Shows the whole words of the map to `read`. Returns nothing where the file was cut off meanwhile; then
    /// the map is of no further use.
    ///
    /// To be called only while [`arm`] says that the handler is in place. `read` must not nest and should not panic.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&[AtomicU64]) -> R) -> Option<R> {
        let start = self.base.as_ptr() as usize;
        let _watch = Watch::begin(start..start + self.size_bytes);
        // SAFETY: the mapping starts on a page, holds that many words and lives as long as `self`; others
        // change it under us, for which the words are atomic; what is cut off the handler replaces.
        let words = unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.size_bytes / 8) };
        let result = read(words);
        (!CALLED_OFF.get()).then_some(result)
    }

    /// Copies bytes from `offset` on, as many as there are of both. Returns nothing as [`GuardedMap::read`].
    pub(crate) fn copy(&self, buffer: &mut [u8], offset: usize) -> Option<usize> {
        let first = offset / 8;
        let skipped = offset % 8;
        self.read(|words| {
            let words = words.get(first..).unwrap_or(&[]);
            let count = buffer.len().min((words.len() * 8).saturating_sub(skipped));
            let (head, body) = buffer[..count].split_at_mut(count.min((8 - skipped) % 8));
            let mut words = words.iter();
            if let (false, Some(word)) = (head.is_empty(), words.clone().next()) {
                words.next();
                head.copy_from_slice(&bytes_of(word)[skipped..skipped + head.len()]);
            }
            for (bytes, word) in body.chunks_mut(8).zip(words) {
                let word = bytes_of(word);
                match <&mut [u8; 8]>::try_from(&mut *bytes) {
                    Ok(bytes) => *bytes = word,
                    Err(_) => bytes.copy_from_slice(&word[..bytes.len()]),
                }
            }
            count
        })
    }
}

fn bytes_of(word: &AtomicU64) -> [u8; 8] {
    // ORDERING: pairs with the stores of other processes to one cell each; no order between cells is needed.
    word.load(Ordering::Relaxed).to_ne_bytes()
}

impl Drop for GuardedMap {
    fn drop(&mut self) {
        // SAFETY: nothing borrows the mapping any more, and nobody else unmaps it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.size_bytes) };
    }
}

/// Watches addresses for as long as it lives, also through a panic.
struct Watch;

impl Watch {
    fn begin(addresses: Range<usize>) -> Self {
        CALLED_OFF.set(false);
        WATCHED.set((addresses.start, addresses.end));
        Self
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        WATCHED.set((0, 0));
    }
}
