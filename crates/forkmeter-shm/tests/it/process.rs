//! What several processes do to one directory: fork, race, die.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use forkmeter_core::store::Store;
use forkmeter_core::{MetricType, MultiprocessMode};
use forkmeter_shm::layout::{Header, Mark, append_entry};
use forkmeter_shm::workers;

use crate::children::{descriptor, end_after_seconds, fork, gauge, store_in, value};

#[test]
fn a_forked_child_counts_on_in_the_same_slots() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let counter = store.intern(&descriptor(MetricType::Counter, "c"), &["a"]);
    let histogram = store.intern(&descriptor(MetricType::Histogram, "h"), &["a"]);
    counter.add(0, 1.0);
    let children: Vec<_> = (0..4)
        .map(|_| {
            fork(|| {
                for _ in 0..1000 {
                    counter.add(0, 1.0);
                    histogram.add(1, 1.0);
                    histogram.add(0, 0.5);
                }
            })
        })
        .collect();
    for child in children {
        assert_eq!(child.wait(), 0);
    }
    assert_eq!(value(&store, "c_total", "a"), Some(4001.0));
    assert_eq!(value(&store, "h_count", "a"), Some(4000.0));
    assert_eq!(value(&store, "h_sum", "a"), Some(2000.0));
}

#[test]
fn a_forked_childs_gauges_start_from_zero_and_end_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let handle = |mode: MultiprocessMode| {
        store.intern(&gauge(MetricType::Gauge, mode.as_str(), mode), &["a"])
    };
    let gauges: BTreeMap<_, _> = MultiprocessMode::ALL
        .into_iter()
        .map(|mode| (mode.as_str(), handle(mode)))
        .collect();
    for gauge in gauges.values() {
        gauge.set(0, 3.0);
    }
    let ready = directory.path().join("ready");
    let child = fork(|| {
        for gauge in gauges.values() {
            assert_eq!(gauge.get(0), 0.0);
            gauge.add(0, 2.0);
        }
        fs::write(&ready, []).unwrap();
        thread::sleep(Duration::from_secs(60));
    });
    wait_for(&ready);
    for (mode, expected) in [
        ("sum", 5.0),
        ("livesum", 5.0),
        ("min", 2.0),
        ("max", 3.0),
        ("mostrecent", 2.0),
    ] {
        assert_eq!(value(&store, mode, "a"), Some(expected), "{mode}");
    }
    let observed = workers::observe(directory.path()).unwrap();
    assert_eq!(
        observed
            .records
            .iter()
            .filter(|record| record.alive)
            .count(),
        2
    );
    let pid = child.pid().to_string();
    let of_child = |family: &str| {
        let families = store.collect().families;
        let family = families.into_iter().find(|f| &*f.name == family).unwrap();
        family
            .samples
            .into_iter()
            .find(|s| s.labels.get("pid") == Some(&pid))
            .map(|s| s.value)
    };
    assert_eq!(
        (of_child("all"), of_child("liveall")),
        (Some(2.0), Some(2.0))
    );
    child.kill();
    let dead = [
        ("sum", 5.0),
        ("livesum", 3.0),
        ("min", 2.0),
        ("livemin", 3.0),
        ("max", 3.0),
        ("mostrecent", 2.0),
        ("livemostrecent", 3.0),
    ];
    for (mode, expected) in dead {
        assert_eq!(
            value(&store, mode, "a"),
            Some(expected),
            "{mode} after the child's death"
        );
    }
    assert_eq!((of_child("all"), of_child("liveall")), (Some(2.0), None));
    // The next worker that starts folds the dead one's files; nothing changes for a reader.
    let next = fork(|| store_in(directory.path()).refresh());
    assert_eq!(next.wait(), 0);
    assert!(
        !directory
            .path()
            .join(format!("gauge_sum_{pid}.db"))
            .exists()
    );
    assert!(directory.path().join("gauge_sum_retired.db").exists());
    for (mode, expected) in dead {
        assert_eq!(
            value(&store, mode, "a"),
            Some(expected),
            "{mode} after the fold"
        );
    }
    assert_eq!(of_child("all"), Some(2.0));
}

#[test]
fn workers_that_come_and_go_leave_a_bounded_directory() {
    let directory = tempfile::tempdir().unwrap();
    let counters = descriptor(MetricType::Counter, "c");
    let level = gauge(MetricType::Gauge, "g", MultiprocessMode::Sum);
    let worker = |kills: bool| {
        fork(|| {
            let store = store_in(directory.path());
            store.intern(&counters, &["a"]).add(0, 1.0);
            store.intern(&level, &["a"]).set(0, 1.0);
            if kills {
                std::process::abort();
            }
        })
        .wait();
    };
    for generation in 0..100 {
        worker(generation % 2 == 0);
    }
    let store = store_in(directory.path());
    assert_eq!(value(&store, "c_total", "a"), Some(100.0));
    assert_eq!(value(&store, "g", "a"), Some(100.0));
    let names: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(names.len() <= 6, "{names:?}");
}

#[test]
fn processes_that_intern_at_once_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let counters = descriptor(MetricType::Counter, "c");
    let histograms = descriptor(MetricType::Histogram, "h");
    let children: Vec<_> = (0..4)
        .map(|worker| {
            let (counters, histograms, path) = (&counters, &histograms, directory.path());
            fork(move || {
                let store = store_in(path);
                for turn in 0..500 {
                    // The same series in all workers, and one of its own.
                    store.intern(counters, &[&format!("{turn}")]).add(0, 1.0);
                    store
                        .intern(counters, &[&format!("{worker}/{turn}")])
                        .add(0, 1.0);
                    store
                        .intern(histograms, &[&format!("{}", turn % 50)])
                        .add(1, 1.0);
                }
                assert_eq!(store.kept_series(), (0, None));
            })
        })
        .collect();
    for child in children {
        assert_eq!(child.wait(), 0);
    }
    let store = store_in(directory.path());
    let families = store.collect().families;
    let counters = &families
        .iter()
        .find(|family| &*family.name == "c")
        .unwrap()
        .samples;
    assert_eq!(counters.len(), 500 + 4 * 500);
    for sample in counters {
        let expected = if sample.labels.get("l").unwrap().contains('/') {
            1.0
        } else {
            4.0
        };
        assert_eq!(sample.value, expected, "{sample:?}");
    }
    let histograms = &families
        .iter()
        .find(|family| &*family.name == "h")
        .unwrap()
        .samples;
    let counts = histograms
        .iter()
        .filter(|sample| &*sample.name == "h_count");
    assert_eq!(counts.map(|sample| sample.value).sum::<f64>(), 2000.0);
}

#[test]
fn a_series_removed_by_one_worker_is_removed_for_all() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let counters = descriptor(MetricType::Counter, "c");
    let levels = gauge(MetricType::Gauge, "g", MultiprocessMode::Max);
    let counter = store.intern(&counters, &["a"]);
    let level = store.intern(&levels, &["a"]);
    counter.add(0, 2.0);
    level.set(0, 2.0);
    let remove = || {
        let store = store_in(directory.path());
        assert!(store.remove(&counters, &["a"]));
        assert!(store.remove(&levels, &["a"]));
        assert!(!store.remove(&counters, &["a"]));
    };
    assert_eq!(fork(remove).wait(), 0);
    assert_eq!(
        (value(&store, "c_total", "a"), value(&store, "g", "a")),
        (None, None)
    );
    counter.add(0, 1.0);
    level.add(0, 7.0);
    assert_eq!(
        value(&store, "c_total", "a"),
        Some(1.0),
        "counting on it makes it anew"
    );
    assert_eq!(value(&store, "g", "a"), Some(7.0));
}

/// At least 1,000 kills over this file: workers die at random moments of interning and growing.
#[test]
fn killing_workers_at_random_points_leaves_a_valid_directory_and_loses_nothing() {
    const KILLS: u64 = 1000;
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    fs::create_dir(&log).unwrap();
    let metrics = directory.path().join("metrics");
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for kill in 0..KILLS {
        let child = fork(|| work_until_killed(&metrics, &log.join(kill.to_string()), kill));
        thread::sleep(Duration::from_micros(next() % 4000));
        child.kill();
        if kill % 100 == 0 {
            check(&metrics, &log);
        }
    }
    check(&metrics, &log);
}

/// Counts on new series for ever, and writes down each increment once it returned.
fn work_until_killed(metrics: &Path, log: &Path, kill: u64) {
    use std::io::Write;
    let store = store_in(metrics);
    let counters = descriptor(MetricType::Counter, "c");
    let histograms = descriptor(MetricType::Histogram, "h");
    let mut log = fs::File::create(log).expect("a log");
    for turn in 0_u64.. {
        // Long label values make the file grow often; some series are everybody's.
        let own = format!("{kill}/{turn}/{}", "x".repeat(200));
        store.intern(&counters, &[&own]).add(0, 1.0);
        store.intern(&counters, &["all"]).add(0, 1.0);
        store
            .intern(&histograms, &[&(turn % 7).to_string()])
            .add(1, 1.0);
        // One write of one byte: it is in the file or it is not.
        log.write_all(b".").expect("a log that can be written");
    }
}

/// What returned is there; of each worker at most one round more, the one it died in.
fn check(metrics: &Path, log: &Path) {
    let logged: Vec<(u64, u64)> = fs::read_dir(log)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name.parse().unwrap(), entry.metadata().unwrap().len())
        })
        .collect();
    let store = store_in(metrics);
    let collected = store.collect();
    assert_eq!(collected.errors, Vec::<String>::new());
    let family = |name: &str| {
        collected
            .families
            .iter()
            .find(|family| &*family.name == name)
    };
    let Some(counters) = family("c") else {
        assert!(logged.iter().all(|(_, rounds)| *rounds == 0));
        return;
    };
    let mut own: BTreeMap<u64, u64> = BTreeMap::new();
    let mut all = 0.0;
    for sample in &counters.samples {
        match sample.labels.get("l").unwrap().split_once('/') {
            None => all = sample.value,
            Some((worker, _)) => {
                *own.entry(worker.parse().unwrap()).or_default() += whole(sample.value);
            }
        }
    }
    let mut rounds = 0;
    for (worker, logged) in &logged {
        let counted = own.get(worker).copied().unwrap_or(0);
        assert!(
            counted == *logged || counted == logged + 1,
            "worker {worker}: {counted}, {logged}"
        );
        rounds += logged;
    }
    let workers = logged.len() as u64;
    assert!(
        (rounds..=rounds + workers).contains(&whole(all)),
        "all: {all}, {rounds}"
    );
    let observations = family("h").map_or(0.0, |family| {
        let counts = family
            .samples
            .iter()
            .filter(|sample| &*sample.name == "h_count");
        counts.map(|sample| sample.value).sum()
    });
    assert!(
        (rounds..=rounds + workers).contains(&whole(observations)),
        "{observations}, {rounds}"
    );
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of events, which are whole"
)]
fn whole(count: f64) -> u64 {
    assert_eq!(count.fract(), 0.0);
    count as u64
}

fn wait_for(path: &Path) {
    for _ in 0..2000 {
        if path.exists() {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("{} did not appear", path.display());
}

#[test]
fn a_process_id_that_is_used_again_starts_its_own_gauges() {
    let directory = tempfile::tempdir().unwrap();
    let pid = std::process::id();
    // A worker of this id that died.
    let key = br#"["g", "g", {"l": "a"}, "Help."]"#;
    for stem in ["gauge_all", "gauge_livesum", "gauge_sum"] {
        let path = directory.path().join(format!("{stem}_{pid}.db"));
        write_segment(&path, Mark::Worker(0), key, 4.0);
    }
    write_record(directory.path(), pid);
    let store = store_in(directory.path());
    let levels = gauge(MetricType::Gauge, "g", MultiprocessMode::Sum);
    let level = store.intern(&levels, &["a"]);
    assert_eq!(level.get(0), 0.0, "not the dead worker's value");
    let exists = |stem: &str| directory.path().join(format!("{stem}_{pid}.db")).exists();
    assert!(exists("gauge_all") && !exists("gauge_livesum"));
    let observed = workers::observe(directory.path()).unwrap();
    let [record] = observed.records.as_slice() else {
        panic!("{observed:?}")
    };
    // The dead worker's last values are still shown under its id, so this one has another name.
    assert!(record.alive);
    assert_eq!(record.tag, format!("{pid}-1"));
    let retired = fs::read(directory.path().join("gauge_sum_retired.db")).unwrap();
    assert!(retired.windows(key.len()).any(|window| window == key));
}

fn write_segment(path: &Path, mark: Mark, key: &[u8], value: f64) {
    let mut bytes = vec![0; 8];
    append_entry(&mut bytes, key, value, 0.0);
    let used = i32::try_from(bytes.len()).expect("a small segment");
    bytes[..8].copy_from_slice(&Header { used, mark }.to_bytes());
    fs::write(path, bytes).expect("a segment");
}

/// Writes a worker file with one record that nobody holds.
fn write_record(directory: &Path, pid: u32) {
    let mut bytes = vec![0; 128];
    bytes[..8].copy_from_slice(b"FORKMTRW");
    for (at, word) in [(8, 1), (12, 64), (16, 64), (64, pid), (68, 1)] {
        bytes[at..at + 4].copy_from_slice(&u32::to_le_bytes(word));
    }
    let tag = pid.to_string();
    bytes[96..96 + tag.len()].copy_from_slice(tag.as_bytes());
    fs::write(directory.join("forkmeter.workers"), bytes).expect("a worker file");
}

#[test]
fn a_fork_while_other_threads_intern_and_collect_leaves_no_lock_held() {
    const FORKS: u32 = 300;
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let counters = descriptor(MetricType::Counter, "c");
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for worker in 0..2 {
            let (store, counters, is_done) = (&store, &counters, &is_done);
            scope.spawn(move || {
                for turn in 0_u64.. {
                    if is_done.load(Ordering::Relaxed) {
                        break;
                    }
                    let series = store.intern(counters, &[&format!("{worker}/{}", turn % 500)]);
                    series.add(0, 1.0);
                    if turn % 50 == 0 {
                        store.collect();
                    }
                }
            });
        }
        let failed = (0..FORKS).find(|turn| {
            let child = fork(|| {
                // A lock that was copied while held would hang here, until the alarm ends the child.
                end_after_seconds(20);
                let series = store.intern(&counters, &[&format!("child/{turn}")]);
                series.add(0, 1.0);
                // Collecting takes the longest, so most forks happen while a thread collects.
                assert_eq!(store.collect().errors, Vec::<String>::new());
            });
            child.wait() != 0
        });
        is_done.store(true, Ordering::Relaxed);
        assert_eq!(failed, None);
    });
    for turn in 0..FORKS {
        let child = value(&store, "c_total", &format!("child/{turn}"));
        assert_eq!(child, Some(1.0));
    }
}

#[test]
fn a_stopped_worker_stops_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("metrics");
    let ready = directory.path().join("ready");
    let holder = fork(|| {
        let store = store_in(&path);
        let counters = descriptor(MetricType::Counter, "c");
        fs::write(&ready, []).expect("a marker");
        for turn in 0_u64.. {
            store.intern(&counters, &[&turn.to_string()]);
        }
    });
    wait_for(&ready);
    // Stopped at some moment; in some of the rounds that is inside the lock.
    for round in 0..20 {
        holder.signal(libc::SIGSTOP);
        let other = fork(|| {
            end_after_seconds(20);
            let store = store_in(&path);
            let counter = store.intern(&descriptor(MetricType::Counter, "other"), &["a"]);
            counter.add(0, 1.0);
            assert!(counter.get(0) >= 1.0);
        });
        assert_eq!(other.wait(), 0, "round {round}");
        holder.signal(libc::SIGCONT);
        thread::sleep(Duration::from_millis(1));
    }
    holder.kill();
}

#[test]
fn workers_together_keep_to_the_limit_of_a_family() {
    const WORKERS: usize = 6;
    const MAX_SERIES: usize = 100;
    let directory = tempfile::tempdir().unwrap();
    // The hooks of forks, before other threads fork.
    let store = store_in(directory.path());
    let limited = descriptor(MetricType::Histogram, "h");
    let made = |own: &dyn Fn(usize) -> String| {
        let store = store_in(directory.path());
        let names = (0..1000).map(own);
        let slots = names.filter_map(|name| store.intern_within(&limited, &[&name], MAX_SERIES));
        slots.map(|slots| slots.add(1, 1.0)).count()
    };
    let children: Vec<_> = (0..WORKERS)
        .map(|worker| {
            fork(move || {
                made(&|number| format!("{worker}/{number}"));
            })
        })
        .collect();
    for child in children {
        assert_eq!(child.wait(), 0);
    }
    let count = || {
        let families = store.collect().families;
        let samples = families.iter().flat_map(|family| &family.samples);
        samples
            .filter(|sample| &*sample.name == "h_count")
            .map(|sample| {
                sample
                    .labels
                    .iter()
                    .next()
                    .map(|(_, value)| value.to_owned())
            })
            .collect::<Vec<_>>()
    };
    let there = count();
    assert!(
        (MAX_SERIES..=MAX_SERIES + MAX_SERIES / 8 + WORKERS).contains(&there.len()),
        "{}",
        there.len()
    );
    // A later worker finds no room for what is new, and goes on with what others made.
    let first = there[0].clone().unwrap();
    let again = store.intern_within(&limited, &[&first], MAX_SERIES);
    assert!(again.is_some_and(|slots| slots.get(1) == 1.0));
    let own_made = fork(|| assert_eq!(made(&|number| format!("late/{number}")), 0));
    assert_eq!(own_made.wait(), 0);
    assert_eq!(count().len(), there.len());
}
