//! Names of attributes that the hot paths look up: interned once, when the module is loaded.

use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::PyString;

static NAMES: OnceLock<Names> = OnceLock::new();

/// Is every name that is looked up often.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) dec: Py<PyString>,
    pub(crate) default_timer: Py<PyString>,
    pub(crate) inc: Py<PyString>,
    pub(crate) new_child: Py<PyString>,
    pub(crate) observe: Py<PyString>,
    pub(crate) set: Py<PyString>,
    pub(crate) time: Py<PyString>,
    pub(crate) value_class: Py<PyString>,
}

/// Makes the names. The module's initialization calls it: were they made later, a fork could copy them half made.
pub(crate) fn intern(py: Python<'_>) {
    let new = |name| PyString::intern(py, name).unbind();
    // Set already: the module is being loaded again.
    let _ = NAMES.set(Names {
        dec: new("dec"),
        default_timer: new("default_timer"),
        inc: new("inc"),
        new_child: new("_new_child"),
        observe: new("observe"),
        set: new("set"),
        time: new("time"),
        value_class: new("ValueClass"),
    });
}

/// Returns the names.
///
/// # Panics
///
/// Before the module is initialized, which nothing can be.
#[inline]
pub(crate) fn names() -> &'static Names {
    NAMES
        .get()
        .expect("invariant: the module's initialization interns the names")
}
