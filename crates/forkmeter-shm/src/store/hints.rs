//! When handles look for deleted files before they count, beyond the looks of every collection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a deletion that was announced may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Is what whoever hears of deletions says, without a lock.
#[derive(Debug, Default)]
pub(super) struct Hints {
    is_expected: AtomicBool,
    is_watching: AtomicBool,
}

impl Hints {
    pub(super) fn expect(&self) {
        // ORDERING: before the epoch changes; a handle that sees the new epoch takes the store's lock and then looks
        // here. Pairs with the swap in `is_due`.
        self.is_expected.store(true, Ordering::Release);
    }

    pub(super) fn watch(&self, is_watching: bool) {
        // ORDERING: as above.
        self.is_watching.store(is_watching, Ordering::Release);
    }
}

/// Is what a store remembers of the hints, under its lock.
#[derive(Debug, Default)]
pub(super) struct Looks {
    expected_since: Option<Instant>,
}

impl Looks {
    /// Tells whether there may be deleted files.
    pub(super) fn is_due(&mut self, hints: &Hints) -> bool {
        // ORDERING: pairs with `expect`.
        if hints.is_expected.swap(false, Ordering::Acquire) {
            self.expected_since = Some(Instant::now());
        }
        // ORDERING: as above.
        self.expected_since.is_some() || hints.is_watching.load(Ordering::Acquire)
    }

    /// Tells whether a deletion was announced, or may come at any time; changes nothing.
    pub(super) fn is_wary(&self, hints: &Hints) -> bool {
        // ORDERING: as in `is_due`.
        self.expected_since.is_some()
            || hints.is_expected.load(Ordering::Acquire)
            || hints.is_watching.load(Ordering::Acquire)
    }

    /// Hears that deleted files were found.
    pub(super) fn found(&mut self) {
        self.expected_since = None;
    }

    /// Tells whether to look once more at the next use of a handle.
    pub(super) fn go_on(&mut self, hints: &Hints) -> bool {
        if self
            .expected_since
            .is_some_and(|since| since.elapsed() > PATIENCE)
        {
            self.expected_since = None;
        }
        // ORDERING: as in `is_due`.
        self.expected_since.is_some() || hints.is_watching.load(Ordering::Acquire)
    }
}
