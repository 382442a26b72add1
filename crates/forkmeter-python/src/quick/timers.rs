//! `time()`, with timers that are used again once nobody holds them.

#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "to borrow what the interpreter passed is one step"
)]

use pyo3::ffi::{self, PyObject};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::free::FreeList;
use super::{Function, Original, quick, replace};
use crate::kinds::{NativeGauge, NativeHistogram, NativeSummary};
use crate::names::names;
use crate::timer::Timer;

static FREE: FreeList = FreeList::new();

static GAUGE_TIME: Original = Original::new();
static SUMMARY_TIME: Original = Original::new();
static HISTOGRAM_TIME: Original = Original::new();
static TIMER_DEALLOC: Original = Original::new();

/// Puts all of them in their places.
pub(super) fn install(py: Python<'_>) -> PyResult<()> {
    replace::<NativeGauge>(py, "time", Function::NoArguments(gauge_time), &GAUGE_TIME)?;
    replace::<NativeSummary>(
        py,
        "time",
        Function::NoArguments(summary_time),
        &SUMMARY_TIME,
    )?;
    replace::<NativeHistogram>(
        py,
        "time",
        Function::NoArguments(histogram_time),
        &HISTOGRAM_TIME,
    )?;
    let class = py.get_type::<Timer>().as_type_ptr();
    // SAFETY: a class that lives for ever, before anybody else knows it. Its subclasses have a function of their own.
    let known = unsafe { (*class).tp_dealloc };
    if let Some(known) = known
        && !TIMER_DEALLOC.is_known()
    {
        TIMER_DEALLOC.remember(known as usize);
        // SAFETY: as above.
        unsafe { (*class).tp_dealloc = Some(timer_dealloc) };
    }
    Ok(())
}

/// Defines the function of a `time` whose timers call this method.
macro_rules! timed {
    ($name:ident, $original:ident, $callback:ident) => {
        unsafe extern "C" fn $name(slf: *mut PyObject, nothing: *mut PyObject) -> *mut PyObject {
            let body = |py: Python<'_>| {
                // SAFETY: the caller holds the metric.
                let metric = unsafe { Borrowed::from_ptr(py, slf) };
                used_again(&metric, &names().$callback).map(Bound::into_ptr)
            };
            // SAFETY: CPython calls this by the descriptor's convention.
            match unsafe { quick(body) } {
                Some(timer) => timer,
                // SAFETY: as above; these are the arguments.
                None => unsafe { $original.call(slf, nothing) },
            }
        }
    };
}

timed!(gauge_time, GAUGE_TIME, set);
timed!(summary_time, SUMMARY_TIME, observe);
timed!(histogram_time, HISTOGRAM_TIME, observe);

/// Returns a timer that is used again, if there is one.
#[inline]
fn used_again<'py>(
    metric: &Bound<'py, PyAny>,
    callback_name: &Py<PyString>,
) -> Option<Bound<'py, Timer>> {
    let py = metric.py();
    // SAFETY: `keep` puts timers alone there.
    let timer = unsafe { FREE.take(py)?.cast_into_unchecked::<Timer>() };
    timer.get().start_anew(metric, callback_name);
    // SAFETY: an object of a class that the collector knows, which it has not looked at since it came into `FREE`.
    unsafe { ffi::PyObject_GC_Track(timer.as_ptr().cast()) };
    Some(timer)
}

unsafe extern "C" fn timer_dealloc(object: *mut PyObject) {
    // SAFETY: CPython calls this with an object of `Timer` that nobody holds, in an attached thread.
    if unsafe { quick(|py| keep(py, object)) }.is_none() {
        // SAFETY: as above.
        unsafe { TIMER_DEALLOC.call_destructor(object) };
    }
}

/// Keeps a timer that nobody holds, unless it has something that goes with it.
fn keep(py: Python<'_>, object: *mut PyObject) -> Option<()> {
    // SAFETY: the object is there, though nobody holds it.
    let timer = unsafe { Borrowed::from_ptr(py, object).cast_unchecked::<Timer>() };
    if !timer.is_exact_instance_of::<Timer>() {
        return None;
    }
    // SAFETY: the class of an object that is there.
    let class = unsafe { &*ffi::Py_TYPE(object) };
    let dict = own_pointer(object, class.tp_dictoffset)?;
    if !dict.is_null() {
        // SAFETY: a dict that the object holds.
        let dict = unsafe { Borrowed::from_ptr(py, dict) };
        // One of a class of somebody's own is an object of its own.
        let is_bare = dict
            .cast_exact::<PyDict>()
            .is_ok_and(|dict| dict.is_empty());
        // SAFETY: as above.
        if !is_bare || unsafe { ffi::Py_REFCNT(dict.as_ptr()) } > 1 {
            return None;
        }
    }
    if !own_pointer(object, class.tp_weaklistoffset)?.is_null() {
        return None;
    }
    // SAFETY: an object of a class that the collector knows.
    unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
    // May run Python code, when the metric goes; nobody finds the timer meanwhile.
    timer.get().forget(py);
    if !FREE.has_room(py) {
        return None;
    }
    // SAFETY: from here on it is held again, by `FREE`.
    let timer = unsafe {
        ffi::Py_INCREF(object);
        Bound::from_owned_ptr(py, object)
    };
    FREE.put(timer);
    Some(())
}

/// Returns the pointer that stands where the class of an object says, if it says so.
fn own_pointer(object: *mut PyObject, offset: ffi::Py_ssize_t) -> Option<*mut PyObject> {
    let offset = usize::try_from(offset).ok().filter(|offset| *offset > 0)?;
    // SAFETY: an object that is there, whose class put a pointer there.
    Some(unsafe { *object.byte_add(offset).cast::<*mut PyObject>() })
}
