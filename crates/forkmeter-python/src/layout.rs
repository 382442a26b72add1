//! What interpreters of known versions keep where no function of theirs tells it, or none does in time.
//!
//! Each answer says that it does not know where the version is another; callers then ask in the general way.

#![expect(
    unsafe_code,
    clippy::multiple_unsafe_ops_per_block,
    reason = "structures of the interpreter that have no functions"
)]

use std::ffi::c_ulong;
use std::mem::offset_of;
use std::sync::atomic::{AtomicU8, Ordering};

use pyo3::ffi::{self, Py_ssize_t, PyObject};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// The minor version of the interpreter, once the module is initialized.
static MINOR: AtomicU8 = AtomicU8::new(u8::MAX);

/// Remembers which interpreter this is. The module's initialization calls it.
pub(crate) fn know_version(py: Python<'_>) {
    let version = py.version_info();
    if version.major == 3 {
        // ORDERING: a lone value, set before anything asks.
        MINOR.store(version.minor, Ordering::Relaxed);
    }
}

/// Returns the minor version of the interpreter, or one that none has.
#[inline]
pub(crate) fn minor() -> u8 {
    // ORDERING: as above.
    MINOR.load(Ordering::Relaxed)
}

/// Returns a number that no dict has had before and this one has until it is changed (PEP 509), up to Python 3.11.
#[inline]
pub(crate) fn dict_version(dict: &Bound<'_, PyDict>) -> Option<u64> {
    // The field has no name in the bindings of the versions that do not have it.
    const OFFSET: usize = offset_of!(ffi::PyDictObject, ma_used) + size_of::<Py_ssize_t>();
    // SAFETY: a dict that is held; in these versions the number stands there.
    (minor() < 12).then(|| unsafe { *dict.as_ptr().byte_add(OFFSET).cast::<u64>() })
}

/// Is where the instances of a class have attributes of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnAttributes {
    /// Nowhere.
    Nowhere,
    /// In a dict, to which a pointer at this offset leads.
    Dict(usize),
    /// Beside the instance, in the order of the names that its class has seen, which were so many; in a dict once
    /// somebody asked for it (Python 3.11).
    Shared(Py_ssize_t),
}

/// The head of the names of the attributes of all instances of a class, of Python 3.11.
#[repr(C)]
#[derive(Debug)]
struct SharedNames {
    references: Py_ssize_t,
    log2_size: u8,
    log2_index_bytes: u8,
    kind: u8,
    version: u32,
    usable: Py_ssize_t,
    count: Py_ssize_t,
}

/// Is what follows the head and the index, once for each name.
#[repr(C)]
#[derive(Debug)]
struct SharedName {
    name: *mut PyObject,
    value: *mut PyObject,
}

/// The kind of [`SharedNames`].
const SPLIT: u8 = 2;
/// `Py_TPFLAGS_MANAGED_DICT`, which the bindings of Python 3.10 do not have.
const MANAGED_DICT_FLAG: c_ulong = 1 << 4;
/// Where the pointer to an instance's dict is, of Python 3.11, counted in pointers.
const MANAGED_DICT: isize = -3;
/// Where the pointer to the attributes that are in no dict is, of Python 3.11, counted in pointers.
const OWN_VALUES: isize = -4;

impl OwnAttributes {
    /// Returns where instances of a class have their attributes. Nothing is returned where that is not known, or one
    /// of the class may have an attribute of this name without a dict.
    ///
    /// # Safety
    ///
    /// The class is held.
    pub(crate) unsafe fn of(
        class: *mut ffi::PyTypeObject,
        name: &Bound<'_, PyString>,
    ) -> Option<Self> {
        // SAFETY: by this function's contract.
        let (flags, offset) = unsafe { ((*class).tp_flags, (*class).tp_dictoffset) };
        if minor() == 11 && flags & MANAGED_DICT_FLAG != 0 {
            // SAFETY: as above; all of its kind are made by `type`.
            let names = unsafe { shared_names(class) }?;
            // SAFETY: the class keeps them.
            return unsafe { lacks(names, name) }
                .then_some(Self::Shared(unsafe { (*names).count }));
        }
        match offset {
            _ if minor() > 11 => None,
            0 => Some(Self::Nowhere),
            offset => usize::try_from(offset).ok().map(Self::Dict),
        }
    }

    /// Tells whether the answer for a class is still right.
    ///
    /// # Safety
    ///
    /// The class is held, and the answer is for it.
    #[inline]
    pub(crate) unsafe fn is_current(self, class: *mut ffi::PyTypeObject) -> bool {
        let Self::Shared(count) = self else {
            return true;
        };
        // SAFETY: by this function's contract; the class keeps the names, to which some are added but none taken away.
        unsafe { shared_names(class).is_some_and(|names| (*names).count == count) }
    }

    /// Tells whether an instance of the class has no attribute of its own with this name; may say no where it has none.
    #[inline]
    pub(crate) fn are_without(self, object: &Bound<'_, PyAny>, name: &Bound<'_, PyString>) -> bool {
        let pointer = object.as_ptr().cast::<*mut PyObject>();
        match self {
            Self::Nowhere => true,
            // SAFETY: in this version the pointer stands there, of an object whose class is such a one.
            Self::Shared(_) => unsafe { (*pointer.offset(MANAGED_DICT)).is_null() },
            Self::Dict(offset) => {
                // SAFETY: as above.
                let dict = unsafe { *pointer.byte_add(offset) };
                // SAFETY: a dict that the object holds, and the name is held.
                dict.is_null() || unsafe { ffi::PyDict_Contains(dict, name.as_ptr()) } == 0
            }
        }
    }
}

/// Tells whether an object has attributes of its own, without making a dict for them. Nothing is returned where that is not
/// known.
pub(crate) fn has_own_attributes(object: &Bound<'_, PyAny>) -> Option<bool> {
    let class = object.get_type().as_type_ptr();
    // SAFETY: a class that is held.
    let flags = unsafe { (*class).tp_flags };
    if minor() != 11 || flags & MANAGED_DICT_FLAG == 0 {
        return None;
    }
    let pointers = object.as_ptr().cast::<*mut PyObject>();
    // SAFETY: in this version the pointers stand there, of an object whose class is such a one.
    let (dict, values) = unsafe { (*pointers.offset(MANAGED_DICT), *pointers.offset(OWN_VALUES)) };
    if !dict.is_null() {
        // SAFETY: a dict that the object holds.
        return Some(unsafe { ffi::PyDict_Size(dict) } != 0);
    }
    if values.is_null() {
        return Some(false);
    }
    // SAFETY: a class of this version whose instances have such.
    let names = unsafe { shared_names(class) }?;
    // SAFETY: the class keeps them, and there is a place for the value of each.
    let has = |index| unsafe { !(*values.cast::<*mut PyObject>().offset(index)).is_null() };
    // SAFETY: as above.
    Some((0..unsafe { (*names).count }).any(has))
}

/// Tells whether there is no weak reference to an object; may say no where that is so.
#[inline]
pub(crate) fn is_without_weakrefs(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the object holds its class.
    let offset = unsafe { (*object.get_type().as_type_ptr()).tp_weaklistoffset };
    let pointer = object.as_ptr().cast::<*mut PyObject>();
    // SAFETY: where it is not zero the head of the list of weak references stands there, in every version.
    offset == 0 || unsafe { (*pointer.byte_offset(offset)).is_null() }
}

/// Returns the names of the attributes of instances.
///
/// # Safety
///
/// The class is a held one of Python 3.11 whose instances have such.
#[inline]
unsafe fn shared_names(class: *mut ffi::PyTypeObject) -> Option<*const SharedNames> {
    let class = class.cast::<ffi::PyHeapTypeObject>();
    // SAFETY: by this function's contract.
    let names = unsafe { (*class).ht_cached_keys }.cast::<SharedNames>();
    (!names.is_null()).then_some(names.cast_const())
}

/// Tells whether a name is not among those of attributes.
///
/// # Safety
///
/// The names are those of a class that is held.
unsafe fn lacks(names: *const SharedNames, name: &Bound<'_, PyString>) -> bool {
    // SAFETY: by this function's contract.
    let (kind, index_bytes, count) =
        unsafe { ((*names).kind, (*names).log2_index_bytes, (*names).count) };
    if kind != SPLIT {
        return false;
    }
    // SAFETY: the names follow the index, which follows the head.
    let first = unsafe { names.add(1).byte_add(1 << index_bytes) }.cast::<SharedName>();
    (0..count).all(|index| {
        // SAFETY: there are so many, and a dict of attributes has strings alone.
        unsafe { ffi::PyUnicode_Compare((*first.offset(index)).name, name.as_ptr()) != 0 }
    })
}
