//! `forkmeter serve`: several directories, bad files, directories that come and go.

use std::path::Path;

use crate::support::directory::{fleet, segment, write};
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

/// Puts files into a directory that no reader should trust, and returns their names.
fn add_hostile_files(directory: &Path) -> Vec<String> {
    let entries = [(
        "requests",
        "requests_total",
        &[("path", "/")][..],
        "",
        1000.0,
    )];
    let whole = segment(&entries);
    let mut names = Vec::new();
    let mut add = |name: String, bytes: &[u8]| {
        std::fs::write(directory.join(&name), bytes).unwrap();
        names.push(name);
    };
    // Every length but the whole: none of them holds a complete entry.
    for length in 0..whole.len() {
        add(format!("counter_7{length}.db"), &whole[..length]);
    }
    add(
        "counter_8.db".to_owned(),
        b"SQLite format 3\0\x10\0\x01\x01\0\x40\x20\x20",
    );
    // A fixed sequence that looks like noise.
    let mut state = 42_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(4096)
    .collect();
    add("histogram_9.db".to_owned(), &noise);
    add("gauge_nosuchmode_10.db".to_owned(), &whole);
    std::fs::create_dir(directory.join("x.db")).unwrap();
    names.push("x.db".to_owned());
    names
}

#[test]
fn hostile_files_are_counted_named_once_and_read_around() {
    let directory = fleet();
    let names = add_hostile_files(directory.path());
    let mut exporter = Exporter::of(&directory);
    for _ in 0..3 {
        let response = exporter.get("/metrics");
        let text = response.text();
        for line in [
            "requests_total{path=\"/\"} 7.0",
            "latency_seconds_count 6.0",
            "in_progress 7.0",
        ] {
            assert!(has_line(text, line), "no {line:?} in {text}");
        }
        let files = text
            .lines()
            .filter(|line| line.starts_with("forkmeter_files{"));
        let files: usize = files
            .filter_map(|line| {
                line.rsplit(' ')
                    .next()?
                    .strip_suffix(".0")?
                    .parse::<usize>()
                    .ok()
            })
            .sum();
        let ok = format!(
            "forkmeter_files{{directory=\"{}\",state=\"ok\"}} 6.0",
            directory.path().display()
        );
        assert!(has_line(text, &ok), "no {ok:?} in {text}");
        assert_eq!(files, 6 + names.len(), "{text}");
        check_with_promtool(text);
    }
    let page = exporter.get("/");
    assert!(
        page.text().contains("Files that were not read in full"),
        "{}",
        page.text()
    );
    exporter.signal("-TERM");
    assert_eq!(exporter.wait(), Some(0));
    for name in names {
        let lines = exporter.lines_at_the_end(&format!("/{name} "));
        assert_eq!(lines.len(), 1, "{name}: {lines:#?}");
        assert!(
            lines[0].contains("state=") && lines[0].contains("cause="),
            "{lines:?}"
        );
    }
}

#[test]
fn a_flood_of_bad_files_does_not_flood_the_log() {
    let directory = fleet();
    for number in 0..250 {
        std::fs::write(
            directory.path().join(format!("counter_9{number}.db")),
            b"no segment at all",
        )
        .unwrap();
    }
    let mut exporter = Exporter::of(&directory);
    for _ in 0..4 {
        assert_eq!(exporter.get("/metrics").status, 200);
    }
    exporter.signal("-TERM");
    assert_eq!(exporter.wait(), Some(0));
    assert_eq!(exporter.lines_at_the_end("state=").len(), 250);
    let more = exporter.lines_at_the_end("more files changed their state");
    assert_eq!(more.len(), 2, "{more:?}");
    assert!(
        more[0].ends_with("files=150") && more[1].ends_with("files=50"),
        "{more:?}"
    );
}
