//! The bounds of metrics that say nothing of their own: as configured, or as the environment says at the time.
//!
//! As `mode`, this hears when the environment changes. The lock is never held while anything else is waited for.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use forkmeter_core::fork;
use forkmeter_core::metric::Bound;
use pyo3::prelude::*;

const MAX_SERIES_VARIABLE: &str = "FORKMETER_MAX_SERIES";
const IDLE_SECONDS_VARIABLE: &str = "FORKMETER_IDLE_SECONDS";

static SOURCES: Mutex<Sources> = Mutex::new(Sources {
    max_series: Source::new(),
    idle_seconds: Source::new(),
});
/// Whether there is a limit on series: lets the making of a child skip the lock.
static HAS_LIMIT: AtomicBool = AtomicBool::new(false);

#[derive(Debug)]
struct Sources {
    max_series: Source<usize>,
    idle_seconds: Source<f64>,
}

/// Says where a bound comes from: what was configured wins over the variable.
#[derive(Debug)]
struct Source<T> {
    explicit: Bound<T>,
    variable: Option<OsString>,
}

impl<T: Copy + std::str::FromStr> Source<T> {
    const fn new() -> Self {
        Self {
            explicit: Bound::Default,
            variable: None,
        }
    }

    fn bound(&self, is_bound: impl Fn(T) -> bool) -> Option<T> {
        self.explicit.or_default(|| {
            let parsed = self.parsed()?.ok()?;
            is_bound(parsed).then_some(parsed)
        })
    }

    /// Returns what the variable says, where it is set and not empty.
    fn parsed(&self) -> Option<Result<T, T::Err>> {
        let text = self.variable.as_ref().filter(|text| !text.is_empty())?;
        // What is no text is no number either.
        Some(text.to_string_lossy().trim().parse())
    }
}

impl Sources {
    fn max_series(&self) -> Option<usize> {
        self.max_series.bound(|_| true)
    }

    fn idle_seconds(&self) -> Option<f64> {
        self.idle_seconds.bound(is_time)
    }

    /// Says which variable has no value that can be used, and what happens instead.
    fn problems(&self) -> Vec<String> {
        let problem = |name: &str, text: &Option<OsString>, expected: &str| {
            let text = text.as_deref().unwrap_or_default().to_string_lossy();
            format!("{name} is {text:?}, and not {expected}: it is as if it were not set")
        };
        let mut problems = Vec::new();
        let (series, seconds) = (&self.max_series, &self.idle_seconds);
        if series.parsed().is_some_and(|parsed| parsed.is_err()) {
            let expected = "a number of series, such as 1000";
            problems.push(problem(MAX_SERIES_VARIABLE, &series.variable, expected));
        }
        let is_wrong = |parsed: Result<f64, _>| !parsed.is_ok_and(is_time);
        if seconds.parsed().is_some_and(is_wrong) {
            let expected = "a number of seconds, such as 3600";
            problems.push(problem(IDLE_SECONDS_VARIABLE, &seconds.variable, expected));
        }
        problems
    }
}

/// Tells whether a number says how long a series may stay; NaN does not.
fn is_time(seconds: f64) -> bool {
    seconds >= 0.0
}

fn sources() -> MutexGuard<'static, Sources> {
    SOURCES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn change(f: impl FnOnce(&mut Sources)) {
    let _section = fork::enter();
    let mut sources = sources();
    f(&mut sources);
    // ORDERING: a series that is made meanwhile is as if it came before.
    HAS_LIMIT.store(sources.max_series().is_some(), Ordering::Relaxed);
}

/// Tells whether metrics that say nothing of their own have a limit on their series.
#[inline]
pub(crate) fn has_limit() -> bool {
    // ORDERING: as in `change`.
    HAS_LIMIT.load(Ordering::Relaxed)
}

/// Takes the variables as they are. Called once, when the module is loaded; later changes are heard of.
pub(crate) fn read_environment() {
    change(|sources| {
        sources.max_series.variable = std::env::var_os(MAX_SERIES_VARIABLE);
        sources.idle_seconds.variable = std::env::var_os(IDLE_SECONDS_VARIABLE);
    });
}

/// Hears that a variable of the environment gets a value, or none.
pub(crate) fn variable_changed(name: &[u8], value: Option<&OsStr>) {
    let name = OsStr::from_bytes(name);
    if name == MAX_SERIES_VARIABLE {
        change(|sources| sources.max_series.variable = value.map(OsStr::to_owned));
    } else if name == IDLE_SECONDS_VARIABLE {
        change(|sources| sources.idle_seconds.variable = value.map(OsStr::to_owned));
    }
}

/// Sets how many series a metric has that says nothing of its own, or that there is no limit.
#[pyfunction]
#[pyo3(signature = (max_series))]
pub(crate) fn set_max_series(max_series: Option<usize>) {
    change(|sources| sources.max_series.explicit = Bound::Own(max_series));
}

/// Sets how long series stay in which nobody counts, or that they stay for ever.
#[pyfunction]
#[pyo3(signature = (idle_seconds))]
pub(crate) fn set_idle_seconds(idle_seconds: Option<f64>) {
    change(|sources| sources.idle_seconds.explicit = Bound::Own(idle_seconds));
}

/// Returns the bounds of metrics that say nothing of their own.
#[pyfunction]
pub(crate) fn process_bounds() -> (Option<usize>, Option<f64>) {
    let _section = fork::enter();
    let sources = sources();
    (sources.max_series(), sources.idle_seconds())
}

/// Says which of the variables cannot be used, and why.
#[pyfunction]
pub(crate) fn problems_of_bounds() -> Vec<String> {
    let _section = fork::enter();
    sources().problems()
}
