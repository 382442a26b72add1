//! Deletions that are resets, as test runners want them.

use std::fs;
use std::path::Path;

use forkmeter_core::store::Store;
use forkmeter_core::{MetricType, MultiprocessMode};
use forkmeter_shm::deletion::empty_before_deletion;

use crate::children::{descriptor, gauge, store_in, value};
use crate::support::SegmentBytes;

fn segments(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "db"))
        .collect()
}

/// Deletes as a process does that hears of it first.
fn delete(directory: &Path) {
    for path in segments(directory) {
        assert!(empty_before_deletion(&path).unwrap());
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn every_deletion_starts_from_zero() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("metrics");
    let store = store_in(&path);
    store.reset_on_deletion(true);
    let counter = store.intern(&descriptor(MetricType::Counter, "c"), &["a"]);
    let other = store.intern(&descriptor(MetricType::Counter, "c"), &["b"]);
    let histogram = store.intern(&descriptor(MetricType::Histogram, "h"), &["a"]);
    let level = store.intern(
        &gauge(MetricType::Gauge, "g", MultiprocessMode::Max),
        &["a"],
    );
    for round in 0..200 {
        if round % 2 == 0 {
            other.add(0, 7.0);
        }
        let count = f64::from(round + 1);
        counter.add(0, count);
        histogram.add(1, count);
        level.set(0, count);
        assert_eq!(value(&store, "c_total", "a"), Some(count), "{round}");
        let expected = (round % 2 == 0).then_some(7.0);
        assert_eq!(value(&store, "c_total", "b"), expected, "{round}");
        assert_eq!(value(&store, "h_count", "a"), Some(count), "{round}");
        assert_eq!(value(&store, "g", "a"), Some(count), "{round}");
        match round % 4 {
            // The next thing that happens is that somebody counts.
            0 => {
                store.expect_deletion();
                delete(&path);
            }
            // Somebody collects first.
            1 => {
                delete(&path);
                assert_eq!(value(&store, "c_total", "a"), None, "{round}");
            }
            // Another process deletes without a word, while this one minds it.
            2 => {
                store.watch_for_deletions(true);
                for path in segments(&path) {
                    fs::remove_file(path).unwrap();
                }
            }
            _ => {
                store.watch_for_deletions(false);
                store.expect_deletion();
                delete(&path);
                fs::remove_dir_all(&path).unwrap();
            }
        }
    }
}

#[test]
fn what_was_emptied_does_not_come_back_from_other_workers() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    // It knows nothing of the test, as a program that the test started.
    let worker = store_in(directory.path());
    store.reset_on_deletion(true);
    let counters = descriptor(MetricType::Counter, "c");
    let levels = gauge(MetricType::Gauge, "g", MultiprocessMode::Sum);
    let counter = worker.intern(&counters, &["a"]);
    let idle = worker.intern(&counters, &["idle"]);
    let level = worker.intern(&levels, &["a"]);
    for count in [3.0, 4.0] {
        counter.add(0, count);
        idle.add(0, count);
        level.set(0, count);
        assert_eq!(value(&store, "c_total", "a"), Some(count));
        store.expect_deletion();
        delete(directory.path());
        counter.add(0, 1.0);
        assert_eq!(value(&worker, "c_total", "a"), Some(1.0));
        assert_eq!(value(&worker, "c_total", "idle"), None);
        assert_eq!(value(&worker, "g", "a"), None);
        assert_eq!(value(&store, "c_total", "a"), Some(1.0));
        store.expect_deletion();
        delete(directory.path());
        assert_eq!(value(&store, "c_total", "a"), None);
        assert_eq!(value(&worker, "c_total", "a"), None);
    }
}

#[test]
fn only_files_of_ours_are_emptied() {
    let directory = tempfile::tempdir().unwrap();
    let official = directory.path().join("counter_1.db");
    let bytes = SegmentBytes::official().counter("c", 2.0).bytes();
    fs::write(&official, &bytes).unwrap();
    assert!(!empty_before_deletion(&official).unwrap());
    assert_eq!(fs::read(&official).unwrap(), bytes);
    let store = store_in(directory.path());
    let counter = store.intern(&descriptor(MetricType::Counter, "c"), &["a"]);
    counter.add(0, 1.0);
    for file in ["forkmeter.workers", "forkmeter.meta"] {
        let before = fs::read(directory.path().join(file)).unwrap();
        assert!(!empty_before_deletion(&directory.path().join(file)).unwrap());
        assert_eq!(fs::read(directory.path().join(file)).unwrap(), before);
    }
    assert!(empty_before_deletion(&directory.path().join("none.db")).is_err());
    assert!(!empty_before_deletion(directory.path()).unwrap());
    // Of a file that stays after all, values start from zero.
    assert!(empty_before_deletion(&directory.path().join("counter_shared.db")).unwrap());
    assert_eq!(value(&store, "c_total", "a"), None);
    counter.add(0, 2.0);
    assert_eq!(value(&store, "c_total", "a"), Some(2.0));
}
