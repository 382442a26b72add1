//! `forkmeter serve`: several directories, bad files, directories that come and go.

use crate::support::directory::{fleet, write};
use crate::support::{Exporter, check_with_promtool, has_line};

#[test]
fn a_bad_file_is_logged_once_until_its_state_changes() {
    let directory = fleet();
    let bad = directory.path().join("counter_99.db");
    std::fs::write(&bad, b"SQLite format 3\0 and more of it").unwrap();
    let mut exporter = Exporter::of(&directory);
    for _ in 0..3 {
        let response = exporter.get("/metrics");
        assert!(
            has_line(response.text(), "requests_total{path=\"/\"} 7.0"),
            "{}",
            response.text()
        );
        assert!(!response.text().contains("state=\"ok\"} 7.0"));
    }
    std::fs::remove_file(&bad).unwrap();
    write(
        directory.path(),
        "counter_99.db",
        &[("requests", "requests_total", &[("path", "/")], "", 1.0)],
    );
    for _ in 0..2 {
        let response = exporter.get("/metrics");
        assert!(
            has_line(response.text(), "requests_total{path=\"/\"} 8.0"),
            "{}",
            response.text()
        );
    }
    exporter.signal("-TERM");
    assert_eq!(exporter.wait(), Some(0));
    let lines = exporter.lines_at_the_end("counter_99.db");
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(
        lines[0].contains("warn ") && lines[0].contains("state=") && lines[0].contains("cause=")
    );
    assert!(lines[1].contains("read in full again"), "{lines:#?}");
}

#[test]
fn several_directories_are_one_exposition() {
    let (web, jobs) = (fleet(), fleet());
    write(
        jobs.path(),
        "gauge_max_1.db",
        &[("requests", "requests", &[], "A gauge here.", 1.0)],
    );
    let exporter = Exporter::start(&format!(
        "--label zone=a {} --label service=web {} --label service=jobs",
        web.path().display(),
        jobs.path().display()
    ));
    let response = exporter.get("/metrics");
    let text = response.text();
    for service in ["web", "jobs"] {
        let line = format!("requests_total{{path=\"/\",service=\"{service}\",zone=\"a\"}} 7.0");
        assert!(has_line(text, &line), "no {line:?} in {text}");
    }
    let types: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("# TYPE requests"))
        .collect();
    assert_eq!(types.len(), 1, "{text}");
    check_with_promtool(text);
}

#[test]
fn a_label_of_the_application_is_kept_under_another_name() {
    let directory = fleet();
    let exporter = Exporter::start(&format!("{} --label path=x", directory.path().display()));
    let response = exporter.get("/metrics");
    assert!(
        has_line(
            response.text(),
            "requests_total{exported_path=\"/\",path=\"x\"} 7.0"
        ),
        "{}",
        response.text()
    );
}

#[test]
fn contradicting_directories_stay_valid_and_are_reported() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(
        a.path(),
        "counter_1.db",
        &[
            ("x", "x_total", &[], "x", 1.0),
            ("y", "y_total", &[], "y", 1.0),
        ],
    );
    write(b.path(), "gauge_max_1.db", &[("x", "x", &[], "x", 2.0)]);
    write(b.path(), "counter_1.db", &[("y", "y_total", &[], "y", 2.0)]);
    let mut exporter = Exporter::start(&format!("{} {}", a.path().display(), b.path().display()));
    for _ in 0..2 {
        let response = exporter.get("/metrics");
        let text = response.text();
        assert!(
            has_line(text, "x_total 1.0") && has_line(text, "y_total 1.0"),
            "{text}"
        );
        assert!(
            !has_line(text, "x 2.0") && !has_line(text, "y_total 2.0"),
            "{text}"
        );
        for reason in ["type_conflict", "duplicate_series"] {
            let directory = b.path().display();
            let line = format!(
                "forkmeter_dropped_samples{{directory=\"{directory}\",reason=\"{reason}\"}} 1.0"
            );
            assert!(has_line(text, &line), "no {line:?} in {text}");
        }
        check_with_promtool(text);
    }
    exporter.signal("-INT");
    assert_eq!(exporter.wait(), Some(0));
    assert_eq!(
        exporter
            .lines_at_the_end("labels do not tell two directories apart")
            .len(),
        1
    );
    assert_eq!(exporter.lines_at_the_end("left out").len(), 2);
}

#[test]
fn a_directory_may_come_later() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("later");
    let mut exporter = Exporter::start(&path.display().to_string());
    let response = exporter.get("/metrics");
    let line = |value| {
        format!(
            "forkmeter_directory_readable{{directory=\"{}\"}} {value}",
            path.display()
        )
    };
    assert!(
        has_line(response.text(), &line("0.0")),
        "{}",
        response.text()
    );
    exporter.wait_for_line("it does not exist yet");
    assert!(exporter.get("/").text().contains("it does not exist yet"));
    std::fs::create_dir(&path).unwrap();
    write(&path, "counter_1.db", &[("c", "c_total", &[], "c", 1.0)]);
    let response = exporter.get("/metrics");
    assert!(
        has_line(response.text(), &line("1.0")),
        "{}",
        response.text()
    );
    assert!(
        has_line(response.text(), "c_total 1.0"),
        "{}",
        response.text()
    );
    exporter.wait_for_line("directory can be read again");
}
