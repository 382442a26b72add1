//! Sees changes of the environment, and under a test runner deletions, at once: the one file of this crate that calls
//! the C API itself.
//!
//! The hook is called for every audited event of the process, so it looks at the event's name first. It never runs
//! Python code and takes only the locks of `mode` and `default_bounds`, which are never held while anything else is waited for.

#![expect(
    unsafe_code,
    reason = "audit hooks can only be added through the C API"
)]

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString};
use pyo3::{PyErr, ffi};

use crate::{default_bounds, mode, testing};

type Hook = extern "C" fn(*const c_char, *mut ffi::PyObject, *mut c_void) -> c_int;

unsafe extern "C" {
    fn PySys_AddAuditHook(hook: Hook, data: *mut c_void) -> c_int;
}

/// Adds the hook to this interpreter.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    // SAFETY: the interpreter is initialized and attached, and the hook is a function that lives for ever.
    let failed = unsafe { PySys_AddAuditHook(on_event, std::ptr::null_mut()) };
    if failed == 0 {
        Ok(())
    } else {
        Err(PyErr::fetch(py))
    }
}

extern "C" fn on_event(event: *const c_char, args: *mut ffi::PyObject, _: *mut c_void) -> c_int {
    // SAFETY: the interpreter passes the event's name as a C string that lives for the call.
    let event = unsafe { CStr::from_ptr(event) }.to_bytes();
    if event == b"os.putenv" {
        if let (Some(name), Some(value)) = (bytes_at(args, 0), bytes_at(args, 1)) {
            mode::variable_changed(name, Some(OsStr::from_bytes(value)));
            default_bounds::variable_changed(name, Some(OsStr::from_bytes(value)));
        }
    } else if event == b"os.unsetenv"
        && let Some(name) = bytes_at(args, 0)
    {
        mode::variable_changed(name, None);
        default_bounds::variable_changed(name, None);
    } else if testing::is_on() {
        match event {
            b"os.remove" => {
                if let Some(path) = path_at(args, 0) {
                    testing::file_is_removed(&path, integer_at(args, 1));
                }
            }
            b"os.rename" | b"os.rmdir" => testing::something_is_moved(),
            b"os.fork" | b"os.forkpty" | b"os.posix_spawn" | b"os.spawn" | b"os.system"
            | b"subprocess.Popen" => testing::process_is_started(),
            _ => {}
        }
    }
    0
}

/// Returns an item of the event's arguments; nothing where there is none.
fn item_at(args: *mut ffi::PyObject, index: ffi::Py_ssize_t) -> Option<*mut ffi::PyObject> {
    // SAFETY: the interpreter is attached during an event, and passes its arguments as a tuple or as null, which
    // the check refuses.
    let is_tuple = !args.is_null() && unsafe { ffi::PyTuple_Check(args) } != 0;
    // SAFETY: `args` is a tuple.
    if !is_tuple || unsafe { ffi::PyTuple_Size(args) } <= index {
        return None;
    }
    // SAFETY: `args` is a tuple that is longer than `index`; the reference is borrowed from it for the call.
    let item = unsafe { ffi::PyTuple_GetItem(args, index) };
    (!item.is_null()).then_some(item)
}

/// Returns a path among the event's arguments, given as text or bytes; nothing where it is anything else.
fn path_at(args: *mut ffi::PyObject, index: ffi::Py_ssize_t) -> Option<PathBuf> {
    if let Some(bytes) = bytes_at(args, index) {
        return Some(OsStr::from_bytes(bytes).into());
    }
    let item = item_at(args, index)?;
    // SAFETY: the interpreter is attached during an event.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: the item is an object, borrowed for less than the call.
    let item = unsafe { Borrowed::from_ptr(py, item) };
    item.cast::<PyString>().ok()?.extract().ok()
}

/// Returns a number among the event's arguments; nothing where it is anything else.
fn integer_at(args: *mut ffi::PyObject, index: ffi::Py_ssize_t) -> Option<c_int> {
    let item = item_at(args, index)?;
    // SAFETY: as in `path_at`.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: as in `path_at`.
    let item = unsafe { Borrowed::from_ptr(py, item) };
    item.cast::<PyInt>().ok()?.extract().ok()
}

/// Returns the bytes at an index of the event's arguments; nothing where there are none.
fn bytes_at<'a>(args: *mut ffi::PyObject, index: ffi::Py_ssize_t) -> Option<&'a [u8]> {
    let item = item_at(args, index)?;
    // SAFETY: an item of a complete tuple is an object.
    if unsafe { ffi::PyBytes_Check(item) } == 0 {
        return None;
    }
    // SAFETY: `item` is a bytes object, which cannot change.
    let start = unsafe { ffi::PyBytes_AsString(item) };
    // SAFETY: as above.
    let length = usize::try_from(unsafe { ffi::PyBytes_Size(item) }).ok()?;
    // SAFETY: the object owns that many bytes from there on, and the caller's tuple keeps it alive for the call.
    Some(unsafe { std::slice::from_raw_parts(start.cast(), length) })
}
