//! What is different while a test runner is at work: deleting the files of a directory resets it.
//!
//! The audit hook tells of deletions before they happen; a process that a test starts may delete files without a
//! word, so meanwhile every use of a metric looks for that.

use std::ffi::c_int;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use forkmeter_shm::deletion;
use pyo3::prelude::*;

use crate::{mode, shared};

/// Whether a test runner is at work.
static IS_ON: AtomicBool = AtomicBool::new(false);

/// Tells whether deletions are heard of.
pub(crate) fn is_on() -> bool {
    // ORDERING: a lone flag.
    IS_ON.load(Ordering::Relaxed)
}

/// Hears that a file is about to be removed; a relative path begins at the directory that is open under a number,
/// if there is one.
pub(crate) fn file_is_removed(path: &Path, directory: Option<c_int>) {
    if !mode::is_shared() {
        return;
    }
    let beside = directory.filter(|number| *number >= 0 && path.is_relative());
    let path = beside.map_or_else(
        || path.to_owned(),
        |number| PathBuf::from(format!("/proc/self/fd/{number}")).join(path),
    );
    // Where it fails, the deletion most likely does as well.
    let _ = deletion::empty_before_deletion(&path);
    shared::store().expect_deletion();
}

/// Hears that a file or directory gets another name, or that a directory is about to be removed.
pub(crate) fn something_is_moved() {
    if mode::is_shared() {
        shared::store().expect_deletion();
    }
}

/// Hears that another process is about to be started.
pub(crate) fn process_is_started() {
    shared::store().watch_for_deletions(true);
}

/// Says whether a test runner is at work, so that deleting the files of a directory resets it.
#[pyfunction]
pub(crate) fn reset_on_deletion(py: Python<'_>, is_on: bool) {
    // ORDERING: as in `is_on`.
    IS_ON.store(is_on, Ordering::Relaxed);
    py.detach(|| {
        shared::store().reset_on_deletion(is_on);
        shared::store().watch_for_deletions(false);
    });
}

/// Notices what was deleted without a word. Called before each part of a test: its fixtures, itself, their end. Before
/// the first part, processes that earlier tests started are no longer minded.
#[pyfunction]
pub(crate) fn begin_part_of_test(py: Python<'_>, is_first: bool) {
    if mode::is_shared() {
        shared::move_waiting(py);
        py.detach(|| shared::store().refresh());
    }
    if is_first {
        shared::store().watch_for_deletions(false);
    }
}
