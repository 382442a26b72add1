//! Cells that only who holds the interpreter's lock touches.

#![expect(
    unsafe_code,
    reason = "the interpreter's lock is a lock that the compiler does not know"
)]

use std::cell::UnsafeCell;
use std::fmt;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

/// Is a place for a value that the interpreter's lock guards, as a `Cell`: nobody is ever inside.
///
/// It relies on the lock, which the module switches on where it is off. Unlike a borrow that is counted, it costs
/// nothing, and unlike a lock, a fork or a signal handler never finds it taken.
#[derive(Default)]
pub(crate) struct Attached<T>(UnsafeCell<T>);

// SAFETY: every method needs an attached thread, of which there is one at a time, and none of them lets it go.
unsafe impl<T: Send> Sync for Attached<T> {}

impl<T> fmt::Debug for Attached<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attached(_)")
    }
}

impl<T> Attached<T> {
    /// Makes a cell.
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Replaces the value; callers decide when the old one is dropped, which may run Python code.
    #[inline]
    pub(crate) fn replace(&self, _py: Python<'_>, value: T) -> T {
        // SAFETY: nobody else is attached, and no reference into the cell outlives a method.
        unsafe { std::mem::replace(&mut *self.0.get(), value) }
    }
}

impl<T: Default> Attached<T> {
    /// Changes the value. `f` may not run Python code nor let other threads run, which would find the default value.
    #[inline]
    pub(crate) fn with<R>(&self, py: Python<'_>, f: impl FnOnce(&mut T) -> R) -> R {
        /// Puts the value back, also after a panic.
        struct Taken<'a, 'py, T>(&'a Attached<T>, Python<'py>, Option<T>);

        impl<T> Drop for Taken<'_, '_, T> {
            fn drop(&mut self) {
                if let Some(value) = self.2.take() {
                    drop(self.0.replace(self.1, value));
                }
            }
        }

        let mut taken = Taken(self, py, Some(self.replace(py, T::default())));
        f(taken.2.get_or_insert_default())
    }
}

impl<T: Copy> Attached<T> {
    /// Returns the value.
    #[inline]
    pub(crate) fn get(&self, _py: Python<'_>) -> T {
        // SAFETY: as in `replace`.
        unsafe { *self.0.get() }
    }
}

impl<T> Attached<Option<Py<T>>> {
    /// Returns the object, if there is one.
    #[inline]
    pub(crate) fn bound<'py>(&self, py: Python<'py>) -> Option<Bound<'py, T>> {
        // SAFETY: as in `replace`; to count a reference runs no code of anybody.
        let object = unsafe { &*self.0.get() };
        object.as_ref().map(|object| object.bind(py).clone())
    }
}

/// Is what has objects that the garbage collector is to see.
pub(crate) trait Traverse {
    /// Shows the objects to the collector.
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError>;
}

impl<T> Traverse for Option<Py<T>> {
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(self)
    }
}

impl<T: Traverse> Attached<T> {
    /// Shows the objects to the garbage collector.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: the collector runs in an attached thread, and nothing that it calls changes objects.
        unsafe { &*self.0.get() }.traverse(visit)
    }
}
