//! Whatever the routes and the requests are, each request is counted once, where it belongs.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use forkmeter::testing::{Snapshot, registry};
use http_body_util::BodyExt;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use tower::ServiceExt;

use crate::app::{cancel, chunks, layer, panic, seen};

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "HEAD"];
const STRANGE_METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "BREW", "PROPFIND"];
const FATE: &str = "x-fate";

/// Says what is to become of a request whose handler is reached.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered,
    Streamed,
    Left,
    Cancelled,
    Panics,
}

const FATES: [Fate; 5] = [
    Fate::Answered,
    Fate::Streamed,
    Fate::Left,
    Fate::Cancelled,
    Fate::Panics,
];

#[derive(Clone, Debug)]
struct Sent {
    method: &'static str,
    path: String,
    body: &'static str,
    fate: Fate,
}

/// A route's segments and method; segments are fixed or, where it is none, a parameter.
type Route = (Vec<Option<u8>>, &'static str);

fn routes() -> impl Strategy<Value = BTreeSet<Route>> {
    let segment = prop_oneof![3 => (0..3_u8).prop_map(Some), 1 => Just(None)];
    let route = (vec(segment, 1..4), prop::sample::select(&METHODS[..4]));
    btree_set(route, 1..8)
}

fn requests() -> impl Strategy<Value = Vec<Sent>> {
    let path = vec(0..4_u8, 0..5).prop_map(|segments| {
        let segments: Vec<String> = segments.iter().map(u8::to_string).collect();
        format!("/{}", segments.join("/"))
    });
    let request = (
        prop::sample::select(&STRANGE_METHODS[..]),
        path,
        prop::sample::select(&["", "x", "body"][..]),
        prop::sample::select(&FATES[..]),
    );
    let request = request.prop_map(|(method, path, body, fate)| Sent {
        method,
        path,
        body,
        fate,
    });
    vec(request, 0..40)
}

fn template(segments: &[Option<u8>]) -> String {
    let segment = |(depth, segment): (usize, &Option<u8>)| match segment {
        Some(fixed) => format!("/{fixed}"),
        None => format!("/{{p{depth}}}"),
    };
    segments.iter().enumerate().map(segment).collect()
}

/// Does what the request asks for, and says which route it took.
async fn handle(route: MatchedPath, headers: HeaderMap, request: Request) -> Response {
    let took = [("x-route", route.as_str().to_owned())];
    match headers[FATE].to_str().unwrap() {
        "Cancelled" => std::future::pending().await,
        "Panics" => panic!("on purpose"),
        "Answered" => {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            (took, body).into_response()
        }
        _ => (took, chunks(["abc", "de"])).into_response(),
    }
}

fn app(routes: &BTreeSet<Route>, nest_first: bool) -> Router {
    let mut app = Router::new();
    for (index, (segments, method)) in routes.iter().enumerate() {
        let filter = MethodFilter::try_from(method.parse::<Method>().unwrap()).unwrap();
        let is_nested = nest_first && index % 2 == 0 && segments.len() > 1;
        let outer = &segments[..usize::from(is_nested)];
        let inner_path = template(segments).split_off(template(outer).len());
        let route = Router::new().route(&inner_path, on(filter, handle));
        app = if is_nested {
            app.nest(&template(outer), route)
        } else {
            app.merge(route)
        };
    }
    app
}

/// Sends a request and returns what should be counted for it: method, route if its handler said so, and status.
async fn meet(app: &Router, sent: &Sent, reaches: bool) -> (String, Option<String>, String) {
    let method = match sent.method {
        "BREW" | "PROPFIND" => "other",
        standard => standard,
    };
    let request = || {
        let request = Request::builder().method(sent.method).uri(&sent.path);
        let request = request.header(FATE, format!("{:?}", sent.fate));
        request.body(Body::from(sent.body)).unwrap()
    };
    let status = match sent.fate {
        Fate::Cancelled if reaches => {
            cancel(app, request()).await;
            "cancelled".to_string()
        }
        Fate::Panics if reaches => {
            panic(app, request()).await;
            "500".to_string()
        }
        fate => {
            let response = app.clone().oneshot(request()).await.unwrap();
            let status = response.status().as_str().to_string();
            let route = response.headers().get("x-route");
            let route = route.map(|route| route.to_str().unwrap().to_string());
            let mut body = response.into_body();
            if matches!(fate, Fate::Left) {
                let _ = body.frame().await;
            } else {
                body.collect().await.unwrap();
            }
            return (method.into(), route, status);
        }
    };
    (method.into(), None, status)
}

/// Tells whether a request to this router reaches a handler, by asking it without the layer.
async fn reaches_handler(bare: &Router, sent: &Sent) -> bool {
    let request = Request::builder().method(sent.method).uri(&sent.path);
    let request = request.header(FATE, "Answered").body(Body::empty());
    let response = bare.clone().oneshot(request.unwrap()).await.unwrap();
    response.headers().contains_key("x-route")
}

fn check(routes: &BTreeSet<Route>, nest_first: bool, requests: &[Sent]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let registry = registry();
    let bare = app(routes, nest_first);
    let app = bare.clone().layer(layer(&registry));
    let before = Snapshot::of(&registry);
    let mut by_status: BTreeMap<(String, String), f64> = BTreeMap::new();
    let mut by_route: BTreeMap<(String, String, String), f64> = BTreeMap::new();
    runtime.block_on(async {
        for sent in requests {
            let reaches = reaches_handler(&bare, sent).await;
            let (method, route, status) = meet(&app, sent, reaches).await;
            *by_status
                .entry((method.clone(), status.clone()))
                .or_default() += 1.0;
            if let Some(route) = route {
                *by_route.entry((method, route, status)).or_default() += 1.0;
            }
        }
    });
    let delta = before.delta(&registry);
    seen(&delta);
    let sent = f64::from(u32::try_from(requests.len()).unwrap());
    for family in [
        "http_requests_total",
        "http_request_duration_seconds_count",
        "http_request_size_bytes_count",
        "http_response_size_bytes_count",
    ] {
        assert_eq!(delta.sum(family), sent, "{family}");
    }
    let mut counted: BTreeMap<(String, String), f64> = BTreeMap::new();
    let templates: BTreeSet<String> = routes.iter().map(|route| template(&route.0)).collect();
    for change in delta.changes() {
        if &*change.name == "http_requests_total" {
            let label = |name| change.labels.get(name).unwrap().to_string();
            let key = (label("method"), label("status"));
            *counted.entry(key).or_default() += change.amount();
            let route = label("route");
            assert!(
                route == "unmatched" || templates.contains(&route),
                "{change}"
            );
            assert_eq!(route == "unmatched", label("status") == "404", "{change}");
        }
    }
    assert_eq!(counted, by_status);
    for ((method, route, status), amount) in by_route {
        let labels = [
            ("method", &*method),
            ("route", &*route),
            ("status", &*status),
        ];
        assert_eq!(
            delta.value("http_requests_total", labels),
            amount,
            "{labels:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_sum_over_series_is_the_number_of_requests(
        routes in routes(),
        nest_first in any::<bool>(),
        requests in requests(),
    ) {
        check(&routes, nest_first, &requests);
    }
}
