//! One request on its way to the end of its response.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ::axum::extract::MatchedPath;
use forkmeter_core::fork;
use forkmeter_core::metric::InProgress;
use http::Method;

use super::recorder::{End, Ended, Recorder, method_label};

/// Is what the parts of a request have in common: its body, its future, and the body of its response.
#[derive(Debug)]
pub(super) struct Exchange {
    recorder: Arc<Recorder>,
    method: &'static str,
    /// The innermost layer of the kind knows the route best.
    route: Mutex<Option<MatchedPath>>,
    start: Instant,
    request_bytes: AtomicU64,
}

impl Exchange {
    pub(super) fn new(
        recorder: &Arc<Recorder>,
        method: &Method,
        route: Option<MatchedPath>,
    ) -> Arc<Self> {
        Arc::new(Self {
            recorder: Arc::clone(recorder),
            method: method_label(method),
            route: Mutex::new(route),
            start: Instant::now(),
            request_bytes: AtomicU64::new(0),
        })
    }

    /// Tells whether this request is counted where `recorder` counts.
    pub(super) fn is_counted_by(&self, recorder: &Recorder) -> bool {
        self.recorder.counts_with(recorder)
    }

    /// Takes the route as a layer further in sees it.
    pub(super) fn set_route(&self, route: MatchedPath) {
        self.with_route(|own| *own = Some(route));
    }

    /// Counts what was read of the request's body.
    pub(super) fn add_request_bytes(&self, bytes: usize) {
        // ORDERING: a lone number.
        self.request_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn with_route<R>(&self, f: impl FnOnce(&mut Option<MatchedPath>) -> R) -> R {
        let _section = fork::enter();
        f(&mut self.route.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Counts a request as in progress, and as ended when it is dropped, wherever that happens.
#[derive(Debug)]
pub(super) struct Ending {
    exchange: Arc<Exchange>,
    end: End,
    response_bytes: u64,
    _in_progress: Option<InProgress>,
}

impl Ending {
    /// Begins a request. It counts as failed until something else is said, so that a panic needs no words.
    pub(super) fn begin(exchange: &Arc<Exchange>) -> Self {
        let route = exchange.with_route(|route| route.clone());
        let route = route.as_ref().map(MatchedPath::as_str);
        let in_progress = exchange.recorder.begin(exchange.method, route);
        Self {
            exchange: Arc::clone(exchange),
            end: End::Failed,
            response_bytes: 0,
            _in_progress: in_progress,
        }
    }

    /// Says how it ends if it is dropped now.
    pub(super) fn set_end(&mut self, end: End) {
        self.end = end;
    }

    /// Counts what was taken of the response's body.
    pub(super) fn add_response_bytes(&mut self, bytes: usize) {
        self.response_bytes = self.response_bytes.saturating_add(bytes as u64);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let exchange = &*self.exchange;
        let route = exchange.with_route(Option::take);
        exchange.recorder.end(&Ended {
            method: exchange.method,
            route: route.as_ref().map(MatchedPath::as_str),
            end: self.end,
            duration: exchange.start.elapsed(),
            // ORDERING: as in `add_request_bytes`.
            request_bytes: exchange.request_bytes.load(Ordering::Relaxed),
            response_bytes: self.response_bytes,
        });
    }
}
