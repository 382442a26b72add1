//! Calls into Python that survive the end of the interpreter.
//!
//! Once the main thread has begun to end the interpreter, a daemon thread that wants its lock back is ended where it
//! stands (`pthread_exit`, until Python 3.14): its stack is unwound, and frames of Rust that do not expect that abort
//! the whole process. So whatever may run bytecode is called here, where such a thread comes to rest instead, as `PyO3`
//! has it do when it takes the lock back itself.

#![expect(
    unsafe_code,
    reason = "only a declaration of our own lets a call unwind"
)]

use std::time::Duration;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

mod unwinding {
    use pyo3::ffi::PyObject;

    unsafe extern "C-unwind" {
        pub(super) fn PyObject_Call(
            callable: *mut PyObject,
            args: *mut PyObject,
            kwargs: *mut PyObject,
        ) -> *mut PyObject;
    }
}

/// Stops a thread that is being unwound; it holds neither the interpreter's lock nor one of ours.
struct Rest;

impl Drop for Rest {
    fn drop(&mut self) {
        loop {
            std::thread::sleep(Duration::from_secs(3600));
        }
    }
}

/// Calls `callable`.
pub(crate) fn call<'py>(
    callable: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let kwargs = kwargs.map_or(std::ptr::null_mut(), Bound::as_ptr);
    let rest = Rest;
    // SAFETY: the interpreter is attached; the objects live for the call, and the arguments may be null.
    let result: *mut ffi::PyObject =
        unsafe { unwinding::PyObject_Call(callable.as_ptr(), args.as_ptr(), kwargs) };
    std::mem::forget(rest);
    // SAFETY: the result is a new reference, or null where an exception is set.
    unsafe { Bound::from_owned_ptr_or_err(callable.py(), result) }
}

/// Calls a method of `object`.
pub(crate) fn call_method<'py>(
    object: &Bound<'py, PyAny>,
    name: &str,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    call(&object.getattr(name)?, args, kwargs)
}
