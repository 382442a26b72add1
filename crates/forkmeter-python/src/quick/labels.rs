//! `labels`, without a tuple and a dict of what it is called with.

#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "to borrow what the interpreter passed is one step"
)]

use pyo3::ffi::{Py_ssize_t, PyObject};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::{Function, put, quick};
use crate::call;
use crate::metric::NativeMetric;
use crate::names::names;

/// So many labels by name are put in order without an allocation; more are left to Python.
const MAX_NAMED: usize = 8;

/// Puts it in its place.
pub(super) fn install(py: Python<'_>) -> PyResult<()> {
    put::<NativeMetric>(py, "labels", Function::Fast(labels))
}

unsafe extern "C" fn labels(
    slf: *mut PyObject,
    args: *const *mut PyObject,
    count: Py_ssize_t,
    keywords: *mut PyObject,
) -> *mut PyObject {
    let body = |py: Python<'_>| {
        // SAFETY: method descriptors check the type of `slf`, which the caller holds.
        let metric = unsafe { Borrowed::from_ptr(py, slf).cast_unchecked::<NativeMetric>() };
        // SAFETY: the interpreter passes so many arguments, and holds them.
        let values = unsafe { arguments(py, args, count.cast_unsigned()) };
        if keywords.is_null() {
            return NativeMetric::child(&metric, values).map(Bound::into_ptr);
        }
        // SAFETY: a tuple of names, which the caller holds.
        let keywords = unsafe { Borrowed::from_ptr(py, keywords).cast_unchecked::<PyTuple>() };
        if !values.is_empty() {
            return None;
        }
        // SAFETY: their values follow the others.
        let named = unsafe { arguments(py, args, keywords.len()) };
        child_by_name(&metric, &keywords, named).map(Bound::into_ptr)
    };
    // SAFETY: CPython calls this by the descriptor's convention.
    if let Some(child) = unsafe { quick(body) } {
        return child;
    }
    // SAFETY: as above; these are the arguments.
    unsafe { call::forward(slf, names().new_child.as_ptr(), args, count, keywords) }
}

/// Returns arguments as objects.
///
/// # Safety
///
/// There are so many, and they live for as long as the result is used.
unsafe fn arguments<'a, 'py>(
    py: Python<'py>,
    args: *const *mut PyObject,
    count: usize,
) -> &'a [Bound<'py, PyAny>] {
    let _ = py;
    if count == 0 {
        return &[];
    }
    // SAFETY: `Bound` has the layout of a pointer to an object; the contract says the rest.
    unsafe { std::slice::from_raw_parts(args.cast::<Bound<'py, PyAny>>(), count) }
}

fn child_by_name<'py>(
    metric: &Bound<'py, NativeMetric>,
    keywords: &Bound<'py, PyTuple>,
    named: &[Bound<'py, PyAny>],
) -> Option<Bound<'py, PyAny>> {
    let names = metric.get().label_names(metric.py())?.as_slice();
    let keywords = keywords.as_slice();
    if names.len() != keywords.len() || names.len() > MAX_NAMED {
        return None;
    }
    // The names of a call are interned, as those of labels mostly are.
    let is_in_order = names.iter().zip(keywords).all(|(a, b)| a.is(b));
    if is_in_order {
        return NativeMetric::child(metric, named);
    }
    let first = named.first()?;
    let mut ordered: [Bound<'py, PyAny>; MAX_NAMED] = std::array::from_fn(|_| first.clone());
    for (slot, name) in ordered.iter_mut().zip(names) {
        let at = keywords.iter().position(|keyword| keyword.is(name))?;
        slot.clone_from(&named[at]);
    }
    NativeMetric::child(metric, &ordered[..names.len()])
}
