//! Reads for samples of some names give what is left of a whole read, and take no more than they need.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use forkmeter_core::MetricFamily;
use forkmeter_shm::layout::Mark;
use forkmeter_shm::reader::{DirectoryReader, Effort, FileState, Names, Report};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{SegmentBytes, samples};

/// Is what is left of families when only samples of some names are wanted.
fn restricted(families: &[Arc<MetricFamily>], names: &Names) -> Vec<MetricFamily> {
    let restricted = |family: &Arc<MetricFamily>| family.restricted(&|name| names.contains(name));
    families.iter().filter_map(restricted).collect()
}

/// Makes the last write of every file long ago, as it is of files that are only counted in.
fn settle(directory: &Path) {
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    for entry in fs::read_dir(directory).unwrap() {
        let file = File::options().append(true).open(entry.unwrap().path());
        file.unwrap().set_modified(long_ago).unwrap();
    }
}

fn named(directory: &Path, names: &[&str]) -> DirectoryReader {
    DirectoryReader::new(directory).with_names(names.iter().collect())
}

const FAMILIES: [&str; 8] = ["a", "a_b", "a_total", "ab", "b", "b_sum", "é", "a\""];
const SUFFIXES: [&str; 7] = [
    "", "_total", "_sum", "_count", "_bucket", "_created", "_other",
];
const KINDS: [&str; 6] = [
    "counter",
    "histogram",
    "summary",
    "gauge_all",
    "gauge_livesum",
    "gauge_mostrecent",
];

/// Is family, suffix, label value, value, and whether the key is spelled as writers do.
type Entry = (usize, usize, u8, i8, bool);
/// Is kind, who wrote it, process, and the entries.
type Segment = (usize, usize, u8, Vec<Entry>);

fn key(family: usize, suffix: &str, label_value: u8, is_plain: bool) -> String {
    let escape = |letter: char| format!("\\u{:04x}", u32::from(letter));
    let spell = |text: &str| {
        if is_plain {
            text.replace('"', "\\\"")
        } else {
            text.chars().map(escape).collect::<Vec<_>>().concat()
        }
    };
    let label = if suffix == "_bucket" { "le" } else { "x" };
    let (family, suffix) = (spell(FAMILIES[family]), spell(suffix));
    format!(r#"["{family}", "{family}{suffix}", {{"{label}": "{label_value}"}}, "h"]"#)
}

fn write(directory: &Path, (kind, mark, process, entries): &Segment) {
    let is_gauge = KINDS[*kind].starts_with("gauge");
    let mark = match (mark, is_gauge) {
        (0, _) => Mark::Official,
        (1, _) => Mark::Retired,
        (_, false) => Mark::Shared,
        (_, true) => Mark::Worker(0),
    };
    let mut segment = SegmentBytes::new(mark);
    for (family, suffix, label_value, value, is_plain) in entries {
        let suffix = if is_gauge { "" } else { SUFFIXES[*suffix] };
        let key = key(*family, suffix, *label_value, *is_plain);
        let value = f64::from(*value);
        segment = segment.with_key(key.as_bytes(), value, value.abs() + 1.0);
    }
    segment.write(directory.join(format!("{}_{process}.db", KINDS[*kind])));
}

fn segments() -> impl Strategy<Value = Vec<Segment>> {
    let entry = (
        0..FAMILIES.len(),
        0..SUFFIXES.len(),
        0_u8..3,
        any::<i8>(),
        prop::bool::weighted(0.8),
    );
    vec(
        (0..KINDS.len(), 0_usize..3, 0_u8..3, vec(entry, 0..12)),
        1..6,
    )
}

proptest! {
    #[test]
    fn named_reads_give_what_is_left_of_whole_ones(
        rounds in vec((segments(), any::<bool>(), any::<bool>()), 1..4),
        wanted in vec((0..FAMILIES.len(), 0..SUFFIXES.len()), 0..4),
        created_samples: bool,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let names: Names = wanted
            .iter()
            .map(|(family, suffix)| format!("{}{}", FAMILIES[*family], SUFFIXES[*suffix]))
            .collect();
        let new = || DirectoryReader::new(path).with_created_samples(created_samples);
        let (mut whole, mut few) = (new(), new().with_names(names.clone()));
        for (segments, is_settled, is_wiped) in rounds {
            if is_wiped {
                for entry in fs::read_dir(path).unwrap() {
                    fs::remove_file(entry.unwrap().path()).unwrap();
                }
            }
            for segment in &segments {
                write(path, segment);
            }
            if is_settled {
                settle(path);
            }
            for _ in 0..2 {
                let (all, some) = (whole.read(), few.read());
                prop_assert_eq!(
                    restricted(&all.families, &names),
                    restricted(&some.families, &names)
                );
                prop_assert!(some.families.iter().all(|family| names.may_be_of(&family.name)));
                let states = |report: &Report| -> Vec<FileState> {
                    report.files.iter().map(|file| file.state).collect()
                };
                prop_assert_eq!(states(&all.report), states(&some.report));
            }
        }
    }
}

/// Writes files of 40 workers with 50 families of 4 series each, one of which is asked for.
fn write_many(path: &Path) {
    for process in 0..40 {
        let mut counters = SegmentBytes::official();
        let mut gauges = SegmentBytes::official();
        for family in 0..50 {
            for label in ["1", "2", "3", "4"] {
                let (counter, gauge) = (format!("c{family}"), format!("g{family}"));
                let labels = [("x", label)];
                counters = counters.with(&counter, &format!("{counter}_total"), &labels, 1.0, 0.0);
                gauges = gauges.with(&gauge, &gauge, &labels, 1.0, 0.0);
            }
        }
        counters.write(path.join(format!("counter_{process}.db")));
        gauges.write(path.join(format!("gauge_sum_{process}.db")));
    }
}

#[test]
fn of_many_families_only_the_keys_of_one_are_decoded_and_its_values_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write_many(path);
    settle(path);
    let mut whole = DirectoryReader::new(path);
    let mut few = named(path, &["c7_total"]);
    let all = whole.read().report.effort;
    let read = few.read();
    assert_eq!(
        samples(&read.families),
        [
            "c7_total{x=1} 40.0",
            "c7_total{x=2} 40.0",
            "c7_total{x=3} 40.0",
            "c7_total{x=4} 40.0"
        ]
    );
    assert_eq!(read.report.series, 4);
    assert_eq!((all.parsed_keys, read.report.effort.parsed_keys), (400, 4));
    assert_eq!(read.report.effort.read_bytes, all.read_bytes);
    // Those that were looked through are not read again.
    let again = few.read();
    let all_again = whole.read().report.effort;
    assert_eq!(samples(&again.families), samples(&read.families));
    let expected = Effort {
        opened_files: 80,
        read_bytes: again.report.effort.read_bytes,
        parsed_keys: 0,
    };
    assert_eq!(again.report.effort, expected);
    assert!(
        expected.read_bytes * 50 < all_again.read_bytes,
        "{expected:?} {all_again:?}"
    );
}

#[test]
fn what_is_appended_or_written_anew_is_looked_through() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("counter_1.db");
    let mut few = named(directory.path(), &["b_total"]);
    let mut read = || {
        settle(directory.path());
        let read = few.read();
        (samples(&read.families), read.report.effort.parsed_keys)
    };
    let nothing: Vec<String> = Vec::new();
    SegmentBytes::official().counter("a", 1.0).write(&path);
    assert_eq!(read(), (nothing.clone(), 0));
    assert_eq!(read(), (nothing, 0));
    // An equally long file, written over the other one.
    SegmentBytes::official().counter("b", 1.0).write(&path);
    assert_eq!(read(), (vec!["b_total{} 1.0".to_owned()], 1));
    SegmentBytes::official()
        .counter("b", 2.0)
        .counter("c", 1.0)
        .write(&path);
    assert_eq!(read(), (vec!["b_total{} 2.0".to_owned()], 0));
    assert_eq!(read(), (vec!["b_total{} 2.0".to_owned()], 0));
}

#[test]
fn files_keep_their_states_whatever_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    SegmentBytes::official()
        .counter("a", 1.0)
        .write(path.join("counter_1.db"));
    fs::write(path.join("counter_2.db"), b"").unwrap();
    fs::write(path.join("counter_3.db"), b"SQLite format 3").unwrap();
    let states = |mut reader: DirectoryReader| {
        let files = reader.read().report.files;
        files
            .into_iter()
            .map(|file| (file.path, file.state, file.entries))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        states(named(path, &["b_total"])),
        states(DirectoryReader::new(path))
    );
}
