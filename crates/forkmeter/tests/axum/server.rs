//! A real server: what it does with futures and bodies when clients come and go.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use forkmeter::testing::{check_sample, eventually, registry};

use crate::app::{chunks, layer};

const PATIENCE: Duration = Duration::from_secs(20);

fn ask(address: SocketAddr, method: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

fn read(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_stay_and_clients_that_go_are_counted() {
    let registry = registry();
    let app = Router::new()
        .route("/", get(|| async { "0123456789" }))
        .route("/stream", get(|| async { chunks(["ab", "", "cde"]) }))
        .route("/hang", get(std::future::pending::<()>))
        .route("/endless", get(|| async { Body::new(Endless) }))
        .layer(layer(&registry));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async { axum::serve(listener, app).await });
    let asking = tokio::task::spawn_blocking(move || {
        let count = |method, route, status, expected| {
            let labels = [("method", method), ("route", route), ("status", status)];
            eventually(PATIENCE, || {
                check_sample(&registry, "http_requests_total", labels, expected)
            });
        };
        let sent = |method, route, expected| {
            let labels = [("method", method), ("route", route), ("status", "200")];
            check_sample(&registry, "http_response_size_bytes_sum", labels, expected).unwrap();
        };
        assert!(read(ask(address, "GET", "/")).ends_with("0123456789"));
        assert!(read(ask(address, "HEAD", "/")).ends_with("\r\n\r\n"));
        assert!(read(ask(address, "GET", "/stream")).ends_with("\r\n0\r\n\r\n"));
        for (method, route, bytes) in [
            ("GET", "/", 10.0),
            ("HEAD", "/", 0.0),
            ("GET", "/stream", 5.0),
        ] {
            count(method, route, "200", 1.0);
            sent(method, route, bytes);
        }
        let running = |route, expected| {
            let labels = [("method", "GET"), ("route", route)];
            eventually(PATIENCE, || {
                check_sample(&registry, "http_requests_in_progress", labels, expected)
            });
        };
        let hanging = ask(address, "GET", "/hang");
        running("/hang", 1.0);
        drop(hanging);
        count("GET", "/hang", "cancelled", 1.0);
        running("/hang", 0.0);
        let mut endless = ask(address, "GET", "/endless");
        endless.read_exact(&mut [0; 4096]).unwrap();
        running("/endless", 1.0);
        drop(endless);
        count("GET", "/endless", "200", 1.0);
        running("/endless", 0.0);
    });
    asking.await.unwrap();
    server.abort();
}

/// Is a body that goes on for ever.
struct Endless;

impl axum::body::HttpBody for Endless {
    type Data = axum::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        let data = axum::body::Bytes::from_static(&[b'x'; 1024]);
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(data))))
    }
}
