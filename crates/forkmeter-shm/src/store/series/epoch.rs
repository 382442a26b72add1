//! The epoch in which a series was looked up last, in four bytes.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::process;

/// Remembers the lower half of an epoch.
///
/// A series is taken for one of now where exactly a multiple of 2^32 forks and moves lie between two uses of its handle;
/// with any other number it looks again, as it should.
#[derive(Debug)]
pub(super) struct KnownEpoch(AtomicU32);

impl KnownEpoch {
    pub(super) fn of_now() -> Self {
        Self(AtomicU32::new(lower_half(process::epoch())))
    }

    /// Returns what it remembers, and whether that is the epoch of now.
    #[inline]
    pub(super) fn look(&self) -> (u32, bool) {
        // ORDERING: a hint; see `process::epoch`.
        let known = self.0.load(Ordering::Relaxed);
        (known, known == lower_half(process::epoch()))
    }

    pub(super) fn set(&self, epoch: u64) {
        // ORDERING: a stale value costs one more look.
        self.0.store(lower_half(epoch), Ordering::Relaxed);
    }
}

/// Tells whether a directory changed after an epoch that a series remembered; otherwise there were only forks.
pub(super) fn has_moved_since(known: u32) -> bool {
    process::has_moved_since(last_with(known, process::epoch()))
}

/// Returns the last epoch with this lower half; one before all where there is none, as for a thread that does not see yet
/// that it began.
fn last_with(half: u32, now: u64) -> u64 {
    now.saturating_sub(lower_half(now).wrapping_sub(half).into())
}

#[inline]
fn lower_half(epoch: u64) -> u32 {
    u32::try_from(epoch & u64::from(u32::MAX)).expect("invariant: 32 bits are left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_epoch_tells_which_one_it_was() {
        let wrap: u64 = 1 << 32;
        for now in [1, 7, wrap - 1, wrap, wrap + 5, 3 * wrap + 2] {
            for ago in [0, 1, 5, wrap - 1] {
                let then = now.saturating_sub(ago);
                assert_eq!(last_with(lower_half(then), now), then, "{ago} before {now}");
            }
        }
    }

    #[test]
    fn an_epoch_that_is_not_seen_yet_is_one_before_all() {
        assert_eq!(last_with(8, 7), 0);
    }

    #[test]
    fn only_the_epoch_of_now_is_one_of_now() {
        let known = KnownEpoch::of_now();
        let (half, _) = known.look();
        known.set(u64::from(half.wrapping_sub(1)));
        assert!(!known.look().1);
        // Another test of this process may begin an epoch in between.
        assert!((0..100).any(|_| {
            known.set(process::epoch());
            known.look().1
        }));
    }
}
