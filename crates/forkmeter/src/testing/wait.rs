//! Waiting for what other threads and processes do.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use super::Mismatch;

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Is what a repeated look returns: `bool`, `Option` or `Result`.
pub trait Outcome {
    /// What there is in the end.
    type Value;

    /// Returns it, or what to say where it is not there yet.
    ///
    /// # Errors
    ///
    /// With the text for the person who reads the failure.
    fn into_result(self) -> Result<Self::Value, Mismatch>;
}

impl Outcome for bool {
    type Value = ();

    fn into_result(self) -> Result<(), Mismatch> {
        let is_true = self.then_some(());
        is_true.ok_or_else(|| Mismatch::new("still false".into()))
    }
}

impl<T> Outcome for Option<T> {
    type Value = T;

    fn into_result(self) -> Result<T, Mismatch> {
        self.ok_or_else(|| Mismatch::new("still nothing".into()))
    }
}

impl<T, E: fmt::Display> Outcome for Result<T, E> {
    type Value = T;

    fn into_result(self) -> Result<T, Mismatch> {
        self.map_err(|error| Mismatch::new(error.to_string()))
    }
}

/// Looks again and again until there is what the test waits for, and returns it.
///
/// For what other threads and processes count; it blocks the thread, so asynchronous tests call it in
/// `spawn_blocking`. It looks at least once, and once more after the time is over.
///
/// # Panics
///
/// When it is not there after `timeout`, with what the last look said.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use forkmeter::testing::{check_sample, eventually, registry};
/// use forkmeter::Counter;
///
/// let registry = registry();
/// let jobs = Counter::builder("jobs", "").register(&registry)?;
/// let worker = std::thread::spawn(move || jobs.inc());
/// eventually(Duration::from_secs(10), || check_sample(&registry, "jobs_total", [], 1.0));
/// # worker.join().ok();
/// # Ok::<(), forkmeter::Error>(())
/// ```
#[track_caller]
pub fn eventually<O: Outcome>(timeout: Duration, mut look: impl FnMut() -> O) -> O::Value {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let is_last = start.elapsed() >= timeout;
        match look().into_result() {
            Ok(value) => return value,
            Err(mismatch) if is_last => panic!("after {timeout:?}: {mismatch}"),
            Err(_) => {}
        }
        thread::sleep(pause.min(timeout.saturating_sub(start.elapsed())));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
