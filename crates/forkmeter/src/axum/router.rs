//! The routes that a scrape asks.

use std::sync::Arc;

use ::axum::Router;
use ::axum::response::{IntoResponse, Response};
use ::axum::routing::get;
use forkmeter_core::encode::negotiate;
use forkmeter_core::registry::Gather;
use http::{HeaderMap, StatusCode, header};

use crate::global::default_registry;

/// Returns a router that answers `GET /metrics` with an exposition of the default registry, in the format that the
/// request asks for.
///
/// It collects on a thread for blocking work, since reading files would hold up the requests of a worker.
/// [`metrics_router_of`] also tells what could not be collected.
///
/// # Examples
///
/// ```
/// let app: axum::Router = axum::Router::new().merge(forkmeter::axum::metrics_router());
/// ```
pub fn metrics_router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    metrics_router_of(default_registry().clone(), |_errors| {})
}

/// Returns a router that answers `GET /metrics` with an exposition of `gather`, and tells `report` what was left out
/// of one and why, when anything was.
///
/// # Examples
///
/// ```
/// use forkmeter::{axum::metrics_router_of, default_registry};
///
/// let registry = default_registry().clone();
/// let metrics: axum::Router = metrics_router_of(registry, |errors| {
///     for error in errors {
///         eprintln!("/metrics: {error}");
///     }
/// });
/// ```
pub fn metrics_router_of<S: Clone + Send + Sync + 'static>(
    gather: impl Gather + 'static,
    report: impl Fn(&[String]) + Send + Sync + 'static,
) -> Router<S> {
    let source = Arc::new((gather, report));
    let answer = move |headers: HeaderMap| {
        let source = Arc::clone(&source);
        async move {
            let accept = accept(&headers);
            let exposed = tokio::task::spawn_blocking(move || {
                let (gather, report) = &*source;
                let exposition = gather.expose(negotiate(accept.as_deref()));
                if !exposition.errors.is_empty() {
                    report(&exposition.errors);
                }
                exposition
            });
            match exposed.await {
                Ok(exposition) => {
                    let content_type = [(header::CONTENT_TYPE, exposition.content_type)];
                    (content_type, exposition.body).into_response()
                }
                Err(_) => failure(),
            }
        }
    };
    // Both, so that nobody's scrape is redirected.
    let get = get(answer);
    Router::new()
        .route("/metrics", get.clone())
        .route("/metrics/", get)
}

fn failure() -> Response {
    let text = "the metrics could not be collected\n";
    (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
}

/// Returns the header of a request, whose parts may stand on several lines.
fn accept(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(header::ACCEPT).iter();
    let lines: Vec<&str> = lines.filter_map(|line| line.to_str().ok()).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}
