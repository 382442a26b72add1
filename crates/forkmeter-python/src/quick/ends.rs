//! The ends of a `with` block, of all three context managers.

#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "to borrow what the interpreter passed is one step"
)]

use pyo3::ffi::{self, Py_ssize_t, PyObject};
use pyo3::prelude::*;

use super::{Function, Original, none, own, put, quick, replace};
use crate::exception_counter::ExceptionCounter;
use crate::inprogress_tracker::InprogressTracker;
use crate::timer::Timer;

static TIMER_ENTER: Original = Original::new();
static TIMER_EXIT: Original = Original::new();
static TRACKER_ENTER: Original = Original::new();
static TRACKER_EXIT: Original = Original::new();
static COUNTER_EXIT: Original = Original::new();

/// Puts all of them in their places.
pub(super) fn install(py: Python<'_>) -> PyResult<()> {
    let (enter, exit) = ("__enter__", "__exit__");
    replace::<Timer>(py, enter, Function::NoArguments(timer_enter), &TIMER_ENTER)?;
    replace::<Timer>(py, exit, Function::Fast(timer_exit), &TIMER_EXIT)?;
    let function = Function::NoArguments(tracker_enter);
    replace::<InprogressTracker>(py, enter, function, &TRACKER_ENTER)?;
    let function = Function::Fast(tracker_exit);
    replace::<InprogressTracker>(py, exit, function, &TRACKER_EXIT)?;
    put::<ExceptionCounter>(py, enter, Function::NoArguments(counter_enter))?;
    let function = Function::Fast(counter_exit);
    replace::<ExceptionCounter>(py, exit, function, &COUNTER_EXIT)
}

/// Is how a call of `__exit__` without names looks.
const EXIT_ARGUMENTS: Py_ssize_t = 3;

unsafe extern "C" fn timer_enter(slf: *mut PyObject, nothing: *mut PyObject) -> *mut PyObject {
    let body = |py: Python<'_>| {
        // SAFETY: method descriptors check the type of `slf`, which the caller holds.
        let timer = unsafe { Borrowed::from_ptr(py, slf).cast_unchecked::<Timer>() };
        timer.get().start_natively(py)
    };
    // SAFETY: CPython calls this by the descriptor's convention.
    if unsafe { quick(body) }.is_none() {
        // SAFETY: as above; these are the arguments.
        return unsafe { TIMER_ENTER.call(slf, nothing) };
    }
    // SAFETY: the caller holds the timer.
    unsafe { ffi::Py_INCREF(slf) };
    slf
}

unsafe extern "C" fn timer_exit(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    count: Py_ssize_t,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let body = |py: Python<'_>| {
        if !keywords.is_null() || count != EXIT_ARGUMENTS {
            return None;
        }
        // SAFETY: method descriptors check the type of `slf`, which the caller holds.
        let timer = unsafe { Borrowed::from_ptr(py, slf).cast_unchecked::<Timer>() };
        let timer = timer.get();
        let seconds = timer.stop_natively(py)?;
        if timer.record_natively(py, seconds, own::hand_over).is_some() {
            return Some(Ok(()));
        }
        let handed_over = timer.hand_over(py, seconds);
        Some(handed_over.map_err(|error| error.restore(py)))
    };
    // SAFETY: CPython calls this by the descriptor's convention.
    match unsafe { quick(body) } {
        // SAFETY: as above; these are the arguments.
        None => unsafe { TIMER_EXIT.call_fast(slf, args, count, keywords) },
        Some(Ok(())) => none(),
        // The exception is set.
        Some(Err(())) => std::ptr::null_mut(),
    }
}

unsafe extern "C" fn tracker_enter(slf: *mut PyObject, nothing: *mut PyObject) -> *mut PyObject {
    let body = |py: Python<'_>| {
        // SAFETY: method descriptors check the type of `slf`, which the caller holds.
        let tracker = unsafe { Borrowed::from_ptr(py, slf).cast_unchecked::<InprogressTracker>() };
        own::add_one(&tracker.get().known_gauge(py)?)
    };
    // SAFETY: CPython calls this by the descriptor's convention.
    if unsafe { quick(body) }.is_some() {
        return none();
    }
    // SAFETY: as above; these are the arguments.
    unsafe { TRACKER_ENTER.call(slf, nothing) }
}

unsafe extern "C" fn tracker_exit(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    count: Py_ssize_t,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let body = |py: Python<'_>| {
        if !keywords.is_null() || count != EXIT_ARGUMENTS {
            return None;
        }
        // SAFETY: method descriptors check the type of `slf`, which the caller holds.
        let tracker = unsafe { Borrowed::from_ptr(py, slf).cast_unchecked::<InprogressTracker>() };
        own::take_one_away(&tracker.get().known_gauge(py)?)
    };
    // SAFETY: CPython calls this by the descriptor's convention.
    if unsafe { quick(body) }.is_some() {
        return none();
    }
    // SAFETY: as above; these are the arguments.
    unsafe { TRACKER_EXIT.call_fast(slf, args, count, keywords) }
}

unsafe extern "C" fn counter_enter(_: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    none()
}

unsafe extern "C" fn counter_exit(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    count: Py_ssize_t,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let body = |py: Python<'_>| {
        let is_exit = keywords.is_null() && count == EXIT_ARGUMENTS;
        // SAFETY: then there is a second argument.
        if !is_exit || unsafe { *args.add(1) != ffi::Py_None() } {
            return None;
        }
        // SAFETY: method descriptors check the type of `slf`, which the caller holds.
        let counter = unsafe { Borrowed::from_ptr(py, slf).cast_unchecked::<ExceptionCounter>() };
        counter.get().never_counts_none(py).then_some(())
    };
    // SAFETY: CPython calls this by the descriptor's convention.
    if unsafe { quick(body) }.is_none() {
        // SAFETY: as above; these are the arguments.
        return unsafe { COUNTER_EXIT.call_fast(slf, args, count, keywords) };
    }
    // SAFETY: it lives for ever.
    let no = unsafe { ffi::Py_False() };
    // SAFETY: as above.
    unsafe { ffi::Py_INCREF(no) };
    no
}
