//! HTTP metrics for axum services: a layer that measures every request, and a router that serves `/metrics`.
//!
//! Needs the feature `axum`. The layer is a plain tower layer; of axum it knows only how a request's route is told.
//!
//! # Examples
//!
//! ```
//! use axum::{Router, routing::get};
//! use forkmeter::axum::{HttpMetricsLayer, metrics_router};
//!
//! let app: Router = Router::new()
//!     .route("/users/{id}", get(|| async { "somebody" }))
//!     .layer(HttpMetricsLayer::new())
//!     .merge(metrics_router());
//! ```
//!
//! # What is measured
//!
//! | family | kind | labels |
//! |---|---|---|
//! | `http_requests` | counter | `method`, `route`, `status` |
//! | `http_request_duration_seconds` | histogram | `method`, `route`, `status` |
//! | `http_request_size_bytes` | histogram | `method`, `route`, `status` |
//! | `http_response_size_bytes` | histogram | `method`, `route`, `status` |
//! | `http_requests_in_progress` | gauge, the sum over live workers | `method`, `route` |
//!
//! A request counts once in each family, when the last byte of its response has been handed on, or when nobody wants
//! the rest. Its duration ends then too. Its size is what the service read of its body; that of the response is what was
//! taken from it, so nothing for `HEAD`.
//!
//! - `method` is one of the nine standard methods, or `other`: a client could invent any number of them.
//! - `route` is the template that the router matched, such as `/users/{id}`, or `unmatched`.
//! - `status` is that of the response, or `cancelled` where the request was dropped before there was one: mostly the
//!   client went away. A client that goes away while it gets a response leaves that response's status. A handler that
//!   panics, or a service that fails, counts as `500`.
//!
//! Names and labels can be chosen with [`HttpMetricsOptions`].
//!
//! # Where to put the layer
//!
//! With [`Router::layer`](::axum::Router::layer), after the routes that it should see; unlike `route_layer` this also
//! measures what no route matches. A request that passes the same layer twice counts once, so a service that is
//! mounted with `nest_service` can have the layer too: it then tells the outer one the route, which that cannot see.

mod body;
mod exchange;
mod layer;
mod options;
mod recorder;
mod router;

pub use body::{MeasuredRequestBody, MeasuredResponseBody};
pub use layer::{HttpMetrics, HttpMetricsLayer, ResponseFuture};
pub use options::{HttpFamily, HttpLabel, HttpMetricsOptions, StatusLabel};
pub use router::{metrics_router, metrics_router_of};
