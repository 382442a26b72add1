//! What the tests have in common: measured routers, bodies, and how requests are sent.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use forkmeter::Registry;
use forkmeter::axum::{HttpMetricsLayer, HttpMetricsOptions};
use forkmeter::testing::Delta;
use http_body::Frame;
use http_body_util::BodyExt;
use tower::ServiceExt;

pub(crate) fn layer(registry: &Registry) -> HttpMetricsLayer {
    HttpMetricsLayer::with_options(HttpMetricsOptions::new().registry(registry)).unwrap()
}

struct Chunks(VecDeque<Bytes>);

/// Makes a body of chunks whose length nobody knows before its end.
pub(crate) fn chunks<const N: usize>(chunks: [&'static str; N]) -> Body {
    Body::new(Chunks(chunks.map(Bytes::from).into()))
}

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }
}

pub(crate) fn request(method: &str, path: &str, body: &'static str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    request.body(Body::from(body)).unwrap()
}

/// Sends a request as a server does, and returns head and body of the response.
pub(crate) async fn send(app: &Router, request: Request<Body>) -> (Response<()>, Bytes) {
    let response = app.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(head, ()), body)
}

/// Sends a request and goes away before there is a response.
pub(crate) async fn cancel(app: &Router, request: Request<Body>) {
    let answer = app.clone().oneshot(request);
    let outcome = tokio::time::timeout(Duration::from_millis(1), answer).await;
    assert!(outcome.is_err(), "there was a response");
}

/// Sends a request to a handler that panics, on a task of its own as a server does.
pub(crate) async fn panic(app: &Router, request: Request<Body>) {
    let outcome = tokio::spawn(app.clone().oneshot(request)).await;
    assert!(outcome.unwrap_err().is_panic());
}

/// Returns what a delta says of requests, one line for each series of the counter:
/// `method route status: requests, bytes read, bytes sent`.
pub(crate) fn seen(delta: &Delta) -> Vec<String> {
    let mut lines = Vec::new();
    for change in delta.changes() {
        if &*change.name == "http_requests_total" {
            let labels: Vec<_> = change.labels.iter().collect();
            let [(_, method), (_, route), (_, status)] = labels[..] else {
                panic!("{change}")
            };
            let number = |name| delta.value(name, labels.iter().copied());
            let amount = change.amount();
            for family in [
                "http_request_duration_seconds_count",
                "http_request_size_bytes_count",
                "http_response_size_bytes_count",
            ] {
                assert_eq!(number(family), amount, "{family} {labels:?}");
            }
            let read = number("http_request_size_bytes_sum");
            let sent = number("http_response_size_bytes_sum");
            lines.push(format!(
                "{method} {route} {status}: {amount}, {read}, {sent}"
            ));
        }
    }
    assert_eq!(delta.sum("http_requests_in_progress"), 0.0, "{delta}");
    let counted = delta.sum("http_requests_total");
    assert_eq!(delta.sum("http_request_duration_seconds_count"), counted);
    lines
}
