//! Text that becomes a bytes object without a copy.

#![expect(
    unsafe_code,
    reason = "a bytes object is written to before anybody else sees it"
)]

use std::ffi::c_int;
use std::fmt;
use std::ptr::NonNull;

use pyo3::exceptions::PyOverflowError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

// PyO3 has no declaration of it.
unsafe extern "C" {
    fn _PyBytes_Resize(bytes: *mut *mut ffi::PyObject, size: ffi::Py_ssize_t) -> c_int;
}

/// Is a text that grows, also while the interpreter is released.
#[derive(Debug, Default)]
pub(crate) struct Text {
    room: Option<Room>,
    /// What had no room, behind it.
    spilled: Vec<Box<[u8]>>,
    spilled_len: usize,
}

impl Text {
    /// Makes an empty text with room for so many bytes, in the object that [`Text::into_bytes`] returns.
    ///
    /// # Errors
    ///
    /// `MemoryError`.
    pub(crate) fn with_room(py: Python<'_>, capacity: usize) -> PyResult<Self> {
        let room = (capacity > 0).then(|| Room::new(py, capacity));
        Ok(Self {
            room: room.transpose()?,
            ..Self::default()
        })
    }

    /// Returns how many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.room.as_ref().map_or(0, |room| room.len) + self.spilled_len
    }

    /// Adds text at the end.
    pub(crate) fn push(&mut self, text: &[u8]) {
        let has_spilled = self.spilled_len > 0;
        let room = self.room.as_mut().filter(|_| !has_spilled);
        if room.is_none_or(|room| !room.push(text)) {
            self.spilled.push(text.into());
            self.spilled_len += text.len();
        }
    }

    /// Takes back what is behind the first `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        while let Some(last) = self.spilled.pop_if(|_| self.spilled_len > 0) {
            self.spilled_len -= last.len();
            let at = self.len();
            if at < len {
                let kept = &last[..(len - at).min(last.len())];
                self.spilled.push(kept.into());
                self.spilled_len += kept.len();
                return;
            }
        }
        if let Some(room) = &mut self.room {
            room.len = room.len.min(len);
        }
    }

    /// Returns the text as an object.
    ///
    /// # Errors
    ///
    /// `MemoryError`.
    pub(crate) fn into_bytes(self, py: Python<'_>) -> PyResult<Bound<'_, PyBytes>> {
        let len = self.len();
        if len == 0 {
            return Ok(PyBytes::new(py, b""));
        }
        let mut room = match self.room {
            Some(room) => room.resized(py, len)?,
            None => Room::new(py, len)?,
        };
        // Each one goes as soon as it is copied.
        for part in self.spilled {
            room.push(&part);
        }
        Ok(room.bytes.into_bound(py))
    }
}

/// Is a bytes object that nobody else knows.
struct Room {
    bytes: Py<PyBytes>,
    start: NonNull<u8>,
    capacity: usize,
    len: usize,
}

// SAFETY: `start` points into `bytes`, which may be sent, and is only used by who has the room exclusively.
unsafe impl Send for Room {}
// SAFETY: nothing is read or written through a shared reference.
unsafe impl Sync for Room {}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room")
            .field("capacity", &self.capacity)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl Room {
    /// Makes an object of `capacity` bytes, more than none, whose contents nobody reads before they are written.
    fn new(py: Python<'_>, capacity: usize) -> PyResult<Self> {
        let size = as_size(capacity)?;
        // SAFETY: the thread is attached; without a text the bytes are left as they are.
        let object = unsafe { ffi::PyBytes_FromStringAndSize(std::ptr::null(), size) };
        Self::owned(py, object, capacity, 0)
    }

    /// Gives the object the size `capacity`, which may move it; what is written stays as far as it fits.
    fn resized(self, py: Python<'_>, capacity: usize) -> PyResult<Self> {
        let len = self.len.min(capacity);
        let size = as_size(capacity)?;
        let mut object = self.bytes.into_ptr();
        // SAFETY: the thread is attached and has the only reference, which is taken and replaced, by null after an error.
        unsafe { _PyBytes_Resize(&raw mut object, size) };
        Self::owned(py, object, capacity, len)
    }

    /// Takes a reference to a bytes object of `capacity` bytes, or the error where it is null.
    fn owned(
        py: Python<'_>,
        object: *mut ffi::PyObject,
        capacity: usize,
        len: usize,
    ) -> PyResult<Self> {
        // SAFETY: the reference is the caller's.
        let object = unsafe { Bound::from_owned_ptr_or_err(py, object) }?;
        let bytes = object.cast_into::<PyBytes>()?;
        // SAFETY: it is a bytes object.
        let start = unsafe { ffi::PyBytes_AsString(bytes.as_ptr()) };
        let start = NonNull::new(start.cast()).ok_or_else(|| PyErr::fetch(py))?;
        Ok(Self {
            bytes: bytes.unbind(),
            start,
            capacity,
            len,
        })
    }

    /// Adds text at the end, if all of it fits, and tells whether it did.
    fn push(&mut self, text: &[u8]) -> bool {
        if text.len() > self.capacity - self.len {
            return false;
        }
        // SAFETY: the object has `capacity` bytes, which are more than `len`, or as many.
        let end = unsafe { self.start.add(self.len) };
        // SAFETY: there is room for the text, as was just seen; no reference into the object was given to anybody, so the
        // text is elsewhere.
        unsafe { end.copy_from_nonoverlapping(NonNull::from(text).cast(), text.len()) };
        self.len += text.len();
        true
    }
}

fn as_size(len: usize) -> PyResult<ffi::Py_ssize_t> {
    ffi::Py_ssize_t::try_from(len).map_err(|_| PyOverflowError::new_err("too long"))
}
