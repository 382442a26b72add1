//! Names, labels and exclusions.

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::routing::{any, get};
use forkmeter::axum::{HttpFamily, HttpLabel, HttpMetricsLayer, HttpMetricsOptions, StatusLabel};
use forkmeter::testing::{isolate, registry, samples};
use forkmeter::{Gauge, assert_exposition, assert_sample};

use crate::app::{cancel, request, send};

fn app(options: HttpMetricsOptions) -> Router {
    let inner = Router::new().route("/deep/{x}", get(|| async { "deep" }));
    Router::new()
        .route("/ok", any(|| async { "ok" }))
        .route("/gone", get(|| async { StatusCode::GONE }))
        .route(
            "/strange",
            get(|| async { StatusCode::from_u16(999).unwrap() }),
        )
        .route("/hang", get(std::future::pending::<()>))
        .nest("/nested", inner)
        .layer(HttpMetricsLayer::with_options(options).unwrap())
}

#[tokio::test]
async fn names_labels_and_classes_can_be_chosen() {
    let registry = registry();
    let constant = [("app_name", "shop")].into_iter().collect();
    let options = HttpMetricsOptions::new()
        .registry(&registry.clone().with_const_labels(&constant))
        .name(HttpFamily::Requests, "web_requests")
        .label_name(HttpLabel::Route, "handler")
        .label_name(HttpLabel::Status, "code")
        .labels(HttpFamily::Duration, [HttpLabel::Route])
        .duration_buckets([1e6])
        .labels(
            HttpFamily::InProgress,
            [HttpLabel::Status, HttpLabel::Method],
        )
        .labels(HttpFamily::ResponseSize, [])
        .size_buckets([3.0, 1e6])
        .without(HttpFamily::RequestSize)
        .status(StatusLabel::Class)
        .unmatched("none");
    let app = app(options);
    for path in ["/ok", "/gone", "/strange", "/nothing"] {
        send(&app, request("GET", path, "")).await;
    }
    cancel(&app, request("GET", "/hang", "")).await;
    assert_exposition!(
        registry,
        "
        # TYPE web_requests_total counter
        web_requests_total{app_name=\"shop\",code=\"2xx\",handler=\"/ok\",method=\"GET\"} 1
        web_requests_total{app_name=\"shop\",code=\"4xx\",handler=\"/gone\",method=\"GET\"} 1
        web_requests_total{app_name=\"shop\",code=\"9xx\",handler=\"/strange\",method=\"GET\"} 1
        web_requests_total{app_name=\"shop\",code=\"4xx\",handler=\"none\",method=\"GET\"} 1
        web_requests_total{app_name=\"shop\",code=\"cancelled\",handler=\"/hang\",method=\"GET\"} 1
        # TYPE http_requests_in_progress gauge
        http_requests_in_progress{app_name=\"shop\",method=\"GET\"} 0
        # TYPE http_response_size_bytes histogram
        http_response_size_bytes_bucket{app_name=\"shop\",le=\"3.0\"} 5
        http_response_size_bytes_bucket{app_name=\"shop\",le=\"1e+06\"} 5
        http_response_size_bytes_bucket{app_name=\"shop\",le=\"+Inf\"} 5
        http_response_size_bytes_count{app_name=\"shop\"} 5
        http_response_size_bytes_sum{app_name=\"shop\"} 2
        "
    );
    let labels = [("app_name", "shop"), ("handler", "/ok")];
    assert_sample!(registry, "http_request_duration_seconds_count", labels, 1.0);
    assert!(samples(&registry, "http_request_size_bytes").is_empty());
}

#[tokio::test]
async fn paths_and_methods_can_be_left_out() {
    let registry = registry();
    let options = HttpMetricsOptions::new()
        .registry(&registry)
        .exclude_paths(["/gone", "/nested/*"])
        .exclude_methods([Method::OPTIONS]);
    let app = app(options);
    for (method, path) in [
        ("GET", "/gone"),
        ("GET", "/nested/deep/1"),
        ("GET", "/nested/nothing"),
        ("OPTIONS", "/ok"),
    ] {
        send(&app, request(method, path, "")).await;
    }
    assert!(samples(&registry, "http_requests").is_empty());
    assert!(samples(&registry, "http_requests_in_progress").is_empty());
    send(&app, request("GET", "/ok", "")).await;
    send(&app, request("GET", "/gone/", "")).await;
    assert_eq!(samples(&registry, "http_requests").len(), 2);
}

#[tokio::test]
async fn the_path_that_counts_is_the_one_that_was_sent() {
    let registry = registry();
    let options = HttpMetricsOptions::new()
        .registry(&registry)
        .exclude_paths(["/ok"]);
    let app = Router::new().nest("/outer", app(options));
    send(&app, request("GET", "/outer/ok", "")).await;
    let labels = [("method", "GET"), ("route", "/outer/ok"), ("status", "200")];
    assert_sample!(registry, "http_requests_total", labels, 1.0);
}

#[tokio::test]
async fn layers_that_count_elsewhere_both_count() {
    let (first, second) = (registry(), registry());
    let layer = |registry| {
        let options = HttpMetricsOptions::new().registry(registry);
        HttpMetricsLayer::with_options(options).unwrap()
    };
    let app = Router::new()
        .route("/", get(|| async { "ok" }))
        .layer(layer(&first))
        .layer(layer(&second))
        // Made alike: the same families.
        .layer(layer(&second));
    send(&app, request("GET", "/", "")).await;
    let labels = [("method", "GET"), ("route", "/"), ("status", "200")];
    for registry in [&first, &second] {
        assert_sample!(*registry, "http_requests_total", labels, 1.0);
    }
}

#[tokio::test]
async fn the_usual_layer_counts_in_the_default_registry() {
    let metrics = isolate();
    let app = Router::new()
        .route("/", get(|| async { "ok" }))
        .layer(HttpMetricsLayer::new());
    send(&app, request("GET", "/", "")).await;
    let labels = [("method", "GET"), ("route", "/"), ("status", "200")];
    assert_sample!(metrics, "http_requests_total", labels, 1.0);
}

#[test]
fn a_name_that_is_taken_is_an_error() {
    let registry = registry();
    Gauge::builder("http_request_size_bytes", "")
        .register(&registry)
        .unwrap();
    let options = || HttpMetricsOptions::new().registry(&registry);
    let error = HttpMetricsLayer::with_options(options()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot register \"http_request_size_bytes\": already registered: http_request_size_bytes"
    );
    let twice = options().labels(HttpFamily::Requests, [HttpLabel::Method, HttpLabel::Method]);
    assert!(HttpMetricsLayer::with_options(twice).is_err());
}
