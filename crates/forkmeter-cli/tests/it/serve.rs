//! `forkmeter serve`: the pages.

use std::io::Read;

use crate::support::directory::{fleet, write};
use crate::support::http::request;
use crate::support::{Exporter, check_with_promtool, has_line};

#[test]
fn metrics_are_merged_and_the_exporter_describes_itself() {
    let directory = fleet();
    let exporter = Exporter::of(&directory);
    let response = exporter.get("/metrics");
    assert_eq!(response.status, 200);
    let path = directory.path().display();
    for line in [
        "requests_total{path=\"/\"} 7.0",
        "in_progress 7.0",
        &format!("forkmeter_files{{directory=\"{path}\",state=\"ok\"}} 6.0"),
        &format!("forkmeter_files{{directory=\"{path}\",state=\"corrupt\"}} 0.0"),
        &format!("forkmeter_series{{directory=\"{path}\"}} 4.0"),
        &format!("forkmeter_workers{{directory=\"{path}\",state=\"live\"}} 0.0"),
        &format!("forkmeter_directory_readable{{directory=\"{path}\"}} 1.0"),
        &format!("forkmeter_lost_series_total{{directory=\"{path}\"}} 0.0"),
        &format!(
            "forkmeter_build_info{{version=\"{}\"}} 1.0",
            env!("CARGO_PKG_VERSION")
        ),
    ] {
        assert!(
            has_line(response.text(), line),
            "no {line:?} in {}",
            response.text()
        );
    }
    // The next scrape sees what happened since.
    let entries: &[_] = &[(
        "requests",
        "requests_total",
        &[("path", "/")][..],
        "Requests served.",
        10.0,
    )];
    write(directory.path(), "counter_13.db", entries);
    let response = exporter.get("/metrics");
    assert!(
        has_line(response.text(), "requests_total{path=\"/\"} 17.0"),
        "{}",
        response.text()
    );
}

#[test]
fn the_format_is_negotiated() {
    let directory = fleet();
    let exporter = Exporter::of(&directory);
    let openmetrics = "application/openmetrics-text;version=1.0.0";
    for (accept, content_type) in [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("image/png", "text/plain; version=0.0.4; charset=utf-8"),
        (
            openmetrics,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        (
            &format!("{openmetrics};q=0.5,text/plain;version=0.0.4;q=0.9"),
            "text/plain; version=0.0.4",
        ),
        (
            &format!("{openmetrics};q=0,text/plain;q=0.1"),
            "text/plain; version=0.0.4",
        ),
    ] {
        let response = request(&exporter.address, "GET", "/metrics", &[("Accept", accept)]);
        let got = response.header("content-type").unwrap();
        assert!(got.starts_with(content_type), "{accept}: {got}");
        assert_eq!(
            response.text().ends_with("# EOF\n"),
            got.contains("openmetrics"),
            "{accept}"
        );
        assert_eq!(response.header("vary"), Some("Accept, Accept-Encoding"));
    }
    let two = [("Accept", "text/plain;q=0.1"), ("Accept", openmetrics)];
    let response = request(&exporter.address, "GET", "/metrics", &two);
    assert!(response.text().ends_with("# EOF\n"));
}

#[test]
fn gzip_is_used_where_it_is_accepted() {
    let directory = fleet();
    let exporter = Exporter::of(&directory);
    let get = |encoding| {
        request(
            &exporter.address,
            "GET",
            "/metrics",
            &[("Accept-Encoding", encoding)],
        )
    };
    let response = get("gzip");
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*response.body)
        .read_to_string(&mut text)
        .unwrap();
    assert!(has_line(&text, "requests_total{path=\"/\"} 7.0"), "{text}");
    for refused in ["identity", "gzip;q=0", "deflate"] {
        assert_eq!(get(refused).header("content-encoding"), None, "{refused}");
    }
}

#[test]
fn methods_and_paths_are_answered_right() {
    let directory = fleet();
    let exporter = Exporter::of(&directory);
    for path in ["/metrics", "/", "/-/healthy", "/-/ready"] {
        let head = request(&exporter.address, "HEAD", path, &[]);
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert!(
            head.header("content-length")
                .unwrap()
                .parse::<usize>()
                .unwrap()
                > 0
        );
        let options = request(&exporter.address, "OPTIONS", path, &[]);
        assert_eq!((options.status, options.body.len()), (204, 0), "{path}");
        assert_eq!(options.header("allow"), Some("GET, HEAD, OPTIONS"));
        for method in ["POST", "PUT", "DELETE", "FROB"] {
            let wrong = request(&exporter.address, method, path, &[("Content-Length", "0")]);
            assert_eq!(wrong.status, 405, "{method} {path}");
            assert_eq!(wrong.header("allow"), Some("GET, HEAD, OPTIONS"));
        }
        assert_eq!(exporter.get(path).status, 200);
    }
    let missing = exporter.get("/nothing/%3Cb%3E");
    assert_eq!(missing.status, 404);
    assert!(
        missing
            .header("content-type")
            .unwrap()
            .starts_with("text/plain")
    );
    assert_eq!(
        request(&exporter.address, "POST", "/nothing", &[]).status,
        404
    );
}

#[test]
fn the_telemetry_path_can_be_moved() {
    let directory = fleet();
    let path = directory.path().display();
    let exporter = Exporter::start(&format!("--web.telemetry-path /a/metrics.txt {path}"));
    assert_eq!(exporter.get("/a/metrics.txt").status, 200);
    assert_eq!(exporter.get("/metrics").status, 404);
    assert!(exporter.get("/").text().contains("href=\"/a/metrics.txt\""));
}

#[test]
fn the_landing_page_escapes_everything() {
    let directory = tempfile::tempdir().unwrap();
    let evil = "<script>alert('\"&')</script>";
    write(
        directory.path(),
        "counter_1.db",
        &[(evil, &format!("{evil}_total"), &[], evil, 1.0)],
    );
    std::fs::write(
        directory.path().join("counter_<img src=x>.db"),
        b"what is this, which is no segment",
    )
    .unwrap();
    let exporter = Exporter::start(&format!(
        "{} --label a={}",
        directory.path().display(),
        "<i>\"x\"</i>"
    ));
    let response = exporter.get("/");
    assert_eq!(
        response.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(
        response
            .header("content-security-policy")
            .unwrap()
            .starts_with("default-src 'none'")
    );
    let html = response.text();
    assert!(
        html.contains("&lt;script&gt;alert(&#39;&quot;&amp;&#39;)&lt;/script&gt;"),
        "{html}"
    );
    assert!(html.contains("&lt;i&gt;&quot;x&quot;&lt;/i&gt;"), "{html}");
    for active in ["<script", "<img", "<i>"] {
        assert!(!html.contains(active), "{active} in {html}");
    }
}

#[test]
fn the_log_can_be_json() {
    let directory = fleet();
    let path = directory.path().display();
    let mut exporter = Exporter::start(&format!("--log.format json {path}"));
    exporter.signal("-TERM");
    assert_eq!(exporter.wait(), Some(0));
    for line in exporter.lines_at_the_end("") {
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(
            value["time"].is_string() && value["level"] == "info",
            "{line}"
        );
    }
}

#[test]
fn every_exposition_passes_promtool() {
    let directory = fleet();
    let exporter = Exporter::of(&directory);
    check_with_promtool(exporter.get("/metrics").text());
}
