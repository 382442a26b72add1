//! Strings that every request needs, made once per recorder: an interned one would be made late (see the crate's fork
//! rule).

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// The methods that have a label value of their own; a client could invent any number of others.
const METHODS: [&str; 9] = [
    "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE",
];
/// The statuses that have a string ready.
const CODES: std::ops::Range<u16> = 100..600;

/// The strings.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) kind: Py<PyString>,
    pub(super) method: Py<PyString>,
    pub(super) path: Py<PyString>,
    pub(super) status: Py<PyString>,
    pub(super) body: Py<PyString>,
    pub(super) more_body: Py<PyString>,
    pub(super) headers: Py<PyString>,
    pub(super) mark: Py<PyString>,
    pub(super) app: Py<PyString>,
    pub(super) router: Py<PyString>,
    pub(super) route: Py<PyString>,
    pub(super) endpoint: Py<PyString>,
    pub(super) app_root_path: Py<PyString>,
    pub(super) fastapi: Py<PyString>,
    pub(super) effective_route_context: Py<PyString>,
    pub(super) original_route: Py<PyString>,
    pub(super) opentelemetry: Py<PyString>,
    pub(super) http_traceparent: Py<PyString>,
    pub(super) get: Py<PyString>,
    pub(super) other: Py<PyString>,
    pub(super) cancelled: Py<PyString>,
    methods: Py<PyDict>,
    /// As they are written: codes or their classes.
    codes: Vec<Py<PyString>>,
}

impl Words {
    /// Makes the strings, with statuses as classes (`4xx`) or as codes.
    pub(super) fn new(py: Python<'_>, classes: bool, cancelled: Py<PyString>) -> PyResult<Self> {
        let word = |text: &str| PyString::new(py, text).unbind();
        let methods = PyDict::new(py);
        for method in METHODS {
            methods.set_item(method, method)?;
        }
        let by_class: Vec<_> = (1..6).map(|class| word(&format!("{class}xx"))).collect();
        let codes = CODES.map(|code| match by_class.get(usize::from(code / 100) - 1) {
            Some(class) if classes => class.clone_ref(py),
            _ => word(&code.to_string()),
        });
        Ok(Self {
            kind: word("type"),
            method: word("method"),
            path: word("path"),
            status: word("status"),
            body: word("body"),
            more_body: word("more_body"),
            headers: word("headers"),
            mark: word("forkmeter.http"),
            app: word("app"),
            router: word("router"),
            route: word("route"),
            endpoint: word("endpoint"),
            app_root_path: word("app_root_path"),
            fastapi: word("fastapi"),
            effective_route_context: word("effective_route_context"),
            original_route: word("original_route"),
            opentelemetry: word("opentelemetry.sdk.trace"),
            http_traceparent: word("HTTP_TRACEPARENT"),
            get: word("GET"),
            other: word("other"),
            cancelled,
            methods: methods.unbind(),
            codes: codes.collect(),
        })
    }

    /// Returns the label value of a method.
    pub(super) fn method_label<'py>(&self, given: &Bound<'py, PyAny>) -> Bound<'py, PyString> {
        let py = given.py();
        let known = self.methods.bind(py).get_item(given).ok().flatten();
        known
            .and_then(|known| known.cast_into().ok())
            .unwrap_or_else(|| self.other.bind(py).clone())
    }

    /// Returns the label value of a status.
    pub(super) fn status_label<'py>(
        &self,
        py: Python<'py>,
        code: u16,
        classes: bool,
    ) -> Bound<'py, PyString> {
        if CODES.contains(&code) {
            return self.codes[usize::from(code - CODES.start)].bind(py).clone();
        }
        let text = if classes {
            format!("{}xx", code / 100)
        } else {
            code.to_string()
        };
        PyString::new(py, &text)
    }
}
