//! The word of the directory lock: who may append right now, in memory that all workers map.
//!
//! It holds who has it in its lower half (nobody, whoever holds the range lock, or a worker by its record) and in its
//! upper half how often it was taken, so that a word which was given back and taken again is another one.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Claim;
use crate::process;

/// Where in the file of workers the word stands.
pub(super) const WORD_AT: u64 = 40;
const HOLDER_BITS: u32 = 32;
const FREE: u64 = 0;
const RANGE: u64 = 1;
const FIRST_RECORD: u64 = 2;
/// Says beside a worker that who has the range waits for the word, and gets it next.
const WANTED: u64 = 1 << 31;

/// Returns how often a word was taken.
pub(super) fn turn(word: u64) -> u64 {
    word >> HOLDER_BITS
}

/// Is whoever holds the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Nobody,
    /// Whoever holds the range lock.
    Range,
    /// The worker with this record.
    Record(u64),
}

impl Holder {
    /// Returns who holds a word.
    pub(super) fn of(word: u64) -> Self {
        match word & (WANTED - 1) {
            FREE => Self::Nobody,
            RANGE => Self::Range,
            record => Self::Record(record - FIRST_RECORD),
        }
    }

    /// Returns the worker that has this claim.
    pub(super) fn with(claim: &Claim) -> Self {
        Self::Record(claim.index.into())
    }

    fn bits(self) -> u64 {
        match self {
            Self::Nobody => FREE,
            Self::Range => RANGE,
            Self::Record(index) => index + FIRST_RECORD,
        }
    }
}

/// Has the word until it is dropped.
#[derive(Debug)]
pub(super) struct HeldWord {
    word: &'static AtomicU64,
    held: u64,
    generation: u64,
}

/// Has a worker that has the word give it to who has the range, which is the caller.
pub(super) fn want(word: &AtomicU64, seen: u64) {
    // ORDERING: nothing is read under the word yet. Where it has changed the caller looks again.
    let relaxed = Ordering::Relaxed;
    let _ = word.compare_exchange(seen, seen | WANTED, relaxed, relaxed);
}

impl HeldWord {
    /// Takes the word as it was seen; nothing where it has changed since.
    pub(super) fn take(word: &'static AtomicU64, seen: u64, holder: Holder) -> Option<Self> {
        let turn = turn(seen).wrapping_add(1);
        let held = turn << HOLDER_BITS | holder.bits();
        // ORDERING: acquire pairs with the release of who had it before, whose entries are then complete.
        let (taken, failed) = (Ordering::Acquire, Ordering::Relaxed);
        word.compare_exchange(seen, held, taken, failed).ok()?;
        Some(Self {
            word,
            held,
            generation: process::generation(),
        })
    }
}

impl Drop for HeldWord {
    fn drop(&mut self) {
        // A signal handler that forked while this was held has a child, which has not.
        if self.generation == process::generation() {
            let free = self.held >> HOLDER_BITS << HOLDER_BITS;
            // ORDERING: release pairs with the acquire in `take`.
            let (given, failed) = (Ordering::Release, Ordering::Relaxed);
            let give = |seen, next| self.word.compare_exchange(seen, next, given, failed);
            if give(self.held, free).is_err() {
                // Where that fails too, it was taken for dead and has it no longer.
                let _ = give(self.held | WANTED, free | RANGE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word() -> &'static AtomicU64 {
        Box::leak(Box::default())
    }

    #[test]
    fn who_has_the_word_keeps_others_out_until_it_is_given_back() {
        let word = word();
        let seen = word.load(Ordering::Relaxed);
        let held = HeldWord::take(word, seen, Holder::Record(7)).unwrap();
        assert!(HeldWord::take(word, seen, Holder::Range).is_none());
        assert_eq!(Holder::of(word.load(Ordering::Relaxed)), Holder::Record(7));
        drop(held);
        let free = word.load(Ordering::Relaxed);
        assert_eq!(Holder::of(free), Holder::Nobody);
        assert_ne!(free, seen, "a word that was given back is another one");
    }

    #[test]
    fn a_word_that_is_wanted_goes_to_who_has_the_range() {
        let word = word();
        let held = HeldWord::take(word, 0, Holder::Record(7)).unwrap();
        want(word, word.load(Ordering::Relaxed));
        let seen = word.load(Ordering::Relaxed);
        assert_eq!(Holder::of(seen), Holder::Record(7));
        drop(held);
        let seen = word.load(Ordering::Relaxed);
        assert_eq!(Holder::of(seen), Holder::Range);
        drop(HeldWord::take(word, seen, Holder::Range).unwrap());
        assert_eq!(Holder::of(word.load(Ordering::Relaxed)), Holder::Nobody);
    }

    #[test]
    fn who_was_taken_for_dead_gives_back_nothing() {
        let word = word();
        let first = HeldWord::take(word, 0, Holder::Record(7)).unwrap();
        let seen = word.load(Ordering::Relaxed);
        let second = HeldWord::take(word, seen, Holder::Range).unwrap();
        drop(first);
        assert_eq!(Holder::of(word.load(Ordering::Relaxed)), Holder::Range);
        drop(second);
        assert_eq!(Holder::of(word.load(Ordering::Relaxed)), Holder::Nobody);
    }
}
