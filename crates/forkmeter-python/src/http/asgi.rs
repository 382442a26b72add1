//! One ASGI request on its way to the end of its response.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use super::recorder::{End, Ended, HttpRecorder};
use crate::call;

/// The status that stands for an accepted WebSocket, and the one for a refused one.
const SWITCHING_PROTOCOLS: u16 = 101;
const FORBIDDEN: u16 = 403;

/// One request: called as the `send` of its application, which it measures on the way.
///
/// A request ends when the last part of its response is sent: before that part is handed on, so that whoever has read a
/// response to its end finds it counted.
#[pyclass(frozen, module = "forkmeter._forkmeter")]
#[derive(Debug)]
pub(crate) struct AsgiExchange {
    recorder: Py<HttpRecorder>,
    scope: Py<PyDict>,
    inner_receive: Py<PyAny>,
    inner_send: Py<PyAny>,
    method: Py<PyString>,
    in_progress: Option<Py<PyAny>>,
    start: Instant,
    /// The message that began the response.
    response: OnceLock<(u16, Py<PyAny>)>,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    is_head: bool,
    has_ended: AtomicBool,
    is_disconnected: AtomicBool,
}

#[pymethods]
impl AsgiExchange {
    /// Begins to measure a request; `None` for what is not measured here.
    #[staticmethod]
    fn begin(
        recorder: &Bound<'_, HttpRecorder>,
        scope: &Bound<'_, PyAny>,
        receive: &Bound<'_, PyAny>,
        send: &Bound<'_, PyAny>,
    ) -> Option<Self> {
        let begun = recorder.get().or_report(recorder.py(), || {
            Self::try_begin(recorder, scope, receive, send)
        });
        begun.flatten()
    }

    /// Sends a message of the response, and measures it.
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        message: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        // ORDERING: see `end`.
        if !this.has_ended.load(Ordering::Relaxed) {
            this.recorder
                .get()
                .or_report(py, || Self::see_sent(slf, message));
        }
        call::call1(this.inner_send.bind(py), message)
    }

    /// Receives a message of the request, and measures it.
    fn receive<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let this = slf.get();
        let receive = this.inner_receive.bind(slf.py());
        this.recorder.get().receive(receive, slf)
    }

    /// Measures a message that the application received.
    fn see_received(&self, message: &Bound<'_, PyAny>) {
        let py = message.py();
        self.recorder
            .get()
            .or_report(py, || self.try_see_received(message));
    }

    /// Says that the application returned.
    fn finish(slf: &Bound<'_, Self>) {
        let this = slf.get();
        let end = match this.response.get() {
            Some((code, _)) => End::Status(*code),
            // ORDERING: set by the same task.
            None if this.is_disconnected.load(Ordering::Relaxed) => End::Cancelled,
            None => End::Failed,
        };
        Self::end(slf, end);
    }

    /// Says that an exception left the application, and whether that was because nobody waits any more.
    fn fail(slf: &Bound<'_, Self>, is_cancelled: bool) {
        let end = match slf.get().response.get() {
            Some((code, _)) => End::Status(*code),
            None if is_cancelled => End::Cancelled,
            None => End::Failed,
        };
        Self::end(slf, end);
    }

    #[getter]
    fn scope(&self, py: Python<'_>) -> Py<PyDict> {
        self.scope.clone_ref(py)
    }

    /// The status of the response, if there is one.
    #[getter]
    fn status(&self) -> Option<u16> {
        self.response.get().map(|(code, _)| *code)
    }

    /// The message that began the response, if there is one.
    #[getter]
    fn response(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.response
            .get()
            .map(|(_, message)| message.clone_ref(py))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.recorder)?;
        visit.call(&self.scope)?;
        visit.call(&self.inner_receive)?;
        visit.call(&self.inner_send)?;
        visit.call(&self.in_progress)?;
        if let Some((_, message)) = self.response.get() {
            visit.call(message)?;
        }
        Ok(())
    }
}

impl AsgiExchange {
    fn try_begin(
        recorder: &Bound<'_, HttpRecorder>,
        scope: &Bound<'_, PyAny>,
        receive: &Bound<'_, PyAny>,
        send: &Bound<'_, PyAny>,
    ) -> PyResult<Option<Self>> {
        let py = recorder.py();
        let this = recorder.get();
        let words = &this.words;
        let Ok(scope) = scope.cast::<PyDict>() else {
            return Ok(None);
        };
        let Some(kind) = scope.get_item(&words.kind)? else {
            return Ok(None);
        };
        let sent_method = match kind.cast::<PyString>()?.to_str()? {
            "http" => match scope.get_item(&words.method)? {
                Some(method) => method,
                None => return Ok(None),
            },
            "websocket" => words.get.bind(py).clone().into_any(),
            _ => return Ok(None),
        };
        let path = || {
            let path = scope.get_item(&words.path)?;
            path.map(|path| path.extract()).transpose()
        };
        if this.excludes(&sent_method, path)? || !mark(recorder, scope)? {
            return Ok(None);
        }
        let method = words.method_label(&sent_method);
        Ok(Some(Self {
            in_progress: this.begin(scope, &method),
            is_head: method.to_str()? == "HEAD",
            recorder: recorder.clone().unbind(),
            scope: scope.clone().unbind(),
            inner_receive: receive.clone().unbind(),
            inner_send: send.clone().unbind(),
            method: method.unbind(),
            start: Instant::now(),
            response: OnceLock::new(),
            request_bytes: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
            is_disconnected: AtomicBool::new(false),
        }))
    }

    /// Looks at a message that the application sends.
    fn see_sent(slf: &Bound<'_, Self>, message: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let words = &this.recorder.get().words;
        let message = message.cast::<PyDict>()?;
        let Some(kind) = message.get_item(&words.kind)? else {
            return Ok(());
        };
        match kind.cast::<PyString>()?.to_str()? {
            "http.response.start" | "websocket.http.response.start" => {
                let status = message.get_item(&words.status)?;
                let status: u16 = status
                    .ok_or_else(|| PyTypeError::new_err("a response without a status"))?
                    .extract()?;
                // Of two beginnings the server refuses the second.
                let _ = this
                    .response
                    .set((status, message.clone().into_any().unbind()));
            }
            "http.response.body" | "websocket.http.response.body" => {
                if !this.is_head
                    && let Some(body) = message.get_item(&words.body)?
                {
                    // ORDERING: a lone number.
                    this.response_bytes
                        .fetch_add(length(&body)?, Ordering::Relaxed);
                }
                let more = message.get_item(&words.more_body)?;
                if !more.map_or(Ok(false), |more| more.is_truthy())? {
                    Self::finish(slf);
                }
            }
            "http.response.pathsend" => {
                if !this.is_head {
                    let bytes = this.content_length(py)?;
                    // ORDERING: a lone number.
                    this.response_bytes.fetch_add(bytes, Ordering::Relaxed);
                }
                Self::finish(slf);
            }
            "websocket.accept" => this.end_handshake(slf, message, SWITCHING_PROTOCOLS),
            "websocket.close" => this.end_handshake(slf, message, FORBIDDEN),
            _ => {}
        }
        Ok(())
    }

    /// Ends the request that asked for a WebSocket.
    fn end_handshake(&self, slf: &Bound<'_, Self>, message: &Bound<'_, PyDict>, status: u16) {
        let _ = self
            .response
            .set((status, message.clone().into_any().unbind()));
        Self::finish(slf);
    }

    fn try_see_received(&self, message: &Bound<'_, PyAny>) -> PyResult<()> {
        let words = &self.recorder.get().words;
        let message = message.cast::<PyDict>()?;
        let Some(kind) = message.get_item(&words.kind)? else {
            return Ok(());
        };
        match kind.cast::<PyString>()?.to_str()? {
            "http.request" => {
                if let Some(body) = message.get_item(&words.body)? {
                    // ORDERING: a lone number.
                    self.request_bytes
                        .fetch_add(length(&body)?, Ordering::Relaxed);
                }
            }
            // ORDERING: read by the same task.
            "http.disconnect" | "websocket.disconnect" => {
                self.is_disconnected.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns the length that the response promised.
    fn content_length(&self, py: Python<'_>) -> PyResult<u64> {
        let Some((_, start)) = self.response.get() else {
            return Ok(0);
        };
        let Some(headers) = start
            .bind(py)
            .cast::<PyDict>()?
            .get_item(&self.recorder.get().words.headers)?
        else {
            return Ok(0);
        };
        for header in headers.try_iter()? {
            let (name, value): (Vec<u8>, Vec<u8>) = header?.extract()?;
            if name.eq_ignore_ascii_case(b"content-length") {
                let value = String::from_utf8_lossy(&value);
                return Ok(value.trim().parse().unwrap_or(0));
            }
        }
        Ok(0)
    }

    fn end(slf: &Bound<'_, Self>, end: End) {
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
        let scope = this.scope.bind(py);
        let route = recorder.or_report(py, || route(recorder, scope)).flatten();
        recorder.end(&Ended {
            exchange: slf,
            scope,
            method: this.method.bind(py),
            route,
            end,
            duration,
            // ORDERING: lone numbers.
            request_bytes: this.request_bytes.load(Ordering::Relaxed),
            response_bytes: this.response_bytes.load(Ordering::Relaxed),
        });
    }
}

/// Writes into the scope that this recorder counts the request; tells whether none with the same families does.
pub(super) fn mark(
    recorder: &Bound<'_, HttpRecorder>,
    scope: &Bound<'_, PyDict>,
) -> PyResult<bool> {
    let py = recorder.py();
    let mark = &recorder.get().words.mark;
    let Some(marks) = scope.get_item(mark)? else {
        scope.set_item(mark, recorder)?;
        return Ok(true);
    };
    let mut all = vec![recorder.clone()];
    match marks.cast::<PyTuple>() {
        Ok(marks) => {
            for other in marks {
                all.push(other.cast_into()?);
            }
        }
        Err(_) => all.push(marks.cast_into()?),
    }
    if all[1..]
        .iter()
        .any(|other| recorder.get().counts_with(other.get()))
    {
        return Ok(false);
    }
    scope.set_item(mark, PyTuple::new(py, all)?)?;
    Ok(true)
}

/// Returns the template of the route that a router chose: at once where a single router did, and left word of it.
fn route<'py>(
    recorder: &HttpRecorder,
    scope: &Bound<'py, PyDict>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let words = &recorder.words;
    if recorder.asks_always() {
        return Ok(recorder.resolve(scope, None));
    }
    let Some(route) = scope.get_item(&words.route)? else {
        // Nothing at all was matched.
        return Ok(match scope.get_item(&words.endpoint)? {
            Some(_) => recorder.resolve(scope, None),
            None => None,
        });
    };
    if scope.contains(&words.app_root_path)? {
        return Ok(recorder.resolve(scope, None));
    }
    let mut chosen = route.clone();
    if let Some(fastapi) = scope.get_item(&words.fastapi)?
        && let Ok(fastapi) = fastapi.cast::<PyDict>()
        && let Some(context) = fastapi.get_item(&words.effective_route_context)?
    {
        // Whoever included a router gave its routes their prefix.
        let original = context.getattr_opt(&words.original_route)?;
        if !original.is_some_and(|original| original.is(&route)) {
            return Ok(recorder.resolve(scope, None));
        }
        chosen = context;
    }
    match chosen.getattr_opt(&words.path)? {
        Some(path) if path.is_exact_instance_of::<PyString>() => Ok(Some(path)),
        _ => Ok(recorder.resolve(scope, None)),
    }
}

/// Returns the length of a body part.
fn length(body: &Bound<'_, PyAny>) -> PyResult<u64> {
    Ok(match body.cast_exact::<PyBytes>() {
        Ok(bytes) => bytes.as_bytes().len() as u64,
        Err(_) if body.is_none() => 0,
        // A memory view counts its items, which are bytes nearly always.
        Err(_) => match body.getattr_opt("nbytes")? {
            Some(bytes) => bytes.extract()?,
            None => body.len()? as u64,
        },
    })
}
