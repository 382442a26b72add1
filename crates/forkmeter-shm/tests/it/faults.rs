//! What goes wrong around a worker: damaged side files, lost names, moves, removals, races.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use forkmeter_core::store::Store;
use forkmeter_core::{Descriptor, Exemplar, LabelSet, MetricType, MultiprocessMode};
use forkmeter_shm::layout::{ENTRY_OVERHEAD, HEADER_SIZE, Mark, entry_len};
use forkmeter_shm::reader::DirectoryReader;
use forkmeter_shm::{Directory, Options, ShmStore, workers};

use crate::children::{descriptor, end_after_seconds, fork, gauge, store_in, value};
use crate::support::SegmentBytes;

/// Runs in a child of its own, so that what is counted of the process (maps, descriptors) is this test's alone.
fn alone(work: impl FnOnce()) {
    let child = fork(|| {
        end_after_seconds(120);
        work();
    });
    assert_eq!(child.wait(), 0, "see the panic above");
}

fn maps() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().count()
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn exemplar(value: f64, id: &str) -> Exemplar {
    Exemplar {
        labels: LabelSet::from_pairs([("id", id)]),
        value,
        timestamp: None,
    }
}

/// Returns the label of the exemplar on the sample of this name and label.
fn exemplar_of(store: &ShmStore, sample: &str, label: &str) -> Option<String> {
    let families = store.collect().families;
    let mut samples = families.iter().flat_map(|family| &family.samples);
    let found = samples.find(|s| {
        &*s.name == sample
            && s.labels.get("l") == Some(label)
            && s.labels.get("le").is_none_or(|bound| bound == "+Inf")
    })?;
    let labels = &found.exemplar.as_ref()?.labels;
    labels.get("id").map(ToOwned::to_owned)
}

#[test]
fn series_that_come_and_go_take_no_memory() {
    alone(|| {
        let directory = tempfile::tempdir().unwrap();
        let store = store_in(directory.path());
        let counters = descriptor(MetricType::Counter, "c");
        let gauges = gauge(MetricType::Gauge, "g", MultiprocessMode::Sum);
        let rounds = |count: u32| {
            for _ in 0..count {
                store.intern(&counters, &["a"]).add(0, 1.0);
                assert!(store.remove(&counters, &["a"]));
                store.intern(&gauges, &["a"]).add(0, 1.0);
                assert!(store.remove(&gauges, &["a"]));
            }
        };
        rounds(1000);
        let (maps_before, resident) = (maps(), resident_kib());
        let open = descriptors();
        rounds(10_000);
        assert!(maps() <= maps_before + 4, "{} {maps_before}", maps());
        assert_eq!(descriptors(), open);
        assert!(
            resident_kib() < resident + 2048,
            "{} {resident}",
            resident_kib()
        );
        assert_eq!(store.kept_series(), (0, None));
    });
}

static PLACE: Mutex<Option<PathBuf>> = Mutex::new(None);

#[test]
fn a_program_that_moves_often_keeps_no_files_and_no_maps() {
    const MOVES: u32 = 1000;
    alone(|| {
        let directory = tempfile::tempdir().unwrap();
        let store = ShmStore::new(Options::new(Directory::Follow(|| {
            PLACE.lock().unwrap().clone()
        })));
        let counters = descriptor(MetricType::Counter, "c");
        let histograms = descriptor(MetricType::Histogram, "h");
        let gauges = gauge(MetricType::Gauge, "g", MultiprocessMode::Sum);
        let (mut open, mut mapped) = (0, 0);
        for turn in 0..MOVES {
            let path = directory.path().join(turn.to_string());
            *PLACE.lock().unwrap() = Some(path.clone());
            for descriptor in [&counters, &histograms, &gauges] {
                store.intern(descriptor, &["a"]).add(0, 1.0);
            }
            assert_eq!(store.kept_series(), (0, None), "{turn}");
            fs::remove_dir_all(path).unwrap();
            if turn == 10 {
                (open, mapped) = (descriptors(), maps());
            }
        }
        assert_eq!(descriptors(), open);
        assert!(maps() < mapped + 1500, "{} {mapped}", maps());
    });
}

#[test]
fn a_damaged_side_file_keeps_no_series_in_memory() {
    for name in ["forkmeter.meta", "forkmeter.exemplars"] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(name), [b'x'; 200]).unwrap();
        let store = store_in(directory.path());
        let counters = descriptor(MetricType::Counter, "c");
        for label in ["a", "b"] {
            let counter = store.intern(&counters, &[label]);
            counter.add(0, 1.0);
            counter.set_exemplar(0, exemplar(1.0, "x"));
            store.declare(&descriptor(MetricType::Gauge, label));
        }
        assert_eq!(store.kept_series(), (0, None), "{name}");
        let bytes = fs::read(directory.path().join(name)).unwrap();
        assert_eq!(bytes, [b'x'; 200], "{name} is not ours to change");
    }
}

#[test]
fn exemplars_of_workers_that_use_different_kinds_stay() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let counters = descriptor(MetricType::Counter, "c");
    let histograms = descriptor(MetricType::Histogram, "h");
    store
        .intern(&counters, &["a"])
        .set_exemplar(0, exemplar(1.0, "counter"));
    let histogram = store.intern(&histograms, &["a"]);
    histogram.add(2, 1.0);
    histogram.set_exemplar(2, exemplar(1.0, "histogram"));
    // A worker that never made a histogram, and one that never made a counter.
    for (kind, name, index) in [
        (MetricType::Counter, "c", 0),
        (MetricType::Histogram, "h", 2),
    ] {
        let worker = fork(|| {
            let store = store_in(directory.path());
            let series = store.intern(&descriptor(kind, name), &["b"]);
            series.add(index, 1.0);
            series.set_exemplar(index, exemplar(1.0, "other"));
        });
        assert_eq!(worker.wait(), 0);
    }
    assert_eq!(
        exemplar_of(&store, "c_total", "a").as_deref(),
        Some("counter")
    );
    assert_eq!(
        exemplar_of(&store, "h_bucket", "a").as_deref(),
        Some("histogram")
    );
    assert_eq!(
        exemplar_of(&store, "c_total", "b").as_deref(),
        Some("other")
    );
    assert_eq!(
        exemplar_of(&store, "h_bucket", "b").as_deref(),
        Some("other")
    );
}

#[test]
fn an_exemplar_goes_with_its_series() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let counters = descriptor(MetricType::Counter, "c");
    let count = |label: &str| {
        let series = store.intern(&counters, &[label]);
        series.add(0, 1.0);
        series
    };
    for label in ["removed", "reset"] {
        count(label).set_exemplar(0, exemplar(1.0, label));
        assert_eq!(
            exemplar_of(&store, "c_total", label).as_deref(),
            Some(label)
        );
    }
    assert!(store.remove(&counters, &["removed"]));
    count("reset").reset();
    for label in ["removed", "reset"] {
        assert_eq!(count(label).exemplar(0), None, "{label}");
        assert_eq!(exemplar_of(&store, "c_total", label), None, "{label}");
        count(label).set_exemplar(0, exemplar(1.0, "again"));
        assert_eq!(
            exemplar_of(&store, "c_total", label).as_deref(),
            Some("again")
        );
    }
    // What another worker removes loses its exemplar too.
    let other = fork(|| {
        assert!(store_in(directory.path()).remove(&counters, &["reset"]));
    });
    assert_eq!(other.wait(), 0);
    assert_eq!(count("reset").exemplar(0), None);
    assert_eq!(exemplar_of(&store, "c_total", "reset"), None);
}

#[test]
fn a_damaged_segment_costs_no_memory() {
    alone(|| {
        let directory = tempfile::tempdir().unwrap();
        let counters = descriptor(MetricType::Counter, "c");
        let made = fork(|| {
            let store = store_in(directory.path());
            for label in 0..1000 {
                store.intern(&counters, &[&label.to_string()]).add(0, 1.0);
            }
        });
        assert_eq!(made.wait(), 0);
        // An impossible key length, in the middle of the first 64 KiB.
        let path = directory.path().join("counter_shared.db");
        let mut bytes = fs::read(&path).unwrap();
        let entry_len = 8 + bytes[8..].windows(5).position(|w| w == b"\"c_to").unwrap();
        assert!(entry_len > 8);
        let key = br#"["c", "c_total", {"l": "500"}, "Help."]"#;
        let at = bytes.windows(key.len()).position(|w| w == key).unwrap();
        bytes[at - 4..at].copy_from_slice(&i32::MAX.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        let store = store_in(directory.path());
        let rounds = |from: u32, to: u32| {
            for label in from..to {
                store
                    .intern(&counters, &[&format!("new{label}")])
                    .add(0, 1.0);
            }
        };
        rounds(0, 10);
        let before = resident_kib();
        rounds(10, 2000);
        assert_eq!(store.kept_series(), (0, None));
        assert!(
            resident_kib() < before + 4096,
            "{} {before}",
            resident_kib()
        );
    });
}

#[test]
fn a_series_kept_in_memory_is_removed_for_all_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("metrics");
    let counters = descriptor(MetricType::Counter, "c");
    // Something is in the way of the directory, so that the first series stays in memory.
    fs::write(&path, "in the way").unwrap();
    let store = store_in(&path);
    store.intern(&counters, &["a"]).add(0, 1.0);
    assert_eq!(store.kept_series().0, 1);
    fs::remove_file(&path).unwrap();
    let worker = fork(|| {
        store_in(&path).intern(&counters, &["a"]).add(0, 1.0);
    });
    assert_eq!(worker.wait(), 0);
    thread::sleep(Duration::from_millis(1100));
    assert!(store.remove(&counters, &["a"]));
    assert_eq!(value(&store_in(&path), "c_total", "a"), None);
}

#[test]
fn a_gauge_made_anew_is_exposed_before_it_is_set() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let gauges = gauge(MetricType::Gauge, "g", MultiprocessMode::Sum);
    store.intern(&gauges, &["a"]).set(0, 4.0);
    assert!(store.remove(&gauges, &["a"]));
    assert_eq!(value(&store, "g", "a"), None);
    let again = store.intern(&gauges, &["a"]);
    assert_eq!(value(&store, "g", "a"), Some(0.0));
    again.add(0, 1.0);
    assert_eq!(value(&store, "g", "a"), Some(1.0));
}

#[test]
fn losing_the_worker_file_changes_no_gauge() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let handles: Vec<_> = ["min", "max", "sum", "livemin", "mostrecent"]
        .into_iter()
        .map(|name| {
            let mode = MultiprocessMode::ALL
                .into_iter()
                .find(|mode| mode.as_str() == name)
                .unwrap();
            let series = store.intern(&gauge(MetricType::Gauge, name, mode), &["a"]);
            series.set(0, 5.0);
            (name, series)
        })
        .collect();
    for round in 0..3 {
        fs::remove_file(directory.path().join("forkmeter.workers")).unwrap();
        for (name, series) in &handles {
            assert_eq!(value(&store, name, "a"), Some(5.0), "{name} {round}");
            assert_eq!(series.get(0), 5.0);
        }
    }
}

#[test]
fn threads_that_count_while_files_are_deleted_lose_nothing() {
    const DELETIONS: u32 = 300;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("metrics");
    let store = store_in(&path);
    let counter = store.intern(&descriptor(MetricType::Counter, "c"), &["a"]);
    let is_done = AtomicBool::new(false);
    let counted: u64 = thread::scope(|scope| {
        let counters: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut count = 0;
                    while !is_done.load(Ordering::Relaxed) {
                        counter.add(0, 1.0);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        for _ in 0..DELETIONS {
            fs::remove_file(path.join("counter_shared.db")).unwrap();
            store.refresh();
        }
        is_done.store(true, Ordering::Relaxed);
        counters.into_iter().map(|c| c.join().unwrap()).sum()
    });
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
    let counted = counted as f64;
    assert_eq!(value(&store, "c_total", "a"), Some(counted));
    assert_eq!(value(&store_in(&path), "c_total", "a"), Some(counted));
}

#[test]
fn what_others_counted_survives_a_deletion() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let counters = descriptor(MetricType::Counter, "c");
    let histograms = descriptor(MetricType::Histogram, "h");
    store.intern(&counters, &["own"]).add(0, 1.0);
    let worker = fork(|| {
        let store = store_in(directory.path());
        store.intern(&counters, &["other"]).add(0, 2.0);
        store.intern(&counters, &["removed"]).add(0, 2.0);
        assert!(store.remove(&counters, &["removed"]));
        store.intern(&histograms, &["other"]).add(1, 3.0);
    });
    assert_eq!(worker.wait(), 0);
    store.intern(&histograms, &["own"]).add(1, 1.0);
    for file in ["counter_shared.db", "histogram_shared.db"] {
        fs::remove_file(directory.path().join(file)).unwrap();
    }
    for _ in 0..2 {
        assert_eq!(value(&store, "c_total", "own"), Some(1.0));
        assert_eq!(value(&store, "c_total", "other"), Some(2.0));
        assert_eq!(value(&store, "c_total", "removed"), None);
        assert_eq!(value(&store, "h_count", "other"), Some(3.0));
        assert_eq!(value(&store, "h_count", "own"), Some(1.0));
    }
}

#[test]
fn a_reader_sees_deleted_files_come_back_as_a_whole() {
    const SERIES: usize = 200;
    let directory = tempfile::tempdir().unwrap();
    let counters = descriptor(MetricType::Counter, "c");
    let count = |store: &ShmStore, from: usize| {
        for label in from..from + SERIES {
            store.intern(&counters, &[&label.to_string()]).add(0, 5.0);
        }
    };
    let worker = fork(|| count(&store_in(directory.path()), 0));
    assert_eq!(worker.wait(), 0);
    let store = store_in(directory.path());
    count(&store, SERIES);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut reader = DirectoryReader::new(directory.path());
            while !is_over.load(Ordering::Relaxed) {
                let families = reader.read().families;
                let samples = families.iter().flat_map(|family| &family.samples);
                let values: Vec<_> = samples.map(|sample| sample.value).collect();
                let is_whole = values.is_empty() || values.len() == 2 * SERIES;
                assert!(is_whole, "{} series", values.len());
                assert!(values.iter().all(|value| *value == 5.0), "{values:?}");
            }
        });
        for _ in 0..50 {
            fs::remove_file(directory.path().join("counter_shared.db")).unwrap();
            assert_eq!(value(&store, "c_total", "7"), Some(5.0));
            thread::sleep(Duration::from_millis(2));
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_worker_that_changes_its_folder_stays_in_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    alone(|| {
        std::env::set_current_dir(directory.path()).unwrap();
        let store = store_in(Path::new("metrics"));
        let counters = descriptor(MetricType::Counter, "c");
        store.intern(&counters, &["a"]).add(0, 1.0);
        std::env::set_current_dir(elsewhere.path()).unwrap();
        store.intern(&counters, &["b"]).add(0, 1.0);
        store.refresh();
        assert_eq!(value(&store, "c_total", "a"), Some(1.0));
        assert!(!Path::new("metrics").exists());
    });
    let store = store_in(&directory.path().join("metrics"));
    assert_eq!(value(&store, "c_total", "a"), Some(1.0));
    assert_eq!(value(&store, "c_total", "b"), Some(1.0));
}

#[test]
fn collecting_many_series_in_memory_takes_no_square_of_time() {
    alone(|| {
        end_after_seconds(30);
        let store = ShmStore::new(Options::new(Directory::Follow(|| None)));
        let counters = descriptor(MetricType::Counter, "c");
        let handles: Vec<_> = (0..100_000)
            .map(|label| store.intern(&counters, &[&label.to_string()]))
            .collect();
        let collected = store.collect();
        assert_eq!(collected.families[0].samples.len(), handles.len());
    });
}

#[test]
fn handles_of_a_family_that_was_declared_anew_follow_a_fork() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let old = gauge(MetricType::Gauge, "g", MultiprocessMode::Sum);
    let new = Arc::new(Descriptor {
        help: "Other help.".into(),
        ..(*old).clone()
    });
    let level = store.intern(&old, &["a"]);
    level.set(0, 3.0);
    store.declare(&new);
    let child = fork(|| {
        assert_eq!(level.get(0), 0.0, "the parent's cell");
        level.set(0, 1.0);
    });
    assert_eq!(child.wait(), 0);
    assert_eq!(level.get(0), 3.0);
    // And a deletion.
    fs::remove_dir_all(directory.path()).unwrap();
    store.refresh();
    level.add(0, 1.0);
    assert_eq!(value(&store_in(directory.path()), "g", "a"), Some(4.0));
}

#[test]
fn looking_at_a_directory_while_another_thread_joins_it_takes_nobodys_locks() {
    alone(|| {
        for _ in 0..200 {
            let directory = tempfile::tempdir().unwrap();
            workers::observe(directory.path()).unwrap();
            let is_done = AtomicBool::new(false);
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        while !is_done.load(Ordering::Relaxed) {
                            workers::observe(directory.path()).unwrap();
                        }
                    });
                }
                let store = store_in(directory.path());
                let levels = gauge(MetricType::Gauge, "g", MultiprocessMode::LiveSum);
                for _ in 0..3 {
                    drop(store_in(directory.path()));
                    store.intern(&levels, &["a"]).set(0, 1.0);
                }
                let open = descriptors();
                for _ in 0..5 {
                    workers::observe(directory.path()).unwrap();
                }
                assert!(descriptors() <= open + 3, "{open}");
                is_done.store(true, Ordering::Relaxed);
                // Asked by another process: one's own locks are invisible to oneself.
                let other = fork(|| {
                    let records = workers::observe(directory.path()).unwrap().records;
                    assert!(records[0].alive);
                });
                assert_eq!(other.wait(), 0);
            });
        }
    });
}

#[test]
fn a_child_that_closed_every_file_writes_to_no_stranger() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("metrics");
    let strangers = directory.path().join("strangers");
    fs::create_dir(&strangers).unwrap();
    let store = store_in(&path);
    let counters = descriptor(MetricType::Counter, "c");
    let levels = gauge(MetricType::Gauge, "g", MultiprocessMode::Sum);
    let counter = store.intern(&counters, &["a"]);
    counter.set_exemplar(0, exemplar(1.0, "parent"));
    store.intern(&levels, &["a"]).set(0, 1.0);
    // As programs do that become daemons.
    let daemon = fork(|| {
        end_after_seconds(20);
        let open: Vec<i32> = fs::read_dir("/proc/self/fd")
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| name.parse().unwrap())
            .filter(|number| *number > 2)
            .collect();
        crate::children::close_files(&open);
        let others: Vec<_> = (0..open.len() + 4)
            .map(|number| {
                let mut options = fs::OpenOptions::new();
                options.read(true).write(true).create(true).truncate(true);
                let path = strangers.join(number.to_string());
                options.open(path).unwrap()
            })
            .collect();
        counter.add(0, 1.0);
        counter.set_exemplar(0, exemplar(1.0, "child"));
        for label in 0..2000 {
            store.intern(&counters, &[&label.to_string()]).add(0, 1.0);
        }
        store.intern(&levels, &["a"]).set(0, 2.0);
        store.declare(&descriptor(MetricType::Summary, "s"));
        assert_eq!(value(&store, "c_total", "a"), Some(1.0));
        assert_eq!(value(&store, "c_total", "1999"), Some(1.0));
        for file in &others {
            assert_eq!(file.metadata().unwrap().len(), 0);
        }
    });
    assert_eq!(daemon.wait(), 0);
    assert_eq!(value(&store, "c_total", "a"), Some(1.0));
    assert_eq!(value(&store, "g", "a"), Some(3.0));
}

/// The bytes of a key beside its label value, of counters named `c`.
fn key_len_without_label() -> usize {
    let mut key = Vec::new();
    forkmeter_shm::key::write(&mut key, "c", "c_total", [("l", "")].into_iter(), "Help.");
    key.len()
}

/// Makes a counter series whose entry ends at `end`; the file's entries end at `used` before.
fn fill_to(store: &ShmStore, counters: &Arc<Descriptor>, used: &mut usize, end: usize) -> String {
    // A padded key has up to 8 spaces: this length gives exactly one.
    let room = end - *used - ENTRY_OVERHEAD;
    let label = "x".repeat(room - 1 - key_len_without_label());
    store.intern(counters, &[&label]).add(0, 1.0);
    assert_eq!(
        entry_len(key_len_without_label() + label.len()),
        end - *used
    );
    *used = end;
    label
}

#[test]
fn slots_at_the_edge_of_a_window_count() {
    const WINDOW: usize = 32 << 20;
    const BIG: usize = 400_000;
    // Where the entry at the edge ends: key across it, value right behind it, timestamp right behind it, all
    // before it.
    for behind in [1000, 16, 8, 0] {
        let directory = tempfile::tempdir().unwrap();
        let store = store_in(directory.path());
        let counters = descriptor(MetricType::Counter, "c");
        let mut used = HEADER_SIZE;
        while WINDOW - used > 2 * BIG {
            let end = used + BIG;
            // Series are told apart by the length of their label, too.
            let shorter = (used / BIG) * 8;
            fill_to(&store, &counters, &mut used, end - shorter);
        }
        let edge = fill_to(&store, &counters, &mut used, WINDOW + behind);
        let after = used + 1000;
        let after = fill_to(&store, &counters, &mut used, after);
        for label in [&edge, &after] {
            store.intern(&counters, &[label]).add(0, 1.0);
            // Another process that reads the file anew, and one that collects.
            let other = fork(|| {
                store_in(directory.path())
                    .intern(&counters, &[label])
                    .add(0, 1.0);
            });
            assert_eq!(other.wait(), 0);
            assert_eq!(value(&store, "c_total", label), Some(3.0), "{behind}");
            let created = store.intern(&counters, &[label]).created_seconds();
            assert!(created > 1e9, "{behind} {created}");
            assert!(store.remove(&counters, &[label]));
            assert_eq!(value(&store, "c_total", label), None, "{behind}");
        }
    }
}

#[test]
fn a_label_value_that_is_too_long_for_a_file_stays_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let counters = descriptor(MetricType::Counter, "c");
    let label = "x".repeat((1 << 20) + 1);
    let long = store.intern(&counters, &[&label]);
    long.add(0, 1.0);
    store.intern(&counters, &["a"]).add(0, 1.0);
    assert_eq!(store.kept_series().0, 1);
    assert_eq!(long.get(0), 1.0);
    assert_eq!(
        value(&store_in(directory.path()), "c_total", "a"),
        Some(1.0)
    );
    assert!(store.remove(&counters, &[&label]));
    assert_eq!(store.kept_series(), (0, None));
}

#[test]
fn a_collection_while_values_move_shows_each_once() {
    const DELETIONS: u32 = 100;
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let counters = descriptor(MetricType::Counter, "c");
    let labels: Vec<String> = (0..50).map(|label| label.to_string()).collect();
    for label in &labels {
        store.intern(&counters, &[label]).add(0, 1.0);
    }
    let collections = AtomicU32::new(0);
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let deleter = scope.spawn(|| {
            for _ in 0..DELETIONS {
                // Each collection meets two deletions at most: it need not begin anew for ever.
                let before = collections.load(Ordering::Relaxed);
                let _ = fs::remove_file(directory.path().join("counter_shared.db"));
                store.refresh();
                let is_same = || collections.load(Ordering::Relaxed) == before;
                // A collector that failed comes no more.
                for _ in (0..10_000).take_while(|_| is_same()) {
                    thread::sleep(Duration::from_millis(1));
                }
            }
            is_done.store(true, Ordering::Relaxed);
        });
        while !is_done.load(Ordering::Relaxed) {
            for label in ["0", "49"] {
                assert_eq!(value(&store, "c_total", label), Some(1.0));
                collections.fetch_add(1, Ordering::Relaxed);
            }
        }
        deleter.join().unwrap();
    });
}

#[test]
fn what_a_parent_keeps_in_memory_is_published_by_the_parent_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("metrics");
    fs::write(&path, "in the way").unwrap();
    let store = store_in(&path);
    let counter = store.intern(&descriptor(MetricType::Counter, "c"), &["a"]);
    counter.add(0, 1.0);
    assert_eq!(store.kept_series().0, 1);
    let child = fork(|| {
        fs::remove_file(&path).unwrap();
        counter.add(0, 1.0);
        store.refresh();
        assert_eq!(store.kept_series(), (0, None));
        assert_eq!(value(&store, "c_total", "a"), Some(1.0), "the child's own");
    });
    assert_eq!(child.wait(), 0);
    thread::sleep(Duration::from_millis(1100));
    assert_eq!(value(&store, "c_total", "a"), Some(2.0));
}

/// Writes a gauge file `gauge_<stem>.db` with one series of the family `g`.
fn write_gauge(directory: &Path, stem: &str, mark: Mark, value: f64, timestamp: f64) -> u64 {
    let path = directory.join(format!("gauge_{stem}.db"));
    SegmentBytes::new(mark)
        .with("g", "g", &[("l", "a")], value, timestamp)
        .write(&path);
    fs::metadata(path).unwrap().ino()
}

fn write_journal(directory: &Path, target_inode: u64) {
    let journal = format!(
        r#"{{"target": "gauge_sum_retired.db", "target_inode": {target_inode}, "sources": ["gauge_sum_7.db"]}}"#
    );
    fs::write(directory.join("forkmeter.fold"), journal).unwrap();
}

#[test]
fn a_fold_that_nobody_finished_counts_once() {
    let gauges = gauge(MetricType::Gauge, "g", MultiprocessMode::Sum);
    for took_effect in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        write_gauge(path, "sum_7", Mark::Worker(0), 4.0, 0.0);
        let retired = if took_effect { 5.0 } else { 1.0 };
        let inode = write_gauge(path, "sum_retired", Mark::Retired, retired, 0.0);
        write_journal(
            path,
            if took_effect {
                inode
            } else {
                inode + 1_000_000
            },
        );
        let store = store_in(path);
        store.declare(&gauges);
        assert!(!path.join("forkmeter.fold").exists());
        assert_eq!(path.join("gauge_sum_7.db").exists(), !took_effect);
        assert_eq!(value(&store, "g", "a"), Some(5.0), "{took_effect}");
    }
}

#[test]
fn folding_dead_workers_changes_no_value() {
    // Values of two workers that die one after the other, the later one with the smaller value and time.
    for (mode, [first, second], expected) in [
        (MultiprocessMode::Min, [5.0, 3.0], 3.0),
        (MultiprocessMode::Min, [3.0, 5.0], 3.0),
        (MultiprocessMode::Max, [5.0, 3.0], 5.0),
        (MultiprocessMode::Max, [3.0, 5.0], 5.0),
        (MultiprocessMode::Sum, [3.0, 5.0], 8.0),
        (MultiprocessMode::MostRecent, [3.0, 5.0], 5.0),
        (MultiprocessMode::MostRecent, [5.0, 3.0], 5.0),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let gauges = gauge(MetricType::Gauge, "g", mode);
        for value in [first, second] {
            let worker = fork(|| {
                store_in(directory.path())
                    .intern(&gauges, &["a"])
                    .set(0, value);
            });
            let pid = worker.pid();
            assert_eq!(worker.wait(), 0);
            if mode == MultiprocessMode::MostRecent {
                // The larger value is the later one.
                let stem = format!("{mode}_{pid}");
                let file = directory.path().join(format!("gauge_{stem}.db"));
                let header = fs::read(&file).unwrap()[4..8].try_into().unwrap();
                write_gauge(
                    directory.path(),
                    &stem,
                    Mark::from_bytes(header),
                    value,
                    value,
                );
            }
        }
        // Whoever comes folds the second one too.
        let store = store_in(directory.path());
        store.declare(&gauges);
        let names = fs::read_dir(directory.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let gauge_files: Vec<_> = names.filter(|name| name.starts_with("gauge_")).collect();
        assert_eq!(gauge_files, [format!("gauge_{mode}_retired.db")]);
        assert_eq!(
            value(&store, "g", "a"),
            Some(expected),
            "{mode} {first} {second}"
        );
    }
}

#[test]
fn a_long_list_of_facts_is_rewritten_with_the_last_ones() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let infos = descriptor(MetricType::Info, "i");
    let facts = |version: u32| LabelSet::from_pairs([("version", version.to_string())]);
    store.set_info(&infos, &["removed"], facts(0));
    store.remove(&infos, &["removed"]);
    store.set_info(&infos, &["stays"], facts(0));
    for version in 0..20_000 {
        store.set_info(&infos, &["changes"], facts(version));
    }
    let size = fs::metadata(directory.path().join("forkmeter.meta"))
        .unwrap()
        .len();
    assert!(size <= 1 << 20, "{size}");
    for store in [&store, &store_in(directory.path())] {
        let families = store.collect().families;
        let family = families.iter().find(|family| &*family.name == "i").unwrap();
        let found: Vec<_> = family
            .samples
            .iter()
            .map(|sample| (sample.labels.get("l"), sample.labels.get("version")))
            .collect();
        assert_eq!(
            found,
            [(Some("stays"), Some("0")), (Some("changes"), Some("19999"))]
        );
    }
}

static LATER_PLACE: Mutex<Option<PathBuf>> = Mutex::new(None);

#[test]
fn threads_that_count_while_memory_is_published_lose_nothing() {
    for round in 0..100 {
        let directory = tempfile::tempdir().unwrap();
        let store = ShmStore::new(Options::new(Directory::Follow(|| {
            LATER_PLACE.lock().unwrap().clone()
        })));
        let counter = store.intern(&descriptor(MetricType::Counter, "c"), &["a"]);
        let is_done = AtomicBool::new(false);
        let counted: f64 = thread::scope(|scope| {
            let count = || {
                let mut count = 0.0;
                while !is_done.load(Ordering::Relaxed) {
                    counter.add(0, 1.0);
                    count += 1.0;
                }
                count
            };
            let threads = [scope.spawn(count), scope.spawn(count)];
            thread::sleep(Duration::from_millis(1));
            *LATER_PLACE.lock().unwrap() = Some(directory.path().to_owned());
            store.refresh();
            is_done.store(true, Ordering::Relaxed);
            threads.map(|thread| thread.join().unwrap()).iter().sum()
        });
        store.refresh();
        let other = store_in(directory.path());
        assert_eq!(value(&other, "c_total", "a"), Some(counted), "{round}");
        *LATER_PLACE.lock().unwrap() = None;
    }
}
