//! The clock of timers: the monotonic one, unless the program put another in its place.
//!
//! Programs and their tests assign `default_timer` in `forkmeter.context_managers`, as they do with the official
//! client, and libraries that freeze time replace it there; so that name is looked up at every reading, unless the
//! interpreter tells that its namespace has not changed.

#![expect(
    unsafe_code,
    reason = "the standard library's clock takes twice the time"
)]

use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::attached::Attached;
use crate::names::names;
use crate::{call, layout};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

static FOLLOWED: OnceLock<Followed> = OnceLock::new();

/// The version of the namespace in which the clock was last found to be the own one, where it has versions.
static PLAIN_VERSION: Attached<Option<u64>> = Attached::new(None);

#[derive(Debug)]
struct Followed {
    namespace: Py<PyDict>,
    /// What stood there at first: the clock that is read natively.
    own: Py<PyAny>,
}

/// Is a reading of the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    /// Of the monotonic clock, in nanoseconds.
    Native(u64),
    /// Of a clock in Python, in seconds.
    Told(f64),
}

/// Looks `default_timer` up in a namespace from now on; what stands there now is the monotonic clock.
#[pyfunction]
pub(crate) fn follow_clock(namespace: &Bound<'_, PyDict>) -> PyResult<()> {
    let own = namespace.as_any().get_item("default_timer")?.unbind();
    let namespace = namespace.clone().unbind();
    // Followed already: the module is being loaded again.
    let _ = FOLLOWED.set(Followed { namespace, own });
    Ok(())
}

/// Returns the clock that stands in the place of the monotonic one, if any.
#[inline]
fn replacement(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let Some(followed) = FOLLOWED.get() else {
        return Ok(None);
    };
    let namespace = followed.namespace.bind(py);
    let version = layout::dict_version(namespace);
    if version.is_some() && version == PLAIN_VERSION.get(py) {
        return Ok(None);
    }
    let clock = namespace.get_item(names().default_timer.bind(py))?;
    let clock = clock.filter(|clock| !clock.is(&followed.own));
    PLAIN_VERSION.replace(py, version.filter(|_| clock.is_none()));
    Ok(clock)
}

/// Reads the monotonic clock, which Python's `perf_counter` and the standard library read too.
#[inline]
fn monotonic_nanos() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: it writes to a local; every Linux has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let (seconds, nanos) = (time.tv_sec.cast_unsigned(), time.tv_nsec.cast_unsigned());
    seconds.wrapping_mul(NANOS_PER_SECOND).wrapping_add(nanos)
}

#[inline]
fn seconds_since(start_nanos: u64) -> f64 {
    let nanos = monotonic_nanos().saturating_sub(start_nanos);
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact up to 104 days, and then to a nanosecond or two"
    )]
    let (nanos, per_second) = (nanos as f64, NANOS_PER_SECOND as f64);
    nanos / per_second
}

fn read(clock: &Bound<'_, PyAny>) -> PyResult<f64> {
    call::call(clock, &PyTuple::empty(clock.py()), None)?.extract()
}

/// Reads the clock.
///
/// # Errors
///
/// What a clock in Python raises.
#[inline]
pub(crate) fn now(py: Python<'_>) -> PyResult<Moment> {
    match replacement(py)? {
        None => Ok(Moment::Native(monotonic_nanos())),
        Some(clock) => read(&clock).map(Moment::Told),
    }
}

/// Reads the monotonic clock, unless another one stands in its place.
#[inline]
pub(crate) fn now_natively(py: Python<'_>) -> Option<Moment> {
    match replacement(py) {
        Ok(None) => Some(Moment::Native(monotonic_nanos())),
        _ => None,
    }
}

impl Moment {
    /// As [`Moment::elapsed_seconds`], where it takes no clock in Python.
    #[inline]
    pub(crate) fn elapsed_natively(self, py: Python<'_>) -> Option<f64> {
        match (self, replacement(py)) {
            (Self::Native(start), Ok(None)) => Some(seconds_since(start)),
            _ => None,
        }
    }

    /// Returns how many seconds ago this was; 0 where the clock went backwards.
    ///
    /// # Errors
    ///
    /// What a clock in Python raises.
    #[inline]
    pub(crate) fn elapsed_seconds(self, py: Python<'_>) -> PyResult<f64> {
        match self {
            Self::Native(start) => Ok(seconds_since(start)),
            Self::Told(start_seconds) => Ok((told_seconds(py)? - start_seconds).max(0.0)),
        }
    }

    /// Returns the reading as Python would tell it, in seconds.
    ///
    /// # Errors
    ///
    /// What a clock in Python raises.
    pub(crate) fn seconds(self, py: Python<'_>) -> PyResult<f64> {
        match self {
            Self::Native(start) => Ok(told_seconds(py)? - seconds_since(start)),
            Self::Told(seconds) => Ok(seconds),
        }
    }
}

/// Reads the clock through Python.
fn told_seconds(py: Python<'_>) -> PyResult<f64> {
    match (replacement(py)?, FOLLOWED.get()) {
        (Some(clock), _) => read(&clock),
        (None, Some(followed)) => read(followed.own.bind(py)),
        (None, None) => Ok(0.0),
    }
}
