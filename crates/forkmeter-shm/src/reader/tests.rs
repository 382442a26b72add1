//! What a read of forkmeter's own files gives. Who lives is given here; the locks have tests of their own.

#[path = "../../tests/it/support.rs"]
mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;

use forkmeter_core::{Descriptor, Exemplar, LabelSet, MetricType, MultiprocessMode, Timestamp};
use tempfile::TempDir;

use self::support::{SegmentBytes, samples, state_of};
use super::*;
use crate::side::meta::{self, InfoRecord};

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Workers 0 and 2 live, under the tags `10` and `12`; worker 1 is dead.
#[expect(
    clippy::unnecessary_wraps,
    reason = "it stands in for a function that fails"
)]
fn some_live(_: &Path) -> io::Result<Observed> {
    let worker = |index: u16, alive| WorkerReport {
        index,
        tag: format!("1{index}"),
        pid: 10 + u32::from(index),
        alive,
        ..WorkerReport::default()
    };
    Ok(Observed {
        records: vec![worker(0, true), worker(1, false), worker(2, true)],
        lost_series: 5,
        roll: None,
    })
}

fn none_known(_: &Path) -> io::Result<Observed> {
    Err(io::Error::other("no such luck"))
}

fn reader(directory: &TempDir) -> DirectoryReader {
    DirectoryReader {
        observe: some_live,
        ..DirectoryReader::new(directory.path())
    }
}

fn descriptor(name: &str, kind: MetricType) -> Descriptor {
    Descriptor {
        name: name.into(),
        help: format!("Help of {name}.").into(),
        unit: "".into(),
        kind,
        label_names: Box::default(),
        mode: MultiprocessMode::All,
        upper_bounds: match kind {
            MetricType::Histogram => [f64::INFINITY].into(),
            _ => Box::default(),
        },
        states: match kind {
            MetricType::StateSet => ["off".into(), "on".into()].into(),
            _ => Box::default(),
        },
    }
}

/// Writes `forkmeter.meta` with some records.
fn declare(directory: &TempDir, descriptors: &[Descriptor], infos: &[InfoRecord]) {
    let mut records = Vec::new();
    for descriptor in descriptors {
        meta::append_descriptor(&mut records, descriptor);
    }
    for info in infos {
        meta::append_info(&mut records, info);
    }
    let mut bytes = meta::header((records.len() + crate::side::HEADER_SIZE) as u64).to_vec();
    bytes.extend_from_slice(&records);
    fs::write(directory.path().join(layout::META_FILE), bytes).unwrap();
}

#[test]
fn a_removed_series_is_hidden_until_it_counts_again() {
    let directory = directory();
    let path = directory.path().join("counter_shared.db");
    let write = |a: f64, created: f64| {
        SegmentBytes::new(Mark::Shared)
            .with("a", "a_total", &[], a, created)
            .with("b", "b_total", &[], 2.0, 100.0)
            .write(&path);
    };
    let mut reader = reader(&directory);
    write(0.0, 100.0);
    assert_eq!(
        samples(&reader.read().families),
        ["a_total{} 0.0", "b_total{} 2.0"]
    );
    write(0.0, -100.0);
    let read = reader.read();
    assert_eq!(samples(&read.families), ["b_total{} 2.0"]);
    assert_eq!((read.families.len(), read.report.series), (2, 1));
    write(1.0, -100.0);
    assert_eq!(
        samples(&reader.read().families),
        ["a_total{} 1.0", "b_total{} 2.0"]
    );
    // A series that the official client has too is not ours to hide.
    write(0.0, -100.0);
    SegmentBytes::official()
        .counter("a", 0.0)
        .write(directory.path().join("counter_1.db"));
    assert_eq!(
        samples(&reader.read().families),
        ["a_total{} 0.0", "b_total{} 2.0"]
    );
}

#[test]
fn a_removed_histogram_is_hidden_as_a_whole_and_shown_as_a_whole() {
    let directory = directory();
    let write = |value| {
        SegmentBytes::new(Mark::Shared)
            .with("h", "h_sum", &[], 0.0, -9.0)
            .with("h", "h_bucket", &[("le", "1.0")], 0.0, -9.0)
            .with("h", "h_bucket", &[("le", "+Inf")], value, -9.0)
            .write(directory.path().join("histogram_shared.db"));
    };
    let mut reader = reader(&directory);
    write(0.0);
    assert!(samples(&reader.read().families).is_empty());
    write(1.0);
    let expected = [
        "h_sum{} 0.0",
        "h_bucket{le=1.0} 0.0",
        "h_bucket{le=+Inf} 1.0",
        "h_count{} 1.0",
    ];
    assert_eq!(samples(&reader.read().families), expected);
}

#[test]
fn created_samples_are_there_when_asked_for() {
    let directory = directory();
    SegmentBytes::new(Mark::Shared)
        .with("a", "a_total", &[("x", "1")], 1.0, 1.5e9)
        .with("a", "a_total", &[("x", "2")], 1.0, -1.25e9)
        .write(directory.path().join("counter_shared.db"));
    SegmentBytes::official()
        .counter("b", 1.0)
        .write(directory.path().join("counter_1.db"));
    let mut plain = reader(&directory);
    assert_eq!(
        samples(&plain.read().families),
        ["b_total{} 1.0", "a_total{x=1} 1.0", "a_total{x=2} 1.0"]
    );
    let mut created = reader(&directory).with_created_samples(true);
    assert_eq!(
        samples(&created.read().families),
        [
            "b_total{} 1.0",
            "a_total{x=1} 1.0",
            "a_created{x=1} 1500000000.0",
            "a_total{x=2} 1.0",
            "a_created{x=2} 1250000000.0",
        ]
    );
}

/// Writes the gauges of workers 0 to 2 under one mode, and one whose record has another's tag.
fn write_gauges(directory: &TempDir, mode: &str) {
    for (record, tag) in [(0, "10"), (1, "11"), (2, "12"), (0, "99")] {
        SegmentBytes::new(Mark::Worker(record))
            .gauge("g", tag.parse().unwrap(), 1.0)
            .write(directory.path().join(format!("gauge_{mode}_{tag}.db")));
    }
}

#[test]
fn live_gauges_count_while_their_worker_lives() {
    for (mode, expected) in [
        ("liveall", &["g{pid=10} 10.0", "g{pid=12} 12.0"][..]),
        ("livesum", &["g{} 22.0"]),
        ("livemax", &["g{} 12.0"]),
        (
            "all",
            &[
                "g{pid=10} 10.0",
                "g{pid=11} 11.0",
                "g{pid=12} 12.0",
                "g{pid=99} 99.0",
            ],
        ),
        ("sum", &["g{} 132.0"]),
    ] {
        let directory = directory();
        write_gauges(&directory, mode);
        let mut reader = reader(&directory);
        let read = reader.read();
        assert_eq!(samples(&read.families), expected, "{mode}");
        assert_eq!((read.report.workers.len(), read.report.lost_series), (3, 5));
        // Where nobody can say who lives, nothing is left out.
        reader.observe = none_known;
        let everything = reader.read();
        assert!(samples(&everything.families).len() >= expected.len());
        assert_eq!(everything.report.workers, []);
        reader.observe = some_live;
        assert_eq!(samples(&reader.read().families), expected, "{mode}");
    }
}

#[test]
fn a_removed_gauge_of_one_worker_does_not_count() {
    let directory = directory();
    for (record, value, timestamp) in [(0, 0.0, -5.0), (1, 3.0, 5.0), (2, 0.0, -0.0)] {
        SegmentBytes::new(Mark::Worker(record))
            .gauge("g", value, timestamp)
            .write(directory.path().join(format!("gauge_min_1{record}.db")));
    }
    assert_eq!(samples(&reader(&directory).read().families), ["g{} 3.0"]);
}

#[test]
fn files_that_were_folded_no_longer_count() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    for (record, value) in [(1, 4.0), (2, 8.0)] {
        SegmentBytes::new(Mark::Worker(record))
            .gauge("g", value, 1.0)
            .write(path(&format!("gauge_sum_1{record}.db")));
    }
    SegmentBytes::new(Mark::Retired)
        .gauge("g", 1.0, 1.0)
        .write(path("gauge_sum_retired.db"));
    let inode = fs::metadata(path("gauge_sum_retired.db")).unwrap().ino();
    let fold = |target_inode| {
        let sources = vec!["gauge_sum_11.db".into()];
        let fold = Fold {
            target: "gauge_sum_retired.db".into(),
            target_inode,
            sources,
        };
        fs::write(path(layout::FOLD_FILE), fold.to_bytes()).unwrap();
    };
    let mut reader = reader(&directory);
    assert_eq!(samples(&reader.read().families), ["g{} 13.0"]);
    // The journal is there, the new file is not in place yet.
    fold(inode + 1);
    assert_eq!(samples(&reader.read().families), ["g{} 13.0"]);
    fold(inode);
    let read = reader.read();
    assert_eq!(samples(&read.families), ["g{} 9.0"]);
    assert_eq!(
        state_of(&read.report, "forkmeter.fold"),
        Some(FileState::Ok)
    );
    fs::remove_file(path(layout::FOLD_FILE)).unwrap();
    assert_eq!(samples(&reader.read().families), ["g{} 13.0"]);
    fs::write(path(layout::FOLD_FILE), "{").unwrap();
    let read = reader.read();
    assert_eq!(samples(&read.families), ["g{} 13.0"]);
    assert_eq!(
        state_of(&read.report, "forkmeter.fold"),
        Some(FileState::Corrupt)
    );
}

#[test]
fn declarations_give_units_types_and_families_without_series() {
    let directory = directory();
    SegmentBytes::official()
        .counter("a_seconds", 1.0)
        .write(directory.path().join("counter_1.db"));
    SegmentBytes::official()
        .gauge("u", 1.0, 0.0)
        .write(directory.path().join("gauge_max_1.db"));
    let mut reader = reader(&directory);
    assert_eq!(&*reader.read().families[0].help, "h");
    let seconds = Descriptor {
        unit: "seconds".into(),
        ..descriptor("a_seconds", MetricType::Counter)
    };
    let untyped = Descriptor {
        mode: MultiprocessMode::Max,
        ..descriptor("u", MetricType::Unknown)
    };
    let declared = [descriptor("later", MetricType::Histogram), untyped, seconds];
    declare(&directory, &declared, &[]);
    let read = reader.read();
    let families = read
        .families
        .iter()
        .map(|f| (&*f.name, &*f.help, &*f.unit, f.kind));
    assert_eq!(
        families.collect::<Vec<_>>(),
        [
            (
                "a_seconds",
                "Help of a_seconds.",
                "seconds",
                MetricType::Counter
            ),
            ("u", "Help of u.", "", MetricType::Unknown),
            ("later", "Help of later.", "", MetricType::Histogram),
        ]
    );
    assert!(read.families[2].samples.is_empty());
    assert_eq!(
        state_of(&read.report, "forkmeter.meta"),
        Some(FileState::Ok)
    );
    fs::remove_file(directory.path().join(layout::META_FILE)).unwrap();
    assert_eq!(reader.read().families.len(), 2);
}

#[test]
fn what_is_declared_wins_over_other_files() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    SegmentBytes::official()
        .counter("a", 1.0)
        .write(path("counter_1.db"));
    SegmentBytes::official()
        .gauge("a", 2.0, 0.0)
        .write(path("gauge_all_1.db"));
    SegmentBytes::official()
        .gauge("a", 3.0, 0.0)
        .write(path("gauge_max_1.db"));
    let gauge = Descriptor {
        mode: MultiprocessMode::Sum,
        ..descriptor("a", MetricType::Gauge)
    };
    declare(&directory, &[gauge], &[]);
    let read = reader(&directory).read();
    assert_eq!(samples(&read.families), ["a{} 5.0"]);
    assert_eq!(read.report.conflicts.len(), 1);
}

#[test]
fn infos_and_state_sets_come_from_side_files() {
    let directory = directory();
    let info = |value: Option<&str>| InfoRecord {
        family: "build".into(),
        labels: LabelSet::from_pairs([("app", "a")]),
        info: value.map(|value| LabelSet::from_pairs([("version", value)])),
        time_seconds: 1.0,
    };
    let declared = [
        descriptor("build", MetricType::Info),
        descriptor("mode", MetricType::StateSet),
    ];
    declare(&directory, &declared, &[info(Some("1")), info(Some("2"))]);
    let states = |state| {
        SegmentBytes::new(Mark::States)
            .with("mode", "mode", &[("x", "1")], state, 5.0)
            .with("undeclared", "undeclared", &[], 0.0, 5.0)
            .write(directory.path().join(layout::STATES_FILE));
    };
    states(1.0);
    let mut reader = reader(&directory);
    let read = reader.read();
    assert_eq!(
        samples(&read.families),
        [
            "mode{mode=off,x=1} 0.0",
            "mode{mode=on,x=1} 1.0",
            "build_info{app=a,version=2} 1.0",
        ]
    );
    assert_eq!(read.report.series, 2);
    states(0.0);
    declare(
        &directory,
        &declared,
        &[info(Some("1")), info(Some("2")), info(None)],
    );
    let expected = ["mode{mode=off,x=1} 1.0", "mode{mode=on,x=1} 0.0"];
    assert_eq!(samples(&reader.read().families), expected);
}

#[test]
fn exemplars_hang_on_the_samples_of_their_slots() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    let histogram = SegmentBytes::new(Mark::Shared)
        .with("h", "h_sum", &[], 0.5, 1.0)
        .with("h", "h_bucket", &[("le", "1.0")], 1.0, 1.0)
        .with("h", "h_bucket", &[("le", "+Inf")], 0.0, 1.0);
    let entries: Vec<_> = layout::Entries::of_segment(&histogram.bytes())
        .map(|e| e.unwrap().value_offset)
        .collect();
    histogram.write(path("histogram_shared.db"));
    let exemplar = Exemplar {
        labels: LabelSet::from_pairs([("trace_id", "x")]),
        value: 0.5,
        timestamp: Some(Timestamp::Seconds(3.0)),
    };
    let inode = fs::metadata(path("histogram_shared.db")).unwrap().ino();
    let record_of = |inode, value_offset| {
        let exemplar = exemplar.clone();
        let slot = exemplars::SlotId {
            inode,
            value_offset,
        };
        exemplars::encode(&exemplars::Record { slot, exemplar }).unwrap()
    };
    let record = |value_offset| record_of(inode, value_offset);
    let write = |records: &[[u8; exemplars::RECORD_SIZE]]| {
        let header = exemplars::Header {
            count: records.len() as u64,
            reuses: 0,
        };
        let bytes = [&header.to_bytes()[..], &records.concat()].concat();
        fs::write(path(layout::EXEMPLARS_FILE), bytes).unwrap();
    };
    let mut reader = reader(&directory);
    let mut found = || {
        let read = reader.read();
        assert_eq!(read.families[0].samples.len(), 4);
        let samples = read.families[0].samples.iter();
        samples
            .map(|sample| sample.exemplar.clone())
            .collect::<Vec<_>>()
    };
    let on_bucket = [None, Some(exemplar.clone()), None, None];
    let mut torn = record(entries[2]);
    torn[40] ^= 1;
    write(&[record(entries[1]), torn, record(12345)]);
    assert_eq!(found(), on_bucket);
    assert_eq!(found(), on_bucket);
    write(&[record_of(inode + 1, entries[1])]);
    assert_eq!(
        found(),
        [const { None }; 4],
        "the offsets belong to another file"
    );
    write(&[record(entries[1])]);
    assert_eq!(found(), on_bucket);
    fs::remove_file(path(layout::EXEMPLARS_FILE)).unwrap();
    assert_eq!(found(), [const { None }; 4]);
}

#[test]
fn values_that_change_make_no_plan_anew() {
    let directory = directory();
    let write = |value| {
        SegmentBytes::official()
            .with("h", "h_bucket", &[("le", "+Inf")], value, 0.0)
            .write(directory.path().join("histogram_1.db"));
    };
    let mut reader = reader(&directory);
    write(1.0);
    // The suffix is added when the sample is made.
    let name = Arc::clone(&reader.refresh().families[0].samples[0].name);
    write(2.0);
    let view = reader.refresh();
    assert!(Arc::ptr_eq(&name, &view.families[0].samples[0].name));
    assert_eq!(
        samples(view.families),
        ["h_bucket{le=+Inf} 2.0", "h_count{} 2.0"]
    );
    declare(&directory, &[descriptor("later", MetricType::Counter)], &[]);
    assert!(!Arc::ptr_eq(
        &name,
        &reader.refresh().families[0].samples[0].name
    ));
}

#[test]
fn keys_that_went_away_are_forgotten() {
    let directory = directory();
    let mut reader = reader(&directory);
    for generation in 0..5 {
        let mut segment = SegmentBytes::official();
        for number in 0..3_000 {
            segment = segment.counter(&format!("c{generation}_{number}"), 1.0);
        }
        let path = directory.path().join(format!("counter_{generation}.db"));
        segment.write(&path);
        assert_eq!(reader.refresh().families.len(), 3_000);
        assert!(reader.keys.len() <= 9_000, "{}", reader.keys.len());
        fs::remove_file(path).unwrap();
    }
    assert!(reader.refresh().families.is_empty());
    assert!(reader.segments.is_empty());
    assert_eq!(reader.keys.len(), 0);
}
