//! `forkmeter dump`.

use std::io::Read;
use std::process::Stdio;

use crate::support::directory::{fleet, write};
use crate::support::{command, run, stderr, stdout};

#[test]
fn text_is_the_merged_exposition() {
    let directory = fleet();
    let text = stdout(&format!("dump {}", directory.path().display()));
    for line in [
        "# HELP requests_total Requests served.",
        "# TYPE requests_total counter",
        "requests_total{path=\"/\"} 7.0",
        "requests_total{path=\"/a\"} 2.0",
        "latency_seconds_bucket{le=\"0.1\"} 4.0",
        "latency_seconds_bucket{le=\"+Inf\"} 6.0",
        "latency_seconds_count 6.0",
        "latency_seconds_sum 1.0",
        "in_progress 7.0",
    ] {
        assert!(text.lines().any(|l| l == line), "no {line:?} in {text}");
    }
}

#[test]
fn openmetrics_ends_with_eof() {
    let directory = fleet();
    let text = stdout(&format!(
        "dump --format openmetrics {}",
        directory.path().display()
    ));
    assert!(text.contains("# TYPE requests counter\n"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn json_has_strings_for_what_json_cannot_say() {
    let directory = tempfile::tempdir().unwrap();
    for (pid, value) in [(1, f64::NAN), (2, f64::INFINITY), (3, 1.5)] {
        write(
            directory.path(),
            &format!("gauge_all_{pid}.db"),
            &[("g", "g", &[("a", "é")], "", value)],
        );
    }
    let text = stdout(&format!(
        "dump --format json {}",
        directory.path().display()
    ));
    assert_eq!(text.lines().count(), 1);
    let dump: serde_json::Value = serde_json::from_str(&text).unwrap();
    let family = &dump["families"][0];
    assert_eq!(
        (family["name"].as_str(), family["type"].as_str()),
        (Some("g"), Some("gauge"))
    );
    let samples = family["samples"].as_array().unwrap();
    let value = |pid: &str| {
        let sample = samples
            .iter()
            .find(|sample| sample["labels"]["pid"] == pid)
            .unwrap();
        assert_eq!(sample["labels"]["a"], "é");
        sample["value"].to_string()
    };
    assert_eq!(
        [value("1"), value("2"), value("3")],
        ["\"NaN\"", "\"+Inf\"", "1.5"]
    );
}

#[test]
fn bad_files_are_warned_of_and_the_rest_is_printed() {
    let directory = fleet();
    std::fs::write(
        directory.path().join("counter_99.db"),
        b"SQLite format 3\0 and more of it",
    )
    .unwrap();
    let output = run(&format!("dump {}", directory.path().display()));
    assert!(output.status.success());
    assert!(
        String::from_utf8(output.stdout.clone())
            .unwrap()
            .contains("requests_total{path=\"/\"} 7.0\n")
    );
    let warning = stderr(&output);
    assert_eq!(warning.lines().count(), 1, "{warning}");
    assert!(
        warning.starts_with("forkmeter: warning: ") && warning.contains("counter_99.db: "),
        "{warning}"
    );
}

#[test]
fn an_empty_directory_has_an_empty_exposition() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(stdout(&format!("dump {}", directory.path().display())), "");
    let json = stdout(&format!(
        "dump --format json {}",
        directory.path().display()
    ));
    assert_eq!(json, "{\"families\":[]}\n");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..3_000)
        .map(|n| format!("counter_with_a_long_name_{n}"))
        .collect();
    let samples: Vec<String> = names.iter().map(|name| format!("{name}_total")).collect();
    let entries: Vec<_> = names
        .iter()
        .zip(&samples)
        .map(|(name, sample)| {
            (
                &**name,
                &**sample,
                &[][..],
                "More than a pipe can hold.",
                1.0,
            )
        })
        .collect();
    write(directory.path(), "counter_1.db", &entries);
    let mut child = command(&format!("dump {}", directory.path().display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 16];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(0), String::new())
    );
}
