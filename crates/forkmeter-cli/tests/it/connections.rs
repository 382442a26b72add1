//! `forkmeter serve`: connections, signals and what clients may do.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::support::directory::{fleet, write};
use crate::support::http::{connect, read, request};
use crate::support::{Exporter, has_line, run, stderr};

#[test]
fn a_port_in_use_is_one_clear_line() {
    let directory = fleet();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let output = run(&format!(
        "serve {} --web.listen-address {address}",
        directory.path().display()
    ));
    assert_eq!(output.status.code(), Some(1));
    let error = stderr(&output);
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(
        error.starts_with(&format!("forkmeter: error: cannot listen on {address}: ")),
        "{error}"
    );
    assert!(error.contains("choose another address"), "{error}");
    let output = run("serve /proc/self/status --web.listen-address 127.0.0.1:0");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("it is not a directory"),
        "{}",
        stderr(&output)
    );
}

/// Makes a directory whose exposition is far bigger than the buffers of two sockets.
fn big() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let help = "x".repeat(1000);
    let names: Vec<String> = (0..20_000).map(|n| format!("c{n}")).collect();
    let samples: Vec<String> = names.iter().map(|name| format!("{name}_total")).collect();
    let entries: Vec<_> = names
        .iter()
        .zip(&samples)
        .map(|(name, sample)| (&**name, &**sample, &[][..], &*help, 1.0))
        .collect();
    write(directory.path(), "counter_1.db", &entries);
    directory
}

#[test]
fn an_answer_under_way_is_finished_on_sigterm() {
    let directory = big();
    let mut exporter = Exporter::of(&directory);
    let mut stream = connect(&exporter.address);
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n")
        .unwrap();
    // The answer is far bigger than the sockets' buffers, so once it began it is under way.
    let mut first = [0; 1];
    stream.read_exact(&mut first).unwrap();
    exporter.signal("-TERM");
    exporter.wait_for_line("stopping");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    let text = String::from_utf8(rest).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap();
    assert_eq!(body.len().to_string(), length);
    assert!(body.len() > 20_000_000);
    assert_eq!(exporter.wait(), Some(0));
    assert_eq!(exporter.lines_at_the_end("info  stopped").len(), 1);
}

#[test]
fn a_client_that_takes_nothing_does_not_hold_the_stop_up() {
    let directory = fleet();
    let mut exporter = Exporter::of(&directory);
    // An idle connection and one in the middle of a request.
    let idle = connect(&exporter.address);
    let mut half = connect(&exporter.address);
    half.write_all(b"GET /metrics HTTP/1.1\r\nHost:").unwrap();
    assert_eq!(exporter.get("/-/healthy").status, 200);
    exporter.signal("-TERM");
    assert_eq!(exporter.wait(), Some(0));
    drop((idle, half));
}

#[test]
fn slow_clients_are_cut_off_and_connections_are_bounded() {
    let directory = fleet();
    let path = directory.path().display();
    let exporter = Exporter::start(&format!(
        "--web.read-timeout 300ms --web.max-connections 2 {path}"
    ));
    let mut slow: Vec<_> = (0..2).map(|_| connect(&exporter.address)).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    }
    // It has to wait for one of the slow ones, which are cut off.
    assert_eq!(exporter.get("/-/healthy").status, 200);
    for mut stream in slow {
        let mut rest = Vec::new();
        // The end comes as a close or as a reset.
        let _ = stream.read_to_end(&mut rest);
        assert!(
            rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"),
            "{rest:?}"
        );
    }
}

#[test]
fn clients_that_do_not_read_are_cut_off() {
    let directory = big();
    let path = directory.path().display();
    let exporter = Exporter::start(&format!(
        "--web.read-timeout 300ms --web.max-connections 1 {path}"
    ));
    let mut stalled = connect(&exporter.address);
    stalled
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n")
        .unwrap();
    // There is room for one connection only, so this waits until the first one is given up.
    assert_eq!(exporter.get("/-/healthy").status, 200);
    let mut rest = Vec::new();
    let _ = stalled.read_to_end(&mut rest);
    assert!(rest.len() < 20_000_000, "{} bytes", rest.len());
}

#[test]
fn a_head_that_is_too_big_or_no_http_is_refused() {
    let directory = fleet();
    let exporter = Exporter::of(&directory);
    let big = "x".repeat(64 * 1024);
    let mut stream = connect(&exporter.address);
    let head = format!("GET /metrics HTTP/1.1\r\nHost: test\r\nBig: {big}\r\n\r\n");
    // The exporter may close before everything was sent.
    let _ = stream.write_all(head.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"),
        "{answer:?}"
    );
    let mut stream = connect(&exporter.address);
    stream
        .write_all(b"\x16\x03\x01 this is TLS, say\r\n\r\n")
        .unwrap();
    assert_eq!(read(&mut stream).status, 400);
    assert_eq!(exporter.get("/metrics").status, 200);
}

#[test]
fn clients_that_go_away_do_no_harm() {
    let directory = fleet();
    let exporter = Exporter::of(&directory);
    for _ in 0..20 {
        let mut stream = connect(&exporter.address);
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n")
            .unwrap();
    }
    assert_eq!(exporter.get("/metrics").status, 200);
}

#[test]
fn many_scrapes_at_once_get_the_same_numbers() {
    let directory = fleet();
    let exporter = Exporter::of(&directory);
    let address = &exporter.address;
    std::thread::scope(|scope| {
        let scrapes: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| request(address, "GET", "/metrics", &[])))
            .collect();
        for scrape in scrapes {
            let response = scrape.join().unwrap();
            assert!(
                has_line(response.text(), "requests_total{path=\"/\"} 7.0"),
                "{}",
                response.text()
            );
        }
    });
}
