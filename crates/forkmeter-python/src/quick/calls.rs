//! The plain cases themselves.

#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "to borrow what the interpreter passed is one step"
)]

use pyo3::ffi::{self, Py_ssize_t, PyObject};
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt};

use super::{Function, Original, none, quick, replace};
use crate::kinds::{NativeCounter, NativeGauge, NativeHistogram, NativeSummary};
use crate::metric::NativeMetric;
use crate::series::Place;

/// Puts all of them in their places.
pub(super) fn install(py: Python<'_>) -> PyResult<()> {
    replace::<NativeCounter>(py, "inc", Function::Fast(counter_inc), &COUNTER_INC)?;
    replace::<NativeGauge>(py, "inc", Function::Fast(gauge_inc), &GAUGE_INC)?;
    replace::<NativeGauge>(py, "dec", Function::Fast(gauge_dec), &GAUGE_DEC)?;
    replace::<NativeGauge>(py, "set", Function::Fast(gauge_set), &GAUGE_SET)?;
    replace::<NativeSummary>(
        py,
        "observe",
        Function::Fast(summary_observe),
        &SUMMARY_OBSERVE,
    )?;
    replace::<NativeHistogram>(
        py,
        "observe",
        Function::Fast(histogram_observe),
        &HISTOGRAM_OBSERVE,
    )
}

static COUNTER_INC: Original = Original::new();
static GAUGE_INC: Original = Original::new();
static GAUGE_DEC: Original = Original::new();
static GAUGE_SET: Original = Original::new();
static SUMMARY_OBSERVE: Original = Original::new();
static HISTOGRAM_OBSERVE: Original = Original::new();

/// Calls `record` with the values of a metric, and with the only argument as a number: 1 where there is none and it is
/// optional. Tells whether that was possible, and `record` said so.
///
/// # Safety
///
/// The interpreter called a method of a `NativeMetric` with these arguments.
#[inline]
unsafe fn record(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    count: Py_ssize_t,
    names: *mut PyObject,
    is_optional: bool,
    record: impl FnOnce(&Place<'_>, f64) -> bool,
) -> bool {
    let body = |py: Python<'_>| {
        if !names.is_null() {
            return None;
        }
        let amount = match count {
            0 if is_optional => 1.0,
            // SAFETY: there is one argument, which the caller holds.
            1 => number(unsafe { Borrowed::from_ptr(py, *args) })?,
            _ => return None,
        };
        // SAFETY: method descriptors check the type of `slf`, which the caller holds.
        let metric = unsafe { Borrowed::from_ptr(py, slf).cast_unchecked::<NativeMetric>() };
        record(&metric.get().series()?.place()?, amount).then_some(())
    };
    // SAFETY: by this function's contract.
    unsafe { quick(body) }.is_some()
}

/// Returns an exact float or int as a number.
#[inline]
fn number(given: Borrowed<'_, '_, PyAny>) -> Option<f64> {
    if let Ok(float) = given.cast_exact::<PyFloat>() {
        return Some(float.value());
    }
    let int = given.cast_exact::<PyInt>().ok()?;
    // SAFETY: an int, which is held.
    let value = unsafe { ffi::PyLong_AsDouble(int.as_ptr()) };
    // What stands for an exception as well: the original tells what is wrong.
    if value.to_bits() == (-1.0_f64).to_bits() {
        // SAFETY: the interpreter is attached.
        unsafe { ffi::PyErr_Clear() };
        return None;
    }
    Some(value)
}

/// Defines the function of a method that records its only argument.
macro_rules! recorder {
    ($name:ident, $original:ident, $is_optional:literal, $record:expr) => {
        pub(super) unsafe extern "C" fn $name(
            slf: *mut PyObject,
            args: *const *mut PyObject,
            count: Py_ssize_t,
            names: *mut PyObject,
        ) -> *mut PyObject {
            // SAFETY: CPython calls this by the descriptor's convention.
            if unsafe { record(slf, args, count, names, $is_optional, $record) } {
                none()
            } else {
                // SAFETY: as above; these are the arguments.
                unsafe { $original.call_fast(slf, args, count, names) }
            }
        }
    };
}

recorder!(counter_inc, COUNTER_INC, true, |place, amount| {
    // The original refuses what is negative.
    let counts = amount >= 0.0;
    if counts {
        place.add(0, amount);
    }
    counts
});
recorder!(gauge_inc, GAUGE_INC, true, |place, amount| {
    place.add(0, amount);
    true
});
recorder!(gauge_dec, GAUGE_DEC, true, |place, amount| {
    place.add(0, -amount);
    true
});
recorder!(gauge_set, GAUGE_SET, false, |place, value| {
    place.set(0, value);
    true
});
recorder!(summary_observe, SUMMARY_OBSERVE, false, |place, amount| {
    place.observe_in_summary(amount);
    true
});
recorder!(
    histogram_observe,
    HISTOGRAM_OBSERVE,
    false,
    |place, amount| {
        place.observe_in_histogram(amount);
        true
    }
);
