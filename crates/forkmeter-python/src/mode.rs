//! Decides which directory this process shares its values in, and why.
//!
//! An explicit directory wins, then the environment as it is now. The answer is kept here and changed when the
//! environment changes, so that the store can ask without the interpreter.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use forkmeter_core::fork;
use forkmeter_shm::process;
use pyo3::prelude::*;

const VARIABLE: &str = "PROMETHEUS_MULTIPROC_DIR";
const DEPRECATED_VARIABLE: &str = "prometheus_multiproc_dir";

static SOURCES: Mutex<Sources> = Mutex::new(Sources {
    explicit: None,
    variable: None,
    deprecated: None,
});
/// Whether any source names a directory: lets the making of a metric in a lone process skip the lock.
static IS_SHARED: AtomicBool = AtomicBool::new(false);

#[derive(Debug)]
struct Sources {
    explicit: Option<PathBuf>,
    variable: Option<OsString>,
    deprecated: Option<OsString>,
}

impl Sources {
    fn resolve(&self) -> Option<(PathBuf, &'static str)> {
        let named = |value: &Option<OsString>| value.clone().filter(|value| !value.is_empty());
        if let Some(path) = &self.explicit {
            return Some((path.clone(), "configure()"));
        }
        if let Some(value) = named(&self.variable) {
            return Some((value.into(), VARIABLE));
        }
        named(&self.deprecated).map(|value| (value.into(), DEPRECATED_VARIABLE))
    }
}

fn sources() -> MutexGuard<'static, Sources> {
    SOURCES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn change(f: impl FnOnce(&mut Sources)) {
    let _section = fork::enter();
    let mut sources = sources();
    f(&mut sources);
    // ORDERING: written under the lock; a reader that sees the old answer is as if it had asked before.
    IS_SHARED.store(sources.resolve().is_some(), Ordering::Relaxed);
    drop(sources);
    process::next_epoch();
}

/// Returns the directory in which values are shared now. Called by the store, which holds its lock.
pub(crate) fn resolve() -> Option<PathBuf> {
    if !is_shared() {
        return None;
    }
    let _section = fork::enter();
    sources().resolve().map(|(path, _)| path)
}

/// Tells whether values are shared in a directory now.
#[inline]
pub(crate) fn is_shared() -> bool {
    // ORDERING: see `change`.
    IS_SHARED.load(Ordering::Relaxed)
}

/// Takes the variables as they are. Called once, when the module is loaded; later changes are heard of.
pub(crate) fn read_environment() {
    change(|sources| {
        sources.variable = std::env::var_os(VARIABLE);
        sources.deprecated = std::env::var_os(DEPRECATED_VARIABLE);
    });
}

/// Hears that a variable of the environment gets a value, or none.
pub(crate) fn variable_changed(name: &[u8], value: Option<&OsStr>) {
    let name = OsStr::from_bytes(name);
    if name == VARIABLE {
        change(|sources| sources.variable = value.map(OsStr::to_owned));
    } else if name == DEPRECATED_VARIABLE {
        change(|sources| sources.deprecated = value.map(OsStr::to_owned));
    }
}

/// Names the directory explicitly, or with `None` leaves the choice to the environment again.
#[pyfunction]
#[pyo3(signature = (path))]
pub(crate) fn set_directory(path: Option<PathBuf>) {
    change(|sources| sources.explicit = path);
}

/// Returns the directory and what named it, or `None` in a lone process.
///
/// As text: the first path object would import `pathlib` behind a once cell, and a fork meanwhile would copy that
/// cell half initialized, so that the child waits for ever.
#[pyfunction]
pub(crate) fn directory() -> Option<(OsString, &'static str)> {
    let _section = fork::enter();
    sources()
        .resolve()
        .map(|(path, why)| (path.into_os_string(), why))
}

/// Tells whether only the deprecated variable names the directory.
#[pyfunction]
pub(crate) fn uses_deprecated_variable() -> bool {
    if !is_shared() {
        return false;
    }
    let _section = fork::enter();
    sources()
        .resolve()
        .is_some_and(|(_, why)| why == DEPRECATED_VARIABLE)
}
