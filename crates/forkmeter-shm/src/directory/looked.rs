//! When this process has last seen that the files it appends to are there.

use std::time::{Duration, Instant};

use crate::process;

/// How long a look holds. Series come in bursts, when a program warms up; those of one burst share a look. It is less
/// than it takes to remove a directory.
const FRESH: Duration = Duration::from_micros(50);

/// Remembers a look at the files.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looked(Option<(Instant, u64)>);

impl Looked {
    /// Remembers that the files were there at a time.
    pub(super) fn at(time: Instant) -> Self {
        Self(Some((time, process::epoch())))
    }

    /// Tells whether they need not be looked at again: a moment ago they were there, and nothing was heard since.
    pub(super) fn is_fresh(self, now: Instant) -> bool {
        self.0.is_some_and(|(time, epoch)| {
            now.saturating_duration_since(time) < FRESH && epoch == process::epoch()
        })
    }
}
