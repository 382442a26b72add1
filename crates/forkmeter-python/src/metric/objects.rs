//! What is asked of Python objects directly: text without its methods, types, who holds an object.

#![expect(
    unsafe_code,
    reason = "PyO3 has no safe way to ask for these, or a slower one"
)]

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

use crate::layout;

/// Returns the hash that a string keeps.
#[inline]
pub(super) fn text_hash(text: &Bound<'_, PyString>) -> u64 {
    // SAFETY: a string, so this fails never and runs no code of anybody.
    let hash = unsafe { ffi::PyObject_Hash(text.as_ptr()) };
    hash.cast_unsigned() as u64
}

/// Tells whether strings are equal, most of which are the same objects.
#[inline]
pub(super) fn are_equal_texts(these: &[Bound<'_, PyAny>], others: &[Bound<'_, PyAny>]) -> bool {
    let is_equal = |(this, other): (&Bound<'_, PyAny>, &Bound<'_, PyAny>)| {
        this.is(other) || {
            // SAFETY: both are held. What is no string is equal to none, and sets an exception.
            let order = unsafe { ffi::PyUnicode_Compare(this.as_ptr(), other.as_ptr()) };
            order == 0
        }
    };
    these.len() == others.len() && these.iter().zip(others).all(is_equal)
}

/// Is a class as it was: changing it or one of its bases makes another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClassVersion {
    class: usize,
    tag: u64,
    /// Up to Python 3.11 this alone may say that the tag is out of date; later ones need not set it.
    has_flag: bool,
}

impl ClassVersion {
    /// Returns the version of a class, unless nobody has looked anything up in it since it changed.
    #[inline]
    pub(crate) fn of(class: &Bound<'_, PyType>) -> Option<Self> {
        let class = class.as_type_ptr();
        // SAFETY: a class that is held.
        let flags = unsafe { (*class).tp_flags };
        // SAFETY: as above.
        let tag = unsafe { (*class).tp_version_tag };
        (tag != 0).then_some(Self {
            class: class as usize,
            tag: u64::from(tag),
            has_flag: flags & ffi::Py_TPFLAGS_VALID_VERSION_TAG != 0,
        })
    }

    /// Returns the version to compare later ones with.
    pub(crate) fn to_remember(class: &Bound<'_, PyType>) -> Option<Self> {
        Self::of(class).filter(|own| own.has_flag || class.py().version_info() >= (3, 12))
    }
}

/// Returns how many references to an object there are.
#[inline]
pub(super) fn reference_count(object: &Bound<'_, PyAny>) -> isize {
    // SAFETY: the object is held.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}

/// Tells whether an object has attributes of its own, or that cannot be told. May run Python code, in a garbage collection.
pub(super) fn has_attributes(object: &Bound<'_, PyAny>) -> bool {
    if let Some(has) = layout::has_own_attributes(object) {
        return has;
    }
    let py = object.py();
    // SAFETY: the object is held; a class without a `__dict__` sets an exception.
    let dict = unsafe { ffi::PyObject_GenericGetDict(object.as_ptr(), std::ptr::null_mut()) };
    // SAFETY: a new reference, or null where an exception is set.
    let dict = unsafe { Bound::from_owned_ptr_or_err(py, dict) };
    let is_empty = dict.is_ok_and(|dict| dict.cast::<PyDict>().is_ok_and(PyDictMethods::is_empty));
    !is_empty
}
