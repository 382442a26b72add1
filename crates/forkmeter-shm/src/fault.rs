//! Points at which unit tests kill this process: between any two steps that other processes can tell apart.

/// Is where a kill may come in unit tests; does nothing elsewhere.
#[inline]
pub(crate) fn point() {
    #[cfg(test)]
    kill::step();
}

#[cfg(test)]
#[expect(unsafe_code, reason = "kills this process")]
pub(crate) mod kill {
    use std::sync::atomic::{AtomicU64, Ordering};

    static LEFT: AtomicU64 = AtomicU64::new(0);

    /// Kills this process at the `count`-th point from now; 0 for never.
    pub(crate) fn at(count: u64) {
        // ORDERING: set and read by the one thread of a forked child.
        LEFT.store(count, Ordering::Relaxed);
    }

    pub(super) fn step() {
        // ORDERING: as above.
        let left = LEFT.load(Ordering::Relaxed);
        LEFT.store(left.saturating_sub(1), Ordering::Relaxed);
        if left == 1 {
            // SAFETY: ends this process.
            unsafe { libc::raise(libc::SIGKILL) };
        }
    }
}
