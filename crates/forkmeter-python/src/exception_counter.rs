//! What `count_exceptions()` returns: a context manager that decorates as well.

use pyo3::exceptions::PyAttributeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::call;
use crate::names::names;

/// Counts the exceptions that leave a block or a function; they go on their way.
#[pyclass(subclass, dict, weakref, module = "forkmeter.context_managers")]
#[derive(Debug, Default)]
pub(crate) struct ExceptionCounter {
    /// The counter, and which exceptions count: a type, or a tuple of them.
    parts: Option<(Py<PyAny>, Py<PyAny>)>,
}

/// Is a counter and what counts there.
type Parts<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

impl ExceptionCounter {
    /// Makes what counts exceptions of these types in a counter.
    pub(crate) fn of(counter: Bound<'_, PyAny>, exception: Bound<'_, PyAny>) -> Self {
        let parts = Some((counter.unbind(), exception.unbind()));
        Self { parts }
    }

    fn parts<'py>(&self, py: Python<'py>, missing: &'static str) -> PyResult<Parts<'py>> {
        match &self.parts {
            Some((counter, exception)) => {
                Ok((counter.bind(py).clone(), exception.bind(py).clone()))
            }
            None => Err(PyAttributeError::new_err(missing)),
        }
    }
}

#[pymethods]
impl ExceptionCounter {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::default()
    }

    fn __init__(slf: &Bound<'_, Self>, counter: Py<PyAny>, exception: Py<PyAny>) {
        let replaced = slf.borrow_mut().parts.replace((counter, exception));
        // Dropped without the borrow: the end of an object may run Python code.
        drop(replaced);
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
        let (counter, exception) = slf.borrow().parts(py, "_exception")?;
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
        if let Some((counter, exception)) = &self.parts {
            visit.call(counter)?;
            visit.call(exception)?;
        }
        Ok(())
    }

    fn __clear__(&mut self) {
        self.parts = None;
    }
}
