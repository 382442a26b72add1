//! The router that a scrape asks.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use forkmeter::axum::{metrics_router, metrics_router_of};
use forkmeter::testing::{isolate, registry};
use forkmeter::{Collected, Counter, Gather};

use crate::app::{request, send};

#[tokio::test]
async fn a_scrape_gets_the_format_that_it_asks_for() {
    let registry = registry();
    Counter::builder("jobs", "")
        .register(&registry)
        .unwrap()
        .inc();
    let app: Router = metrics_router_of(registry.clone(), |_| {});
    for path in ["/metrics", "/metrics/"] {
        let (head, body) = send(&app, request("GET", path, "")).await;
        assert_eq!(head.status(), StatusCode::OK);
        assert_eq!(
            head.headers()[header::CONTENT_TYPE],
            "text/plain; version=0.0.4; charset=utf-8"
        );
        let body = String::from_utf8(body.into()).unwrap();
        assert!(body.ends_with("jobs_total 1.0\n"), "{body}");
    }
    // On two lines, as clients may.
    let openmetrics = Request::builder()
        .uri("/metrics")
        .header(header::ACCEPT, "application/json")
        .header(header::ACCEPT, "application/openmetrics-text;version=1.0.0")
        .body(Body::empty())
        .unwrap();
    let (head, body) = send(&app, openmetrics).await;
    let content_type = head.headers()[header::CONTENT_TYPE].to_str().unwrap();
    assert!(
        content_type.starts_with("application/openmetrics-text"),
        "{content_type}"
    );
    assert!(body.ends_with(b"# EOF\n"));
    let (head, body) = send(&app, request("HEAD", "/metrics", "")).await;
    assert_eq!((head.status(), body.len()), (StatusCode::OK, 0));
    let (head, _) = send(&app, request("POST", "/metrics", "")).await;
    assert_eq!(head.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn the_usual_router_exposes_the_default_registry() {
    let metrics = isolate();
    let counter = Counter::builder("scraped", "");
    counter.register(metrics.registry()).unwrap().inc();
    let (_, body) = send(&metrics_router(), request("GET", "/metrics", "")).await;
    let body = String::from_utf8(body.into()).unwrap();
    assert!(body.contains("\nscraped_total 1.0\n"), "{body}");
}

struct Broken;

impl Gather for Broken {
    fn gather(&self) -> Collected {
        let errors = vec!["a.db: corrupt".to_string()];
        Collected {
            families: Vec::new(),
            errors,
        }
    }
}

struct Panicking;

impl Gather for Panicking {
    fn gather(&self) -> Collected {
        panic!("on purpose")
    }
}

#[tokio::test]
async fn what_was_left_out_is_reported_and_a_panic_is_an_answer() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let app: Router = metrics_router_of(Broken, move |errors| {
        listener.lock().unwrap().extend(errors.iter().cloned());
    });
    let (head, _) = send(&app, request("GET", "/metrics", "")).await;
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(*told.lock().unwrap(), ["a.db: corrupt"]);
    let app: Router = metrics_router_of(Panicking, |_| {});
    let (head, body) = send(&app, request("GET", "/metrics", "")).await;
    assert_eq!(head.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(&*body, b"the metrics could not be collected\n");
}
