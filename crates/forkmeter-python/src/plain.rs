//! What has to be as the package made it, so that a child can be made without its Python half.
//!
//! Programs and their tests replace the class of values and the clock, and libraries that freeze time do; so both
//! names are looked up whenever a child is made, unless the interpreter tells that nothing has changed where they are.

use std::sync::OnceLock;
use std::time::SystemTime;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::attached::Attached;
use crate::names::names;
use crate::{call, layout, quick};

static PLAIN: OnceLock<Plain> = OnceLock::new();

/// The versions of the namespaces in which both names were last found to be the package's, where they have versions.
static PLAIN_VERSIONS: Attached<Option<(u64, u64)>> = Attached::new(None);

#[derive(Debug)]
struct Plain {
    values: Py<PyDict>,
    value_class: Py<PyAny>,
    clocks: Py<PyDict>,
    clock: Py<PyAny>,
    count_weakrefs: Py<PyAny>,
    classes: Py<PyTuple>,
}

/// Remembers the namespaces of `values` and `time` as they are, how weak references are counted, and the package's own
/// classes of metrics.
#[pyfunction]
pub(crate) fn know_plain(
    values: Bound<'_, PyDict>,
    clocks: Bound<'_, PyDict>,
    count_weakrefs: Py<PyAny>,
    classes: Py<PyTuple>,
) -> PyResult<()> {
    let value_class = values.as_any().get_item(&names().value_class)?.unbind();
    let clock = clocks.as_any().get_item(&names().time)?.unbind();
    for class in classes.bind(values.py()) {
        quick::own_methods(class.cast::<PyType>()?)?;
    }
    // Known already: the module is being loaded again.
    let _ = PLAIN.set(Plain {
        values: values.unbind(),
        value_class,
        clocks: clocks.unbind(),
        clock,
        count_weakrefs,
        classes,
    });
    Ok(())
}

/// Returns the present time as Unix time in seconds, where values are native and nobody replaced the clock.
#[inline]
pub(crate) fn seconds_of_plain_child(py: Python<'_>) -> Option<f64> {
    let plain = PLAIN.get()?;
    let version = |namespace: &Py<PyDict>| layout::dict_version(namespace.bind(py));
    let versions = version(&plain.values).zip(version(&plain.clocks));
    if versions.is_none() || versions != PLAIN_VERSIONS.get(py) {
        let is_own = |namespace: &Py<PyDict>, name, own: &Py<PyAny>| {
            let found = namespace.bind(py).get_item(name);
            found.is_ok_and(|found| found.is_some_and(|found| found.is(own)))
        };
        let is_plain = is_own(&plain.values, &names().value_class, &plain.value_class)
            && is_own(&plain.clocks, &names().time, &plain.clock);
        PLAIN_VERSIONS.replace(py, versions.filter(|_| is_plain));
        if !is_plain {
            return None;
        }
    }
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Some(since.unwrap_or_default().as_secs_f64())
}

/// Tells whether a class is one of the package's own, whose instances have nothing but what it gave them.
pub(crate) fn is_own_class(class: &Bound<'_, PyType>) -> bool {
    let classes = PLAIN.get().map(|plain| plain.classes.bind(class.py()));
    classes.is_some_and(|classes| classes.iter_borrowed().any(|own| own.is(class)))
}

/// Tells whether there is a weak reference to an object, or that cannot be told.
pub(crate) fn has_weakrefs(object: &Bound<'_, PyAny>) -> bool {
    if layout::is_without_weakrefs(object) {
        return false;
    }
    let Some(plain) = PLAIN.get() else {
        return true;
    };
    let count = call::call1(plain.count_weakrefs.bind(object.py()), object);
    !count.is_ok_and(|count| count.extract::<usize>().is_ok_and(|count| count == 0))
}
