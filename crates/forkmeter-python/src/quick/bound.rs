//! Bound `__enter__` and `__exit__` of context managers, whose memory is used again.
//!
//! A `with` statement asks the class of its object for both and has them bound: two objects for each block, whose
//! making and end took a quarter of its time, since the interpreter makes them anew each time. So the descriptors are of
//! a subclass of method descriptors that takes the bound method from a list, and bound methods are of a subclass of
//! built-in methods that puts it back there; in all else both are what they were. From Python 3.12 on the interpreter's
//! own are left alone: 3.14 binds nothing in a `with` statement.

#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "to fill in an object is one step"
)]

use std::ffi::CStr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use pyo3::ffi::{
    self, PyCFunctionObject, PyMethodDef, PyMethodDescrObject, PyObject, PyTypeObject,
};
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::free::FreeList;
use super::{definition_of, quick};
use crate::exception_counter::ExceptionCounter;
use crate::inprogress_tracker::InprogressTracker;
use crate::layout;
use crate::timer::Timer;

/// The last minor version of the interpreter in which the methods are bound so.
const LAST_MINOR: u8 = 11;

static FREE: FreeList = FreeList::new();

/// The class of the bound methods.
static BOUND: AtomicPtr<PyTypeObject> = AtomicPtr::new(std::ptr::null_mut());
/// How the interpreter calls built-in methods that take nothing, and those that take an array and names.
static CALL_WITHOUT_ARGUMENTS: AtomicUsize = AtomicUsize::new(0);
static CALL_FAST: AtomicUsize = AtomicUsize::new(0);

/// Puts such descriptors in the place of the others.
pub(super) fn install(py: Python<'_>) -> PyResult<()> {
    // ORDERING: set once, under the interpreter's lock.
    if layout::minor() > LAST_MINOR || !BOUND.load(Ordering::Relaxed).is_null() {
        return Ok(());
    }
    let mut bound = subclass_of(&raw mut ffi::PyCFunction_Type);
    bound.tp_name = c"builtin_function_or_method".as_ptr();
    bound.tp_dealloc = Some(end);
    bound.tp_methods = Box::leak(Box::new(copies())).as_mut_ptr();
    let bound = ready(py, bound)?;
    let mut descriptor = subclass_of(&raw mut ffi::PyMethodDescr_Type);
    descriptor.tp_name = c"method_descriptor".as_ptr();
    descriptor.tp_descr_get = Some(bind);
    let descriptor = ready(py, descriptor)?;
    // ORDERING: nothing leads here before a descriptor is in its place.
    BOUND.store(bound, Ordering::Relaxed);
    for class in [
        py.get_type::<Timer>(),
        py.get_type::<InprogressTracker>(),
        py.get_type::<ExceptionCounter>(),
    ] {
        for name in ["__enter__", "__exit__"] {
            share(&class, name, descriptor)?;
        }
    }
    Ok(())
}

/// Returns a class that has nothing of its own yet.
fn subclass_of(base: *mut PyTypeObject) -> PyTypeObject {
    // SAFETY: all of its fields may be zero or null.
    let mut class = unsafe { std::mem::zeroed::<PyTypeObject>() };
    class.ob_base.ob_base = ffi::PyObject_HEAD_INIT;
    class.tp_flags = ffi::Py_TPFLAGS_DEFAULT;
    class.tp_base = base;
    // SAFETY: a class of the interpreter.
    let base = unsafe { &*base };
    class.tp_basicsize = base.tp_basicsize;
    class.tp_vectorcall_offset = base.tp_vectorcall_offset;
    class.tp_flags |= base.tp_flags & ffi::Py_TPFLAGS_HAVE_VECTORCALL;
    class.tp_call = base.tp_call;
    class
}

/// Has the interpreter complete a class, which lives for ever.
fn ready(py: Python<'_>, class: PyTypeObject) -> PyResult<*mut PyTypeObject> {
    let class: *mut PyTypeObject = Box::leak(Box::new(class));
    // SAFETY: it has all that it needs.
    if unsafe { ffi::PyType_Ready(class) } < 0 {
        return Err(PyErr::fetch(py));
    }
    Ok(class)
}

/// Puts a descriptor of this class in the place of a method's, and learns how such a method is called.
fn share(
    class: &Bound<'_, PyType>,
    name: &str,
    descriptor_class: *mut PyTypeObject,
) -> PyResult<()> {
    let py = class.py();
    let found = class.getattr("__dict__")?.get_item(name)?;
    let Some(definition) = definition_of(&found) else {
        return Ok(());
    };
    // SAFETY: it lives as long as the descriptor.
    let flags = unsafe { (*definition).ml_flags };
    let Some(call) = how_to_call(flags) else {
        return Ok(());
    };
    // SAFETY: the definition is part of a descriptor of a class that lives for ever; new references, or null where an
    // exception is set.
    let (descriptor, example) = unsafe {
        let descriptor = ffi::PyDescr_NewMethod(class.as_type_ptr(), definition);
        let descriptor = Bound::from_owned_ptr_or_err(py, descriptor)?;
        let example = ffi::PyCFunction_NewEx(definition, descriptor.as_ptr(), std::ptr::null_mut());
        (descriptor, Bound::from_owned_ptr_or_err(py, example)?)
    };
    // SAFETY: a built-in method, and nobody else knows the descriptor, whose new class has the layout of its own.
    let vectorcall = unsafe {
        (*descriptor.as_ptr()).ob_type = descriptor_class;
        (*example.as_ptr().cast::<PyCFunctionObject>()).vectorcall
    };
    let Some(vectorcall) = vectorcall else {
        return Ok(());
    };
    // ORDERING: as in `install`.
    call.store(vectorcall as usize, Ordering::Relaxed);
    class.setattr(name, descriptor)
}

/// Returns where it stands how methods of a calling convention are called.
#[inline]
fn how_to_call(flags: i32) -> Option<&'static AtomicUsize> {
    const FAST: i32 = ffi::METH_FASTCALL | ffi::METH_KEYWORDS;
    match flags {
        ffi::METH_NOARGS => Some(&CALL_WITHOUT_ARGUMENTS),
        FAST => Some(&CALL_FAST),
        _ => None,
    }
}

/// `__get__` of the descriptors.
unsafe extern "C" fn bind(
    descriptor: *mut PyObject,
    object: *mut PyObject,
    class: *mut PyObject,
) -> *mut PyObject {
    let body = |py: Python<'_>| {
        let method = descriptor.cast::<PyMethodDescrObject>();
        // SAFETY: CPython calls this with a descriptor of this class, and with an object that it holds, or none.
        let is_plain =
            unsafe { !object.is_null() && ffi::Py_TYPE(object) == (*method).d_common.d_type };
        // SAFETY: as above.
        is_plain.then(|| unsafe { bound_method(py, (*method).d_method, object) })?
    };
    // SAFETY: as above.
    if let Some(bound) = unsafe { quick(body) } {
        return bound;
    }
    // SAFETY: the function of the base class, with what it is to be called with.
    unsafe {
        match ffi::PyMethodDescr_Type.tp_descr_get {
            Some(own) => own(descriptor, object, class),
            None => std::ptr::null_mut(),
        }
    }
}

/// Returns a new reference to a bound method, used again if there is one.
///
/// # Safety
///
/// The caller holds the object, whose class has this method.
#[inline]
unsafe fn bound_method(
    py: Python<'_>,
    definition: *mut PyMethodDef,
    object: *mut PyObject,
) -> Option<*mut PyObject> {
    // SAFETY: it lives as long as the descriptor.
    let call = how_to_call(unsafe { (*definition).ml_flags })?;
    // ORDERING: as in `install`.
    let call = call.load(Ordering::Relaxed);
    let (bound, is_new) = match FREE.take(py) {
        Some(bound) => (bound.into_ptr(), false),
        // ORDERING: as above. SAFETY: the class is complete.
        None => (
            unsafe { ffi::PyType_GenericAlloc(BOUND.load(Ordering::Relaxed), 0) },
            true,
        ),
    };
    if bound.is_null() {
        // SAFETY: the interpreter is attached; the general way tells that there is no memory.
        unsafe { ffi::PyErr_Clear() };
        return None;
    }
    // SAFETY: it is of the class, with room for all of it, and nobody else knows it; what was remembered is such a
    // function. The collector does not look meanwhile.
    unsafe {
        ffi::Py_INCREF(object);
        let method = &mut *bound.cast::<PyCFunctionObject>();
        method.m_ml = definition;
        method.m_self = object;
        method.vectorcall = std::mem::transmute::<usize, Option<ffi::vectorcallfunc>>(call);
        if !is_new {
            ffi::PyObject_GC_Track(bound.cast());
        }
    }
    Some(bound)
}

/// What ends a bound method: it waits to be used again.
unsafe extern "C" fn end(bound: *mut PyObject) {
    let method = bound.cast::<PyCFunctionObject>();
    // SAFETY: CPython calls this with an object of the class that nobody holds, in an attached thread. Weak references
    // go first, as they do for others of the kind.
    let object = unsafe {
        ffi::PyObject_GC_UnTrack(bound.cast());
        if !(*method).m_weakreflist.is_null() {
            ffi::PyObject_ClearWeakRefs(bound);
        }
        std::mem::replace(&mut (*method).m_self, std::ptr::null_mut())
    };
    let keep = |py: Python<'_>| {
        FREE.has_room(py).then(|| {
            // SAFETY: from here on it is held again, by `FREE`.
            FREE.put(unsafe {
                ffi::Py_INCREF(bound);
                Bound::from_owned_ptr(py, bound)
            });
        })
    };
    // SAFETY: as above.
    if unsafe { quick(keep) }.is_none() {
        // SAFETY: nothing leads to it any more.
        unsafe { ffi::PyObject_GC_Del(bound.cast()) };
    }
    // SAFETY: the reference that it held; this may run Python code.
    unsafe { ffi::Py_XDECREF(object) };
}

/// Returns what the `copy` module asks for: it knows built-in methods by their very class, and returns them as they are.
fn copies() -> [PyMethodDef; 3] {
    let copy = |name: &'static CStr, flags| PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunction: itself,
        },
        ml_flags: flags,
        ml_doc: std::ptr::null(),
    };
    [
        copy(c"__copy__", ffi::METH_NOARGS),
        copy(c"__deepcopy__", ffi::METH_O),
        PyMethodDef::zeroed(),
    ]
}

unsafe extern "C" fn itself(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: the caller holds it.
    unsafe { ffi::Py_INCREF(slf) };
    slf
}
