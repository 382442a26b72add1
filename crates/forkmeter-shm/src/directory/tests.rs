// The children that integration tests fork.
#[path = "../../tests/it/children.rs"]
#[expect(
    dead_code,
    clippy::duplicate_mod,
    reason = "shared with other tests, which need more of it"
)]
mod children;

use std::time::Instant;

use forkmeter_core::MultiprocessMode;
use forkmeter_core::store::add_to_cell;

use super::*;
use crate::reader::DirectoryReader;
use crate::{fault, process};

fn counter() -> Descriptor {
    Descriptor {
        name: "c".into(),
        help: "Help.".into(),
        unit: "".into(),
        kind: MetricType::Counter,
        label_names: Box::new(["l".into()]),
        mode: MultiprocessMode::All,
        upper_bounds: Box::new([]),
        states: Box::new([]),
    }
}

#[test]
fn a_full_segment_is_followed_by_the_next_number() {
    const SERIES: usize = 300;
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let mut directory = OpenDirectory::open(folder.path(), process::unix_seconds).unwrap();
        directory.limit_bytes = 8192;
        directory
    };
    let counter = counter();
    let count = |directory: &mut OpenDirectory| {
        for turn in 0..SERIES {
            let place = directory
                .intern(&counter, &[("l", &turn.to_string())], 1.0, &mut |_| 0.0)
                .unwrap();
            add_to_cell(place.slots[0].cell, 1.0);
        }
    };
    let mut first = open();
    count(&mut first);
    count(&mut first);
    // Another worker finds the series in all files.
    let mut other = open();
    count(&mut other);
    assert_eq!(first.sets["counter_shared"].len(), 3);
    let mut reader = crate::reader::DirectoryReader::new(folder.path());
    let snapshot = reader.read();
    let samples = &snapshot.families[0].samples;
    assert_eq!(samples.len(), SERIES);
    assert!(
        samples
            .iter()
            .all(|sample| sample.value.to_bits() == 3.0_f64.to_bits())
    );
    for number in ["", "-1", "-2"] {
        let path = folder.path().join(format!("counter_shared{number}.db"));
        assert!(fs::metadata(path).unwrap().len() <= 8192, "{number}");
    }
    // What is removed is found wherever it is.
    for turn in 0..SERIES {
        let labels = LabelSet::from_pairs([("l", turn.to_string())]);
        let mut places = 0;
        let visited = open().visit_places(&counter, &labels, &mut |_| places += 1);
        assert_eq!((visited.is_ok(), places), (true, 1), "{turn}");
    }
}

/// Makes a series with one count. Trusts that the files are there, as right after another one.
fn count_at_once(directory: &mut OpenDirectory, label: &str) {
    directory.looked = Looked::at(Instant::now());
    let place = directory.intern(&counter(), &[("l", label)], 1.0, &mut |_| 1.0);
    assert!(place.is_ok(), "{label}: {place:?}");
}

fn labels_in(path: &Path) -> Vec<String> {
    let snapshot = DirectoryReader::new(path).read();
    let samples = snapshot.families.iter().flat_map(|family| &family.samples);
    let labels = samples.filter_map(|sample| sample.labels.get("l").map(str::to_owned));
    labels.collect()
}

#[test]
fn a_kill_at_any_step_of_an_append_leaves_a_valid_file_and_stops_nobody() {
    process::install_fork_hooks().unwrap();
    for step in 1..=4 {
        let folder = tempfile::tempdir().unwrap();
        let open = || OpenDirectory::open(folder.path(), process::unix_seconds).unwrap();
        let child = children::fork(|| {
            children::end_after_seconds(60);
            let mut directory = open();
            count_at_once(&mut directory, "first");
            fault::kill::at(step);
            count_at_once(&mut directory, "second");
        });
        let status = child.wait();
        // The three steps of an append that makes no system call.
        assert_eq!(status, if step < 4 { libc::SIGKILL } else { 0 }, "{step}");
        let mut other = open();
        count_at_once(&mut other, "third");
        count_at_once(&mut other, "fourth");
        let second: &[&str] = if step < 3 { &[] } else { &["second"] };
        let expected = [&["first"], second, &["third", "fourth"]].concat();
        assert_eq!(labels_in(folder.path()), expected, "after step {step}");
    }
}
