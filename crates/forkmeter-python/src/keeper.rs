//! Starts the thread that publishes what only this process can compute.
//!
//! The thread is Python's and all that it does is written in Python; here is only when it starts: at the first use of
//! a metric in a process that shares its values, once, also in a forked child. Starting it calls functions of the
//! interpreter that are written in C, so that no Python code, a signal handler's for one, runs in the middle of a
//! count.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::mode;

/// Whether none was started yet in this process.
static IS_WANTED: AtomicBool = AtomicBool::new(true);
/// Whether one was started that has not said that it runs.
static IS_STARTING: AtomicBool = AtomicBool::new(false);
/// What the thread runs. Set when the package is imported, with the interpreter's lock held.
static RUN: OnceLock<Py<PyAny>> = OnceLock::new();

/// Says what the thread runs.
#[pyfunction]
pub(crate) fn set_keeper(run: Py<PyAny>) {
    // Set already: the module is being loaded again.
    let _ = RUN.set(run);
}

/// Has the next use of a metric start a thread, since there is none any more.
#[pyfunction]
pub(crate) fn want_keeper() {
    // ORDERING: hints that are written with the interpreter's lock held.
    IS_STARTING.store(false, Ordering::Relaxed);
    IS_WANTED.store(true, Ordering::Relaxed);
}

/// Tells whether a thread was started that has not said that it runs.
#[pyfunction]
pub(crate) fn is_keeper_starting() -> bool {
    // ORDERING: as in `want_keeper`.
    IS_STARTING.load(Ordering::Relaxed)
}

/// Says that the thread runs.
#[pyfunction]
pub(crate) fn keeper_runs() {
    // ORDERING: as in `want_keeper`.
    IS_STARTING.store(false, Ordering::Relaxed);
}

/// Starts the thread where values are shared and there is none yet.
#[pyfunction]
#[inline]
pub(crate) fn start_keeper(py: Python<'_>) {
    // ORDERING: as in `want_keeper`.
    if IS_WANTED.load(Ordering::Relaxed) && mode::is_shared() {
        start(py);
    }
}

#[cold]
fn start(py: Python<'_>) {
    // ORDERING: as in `want_keeper`; the swap lets one thread of several start it.
    let Some(run) = RUN
        .get()
        .filter(|_| IS_WANTED.swap(false, Ordering::Relaxed))
    else {
        return;
    };
    IS_STARTING.store(true, Ordering::Relaxed);
    // By name, at the time: gevent and its like put their own in its place.
    let started = py
        .import("_thread")
        .and_then(|module| module.getattr("start_new_thread"))
        .and_then(|start| start.call1((run, PyTuple::empty(py))));
    if started.is_err() {
        // No thread to be had, as when the interpreter ends. Counting goes on.
        IS_STARTING.store(false, Ordering::Relaxed);
    }
}
