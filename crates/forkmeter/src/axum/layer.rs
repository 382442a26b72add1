//! The layer, the service that it makes, and its future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::axum::extract::{MatchedPath, OriginalUri};
use forkmeter_core::metric::Result;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::body::{MeasuredRequestBody, MeasuredResponseBody};
use super::exchange::{Ending, Exchange};
use super::options::HttpMetricsOptions;
use super::recorder::{End, Recorder};

/// Measures the requests that pass it; see the [module](super) for what and where.
///
/// Clones count in the same families, and so do layers that are made alike. The layer adds to a request one allocation
/// for what is known of it and one for its body, no lock that others wait for, and no system call.
#[derive(Clone)]
pub struct HttpMetricsLayer {
    recorder: Arc<Recorder>,
}

impl HttpMetricsLayer {
    /// Makes a layer that counts in the default registry under the usual names.
    ///
    /// # Panics
    ///
    /// When another metric has one of the names; [`HttpMetricsLayer::with_options`] returns this as an error.
    #[expect(
        clippy::new_without_default,
        reason = "it registers metrics, which a default should not"
    )]
    #[track_caller]
    pub fn new() -> Self {
        match Self::with_options(HttpMetricsOptions::new()) {
            Ok(layer) => layer,
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes a layer with other names, labels or registry.
    ///
    /// # Errors
    ///
    /// When a name or the buckets are not valid, or another metric has one of the names.
    pub fn with_options(options: HttpMetricsOptions) -> Result<Self> {
        let recorder = Arc::new(Recorder::new(options)?);
        Ok(Self { recorder })
    }
}

impl fmt::Debug for HttpMetricsLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpMetricsLayer").finish_non_exhaustive()
    }
}

impl<S> Layer<S> for HttpMetricsLayer {
    type Service = HttpMetrics<S>;

    fn layer(&self, inner: S) -> HttpMetrics<S> {
        let recorder = Arc::clone(&self.recorder);
        HttpMetrics { inner, recorder }
    }
}

/// Is a service whose requests are measured; made by [`HttpMetricsLayer`].
#[derive(Clone)]
pub struct HttpMetrics<S> {
    inner: S,
    recorder: Arc<Recorder>,
}

impl<S: fmt::Debug> fmt::Debug for HttpMetrics<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpMetrics").field(&self.inner).finish()
    }
}

/// Travels with a request, so that a layer further in knows that it is counted.
#[derive(Clone)]
struct Counted(Arc<Exchange>);

impl<S> HttpMetrics<S> {
    /// Begins to measure a request, unless it is excluded or measured already.
    fn begin<B>(&self, request: &mut Request<B>) -> Option<Arc<Exchange>> {
        let route = request.extensions().get::<MatchedPath>().cloned();
        let counted = request.extensions().get::<Counted>();
        if let Some(Counted(outer)) = counted.filter(|c| c.0.is_counted_by(&self.recorder)) {
            if let Some(route) = route {
                outer.set_route(route);
            }
            return None;
        }
        let sent = request.extensions().get::<OriginalUri>();
        let path = sent.map_or(request.uri(), |uri| &uri.0).path();
        if self.recorder.excludes(request.method(), path) {
            return None;
        }
        let exchange = Exchange::new(&self.recorder, request.method(), route);
        let counted = Counted(Arc::clone(&exchange));
        request.extensions_mut().insert(counted);
        Some(exchange)
    }
}

impl<S, B, R> Service<Request<B>> for HttpMetrics<S>
where
    S: Service<Request<MeasuredRequestBody<B>>, Response = Response<R>>,
    R: Body,
{
    type Response = Response<MeasuredResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<std::result::Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let exchange = self.begin(&mut request);
        let mut ending = exchange.as_ref().map(Ending::begin);
        let request = request.map(|body| MeasuredRequestBody::new(body, exchange));
        let inner = self.inner.call(request);
        if let Some(ending) = &mut ending {
            ending.set_end(End::Cancelled);
        }
        ResponseFuture { inner, ending }
    }
}

pin_project! {
    /// Becomes the response of a measured service. Dropped before, the request was cancelled.
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        ending: Option<Ending>,
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = std::result::Result<Response<R>, E>>,
    R: Body,
{
    type Output = std::result::Result<Response<MeasuredResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut set_end = |end| {
            if let Some(ending) = this.ending.as_mut() {
                ending.set_end(end);
            }
        };
        // What is still said when the service panics.
        set_end(End::Failed);
        let polled = this.inner.poll(context);
        if polled.is_pending() {
            set_end(End::Cancelled);
        }
        let response = match ready!(polled) {
            Ok(response) => response,
            Err(error) => {
                *this.ending = None;
                return Poll::Ready(Err(error));
            }
        };
        set_end(End::Response(response.status()));
        let ending = this.ending.take();
        Poll::Ready(Ok(
            response.map(|body| MeasuredResponseBody::new(body, ending))
        ))
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
