//! What `count_exceptions()` returns: a context manager that decorates as well.

use pyo3::exceptions::PyAttributeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::attached::Attached;
use crate::call;
use crate::names::names;

/// Counts the exceptions that leave a block or a function; they go on their way.
#[pyclass(subclass, dict, weakref, frozen, module = "forkmeter.context_managers")]
#[derive(Debug, Default)]
pub(crate) struct ExceptionCounter {
    counter: Attached<Option<Py<PyAny>>>,
    /// Which exceptions count: a type, or a tuple of them.
    exception: Attached<Option<Py<PyAny>>>,
}

/// Is a counter and what counts there.
type Parts<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

impl ExceptionCounter {
    /// Makes what counts exceptions of these types in a counter.
    pub(crate) fn of(counter: Bound<'_, PyAny>, exception: Bound<'_, PyAny>) -> Self {
        Self {
            counter: Attached::new(Some(counter.unbind())),
            exception: Attached::new(Some(exception.unbind())),
        }
    }

    /// Tells whether it is sure, without a call, that `None` is none of what counts.
    #[inline]
    pub(crate) fn never_counts_none(&self, py: Python<'_>) -> bool {
        let exception = self.exception.bound(py);
        // Whether something is an instance of another kind of class may be for Python code to say.
        exception.is_some_and(|exception| {
            exception.get_type().is(py.get_type::<PyType>()) && call::is_exception_class(&exception)
        })
    }

    fn parts<'py>(&self, py: Python<'py>, missing: &'static str) -> PyResult<Parts<'py>> {
        let parts = self.counter.bound(py).zip(self.exception.bound(py));
        parts.ok_or_else(|| PyAttributeError::new_err(missing))
    }
}

#[pymethods]
impl ExceptionCounter {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::default()
    }

    fn __init__(&self, py: Python<'_>, counter: Py<PyAny>, exception: Py<PyAny>) {
        let counter = self.counter.replace(py, Some(counter));
        let exception = self.exception.replace(py, Some(exception));
        // Dropped once both are there: the end of an object may run Python code.
        drop((counter, exception));
    }

    #[getter(_counter)]
    fn counter<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.parts(py, "_counter").map(|(counter, _)| counter)
    }

    #[getter(_exception)]
    fn exception<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.parts(py, "_exception").map(|(_, exception)| exception)
    }

    /// Does nothing.
    #[expect(clippy::unused_self, reason = "the protocol of context managers")]
    fn __enter__(&self) {}

    /// Counts the exception if it is one of those, and lets it pass.
    fn __exit__(
        slf: &Bound<'_, Self>,
        typ: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let _ = (typ, traceback);
        let py = slf.py();
        let (counter, exception) = slf.get().parts(py, "_exception")?;
        if call::is_instance(value, &exception)? {
            call::call_without_arguments(&counter, names().inc.bind(py))?;
        }
        Ok(false)
    }

    /// Decorates a function of any kind.
    fn __call__<'py>(slf: &Bound<'py, Self>, f: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        call::decorate("decorate_within", f, slf)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.counter.traverse(&visit)?;
        self.exception.traverse(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        drop(self.counter.replace(py, None));
        drop(self.exception.replace(py, None));
    }
}
