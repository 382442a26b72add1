//! Keeps the module to one interpreter of the process: its classes and series are shared by all threads.

#![expect(
    unsafe_code,
    reason = "interpreters can only be told apart through the C API"
)]

use std::sync::atomic::{AtomicI64, Ordering};

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;

const NONE: i64 = -1;

static OWNER: AtomicI64 = AtomicI64::new(NONE);

/// Makes the current interpreter the module's own, the first time; fails in any other one.
///
/// # Errors
///
/// `ImportError` in another interpreter than the first.
pub(crate) fn claim(_py: Python<'_>) -> PyResult<()> {
    // SAFETY: the interpreter is attached, so there is a current one.
    let state = unsafe { ffi::PyInterpreterState_Get() };
    // SAFETY: the state is the current interpreter's.
    let current = unsafe { ffi::PyInterpreterState_GetID(state) };
    // ORDERING: a lone value.
    match OWNER.compare_exchange(NONE, current, Ordering::Relaxed, Ordering::Relaxed) {
        Err(owner) if owner != current => Err(PyImportError::new_err(format!(
            "forkmeter belongs to interpreter {owner} of this process, and cannot be loaded in interpreter {current} \
             too: subinterpreters share no metrics; import it in one of them only"
        ))),
        _ => Ok(()),
    }
}
