//! The service itself: nothing in here knows how many processes there are.

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use forkmeter::{Counter, Declare, Family, Gauge, Histogram, Lazy, MultiprocessMode, Timing};

static REQUESTS: Lazy<Family<Counter, 3>> = Lazy::new(|| {
    Counter::builder("http_requests", "Requests answered.")
        .labels(["method", "path", "code"])
        .declare()
});
static LATENCY: Lazy<Family<Histogram, 1>> = Lazy::new(|| {
    Histogram::builder("http_request_duration", "Time to answer.")
        .unit("seconds")
        .labels(["path"])
        .declare()
});
static RUNNING: Lazy<Gauge> = Lazy::new(|| {
    Gauge::builder("http_requests_running", "Requests being answered.")
        .multiprocess_mode(MultiprocessMode::LiveSum)
        .declare()
});

/// Returns the routes with the middleware that counts.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/", get(hello))
        .route("/metrics", get(metrics))
        .route_layer(middleware::from_fn(count))
}

async fn hello() -> String {
    format!("hello from worker {}\n", std::process::id())
}

async fn metrics(headers: HeaderMap) -> Response {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let accept = accept.map(str::to_owned);
    // Collecting reads files, which would hold up the other requests of this worker.
    let exposed = tokio::task::spawn_blocking(move || forkmeter::expose(accept.as_deref())).await;
    match exposed {
        Ok(exposition) => {
            for error in &exposition.errors {
                eprintln!("/metrics: {error}");
            }
            (
                [(header::CONTENT_TYPE, exposition.content_type)],
                exposition.body,
            )
                .into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn count(request: Request, next: Next) -> Response {
    // The route and not the path, of which a client could invent any number.
    let path = request.extensions().get::<MatchedPath>().cloned();
    let path = path.as_ref().map_or("", MatchedPath::as_str);
    let method = request.method().clone();
    let _running = RUNNING.track_in_progress();
    let timer = LATENCY.with_label_values([path]).start_timer();
    let response = next.run(request).await;
    timer.stop();
    REQUESTS
        .with_label_values([method.as_str(), path, response.status().as_str()])
        .inc();
    response
}
