//! The pages of the exporter.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use forkmeter_core::encode::{self, Format};

use super::page;
use super::scrape::Scraper;
use crate::error::Error;
use crate::log::Logger;

/// What all pages share.
#[derive(Debug)]
struct Site {
    scraper: Scraper,
    telemetry_path: String,
    log: Logger,
    last: Mutex<Option<LastScrape>>,
}

/// Describes the last answer to a scrape, for the landing page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastScrape {
    /// When it was finished.
    pub(crate) time: SystemTime,
    /// How long reading, encoding and compressing took together, with waiting for another scrape.
    pub(crate) took: Duration,
    /// How long the answer is.
    pub(crate) size_bytes: u64,
}

const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// Makes the pages: metrics, landing page, health.
pub(crate) fn router(scraper: Scraper, telemetry_path: &str, log: Logger) -> Router {
    let site = Site {
        scraper,
        telemetry_path: telemetry_path.to_owned(),
        log,
        last: Mutex::default(),
    };
    Router::new()
        .route(
            telemetry_path,
            get(metrics).options(options).fallback(wrong_method),
        )
        .route("/", get(landing).options(options).fallback(wrong_method))
        .route(
            "/-/healthy",
            get(healthy).options(options).fallback(wrong_method),
        )
        .route(
            "/-/ready",
            get(ready).options(options).fallback(wrong_method),
        )
        .fallback(not_found)
        .with_state(Arc::new(site))
}

async fn metrics(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let started = Instant::now();
    let format = encode::negotiate(joined(&headers, header::ACCEPT).as_deref());
    let gzip = encode::accepts_gzip(joined(&headers, header::ACCEPT_ENCODING).as_deref());
    let body = match site.scraper.scrape().await {
        Ok(scrape) => blocking(move || scrape.render(format, gzip)).await,
        Err(error) => Err(error),
    };
    match body {
        Ok(body) => {
            let last = LastScrape {
                time: SystemTime::now(),
                took: started.elapsed(),
                size_bytes: body.len() as u64,
            };
            *site.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
            exposition(format, gzip, body)
        }
        Err(error) => site.failure(&error),
    }
}

fn exposition(format: Format, gzip: bool, body: Bytes) -> Response {
    let content_type = HeaderValue::try_from(format.content_type());
    let content_type = content_type.expect("invariant: content types are ASCII");
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(
        header::VARY,
        HeaderValue::from_static("Accept, Accept-Encoding"),
    );
    if gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

async fn landing(State(site): State<Arc<Site>>) -> Response {
    let scrape = match site.scraper.scrape().await {
        Ok(scrape) => scrape,
        Err(error) => return site.failure(&error),
    };
    let last = *site.last.lock().unwrap_or_else(PoisonError::into_inner);
    let path = site.telemetry_path.clone();
    let html = blocking(move || Ok(page::landing(&scrape, &path, last))).await;
    match html {
        Ok(html) => html_page(html),
        Err(error) => site.failure(&error),
    }
}

fn html_page(html: String) -> Response {
    const HEADERS: [(HeaderName, HeaderValue); 4] = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        // Nothing is loaded and nothing runs, whatever a label holds.
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(
                "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                 frame-ancestors 'none'",
            ),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (HEADERS, html).into_response()
}

async fn healthy() -> &'static str {
    "forkmeter is healthy.\n"
}

async fn ready() -> &'static str {
    "forkmeter is ready.\n"
}

async fn options() -> Response {
    (StatusCode::NO_CONTENT, [(header::ALLOW, ALLOWED)]).into_response()
}

async fn wrong_method(method: Method) -> Response {
    let text = format!("{method} is not possible here; use GET\n");
    (
        StatusCode::METHOD_NOT_ALLOWED,
        [(header::ALLOW, ALLOWED)],
        text,
    )
        .into_response()
}

async fn not_found(State(site): State<Arc<Site>>, uri: Uri) -> Response {
    let text = format!(
        "there is no page {}; the metrics are at {}\n",
        uri.path(),
        site.telemetry_path
    );
    (StatusCode::NOT_FOUND, text).into_response()
}

impl Site {
    fn failure(&self, error: &Error) -> Response {
        self.log.error("a request failed", &[("cause", error)]);
        (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
    }
}

/// Runs work that takes the processor or the disk away from the thread that serves connections.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(Error::Read))
}

/// Joins the values of a header that may stand several times.
fn joined(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let values = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let values: Vec<&str> = values.collect();
    (!values.is_empty()).then(|| values.join(", "))
}
