//! What a read of the official client's files gives: the numbers of the official collector, in its order.

use std::fs;
use std::sync::Arc;

use forkmeter_core::store::Store;
use forkmeter_core::{MetricType, MultiprocessMode};
use forkmeter_shm::reader::DirectoryReader;

use crate::children::{gauge, store_in};
use crate::support::{SegmentBytes, samples};

#[test]
fn counters_and_summaries_are_summed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    SegmentBytes::official()
        .with("b", "b_total", &[("x", "1")], 1.5, 0.0)
        .with("a", "a_total", &[], 1.0, 0.0)
        .write(path.join("counter_1.db"));
    SegmentBytes::official()
        .with("a", "a_total", &[], 2.0, 0.0)
        .with("b", "b_total", &[("x", "2")], 4.0, 0.0)
        .with("b", "b_total", &[("x", "1")], 2.0, 0.0)
        .write(path.join("counter_2.db"));
    for pid in [1, 2] {
        SegmentBytes::official()
            .with("s", "s_count", &[], 2.0, 0.0)
            .with("s", "s_sum", &[], 0.5, 0.0)
            .write(path.join(format!("summary_{pid}.db")));
    }
    let mut reader = DirectoryReader::new(path);
    let expected = [
        "b_total{x=1} 3.5",
        "b_total{x=2} 4.0",
        "a_total{} 3.0",
        "s_count{} 4.0",
        "s_sum{} 1.0",
    ];
    for _ in 0..2 {
        let read = reader.read();
        assert_eq!(samples(&read.families), expected);
        let kinds: Vec<_> = read.families.iter().map(|family| family.kind).collect();
        assert_eq!(
            kinds,
            [
                MetricType::Counter,
                MetricType::Counter,
                MetricType::Summary
            ]
        );
        assert_eq!((read.report.series, &*read.families[0].help), (4, "h"));
        assert!(read.report.conflicts.is_empty());
    }
}

#[test]
fn histograms_accumulate_over_the_union_of_bounds() {
    let directory = tempfile::tempdir().unwrap();
    let bucket = |segment: SegmentBytes, le: &str, value| {
        segment.with("h", "h_bucket", &[("le", le), ("x", "1")], value, 0.0)
    };
    let mut first = SegmentBytes::official().with("h", "h_sum", &[("x", "1")], 3.0, 0.0);
    for (le, value) in [("1.0", 1.0), ("10.0", 2.0), ("+Inf", 4.0)] {
        first = bucket(first, le, value);
    }
    first.write(directory.path().join("histogram_1.db"));
    let mut second = SegmentBytes::official();
    for (le, value) in [("+Inf", 8.0), ("5", 16.0), ("1", 32.0)] {
        second = bucket(second, le, value);
    }
    second
        .with("h", "h_bucket", &[("le", "much"), ("x", "1")], 100.0, 0.0)
        .write(directory.path().join("histogram_2.db"));
    let read = DirectoryReader::new(directory.path()).read();
    assert_eq!(
        samples(&read.families),
        [
            "h_sum{x=1} 3.0",
            "h_bucket{le=1.0,x=1} 33.0",
            "h_bucket{le=5.0,x=1} 49.0",
            "h_bucket{le=10.0,x=1} 51.0",
            "h_bucket{le=+Inf,x=1} 63.0",
            "h_count{x=1} 63.0",
        ]
    );
    assert_eq!(read.report.series, 1);
}

#[test]
fn gauges_merge_as_their_mode_says() {
    let nan = f64::NAN;
    let workers = [
        ("1", nan, 5.0),
        ("2", 3.0, 0.0),
        ("3", 1.5, 7.0),
        ("4", -1.0, 7.0),
    ];
    for mode in MultiprocessMode::ALL {
        let directory = tempfile::tempdir().unwrap();
        for (pid, value, timestamp) in workers {
            let name = format!("gauge_{mode}_{pid}.db");
            let value = if mode.as_str().ends_with("sum") && value.is_nan() {
                0.5
            } else {
                value
            };
            SegmentBytes::official()
                .gauge("g", value, timestamp)
                .write(directory.path().join(name));
        }
        let read = DirectoryReader::new(directory.path()).read();
        let expected: &[&str] = match mode.as_str().trim_start_matches("live") {
            "all" => &[
                "g{pid=1} NaN",
                "g{pid=2} 3.0",
                "g{pid=3} 1.5",
                "g{pid=4} -1.0",
            ],
            "min" => &["g{} -1.0"],
            "max" => &["g{} 3.0"],
            "sum" => &["g{} 4.0"],
            // Of the two that were set last, the one whose file is read first.
            _ => &["g{} 1.5"],
        };
        assert_eq!(samples(&read.families), expected, "{mode}");
    }
}

#[test]
fn a_most_recent_gauge_that_was_never_set_has_no_sample() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gauge_mostrecent_1.db");
    SegmentBytes::official().gauge("g", 0.0, 0.0).write(&path);
    let mut reader = DirectoryReader::new(directory.path());
    let read = reader.read();
    assert_eq!(
        (
            read.families.len(),
            read.families[0].samples.len(),
            read.report.series
        ),
        (1, 0, 0)
    );
    SegmentBytes::official().gauge("g", 4.0, 1.0).write(&path);
    assert_eq!(samples(&reader.read().families), ["g{} 4.0"]);
}

#[test]
fn a_read_copies_only_what_is_still_held() {
    let directory = tempfile::tempdir().unwrap();
    let write = |value| {
        let path = directory.path().join("counter_1.db");
        SegmentBytes::official().counter("a", value).write(path);
    };
    let mut reader = DirectoryReader::new(directory.path());
    write(1.0);
    let first = reader.read().families;
    write(2.0);
    let second = reader.read().families;
    assert_eq!(samples(&first), ["a_total{} 1.0"]);
    assert_eq!(samples(&second), ["a_total{} 2.0"]);
    assert!(!Arc::ptr_eq(&first[0], &second[0]));
    let address = Arc::as_ptr(&second[0]);
    drop(second);
    write(3.0);
    let third = reader.read().families;
    assert_eq!(samples(&third), ["a_total{} 3.0"]);
    assert_eq!(Arc::as_ptr(&third[0]), address);
}

#[test]
fn an_identifier_with_an_underscore_stays_whole() {
    let directory = tempfile::tempdir().unwrap();
    for tag in ["web_1", "web_2"] {
        let path = directory.path().join(format!("gauge_all_{tag}.db"));
        SegmentBytes::official().gauge("g", 1.0, 0.0).write(path);
    }
    let read = DirectoryReader::new(directory.path()).read();
    assert_eq!(
        samples(&read.families),
        ["g{pid=web_1} 1.0", "g{pid=web_2} 1.0"]
    );
}

#[test]
fn keys_that_differ_in_spelling_and_help_are_one_series() {
    let directory = tempfile::tempdir().unwrap();
    SegmentBytes::official()
        .with_key(
            br#"["a", "a_total", {"x": "1", "y": "\u00e9"}, "first"]"#,
            1.0,
            0.0,
        )
        .with_key(
            br#"["a", "a_total", {"x": "1", "y": "\u00e9"}, "second"]"#,
            2.0,
            0.0,
        )
        .with_key(
            "[\"a\",\"a_total\",{\"y\":\"é\",\"x\":\"1\"},\"third\"]".as_bytes(),
            4.0,
            0.0,
        )
        .write(directory.path().join("counter_1.db"));
    let read = DirectoryReader::new(directory.path()).read();
    assert_eq!(samples(&read.families), ["a_total{x=1,y=é} 7.0"]);
    assert_eq!(&*read.families[0].help, "first");
}

#[test]
fn files_that_disagree_leave_a_valid_exposition_and_are_reported() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    SegmentBytes::official()
        .counter("a", 1.0)
        .write(path.join("counter_1.db"));
    SegmentBytes::official()
        .gauge("a", 9.0, 0.0)
        .gauge("g", 1.0, 0.0)
        .write(path.join("gauge_all_2.db"));
    SegmentBytes::official()
        .gauge("g", 2.0, 0.0)
        .write(path.join("gauge_max_1.db"));
    let read = DirectoryReader::new(path).read();
    // One type, and one mode: that of the last file, as the official collector has it.
    assert_eq!(samples(&read.families), ["a_total{} 1.0", "g{} 2.0"]);
    let conflicts: Vec<_> = read
        .report
        .conflicts
        .iter()
        .map(|c| (&*c.family, &*c.cause))
        .collect();
    assert_eq!(
        conflicts,
        [
            (
                "g",
                "gauge mode is all and max; all values are merged as max"
            ),
            (
                "a",
                "family is no gauge elsewhere; the values of this file are left out"
            ),
        ]
    );
    assert!(read.report.conflicts[0].path.ends_with("gauge_max_1.db"));
}

#[test]
fn a_declaration_of_another_type_hides_no_values() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let store = store_in(path);
    let levels = gauge(MetricType::Gauge, "a", MultiprocessMode::Sum);
    store.declare(&levels);
    SegmentBytes::official()
        .counter("a", 1.0)
        .write(path.join("counter_1.db"));
    let mut reader = DirectoryReader::new(path);
    let read = reader.read();
    assert_eq!(samples(&read.families), ["a_total{} 1.0"]);
    assert_eq!(read.families[0].kind, MetricType::Counter);
    assert_eq!(
        read.report.conflicts[0].cause,
        "family was declared as another type, of which there are no values: it is shown as counter"
    );
    // Where both types have values, the one that was declared is right.
    store.intern(&levels, &["x"]).set(0, 5.0);
    let read = reader.read();
    assert_eq!(samples(&read.families), ["a{l=x} 5.0"]);
    assert_eq!(
        read.report.conflicts[0].cause,
        "family is no counter elsewhere; the values of this file are left out"
    );
}

#[test]
fn files_that_come_and_go_are_followed() {
    let directory = tempfile::tempdir().unwrap();
    let path = |pid| directory.path().join(format!("counter_{pid}.db"));
    let mut reader = DirectoryReader::new(directory.path());
    assert!(reader.read().families.is_empty());
    SegmentBytes::official().counter("a", 1.0).write(path(2));
    assert_eq!(samples(&reader.read().families), ["a_total{} 1.0"]);
    SegmentBytes::official().counter("b", 5.0).write(path(1));
    assert_eq!(
        samples(&reader.read().families),
        ["b_total{} 5.0", "a_total{} 1.0"]
    );
    // Grown in place.
    SegmentBytes::official()
        .counter("a", 2.0)
        .counter("c", 3.0)
        .write(path(2));
    assert_eq!(
        samples(&reader.read().families),
        ["b_total{} 5.0", "a_total{} 2.0", "c_total{} 3.0"]
    );
    // Written anew in place, with keys of the same length.
    SegmentBytes::official()
        .counter("d", 2.0)
        .counter("c", 3.0)
        .write(path(2));
    assert_eq!(
        samples(&reader.read().families),
        ["b_total{} 5.0", "d_total{} 2.0", "c_total{} 3.0"]
    );
    // Shorter than it was.
    SegmentBytes::official().counter("d", 7.0).write(path(2));
    assert_eq!(
        samples(&reader.read().families),
        ["b_total{} 5.0", "d_total{} 7.0"]
    );
    // Another file of the same name.
    SegmentBytes::official()
        .counter("e", 8.0)
        .write(directory.path().join("new"));
    fs::rename(directory.path().join("new"), path(2)).unwrap();
    assert_eq!(
        samples(&reader.read().families),
        ["b_total{} 5.0", "e_total{} 8.0"]
    );
    fs::remove_file(path(1)).unwrap();
    assert_eq!(samples(&reader.read().families), ["e_total{} 8.0"]);
    assert_eq!(reader.read().report.files.len(), 1);
}
