//! What changes under a handle's feet: forks and moves to another directory, seen by one number.
//!
//! Every handle remembers the epoch in which its cells were looked up. One relaxed load and compare on the hot
//! path tells that nothing happened since; otherwise the handle asks its store again.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::{SystemTime, UNIX_EPOCH};

use forkmeter_core::fork;

use crate::sys;

static EPOCH: AtomicU64 = AtomicU64::new(1);
static FORKS: AtomicU64 = AtomicU64::new(0);
/// The epoch that began with the last change of a directory; 0 where there was none.
static MOVED_IN: AtomicU64 = AtomicU64::new(0);

/// Returns the current epoch; never 0. Handles that remember another one look again before they count.
#[inline]
pub fn epoch() -> u64 {
    // ORDERING: a hint that is checked again under the store's lock; a stale value costs one late check.
    EPOCH.load(Ordering::Relaxed)
}

/// Makes every handle of this process ask its store again before its next use. Whoever changes what
/// [`Directory::Follow`](crate::Directory::Follow) answers calls it afterwards, from any thread.
pub fn next_epoch() {
    // ORDERING: before, so that who sees the new epoch sees that it began with a move; pairs with the fence in
    // `has_moved_since`. Once more after, since another thread may have begun an epoch in between.
    MOVED_IN.fetch_max(EPOCH.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    let before = EPOCH.fetch_add(1, Ordering::Release);
    MOVED_IN.fetch_max(before + 1, Ordering::Relaxed);
}

/// Tells whether a directory changed after an epoch; otherwise there were only forks.
pub(crate) fn has_moved_since(epoch: u64) -> bool {
    // ORDERING: the fence pairs with the release in `next_epoch`, for a caller that has read the epoch before.
    fence(Ordering::Acquire);
    MOVED_IN.load(Ordering::Relaxed) > epoch
}

/// Returns how many forks lie between the first process and this one: a store that remembers another number
/// was copied into a child.
pub(crate) fn generation() -> u64 {
    // ORDERING: changes only in `in_child`, where no other thread exists.
    FORKS.load(Ordering::Relaxed)
}

/// Registers the fork hooks, once per process; every store of this crate does so when it is made.
///
/// Without them, a fork may copy a lock that another thread holds.
///
/// # Errors
///
/// When memory is exhausted. Forks are then unprotected but the process works; only the first caller is told.
pub fn install_fork_hooks() -> std::io::Result<()> {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    let mut result = Ok(());
    INSTALLED.get_or_init(|| result = sys::at_fork(before_fork, in_parent, in_child));
    result
}

extern "C" fn before_fork() {
    fork::close();
}

extern "C" fn in_parent() {
    fork::open_in_parent();
}

extern "C" fn in_child() {
    // ORDERING: the child has one thread.
    FORKS.fetch_add(1, Ordering::Relaxed);
    // ORDERING: as above.
    EPOCH.fetch_add(1, Ordering::Relaxed);
    fork::open_in_child();
}

/// Returns the Unix time in seconds.
pub fn unix_seconds() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}
