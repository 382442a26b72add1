//! Objects that nobody holds and that are used again.

use pyo3::prelude::*;

use crate::attached::Attached;

/// How many of a kind wait to be used again.
const MAX_FREE: usize = 64;

/// Holds objects of one kind until they are used again.
#[derive(Debug)]
pub(super) struct FreeList {
    len: Attached<usize>,
    objects: [Attached<Option<Py<PyAny>>>; MAX_FREE],
}

impl FreeList {
    pub(super) const fn new() -> Self {
        Self {
            len: Attached::new(0),
            objects: [const { Attached::new(None) }; MAX_FREE],
        }
    }

    /// Takes one out.
    #[inline]
    pub(super) fn take<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let last = self.len.get(py).checked_sub(1)?;
        self.len.replace(py, last);
        let object = self.objects.get(last)?.replace(py, None)?;
        Some(object.into_bound(py))
    }

    /// Tells whether there is room for one.
    #[inline]
    pub(super) fn has_room(&self, py: Python<'_>) -> bool {
        self.len.get(py) < MAX_FREE
    }

    /// Puts one in, where there is room.
    #[inline]
    pub(super) fn put(&self, object: Bound<'_, PyAny>) {
        let py = object.py();
        let len = self.len.get(py);
        if let Some(place) = self.objects.get(len) {
            // Nothing is dropped: places from the length on are empty.
            let _ = place.replace(py, Some(object.unbind()));
            self.len.replace(py, len + 1);
        }
    }
}
