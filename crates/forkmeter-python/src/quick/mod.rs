//! The hot methods once more, without conversions: they do what needs none, and leave the rest to those of `PyO3`.
//!
//! [`install`] puts method descriptors over functions of [`calls`] in the place of `PyO3`'s, with the same names,
//! texts and conventions. Each function handles the plain case (positional floats or ints, native values, an epoch that
//! has not changed) and hands everything else, whole, to the function that stood there before. So neither signatures
//! nor errors are told a second time.
//!
//! A function here holds the interpreter without `PyO3` knowing: it makes no `Py` and drops none.

#![expect(
    unsafe_code,
    reason = "method descriptors can only be made through the C API"
)]

mod bound;
mod calls;
mod ends;
mod free;
mod labels;
mod own;
mod timers;

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

/// Is a function of one of Python's calling conventions.
#[derive(Clone, Copy, Debug)]
enum Function {
    /// `METH_FASTCALL | METH_KEYWORDS`.
    Fast(ffi::PyCFunctionFastWithKeywords),
    /// `METH_NOARGS`.
    NoArguments(ffi::PyCFunction),
}

impl Function {
    fn flags(self) -> c_int {
        match self {
            Self::Fast(_) => ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
            Self::NoArguments(_) => ffi::METH_NOARGS,
        }
    }

    fn pointer(self) -> ffi::PyMethodDefPointer {
        match self {
            Self::Fast(function) => ffi::PyMethodDefPointer {
                PyCFunctionFastWithKeywords: function,
            },
            Self::NoArguments(function) => ffi::PyMethodDefPointer {
                PyCFunction: function,
            },
        }
    }
}

/// Remembers the function that `PyO3` made for a method.
#[derive(Debug)]
struct Original(AtomicUsize);

impl Original {
    const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    fn is_known(&self) -> bool {
        // ORDERING: written before the descriptor that leads here can be seen.
        self.0.load(Ordering::Relaxed) != 0
    }

    fn remember(&self, address: usize) {
        // ORDERING: nobody can call before the caller is in its place.
        self.0.store(address, Ordering::Relaxed);
    }

    /// Calls what ends an object.
    ///
    /// # Safety
    ///
    /// The interpreter is attached, and this was called in the function's place, with this object.
    #[cold]
    unsafe fn call_destructor(&self, object: *mut ffi::PyObject) {
        // ORDERING: as above.
        let address = self.0.load(Ordering::Relaxed);
        // SAFETY: what was remembered is such a function.
        let function = unsafe { std::mem::transmute::<usize, ffi::destructor>(address) };
        // SAFETY: by this function's contract.
        unsafe { function(object) };
    }

    /// Calls the function.
    ///
    /// # Safety
    ///
    /// The interpreter is attached, and the arguments are those with which it called a [`Function::Fast`] in this
    /// one's place.
    #[cold]
    unsafe fn call_fast(
        &self,
        slf: *mut ffi::PyObject,
        args: *const *mut ffi::PyObject,
        count: ffi::Py_ssize_t,
        names: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject {
        // ORDERING: as above.
        let address = self.0.load(Ordering::Relaxed);
        // SAFETY: `replace` stored the address of a function of this convention, and only then installed the caller.
        let function =
            unsafe { std::mem::transmute::<usize, ffi::PyCFunctionFastWithKeywords>(address) };
        // SAFETY: by this function's contract.
        unsafe { function(slf, args, count, names) }
    }

    /// Calls the function.
    ///
    /// # Safety
    ///
    /// As [`Original::call_fast`], with a [`Function::NoArguments`].
    #[cold]
    unsafe fn call(
        &self,
        slf: *mut ffi::PyObject,
        nothing: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject {
        // ORDERING: as above.
        let address = self.0.load(Ordering::Relaxed);
        // SAFETY: `replace` stored the address of a function of this convention, and only then installed the caller.
        let function = unsafe { std::mem::transmute::<usize, ffi::PyCFunction>(address) };
        // SAFETY: by this function's contract.
        unsafe { function(slf, nothing) }
    }
}

/// Puts the quick functions in the place of `PyO3`'s. The module's initialization calls it.
///
/// # Errors
///
/// What a class that cannot be changed raises.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    labels::install(py)?;
    timers::install(py)?;
    calls::install(py)?;
    ends::install(py)?;
    bound::install(py)
}

/// Puts a function in the place of a method's, unless it is there, or the method is called by another convention.
fn replace<T: pyo3::PyTypeInfo>(
    py: Python<'_>,
    name: &str,
    function: Function,
    original: &'static Original,
) -> PyResult<()> {
    let Some(known) = definition::<T>(py, name)? else {
        return Ok(());
    };
    if original.is_known() || known.ml_flags != function.flags() {
        return Ok(());
    }
    // SAFETY: all members of the union are function pointers.
    let address = unsafe { std::mem::transmute::<ffi::PyMethodDefPointer, usize>(known.ml_meth) };
    original.remember(address);
    put::<T>(py, name, function)
}

/// Gives a class the methods that its native base has, as its own: the interpreter calls a method of the very class of an
/// object in less time than one of a base.
///
/// # Errors
///
/// What a class that cannot be changed raises.
pub(crate) fn own_methods(class: &Bound<'_, PyType>) -> PyResult<()> {
    const NAMES: [&str; 5] = ["inc", "dec", "set", "observe", "time"];
    for name in NAMES {
        let Ok(found) = class.getattr(name) else {
            continue;
        };
        if let Some(definition) = definition_of(&found) {
            // SAFETY: the class is a subclass of the one whose method this is, and the definition is part of a descriptor
            // of a class that lives for ever.
            let own = unsafe { ffi::PyDescr_NewMethod(class.as_type_ptr(), definition) };
            // SAFETY: a new reference, or null where an exception is set.
            let own = unsafe { Bound::from_owned_ptr_or_err(class.py(), own) }?;
            class.setattr(name, own)?;
        }
    }
    Ok(())
}

/// Returns how a method was defined that is called natively.
fn definition<T: pyo3::PyTypeInfo>(
    py: Python<'_>,
    name: &str,
) -> PyResult<Option<ffi::PyMethodDef>> {
    let class: Bound<'_, PyType> = py.get_type::<T>();
    let found = class.getattr("__dict__")?.get_item(name)?;
    // SAFETY: it lives as long as the descriptor.
    Ok(definition_of(&found).map(|known| unsafe { *known }))
}

/// Returns the definition of a method descriptor.
fn definition_of(found: &Bound<'_, PyAny>) -> Option<*mut ffi::PyMethodDef> {
    // SAFETY: the type of an object that lives.
    let is_method = unsafe { ffi::Py_TYPE(found.as_ptr()) } == &raw mut ffi::PyMethodDescr_Type;
    let found = found.as_ptr().cast::<ffi::PyMethodDescrObject>();
    // SAFETY: a method descriptor, as was just seen.
    is_method.then(|| unsafe { (*found).d_method })
}

/// Puts a function in the place of a method's that does all that the method does, by whatever convention that is called.
fn put<T: pyo3::PyTypeInfo>(py: Python<'_>, name: &str, function: Function) -> PyResult<()> {
    let Some(known) = definition::<T>(py, name)? else {
        return Ok(());
    };
    let class: Bound<'_, PyType> = py.get_type::<T>();
    // Classes of the module live as long as the process.
    let definition = Box::leak(Box::new(ffi::PyMethodDef {
        ml_meth: function.pointer(),
        ml_flags: function.flags(),
        ..known
    }));
    // SAFETY: the class is one, and the definition lives for ever.
    let descriptor = unsafe { ffi::PyDescr_NewMethod(class.as_type_ptr(), definition) };
    // SAFETY: a new reference, or null where an exception is set.
    let descriptor = unsafe { Bound::from_owned_ptr_or_err(py, descriptor) }?;
    class.setattr(name, descriptor)
}

/// Runs the plain case of a method. Nothing is returned where it is none, or where it panicked: then the function of
/// `PyO3` is called, which turns a panic into an exception.
///
/// # Safety
///
/// The interpreter is attached.
#[inline]
unsafe fn quick<R>(body: impl FnOnce(Python<'_>) -> Option<R>) -> Option<R> {
    // SAFETY: by this function's contract.
    let py = unsafe { Python::assume_attached() };
    catch_unwind(AssertUnwindSafe(|| body(py))).ok().flatten()
}

/// Returns a new reference to `None`, for a caller that is attached.
#[inline]
fn none() -> *mut ffi::PyObject {
    // SAFETY: it lives for ever.
    let none = unsafe { ffi::Py_None() };
    // SAFETY: as above.
    unsafe { ffi::Py_INCREF(none) };
    none
}
