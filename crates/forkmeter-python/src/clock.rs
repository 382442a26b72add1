//! The clock of timers: the monotonic one, unless the program put another in its place.
//!
//! Programs and their tests assign `default_timer` in `forkmeter.context_managers`, as they do with the official
//! client, and libraries that freeze time replace it there; so that name is looked up at every reading.

use std::sync::OnceLock;
use std::time::Instant;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::call;
use crate::names::names;

static FOLLOWED: OnceLock<Followed> = OnceLock::new();

#[derive(Debug)]
struct Followed {
    namespace: Py<PyDict>,
    /// What stood there at first: the clock that is read natively.
    own: Py<PyAny>,
}

/// Is a reading of the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    /// Of the monotonic clock.
    Native(Instant),
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
    let clock = followed
        .namespace
        .bind(py)
        .get_item(names().default_timer.bind(py))?;
    Ok(clock.filter(|clock| !clock.is(&followed.own)))
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
        None => Ok(Moment::Native(Instant::now())),
        Some(clock) => read(&clock).map(Moment::Told),
    }
}

/// Reads the monotonic clock, unless another one stands in its place.
#[inline]
pub(crate) fn now_natively(py: Python<'_>) -> Option<Moment> {
    match replacement(py) {
        Ok(None) => Some(Moment::Native(Instant::now())),
        _ => None,
    }
}

impl Moment {
    /// As [`Moment::elapsed_seconds`], where it takes no clock in Python.
    #[inline]
    pub(crate) fn elapsed_natively(self, py: Python<'_>) -> Option<f64> {
        match (self, replacement(py)) {
            (Self::Native(start), Ok(None)) => Some(start.elapsed().as_secs_f64()),
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
            Self::Native(start) => Ok(start.elapsed().as_secs_f64()),
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
            Self::Native(start) => Ok(told_seconds(py)? - start.elapsed().as_secs_f64()),
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
