//! The families of a middleware, and how a request that ended is counted in them.

use std::time::Duration;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use super::measure::{Measure, Quantity, Source, Values, native_series, record};
use super::words::Words;
use crate::call;

/// How many label sets are kept in mind; more are looked up anew.
const MAX_KEYS: usize = 16_384;

/// Counts HTTP requests in families that the Python half declared.
#[pyclass(frozen, module = "forkmeter._forkmeter")]
#[derive(Debug)]
pub(crate) struct HttpRecorder {
    measures: Vec<Measure>,
    in_progress: Option<Measure>,
    pub(super) words: Words,
    classes: bool,
    /// The route of requests that no route matched; without one they do not count.
    unmatched: Option<Py<PyString>>,
    excluded: Excluded,
    /// For each label set of a request, a tuple with the label values of each measure.
    keys: Py<PyDict>,
    /// The routes that paths of one application were expected to take, and under `None` that application.
    expected: Py<PyDict>,
    hooks: Hooks,
}

/// What the Python half is asked.
#[derive(Debug, FromPyObject)]
pub(crate) struct Hooks {
    /// `(scope) -> template | None`, before the request is answered.
    expect: Py<PyAny>,
    /// `(receive, exchange) -> coroutine`, which receives and has the exchange see it.
    receive: Py<PyAny>,
    /// `(scope, answer) -> template | None`, after it.
    resolve: Py<PyAny>,
    /// `(exchange) -> label values`, where the program computes some.
    custom: Option<Py<PyAny>>,
    /// `(scope) -> labels of an exemplar | None`.
    exemplar: Option<Py<PyAny>>,
    /// `(error) -> None`.
    report: Py<PyAny>,
    /// Whether only the Python half knows routes.
    asks_always: bool,
    /// Where `exemplar` only finds what OpenTelemetry or a header tell: the modules that are loaded.
    modules: Option<Py<PyDict>>,
}

/// Names requests that are not measured.
#[derive(Debug, Default)]
struct Excluded {
    methods: Vec<String>,
    paths: Vec<String>,
    starts: Vec<String>,
}

/// Says how a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With a response.
    Status(u16),
    /// With an exception.
    Failed,
    /// Nobody waited for the response.
    Cancelled,
}

/// Holds what is known of a request in the end.
#[derive(Debug)]
pub(super) struct Ended<'a, 'py> {
    pub(super) exchange: &'a Bound<'py, PyAny>,
    pub(super) scope: &'a Bound<'py, PyDict>,
    pub(super) method: &'a Bound<'py, PyString>,
    pub(super) route: Option<Bound<'py, PyAny>>,
    pub(super) end: End,
    pub(super) duration: Duration,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
}

#[pymethods]
impl HttpRecorder {
    /// Makes a recorder.
    ///
    /// A measure is `(quantity, family, label sources)`; a source is the name of what every request has, the place of
    /// a label that the program computes, or a tuple with a value that is always the same.
    #[new]
    #[pyo3(signature = (measures, *, by_class, unmatched, cancelled, exclude_methods, exclude_paths, hooks))]
    #[expect(
        clippy::too_many_arguments,
        reason = "keyword arguments of the Python half"
    )]
    fn new(
        py: Python<'_>,
        measures: Vec<(String, Py<PyAny>, Vec<Source>)>,
        by_class: bool,
        unmatched: Option<Py<PyString>>,
        cancelled: Py<PyString>,
        exclude_methods: Vec<String>,
        exclude_paths: Vec<String>,
        hooks: Hooks,
    ) -> PyResult<Self> {
        let mut all = Vec::with_capacity(measures.len());
        for (quantity, family, sources) in measures {
            all.push(Measure {
                quantity: Quantity::parse(&quantity)?,
                family,
                sources,
            });
        }
        let is_ongoing = |measure: &Measure| measure.quantity == Quantity::InProgress;
        let in_progress = all
            .iter()
            .position(is_ongoing)
            .map(|index| all.swap_remove(index));
        Ok(Self {
            measures: all,
            in_progress,
            words: Words::new(py, by_class, cancelled)?,
            classes: by_class,
            unmatched,
            excluded: Excluded::new(exclude_methods, exclude_paths),
            keys: PyDict::new(py).unbind(),
            expected: PyDict::new(py).unbind(),
            hooks,
        })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        for measure in self.measures.iter().chain(&self.in_progress) {
            visit.call(&measure.family)?;
        }
        let hooks = &self.hooks;
        visit.call(&self.expected)?;
        visit.call(&hooks.expect)?;
        visit.call(&hooks.receive)?;
        visit.call(&hooks.resolve)?;
        visit.call(&hooks.custom)?;
        visit.call(&hooks.exemplar)?;
        visit.call(&hooks.report)
    }
}

impl HttpRecorder {
    /// Tells whether both count in the same families, so that a request which passes both should count once.
    pub(super) fn counts_with(&self, other: &Self) -> bool {
        let families = |recorder: &Self| -> Vec<*mut pyo3::ffi::PyObject> {
            let all = recorder.measures.iter().chain(&recorder.in_progress);
            all.map(|measure| measure.family.as_ptr()).collect()
        };
        std::ptr::eq(self, other) || families(self) == families(other)
    }

    /// Tells whether requests like this are left out.
    #[inline]
    pub(super) fn excludes(
        &self,
        method: &Bound<'_, PyAny>,
        path: impl FnOnce() -> PyResult<Option<String>>,
    ) -> PyResult<bool> {
        let excluded = &self.excluded;
        if !excluded.methods.is_empty() {
            let method = method.cast::<PyString>()?;
            let method = method.to_str()?;
            if excluded.methods.iter().any(|other| other == method) {
                return Ok(true);
            }
        }
        if excluded.paths.is_empty() && excluded.starts.is_empty() {
            return Ok(false);
        }
        let Some(path) = path()? else {
            return Ok(false);
        };
        Ok(excluded.paths.contains(&path)
            || excluded.starts.iter().any(|start| path.starts_with(start)))
    }

    /// Counts a request as being answered; returns the series in which it does.
    pub(super) fn begin(
        &self,
        scope: &Bound<'_, PyDict>,
        method: &Bound<'_, PyString>,
    ) -> Option<Py<PyAny>> {
        let measure = self.in_progress.as_ref()?;
        self.or_report(scope.py(), || {
            let py = scope.py();
            let route = if measure.has_route() {
                Some(self.expect(scope)?)
            } else {
                None
            };
            let values = Values {
                method,
                route: &self.route_label(py, route),
                status: self.words.other.bind(py),
                custom: &[],
            };
            let series = measure.series(&measure.key(py, &values)?)?;
            record(&series, 1.0, None)?;
            Ok(series.unbind())
        })
    }

    /// Returns the route that a request will take, or `None`.
    ///
    /// Found routes are kept by path, as long as requests are for the same application: what it finds for a path only
    /// changes when somebody adds a route that comes first.
    fn expect<'py>(&self, scope: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        let py = scope.py();
        let words = &self.words;
        let ask = || call::call1(self.hooks.expect.bind(py), scope);
        // What comes through a mount, or asks for a WebSocket, is looked up with more care.
        let Some(app) = scope.get_item(&words.app)? else {
            return ask();
        };
        if scope.contains(&words.router)? || !scope.contains(&words.method)? {
            return ask();
        }
        let Some(path) = scope.get_item(&words.path)? else {
            return ask();
        };
        let expected = self.expected.bind(py);
        let is_same = expected.get_item(py.None())?;
        if is_same.is_none_or(|known| !known.is(&app)) || expected.len() >= MAX_KEYS {
            expected.clear();
            expected.set_item(py.None(), app)?;
        } else if let Some(route) = expected.get_item(&path)? {
            return Ok(route);
        }
        let route = ask()?;
        if !route.is_none() {
            expected.set_item(path, &route)?;
        }
        Ok(route)
    }

    /// Returns a coroutine that receives, and has the exchange see what.
    pub(super) fn receive<'py>(
        &self,
        receive: &Bound<'py, PyAny>,
        exchange: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = receive.py();
        let args = (receive, exchange).into_pyobject(py)?;
        call::call(self.hooks.receive.bind(py), &args, None)
    }

    /// Counts a request as no longer being answered.
    pub(super) fn leave(&self, series: &Bound<'_, PyAny>) {
        self.or_report(series.py(), || match native_series(series) {
            Some(native) => {
                native.add(series.py(), 0, -1.0);
                Ok(())
            }
            None => record(series, -1.0, None),
        });
    }

    /// Tells whether only the Python half knows routes.
    pub(super) fn asks_always(&self) -> bool {
        self.hooks.asks_always
    }

    /// Asks the Python half for the route of a request.
    pub(super) fn resolve<'py>(
        &self,
        scope: &Bound<'py, PyDict>,
        answer: Option<&Bound<'py, PyAny>>,
    ) -> Option<Bound<'py, PyAny>> {
        let py = scope.py();
        let found = self.or_report(py, || {
            let args = (scope, answer).into_pyobject(py)?;
            call::call(self.hooks.resolve.bind(py), &args, None)
        });
        found.filter(|found| !found.is_none())
    }

    /// Counts a request that ended.
    pub(super) fn end(&self, ended: &Ended<'_, '_>) {
        self.or_report(ended.method.py(), || self.try_end(ended));
    }

    fn try_end(&self, ended: &Ended<'_, '_>) -> PyResult<()> {
        let py = ended.method.py();
        if ended.route.is_none() && self.unmatched.is_none() {
            return Ok(());
        }
        let status = match ended.end {
            End::Status(code) => self.words.status_label(py, code, self.classes),
            End::Failed => self.words.status_label(py, 500, self.classes),
            End::Cancelled => self.words.cancelled.bind(py).clone(),
        };
        let route = self.route_label(py, ended.route.clone());
        let custom: Vec<Bound<'_, PyAny>> = match &self.hooks.custom {
            Some(custom) => call::call1(custom.bind(py), ended.exchange)?.extract()?,
            None => Vec::new(),
        };
        let values = Values {
            method: ended.method,
            route: &route,
            status: &status,
            custom: &custom,
        };
        let exemplar = self.or_report(py, || self.exemplar(ended.scope)).flatten();
        let keys = self.keys_of(py, &values)?;
        for (measure, key) in self.measures.iter().zip(keys.iter_borrowed()) {
            let series = measure.series(&*key.cast::<PyTuple>()?)?;
            let number = match measure.quantity {
                Quantity::Requests | Quantity::InProgress => 1.0,
                Quantity::Duration => ended.duration.as_secs_f64(),
                Quantity::RequestSize => size(ended.request_bytes),
                Quantity::ResponseSize => size(ended.response_bytes),
            };
            let exemplar = exemplar.as_ref().filter(|_| measure.takes_exemplars());
            // One that is not valid is refused after the number has been recorded.
            self.or_report(py, || record(&series, number, exemplar));
        }
        Ok(())
    }

    /// Asks for an exemplar, where there may be one.
    fn exemplar<'py>(&self, scope: &Bound<'py, PyDict>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = scope.py();
        let hooks = &self.hooks;
        let Some(exemplar) = &hooks.exemplar else {
            return Ok(None);
        };
        if let Some(modules) = &hooks.modules
            && !modules.bind(py).contains(&self.words.opentelemetry)?
            && !self.has_traceparent(scope)?
        {
            return Ok(None);
        }
        let exemplar = call::call1(exemplar.bind(py), scope)?;
        Ok((!exemplar.is_none()).then_some(exemplar))
    }

    fn has_traceparent(&self, scope: &Bound<'_, PyDict>) -> PyResult<bool> {
        let Some(headers) = scope.get_item(&self.words.headers)? else {
            return scope.contains(&self.words.http_traceparent);
        };
        let Ok(headers) = headers.cast::<PyList>() else {
            // Not what servers pass: let the Python half look.
            return Ok(true);
        };
        Ok(headers.iter().any(|header| {
            let name = header
                .cast::<PyTuple>()
                .ok()
                .and_then(|header| header.get_item(0).ok());
            let name = name.as_ref().and_then(|name| name.cast::<PyBytes>().ok());
            name.is_some_and(|name| name.as_bytes() == b"traceparent")
        }))
    }

    /// Returns the label values of each measure.
    fn keys_of<'py>(
        &self,
        py: Python<'py>,
        values: &Values<'_, 'py>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let known = self.keys.bind(py);
        let of_request = [values.method.as_any(), values.route, values.status.as_any()];
        let all = if values.custom.is_empty() {
            PyTuple::new(py, of_request)?
        } else {
            let all: Vec<_> = of_request.into_iter().chain(values.custom).collect();
            PyTuple::new(py, all)?
        };
        if let Some(keys) = known.get_item(&all)? {
            return Ok(keys.cast_into()?);
        }
        let mut keys = Vec::with_capacity(self.measures.len());
        for measure in &self.measures {
            keys.push(measure.key(py, values)?);
        }
        let keys = PyTuple::new(py, keys)?;
        if known.len() >= MAX_KEYS {
            known.clear();
        }
        known.set_item(all, &keys)?;
        Ok(keys)
    }

    fn route_label<'py>(
        &self,
        py: Python<'py>,
        route: Option<Bound<'py, PyAny>>,
    ) -> Bound<'py, PyAny> {
        let unmatched = || {
            let unmatched = self.unmatched.as_ref().unwrap_or(&self.words.other);
            unmatched.bind(py).clone().into_any()
        };
        let route = route.filter(|route| !route.is_none());
        route.unwrap_or_else(unmatched)
    }

    /// Does something that must not make the request fail.
    pub(super) fn or_report<R>(
        &self,
        py: Python<'_>,
        f: impl FnOnce() -> PyResult<R>,
    ) -> Option<R> {
        match f() {
            Ok(done) => Some(done),
            Err(error) => {
                let report = self.hooks.report.bind(py);
                // Whoever logs may fail too, and nobody is left to be told.
                let _ = call::call1(report, error.value(py));
                None
            }
        }
    }
}

impl Excluded {
    fn new(methods: Vec<String>, patterns: Vec<String>) -> Self {
        let mut excluded = Self {
            methods,
            ..Self::default()
        };
        for pattern in patterns {
            match pattern.strip_suffix('*') {
                Some(start) => excluded.starts.push(start.to_owned()),
                None => excluded.paths.push(pattern),
            }
        }
        excluded
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a body of 9 petabytes may be off by a byte"
)]
fn size(bytes: u64) -> f64 {
    bytes as f64
}
