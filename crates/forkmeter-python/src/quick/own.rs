//! Recording by a method's name without a call, where the method is the package's own.
//!
//! Whoever replaces a method, on a class or on an object, has it called. So what a class has by a name is learned, with
//! the version that the interpreter gives the class; a change makes another version.

#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "to borrow what the interpreter passed is one step"
)]

use pyo3::ffi::{self, PyObject};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use super::{calls, definition_of};
use crate::attached::Attached;
use crate::kinds::{NativeCounter, NativeGauge, NativeHistogram, NativeSummary};
use crate::layout::OwnAttributes;
use crate::metric::{ClassVersion, NativeMetric};
use crate::names::names;
use crate::series::Place;

unsafe extern "C" {
    // Not in the bindings, but in every version.
    fn _PyType_Lookup(class: *mut ffi::PyTypeObject, name: *mut PyObject) -> *mut PyObject;
}

/// How many classes are remembered for each name; more take each other's places.
const CLASSES: usize = 4;

static ADDING: Memory = Memory::new();
static TAKING_AWAY: Memory = Memory::new();
static SETTING: Memory = Memory::new();
static OBSERVING: Memory = Memory::new();

/// What looks attributes up where a class does not decide itself.
const PLAIN_GETATTR: ffi::getattrofunc = ffi::PyObject_GenericGetAttr;

/// Remembers what classes have by a name.
#[derive(Debug)]
struct Memory {
    /// The addresses of the classes.
    classes: [Attached<usize>; CLASSES],
    learned: [Attached<Option<Learned>>; CLASSES],
    next: Attached<usize>,
}

/// A method of the package.
#[derive(Clone, Copy, Debug)]
enum Method {
    Add,
    TakeAway,
    Set,
    ObserveInSummary,
    ObserveInHistogram,
}

/// Is what a class has by a name.
#[derive(Clone, Copy, Debug)]
struct Learned {
    version: ClassVersion,
    attributes: OwnAttributes,
    /// Nothing where it is not the package's.
    method: Option<Method>,
}

/// Does what calling a metric's `inc` does. Nothing is returned, and nothing done, where that takes a call.
#[inline]
pub(super) fn add_one(metric: &Bound<'_, PyAny>) -> Option<()> {
    record(metric, &ADDING, &names().inc, 1.0)
}

/// As [`add_one`], for `dec`.
#[inline]
pub(super) fn take_one_away(metric: &Bound<'_, PyAny>) -> Option<()> {
    record(metric, &TAKING_AWAY, &names().dec, 1.0)
}

/// As [`add_one`], for a timer's method and the seconds that it measured.
#[inline]
pub(super) fn hand_over(
    metric: &Bound<'_, PyAny>,
    name: &Bound<'_, PyString>,
    seconds: f64,
) -> Option<()> {
    let names = names();
    if name.is(&names.observe) {
        record(metric, &OBSERVING, &names.observe, seconds)
    } else if name.is(&names.set) {
        record(metric, &SETTING, &names.set, seconds)
    } else {
        None
    }
}

#[inline]
fn record(
    metric: &Bound<'_, PyAny>,
    memory: &Memory,
    name: &Py<PyString>,
    amount: f64,
) -> Option<()> {
    let py = metric.py();
    let (class, name) = (metric.get_type(), name.bind(py));
    let known = memory.find(&class).or_else(|| memory.learn(&class, name))?;
    let method = known.method?;
    if !known.attributes.are_without(metric, name) {
        return None;
    }
    // SAFETY: methods are learned of subclasses of it alone.
    let metric = unsafe { metric.cast_unchecked::<NativeMetric>() };
    method.record(&metric.get().series()?.place()?, amount);
    Some(())
}

impl Memory {
    const fn new() -> Self {
        Self {
            classes: [const { Attached::new(0) }; CLASSES],
            learned: [const { Attached::new(None) }; CLASSES],
            next: Attached::new(0),
        }
    }

    /// Returns what is remembered of a class, if it is still so.
    #[inline]
    fn find(&self, class: &Bound<'_, PyType>) -> Option<Learned> {
        let py = class.py();
        let is_it = |known: &Attached<usize>| known.get(py) == class.as_ptr() as usize;
        let index = self.classes.iter().position(is_it)?;
        let learned = self.learned.get(index)?.get(py)?;
        learned.is_of(class).then_some(learned)
    }

    /// Learns it, and remembers it in the place of what was remembered of the class, or of another.
    #[cold]
    fn learn(&self, class: &Bound<'_, PyType>, name: &Bound<'_, PyString>) -> Option<Learned> {
        let py = class.py();
        let address = class.as_ptr() as usize;
        let learned = Learned::new(class, name)?;
        let known = self.classes.iter().position(|c| c.get(py) == address);
        let index = known.unwrap_or_else(|| {
            let next = self.next.get(py);
            self.next.replace(py, (next + 1) % CLASSES);
            next
        });
        self.classes.get(index)?.replace(py, address);
        self.learned.get(index)?.replace(py, Some(learned));
        Some(learned)
    }
}

impl Learned {
    #[inline]
    fn is_of(&self, class: &Bound<'_, PyType>) -> bool {
        // SAFETY: the class is held, and the very one by its version.
        Some(self.version) == ClassVersion::of(class)
            && unsafe { self.attributes.is_current(class.as_type_ptr()) }
    }

    /// Looks; nothing is returned where changes of the class could not be told.
    fn new(class: &Bound<'_, PyType>, name: &Bound<'_, PyString>) -> Option<Self> {
        // SAFETY: the class is held; the result is borrowed from it, or null without an exception.
        let found = unsafe {
            let found = _PyType_Lookup(class.as_type_ptr(), name.as_ptr());
            Bound::from_borrowed_ptr_or_opt(class.py(), found)
        };
        let version = ClassVersion::to_remember(class)?;
        // SAFETY: the class is held.
        let getattr = unsafe { (*class.as_type_ptr()).tp_getattro };
        let is_plain = getattr.is_some_and(|own| own as usize == PLAIN_GETATTR as usize);
        let method = found
            .filter(|_| is_plain)
            .and_then(|found| Method::of(class, &found));
        // SAFETY: the class is held.
        let attributes = unsafe { OwnAttributes::of(class.as_type_ptr(), name) };
        Some(Self {
            version,
            attributes: attributes.unwrap_or(OwnAttributes::Nowhere),
            method: method.filter(|_| attributes.is_some()),
        })
    }
}

impl Method {
    /// Returns which method of the package an attribute of a class is.
    fn of(class: &Bound<'_, PyType>, found: &Bound<'_, PyAny>) -> Option<Self> {
        // SAFETY: it lives as long as the descriptor; all members of the union are function pointers.
        let function = unsafe {
            std::mem::transmute::<ffi::PyMethodDefPointer, usize>((*definition_of(found)?).ml_meth)
        };
        let is = |own: ffi::PyCFunctionFastWithKeywords| function == own as usize;
        let py = class.py();
        let (kind, method) = if is(calls::counter_inc) {
            (py.get_type::<NativeCounter>(), Self::Add)
        } else if is(calls::gauge_inc) {
            (py.get_type::<NativeGauge>(), Self::Add)
        } else if is(calls::gauge_dec) {
            (py.get_type::<NativeGauge>(), Self::TakeAway)
        } else if is(calls::gauge_set) {
            (py.get_type::<NativeGauge>(), Self::Set)
        } else if is(calls::summary_observe) {
            (py.get_type::<NativeSummary>(), Self::ObserveInSummary)
        } else if is(calls::histogram_observe) {
            (py.get_type::<NativeHistogram>(), Self::ObserveInHistogram)
        } else {
            return None;
        };
        // SAFETY: both are held.
        let is_kind = unsafe { ffi::PyType_IsSubtype(class.as_type_ptr(), kind.as_type_ptr()) };
        (is_kind != 0).then_some(method)
    }

    /// Does it; amounts are durations or 1, which every method takes.
    #[inline]
    fn record(self, place: &Place<'_>, amount: f64) {
        match self {
            Self::Add => place.add(0, amount),
            Self::TakeAway => place.add(0, -amount),
            Self::Set => place.set(0, amount),
            Self::ObserveInSummary => place.observe_in_summary(amount),
            Self::ObserveInHistogram => place.observe_in_histogram(amount),
        }
    }
}
