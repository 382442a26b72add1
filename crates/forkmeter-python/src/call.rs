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

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyString, PyTuple, PyType};

/// Says that a callee may use the place before the arguments: `PY_VECTORCALL_ARGUMENTS_OFFSET`.
const ARGUMENTS_OFFSET: usize = 1 << (usize::BITS - 1);

mod unwinding {
    use std::ffi::c_int;

    use pyo3::ffi::PyObject;

    unsafe extern "C-unwind" {
        pub(super) fn PyObject_Call(
            callable: *mut PyObject,
            args: *mut PyObject,
            kwargs: *mut PyObject,
        ) -> *mut PyObject;

        pub(super) fn PyObject_VectorcallMethod(
            name: *mut PyObject,
            args: *const *mut PyObject,
            nargsf: usize,
            kwnames: *mut PyObject,
        ) -> *mut PyObject;

        pub(super) fn PyObject_IsInstance(object: *mut PyObject, class: *mut PyObject) -> c_int;

        // Python 3.9 has PyObject_CallOneArg in its headers alone.
        pub(super) fn PyObject_VectorcallDict(
            callable: *mut PyObject,
            args: *const *mut PyObject,
            nargsf: usize,
            kwargs: *mut PyObject,
        ) -> *mut PyObject;

        pub(super) fn PyObject_GetIter(object: *mut PyObject) -> *mut PyObject;

        pub(super) fn PyIter_Next(iterator: *mut PyObject) -> *mut PyObject;
        pub(super) fn PyFloat_AsDouble(object: *mut PyObject) -> f64;
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

/// Makes an instance of a class by its `__new__` alone, which is a native one.
pub(crate) fn new_instance<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
    type New = unsafe extern "C-unwind" fn(
        *mut ffi::PyTypeObject,
        *mut ffi::PyObject,
        *mut ffi::PyObject,
    ) -> *mut ffi::PyObject;
    let py = class.py();
    // SAFETY: a class that is held.
    let Some(new) = (unsafe { (*class.as_type_ptr()).tp_new }) else {
        return Err(PyTypeError::new_err("no instances can be made"));
    };
    // SAFETY: the same function, which is not expected to unwind but may, in a collection that it sets off.
    let new = unsafe { std::mem::transmute::<ffi::newfunc, New>(new) };
    let nothing = PyTuple::empty(py);
    let rest = Rest;
    // SAFETY: the interpreter is attached; the class and the arguments live for the call.
    let instance = unsafe { new(class.as_type_ptr(), nothing.as_ptr(), std::ptr::null_mut()) };
    std::mem::forget(rest);
    // SAFETY: the result is a new reference, or null where an exception is set.
    unsafe { Bound::from_owned_ptr_or_err(py, instance) }
}

/// Calls `callable` with one argument, in less time.
#[inline]
pub(crate) fn call1<'py>(
    callable: &Bound<'py, PyAny>,
    arg: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    // The callee may use the place before the argument, so a method need not move it.
    let mut args = [std::ptr::null_mut(), arg.as_ptr()];
    let first = args.as_mut_ptr().wrapping_add(1);
    let rest = Rest;
    // SAFETY: the interpreter is attached; both objects live for the call; there are no keywords.
    let result: *mut ffi::PyObject = unsafe {
        unwinding::PyObject_VectorcallDict(
            callable.as_ptr(),
            first,
            1 | ARGUMENTS_OFFSET,
            std::ptr::null_mut(),
        )
    };
    std::mem::forget(rest);
    // SAFETY: the result is a new reference, or null where an exception is set.
    unsafe { Bound::from_owned_ptr_or_err(callable.py(), result) }
}

/// Returns an iterator of `object`.
pub(crate) fn iterate<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let rest = Rest;
    // SAFETY: the interpreter is attached; the object lives for the call.
    let result: *mut ffi::PyObject = unsafe { unwinding::PyObject_GetIter(object.as_ptr()) };
    std::mem::forget(rest);
    // SAFETY: the result is a new reference, or null where an exception is set.
    unsafe { Bound::from_owned_ptr_or_err(object.py(), result) }
}

/// Returns the next item of an iterator that [`iterate`] returned; nothing at its end.
pub(crate) fn next<'py>(iterator: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = iterator.py();
    let rest = Rest;
    // SAFETY: the interpreter is attached; the iterator lives for the call.
    let result: *mut ffi::PyObject = unsafe { unwinding::PyIter_Next(iterator.as_ptr()) };
    std::mem::forget(rest);
    // SAFETY: the result is a new reference, or null.
    let item = unsafe { Bound::from_owned_ptr_or_opt(py, result) };
    match (item, PyErr::take(py)) {
        (None, Some(error)) => Err(error),
        (item, _) => Ok(item),
    }
}

/// Returns what is a number as a float; a class of the application may have a `__float__` in Python.
pub(crate) fn as_float(object: Borrowed<'_, '_, PyAny>) -> PyResult<f64> {
    let rest = Rest;
    // SAFETY: the interpreter is attached, and the object lives for the call.
    let value = unsafe { unwinding::PyFloat_AsDouble(object.as_ptr()) };
    std::mem::forget(rest);
    // -1 is also what stands for an exception.
    #[expect(clippy::float_cmp, reason = "the very number that the C API returns")]
    match (value == -1.0).then(|| PyErr::take(object.py())).flatten() {
        Some(error) => Err(error),
        None => Ok(value),
    }
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

/// Calls a method of `object` with the arguments of a function of `METH_FASTCALL | METH_KEYWORDS`, and returns a new
/// reference, or null where an exception is set.
///
/// # Safety
///
/// The interpreter is attached, and all objects live for the call: the name, `count` arguments, behind them those that
/// the tuple `keywords` names, if it is not null.
#[cold]
pub(crate) unsafe fn forward(
    object: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let named = if keywords.is_null() {
        0
    } else {
        // SAFETY: a tuple that lives.
        unsafe { ffi::PyTuple_GET_SIZE(keywords) }
    };
    let len = (count + named).cast_unsigned();
    let mut all = Vec::with_capacity(1 + len);
    all.push(object);
    if len > 0 {
        // SAFETY: by this function's contract.
        all.extend_from_slice(unsafe { std::slice::from_raw_parts(args, len) });
    }
    let rest = Rest;
    let positional = 1 + count.cast_unsigned();
    // SAFETY: by this function's contract.
    let result =
        unsafe { unwinding::PyObject_VectorcallMethod(name, all.as_ptr(), positional, keywords) };
    std::mem::forget(rest);
    result
}

/// Calls a method of `object` with one number, whose result does not matter; no bound method is made for it.
#[inline]
pub(crate) fn call_with_number(
    object: &Bound<'_, PyAny>,
    name: &Bound<'_, PyString>,
    number: f64,
) -> PyResult<()> {
    let number = PyFloat::new(object.py(), number);
    vectorcall_method(name, [object.as_ptr(), number.as_ptr()])
}

/// Calls a method of `object` with nothing, whose result does not matter; no bound method is made for it.
#[inline]
pub(crate) fn call_without_arguments(
    object: &Bound<'_, PyAny>,
    name: &Bound<'_, PyString>,
) -> PyResult<()> {
    vectorcall_method(name, [object.as_ptr()])
}

/// Calls a method of the first of `args` with the others; callers hold all of them.
#[inline]
fn vectorcall_method<const N: usize>(
    name: &Bound<'_, PyString>,
    args: [*mut ffi::PyObject; N],
) -> PyResult<()> {
    let rest = Rest;
    // SAFETY: the interpreter is attached; the callers hold the objects for the call; there are no keywords.
    let result: *mut ffi::PyObject = unsafe {
        unwinding::PyObject_VectorcallMethod(name.as_ptr(), args.as_ptr(), N, std::ptr::null_mut())
    };
    std::mem::forget(rest);
    // SAFETY: the result is a new reference, or null where an exception is set.
    unsafe { Bound::from_owned_ptr_or_err(name.py(), result) }.map(drop)
}

/// Tells whether `object` is an instance of a class, or of one of a tuple of them, as Python's `isinstance`.
#[inline]
pub(crate) fn is_instance(object: &Bound<'_, PyAny>, class: &Bound<'_, PyAny>) -> PyResult<bool> {
    let rest = Rest;
    // SAFETY: the interpreter is attached; both objects live for the call.
    let answer = unsafe { unwinding::PyObject_IsInstance(object.as_ptr(), class.as_ptr()) };
    std::mem::forget(rest);
    match answer {
        -1 => Err(PyErr::fetch(object.py())),
        answer => Ok(answer == 1),
    }
}

/// Tells whether `object` is a class of exceptions.
#[inline]
pub(crate) fn is_exception_class(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the object is held.
    unsafe { ffi::PyExceptionClass_Check(object.as_ptr()) != 0 }
}

/// Decorates `function` by a function of `forkmeter.decorator`.
pub(crate) fn decorate<'py>(
    decorator: &str,
    function: &Bound<'py, PyAny>,
    manager: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = function.py();
    let import = py.import("builtins")?.getattr("__import__")?;
    let name = "forkmeter.decorator";
    let fromlist = PyTuple::new(py, [decorator])?;
    let args = (name, py.None(), py.None(), fromlist).into_pyobject(py)?;
    let module = call(&import, &args, None)?;
    let args = PyTuple::new(py, [function, manager])?;
    call_method(&module, decorator, &args, None)
}
