//! Routers of all shapes, and what is counted for a request to each of them.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Redirect;
use axum::routing::{any, delete, get, get_service, post};
use forkmeter::axum::HttpMetricsLayer;
use forkmeter::testing::{Snapshot, delta, registry};
use forkmeter::{assert_sample, testing};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::app::{cancel, chunks, layer, panic, request, seen, send};

async fn text() -> &'static str {
    "0123456789"
}

async fn hang() {
    std::future::pending::<()>().await;
}

async fn panicking() {
    tokio::task::yield_now().await;
    panic!("on purpose");
}

fn app(layer: &HttpMetricsLayer) -> Router {
    let users = Router::new()
        .route("/", get(text))
        .route(
            "/{id}",
            get(text).delete(|| async { StatusCode::NO_CONTENT }),
        )
        .nest("/{id}/files", Router::new().route("/{*path}", get(text)));
    let merged = Router::new().route("/merged/{x}", get(text).put(text));
    let own_fallback = Router::new()
        .route("/known", get(text))
        .fallback(|| async { (StatusCode::IM_A_TEAPOT, "what?") });
    let service = Router::new().route("/inner/{x}", get(text));
    let told = Router::new()
        .route("/inner/{x}", get(text))
        .layer(layer.clone());
    Router::new()
        .route("/", get(text))
        .route("/echo", post(|body: Body| async { body }))
        .route("/collected", post(|body: String| async move { body }))
        .route("/ignored", post(|_: Request<Body>| async {}))
        .route("/redirect", get(|| async { Redirect::to("/") }))
        .route("/stream", get(|| async { chunks(["ab", "", "cde"]) }))
        .route("/empty", any(|| async {}))
        .route("/hang/{x}", any(hang))
        .route("/panic/{x}", any(panicking))
        .route("/delete", delete(text))
        .route("/file/{*rest}", get_service(get(text)))
        .nest("/users", users)
        .nest("/fallback", own_fallback)
        .nest_service("/service", service)
        .nest_service("/told", told)
        .merge(merged)
        .layer(layer.clone())
}

#[tokio::test]
async fn every_shape_of_a_router_is_counted_by_its_template() {
    let cases = [
        // Method, path, body; method, route and status that are counted; bytes read and sent.
        ("GET", "/", "", "GET / 200: 1, 0, 10"),
        ("GET", "/?a=1", "", "GET / 200: 1, 0, 10"),
        ("HEAD", "/", "", "HEAD / 200: 1, 0, 0"),
        ("POST", "/", "", "POST / 405: 1, 0, 0"),
        ("BREW", "/", "", "other / 405: 1, 0, 0"),
        ("OPTIONS", "/", "", "OPTIONS / 405: 1, 0, 0"),
        ("POST", "/echo", "four", "POST /echo 200: 1, 4, 4"),
        ("POST", "/collected", "four", "POST /collected 200: 1, 4, 4"),
        ("POST", "/ignored", "four", "POST /ignored 200: 1, 0, 0"),
        ("GET", "/redirect", "", "GET /redirect 303: 1, 0, 0"),
        ("GET", "/stream", "", "GET /stream 200: 1, 0, 5"),
        ("HEAD", "/stream", "", "HEAD /stream 200: 1, 0, 0"),
        ("CONNECT", "/empty", "", "CONNECT /empty 200: 1, 0, 0"),
        ("TRACE", "/empty", "", "TRACE /empty 200: 1, 0, 0"),
        ("DELETE", "/delete", "", "DELETE /delete 200: 1, 0, 10"),
        ("GET", "/file/a/b", "", "GET /file/{*rest} 200: 1, 0, 10"),
        ("GET", "/users", "", "GET /users 200: 1, 0, 10"),
        ("GET", "/users/7", "", "GET /users/{id} 200: 1, 0, 10"),
        ("DELETE", "/users/7", "", "DELETE /users/{id} 204: 1, 0, 0"),
        ("PATCH", "/users/7", "", "PATCH /users/{id} 405: 1, 0, 0"),
        (
            "GET",
            "/users/7/files/a/b",
            "",
            "GET /users/{id}/files/{*path} 200: 1, 0, 10",
        ),
        ("GET", "/users/7/nothing", "", "GET unmatched 404: 1, 0, 0"),
        ("GET", "/merged/1", "", "GET /merged/{x} 200: 1, 0, 10"),
        ("PUT", "/merged/1", "", "PUT /merged/{x} 200: 1, 0, 10"),
        (
            "GET",
            "/fallback/known",
            "",
            "GET /fallback/known 200: 1, 0, 10",
        ),
        ("GET", "/fallback/other", "", "GET unmatched 418: 1, 0, 5"),
        ("GET", "/nothing", "", "GET unmatched 404: 1, 0, 0"),
        ("GET", "/nothing/else", "", "GET unmatched 404: 1, 0, 0"),
        ("GET", "/service/inner/1", "", "GET unmatched 200: 1, 0, 10"),
        (
            "GET",
            "/told/inner/1",
            "",
            "GET /told/inner/{x} 200: 1, 0, 10",
        ),
        ("GET", "/told/nothing", "", "GET unmatched 404: 1, 0, 0"),
    ];
    let registry = registry();
    let app = app(&layer(&registry));
    for (method, path, body, expected) in cases {
        let before = Snapshot::of(&registry);
        let (_, sent) = send(&app, request(method, path, body)).await;
        let delta = before.delta(&registry);
        assert_eq!(seen(&delta), [expected], "{method} {path}");
        // What was counted is what came.
        assert!(
            expected.ends_with(&format!(" {}", sent.len())),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn cancelled_requests_have_a_status_of_their_own() {
    let registry = registry();
    let app = app(&layer(&registry));
    let before = Snapshot::of(&registry);
    cancel(&app, request("GET", "/hang/1", "")).await;
    // Dropped before it was looked at.
    drop(app.clone().oneshot(request("GET", "/hang/2", "")));
    cancel(&app, request("POST", "/hang/3", "")).await;
    let delta = before.delta(&registry);
    assert_eq!(
        seen(&delta),
        [
            "GET /hang/{x} cancelled: 1, 0, 0",
            "POST /hang/{x} cancelled: 1, 0, 0"
        ]
    );
}

#[tokio::test]
async fn panics_count_as_500() {
    let registry = registry();
    let app = app(&layer(&registry));
    let before = Snapshot::of(&registry);
    panic(&app, request("GET", "/panic/1", "")).await;
    assert_eq!(
        seen(&before.delta(&registry)),
        ["GET /panic/{x} 500: 1, 0, 0"]
    );
}

#[tokio::test]
async fn what_is_in_progress_is_seen_until_the_last_byte() {
    let registry = registry();
    let app = app(&layer(&registry));
    let labels = |route| [("method", "GET"), ("route", route)];
    let hanging = tokio::spawn(app.clone().oneshot(request("GET", "/hang/1", "")));
    let response = app.clone().oneshot(request("GET", "/stream", "")).await;
    let mut body = response.unwrap().into_body();
    while testing::value(&registry, "http_requests_in_progress", labels("/hang/{x}")) != Some(1.0) {
        tokio::task::yield_now().await;
    }
    for _ in 0..3 {
        assert_sample!(
            registry,
            "http_requests_in_progress",
            labels("/stream"),
            1.0
        );
        assert_eq!(testing::samples(&registry, "http_requests").len(), 0);
        body.frame().await.unwrap().unwrap();
    }
    assert!(body.frame().await.is_none());
    assert_sample!(
        registry,
        "http_requests_in_progress",
        labels("/stream"),
        0.0
    );
    assert_eq!(testing::samples(&registry, "http_requests").len(), 1);
    hanging.abort();
    assert!(hanging.await.unwrap_err().is_cancelled());
    assert_sample!(
        registry,
        "http_requests_in_progress",
        labels("/hang/{x}"),
        0.0
    );
}

#[tokio::test]
async fn a_client_that_leaves_a_response_leaves_its_status() {
    let registry = registry();
    let app = app(&layer(&registry));
    let before = Snapshot::of(&registry);
    let response = app.clone().oneshot(request("GET", "/stream", "")).await;
    let mut body = response.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(seen(&before.delta(&registry)), ["GET /stream 200: 1, 0, 2"]);
}

#[tokio::test]
async fn a_request_ends_with_the_last_byte_of_a_known_length() {
    // A server that knows the length does not ask for the end.
    let registry = registry();
    let app = app(&layer(&registry));
    let response = app.clone().oneshot(request("GET", "/", "")).await;
    let mut body = response.unwrap().into_body();
    let ended = delta(&registry, || {
        let frame = std::pin::pin!(body.frame());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(std::future::Future::poll(frame, &mut context).is_ready());
    });
    assert_eq!(ended.sum("http_requests_total"), 1.0, "{ended}");
    assert_eq!(ended.sum("http_response_size_bytes_sum"), 10.0);
}

#[tokio::test]
async fn durations_reach_to_the_end_of_the_response() {
    let registry = registry();
    let app = app(&layer(&registry));
    let pause = Duration::from_millis(20);
    let response = app.clone().oneshot(request("GET", "/stream", "")).await;
    tokio::time::sleep(pause).await;
    drop(response);
    let labels = [("method", "GET"), ("route", "/stream"), ("status", "200")];
    let took = testing::value(&registry, "http_request_duration_seconds_sum", labels);
    assert!(took.unwrap() >= pause.as_secs_f64(), "{took:?}");
}

#[tokio::test]
async fn route_layers_and_single_handlers_can_have_the_layer() {
    let registry = registry();
    let layer = layer(&registry);
    let app = Router::new()
        .route("/a/{x}", get(text).layer(layer.clone()))
        .route_layer(layer)
        .route("/b", get(text));
    let before = Snapshot::of(&registry);
    for path in ["/a/1", "/b", "/c"] {
        send(&app, request("GET", path, "")).await;
    }
    // Twice around `/a`, around `/b` and what is not there not at all.
    assert_eq!(seen(&before.delta(&registry)), ["GET /a/{x} 200: 1, 0, 10"]);
}

#[tokio::test]
async fn a_failing_service_counts_as_500() {
    use tower::Layer;
    let registry = registry();
    let failing = tower::service_fn(|_: Request<_>| async {
        Err::<axum::response::Response, _>(std::io::Error::other("on purpose"))
    });
    // Any service, without axum's router.
    let service = layer(&registry).layer(failing);
    let before = Snapshot::of(&registry);
    let error = service.oneshot(request("GET", "/x", "")).await;
    assert_eq!(error.err().unwrap().to_string(), "on purpose");
    assert_eq!(
        seen(&before.delta(&registry)),
        ["GET unmatched 500: 1, 0, 0"]
    );
}
