//! One WSGI request on its way to the end of its response.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use forkmeter_core::fork;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use super::asgi::mark;
use super::recorder::{End, Ended, HttpRecorder};
use crate::call;

/// Stands for a length that nobody told.
const UNKNOWN: u64 = u64::MAX;

/// One request: called as the `start_response` of its application.
#[pyclass(frozen, module = "forkmeter._forkmeter")]
#[derive(Debug)]
pub(crate) struct WsgiExchange {
    recorder: Py<HttpRecorder>,
    environ: Py<PyDict>,
    start_response: Py<PyAny>,
    /// Where the application stood when the request came in.
    script_name: Option<Py<PyAny>>,
    method: Py<PyString>,
    in_progress: Option<Py<PyAny>>,
    start: Instant,
    /// What the application said last; 0 for nothing yet.
    status: AtomicU16,
    headers: Mutex<Option<Py<PyAny>>>,
    content_length: AtomicU64,
    request_bytes: u64,
    response_bytes: AtomicU64,
    is_head: bool,
    has_ended: AtomicBool,
}

/// The body of a response, measured while it is taken. When it ends, or is closed, the request has ended.
#[pyclass(frozen, module = "forkmeter._forkmeter")]
#[derive(Debug)]
pub(crate) struct WsgiBody {
    exchange: Py<WsgiExchange>,
    body: Py<PyAny>,
    parts: Py<PyAny>,
}

/// The `write` of a response, measured.
#[pyclass(frozen, module = "forkmeter._forkmeter")]
#[derive(Debug)]
pub(crate) struct WsgiWrite {
    exchange: Py<WsgiExchange>,
    write: Py<PyAny>,
}

#[pymethods]
impl WsgiExchange {
    /// Begins to measure a request; `None` for what is not measured here.
    #[staticmethod]
    fn begin(
        recorder: &Bound<'_, HttpRecorder>,
        environ: &Bound<'_, PyAny>,
        start_response: &Bound<'_, PyAny>,
    ) -> Option<Self> {
        let begun = recorder.get().or_report(recorder.py(), || {
            Self::try_begin(recorder, environ, start_response)
        });
        begun.flatten()
    }

    /// Begins the response.
    #[pyo3(signature = (status, headers, *more))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        status: &Bound<'py, PyAny>,
        headers: &Bound<'py, PyAny>,
        more: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let recorder = this.recorder.get();
        recorder.or_report(py, || this.see_start(status, headers));
        // Flask forgets the request before the body is taken.
        this.resolve(py, None);
        let args = [status, headers].into_iter().cloned().chain(more.iter());
        let args = PyTuple::new(py, args.collect::<Vec<_>>())?;
        let write = call::call(this.start_response.bind(py), &args, None)?;
        let measured = WsgiWrite {
            exchange: slf.clone().unbind(),
            write: write.unbind(),
        };
        Ok(Bound::new(py, measured)?.into_any())
    }

    /// Returns the body with the end of the request bound to its own.
    fn measure<'py>(
        slf: &Bound<'py, Self>,
        body: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let environ = this.environ.bind(py);
        if let Some(wrapper) = environ.get_item("wsgi.file_wrapper")?
            && body.get_type().is(&wrapper)
        {
            // The server sends the file itself, unless somebody stands between.
            // ORDERING: lone numbers.
            let bytes = this.content_length.load(Ordering::Relaxed);
            if bytes != UNKNOWN && !this.is_head {
                this.response_bytes.store(bytes, Ordering::Relaxed);
            }
            Self::finish(slf, body);
            return Ok(body.clone());
        }
        let Some(parts) = this.recorder.get().or_report(py, || call::iterate(body)) else {
            // The server will say that it is no body.
            Self::fail(slf, false);
            return Ok(body.clone());
        };
        let measured = WsgiBody {
            exchange: slf.clone().unbind(),
            body: body.clone().unbind(),
            parts: parts.unbind(),
        };
        Ok(Bound::new(py, measured)?.into_any())
    }

    /// Says that an exception left the application, and whether that was because nobody waits any more.
    fn fail(slf: &Bound<'_, Self>, is_cancelled: bool) {
        let end = match slf.get().status() {
            Some(code) => End::Status(code),
            None if is_cancelled => End::Cancelled,
            None => End::Failed,
        };
        Self::end(slf, None, end);
    }

    #[getter]
    fn scope(&self, py: Python<'_>) -> Py<PyDict> {
        self.environ.clone_ref(py)
    }

    /// The status of the response, if there is one.
    #[getter]
    fn status(&self) -> Option<u16> {
        // ORDERING: a lone number.
        match self.status.load(Ordering::Relaxed) {
            0 => None,
            code => Some(code),
        }
    }

    /// The headers of the response, if there is one.
    #[getter]
    fn response(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let _section = fork::enter();
        let headers = self.headers.lock().unwrap_or_else(PoisonError::into_inner);
        headers.as_ref().map(|headers| headers.clone_ref(py))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.recorder)?;
        visit.call(&self.environ)?;
        visit.call(&self.start_response)?;
        visit.call(&self.in_progress)
    }
}

impl WsgiExchange {
    fn try_begin(
        recorder: &Bound<'_, HttpRecorder>,
        environ: &Bound<'_, PyAny>,
        start_response: &Bound<'_, PyAny>,
    ) -> PyResult<Option<Self>> {
        let this = recorder.get();
        let environ = environ.cast::<PyDict>()?;
        let Some(sent_method) = environ.get_item("REQUEST_METHOD")? else {
            return Ok(None);
        };
        let path = || {
            let part = |name: &str| -> PyResult<String> {
                let found = environ.get_item(name)?;
                found.map_or_else(|| Ok(String::new()), |found| found.extract())
            };
            Ok(Some(part("SCRIPT_NAME")? + &part("PATH_INFO")?))
        };
        if this.excludes(&sent_method, path)? || !mark(recorder, environ)? {
            return Ok(None);
        }
        let request_bytes = match environ.get_item("CONTENT_LENGTH")? {
            Some(text) => text
                .cast::<PyString>()?
                .to_str()?
                .trim()
                .parse()
                .unwrap_or(0),
            None => 0,
        };
        let method = this.words.method_label(&sent_method);
        Ok(Some(Self {
            in_progress: this.begin(environ, &method),
            is_head: method.to_str()? == "HEAD",
            recorder: recorder.clone().unbind(),
            environ: environ.clone().unbind(),
            start_response: start_response.clone().unbind(),
            script_name: environ.get_item("SCRIPT_NAME")?.map(Bound::unbind),
            method: method.unbind(),
            start: Instant::now(),
            status: AtomicU16::new(0),
            headers: Mutex::new(None),
            content_length: AtomicU64::new(UNKNOWN),
            request_bytes,
            response_bytes: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
        }))
    }

    fn see_start(&self, status: &Bound<'_, PyAny>, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let text = status.cast::<PyString>()?.to_str()?;
        let code = text.split(' ').next().and_then(|code| code.parse().ok());
        // ORDERING: lone numbers.
        self.status.store(code.unwrap_or(0), Ordering::Relaxed);
        let mut length = UNKNOWN;
        for header in headers.try_iter()? {
            let header = header?;
            let header = header.cast::<PyTuple>()?;
            let name = header.get_borrowed_item(0)?;
            if name
                .cast::<PyString>()?
                .to_str()?
                .eq_ignore_ascii_case("content-length")
            {
                let value = header.get_borrowed_item(1)?;
                let value = value.cast::<PyString>()?.to_str()?.trim().parse();
                length = value.unwrap_or(UNKNOWN);
            }
        }
        // ORDERING: as above.
        self.content_length.store(length, Ordering::Relaxed);
        let replaced = {
            let _section = fork::enter();
            let mut kept = self.headers.lock().unwrap_or_else(PoisonError::into_inner);
            kept.replace(headers.clone().unbind())
        };
        // Dropped without the lock: the end of an object may run Python code.
        drop(replaced);
        Ok(())
    }

    /// Asks for the route, with the body if the application has returned one.
    fn resolve<'py>(
        &self,
        py: Python<'py>,
        body: Option<&Bound<'py, PyAny>>,
    ) -> Option<Bound<'py, PyAny>> {
        let recorder = self.recorder.get();
        let script_name = self.script_name.as_ref().map(|name| name.bind(py));
        let answer = recorder.or_report(py, || (body, script_name).into_pyobject(py))?;
        recorder.resolve(self.environ.bind(py), Some(answer.as_any()))
    }

    /// Measures a part of the body that is handed on; tells whether it is known to be the last.
    fn add(&self, part: &Bound<'_, PyAny>) -> bool {
        let Ok(part) = part.cast::<PyBytes>() else {
            return false;
        };
        let bytes = part.as_bytes().len() as u64;
        if self.is_head {
            return false;
        }
        // ORDERING: lone numbers.
        let before = self.response_bytes.fetch_add(bytes, Ordering::Relaxed);
        before.saturating_add(bytes) >= self.content_length.load(Ordering::Relaxed)
    }

    fn finish(slf: &Bound<'_, Self>, body: &Bound<'_, PyAny>) {
        let end = slf.get().status().map_or(End::Failed, End::Status);
        Self::end(slf, Some(body), end);
    }

    fn end(slf: &Bound<'_, Self>, body: Option<&Bound<'_, PyAny>>, end: End) {
        let py = slf.py();
        let this = slf.get();
        // ORDERING: only tells one end from the next.
        if this.has_ended.swap(true, Ordering::Relaxed) {
            return;
        }
        let duration = this.start.elapsed();
        let recorder = this.recorder.get();
        if let Some(series) = &this.in_progress {
            recorder.leave(series.bind(py));
        }
        let environ = this.environ.bind(py);
        recorder.end(&Ended {
            exchange: slf,
            scope: environ,
            method: this.method.bind(py),
            route: this.resolve(py, body),
            end,
            duration,
            request_bytes: this.request_bytes,
            // ORDERING: a lone number.
            response_bytes: this.response_bytes.load(Ordering::Relaxed),
        });
    }
}

#[pymethods]
impl WsgiBody {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let exchange = self.exchange.bind(py);
        let body = self.body.bind(py);
        match call::next(self.parts.bind(py)) {
            Ok(Some(part)) => {
                if exchange.get().add(&part) {
                    WsgiExchange::finish(exchange, body);
                }
                Ok(Some(part))
            }
            Ok(None) => {
                WsgiExchange::finish(exchange, body);
                Ok(None)
            }
            Err(error) => {
                WsgiExchange::finish(exchange, body);
                Err(error)
            }
        }
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.body.bind(py).len()
    }

    fn __bool__(&self, py: Python<'_>) -> bool {
        self.body.bind(py).is_truthy().unwrap_or(true)
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let body = self.body.bind(py);
        let closed = match body.getattr_opt("close")? {
            Some(close) => call::call(&close, &PyTuple::empty(py), None).map(drop),
            None => Ok(()),
        };
        WsgiExchange::finish(self.exchange.bind(py), body);
        closed
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.exchange)?;
        visit.call(&self.body)?;
        visit.call(&self.parts)
    }
}

#[pymethods]
impl WsgiWrite {
    fn __call__<'py>(&self, part: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = part.py();
        self.exchange.bind(py).get().add(part);
        call::call1(self.write.bind(py), part)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.exchange)?;
        visit.call(&self.write)
    }
}
