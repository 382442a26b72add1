//! The service itself: nothing in here knows how many processes there are.

use axum::Router;
use axum::routing::get;
use forkmeter::axum::{HttpMetricsLayer, metrics_router_of};
use forkmeter::default_registry;

/// Returns the routes with the layer that counts, also the scrapes.
pub(crate) fn router() -> Router {
    let metrics = metrics_router_of(default_registry().clone(), |errors| {
        for error in errors {
            eprintln!("/metrics: {error}");
        }
    });
    Router::new()
        .route("/", get(hello))
        .merge(metrics)
        .layer(HttpMetricsLayer::new())
}

async fn hello() -> String {
    format!("hello from worker {}\n", std::process::id())
}
