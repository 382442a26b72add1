//! Series that come and go: what they leave behind is bounded, and what stays is exact.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use forkmeter_core::store::Store;
use forkmeter_core::{Descriptor, Exemplar, LabelSet, MetricType, MultiprocessMode};
use forkmeter_shm::ShmStore;
use forkmeter_shm::reader::{DirectoryReader, FileState};

use crate::children::{Child, descriptor, end_after_seconds, fork, gauge, store_in, value};

/// How many names crowd a segment: removed, they take more than what it may hold of them.
const CROWD: u64 = 6_000;
/// A little more than a worker takes to leave a segment.
const DRAINED: Duration = Duration::from_millis(1_100);

/// Makes, counts and removes series with names that nobody had before.
fn churn(store: &ShmStore, counters: &Arc<Descriptor>, names: std::ops::Range<u64>) {
    for name in names {
        let name = format!("{name:032}");
        store.intern(counters, &[&name]).add(0, 1.0);
        assert!(store.remove(counters, &[&name]), "{name}");
    }
}

/// Churns until what crowded a segment was folded.
pub(crate) fn fold(store: &ShmStore, counters: &Arc<Descriptor>, turn: u64) {
    let first = (turn + 1) * 1_000_000;
    churn(store, counters, first..first + CROWD);
    thread::sleep(DRAINED);
    churn(store, counters, first + CROWD..first + CROWD + 1);
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| {
            Path::new(name)
                .extension()
                .is_some_and(|suffix| suffix == "db")
        })
        .collect();
    names.sort();
    names
}

fn bytes_in(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum()
}

/// Returns the total of a counter as a reader of its own sees it; nothing may be wrong with any file.
fn read(reader: &mut DirectoryReader, sample: &str, label: &str) -> Option<f64> {
    let view = reader.refresh();
    for file in &view.report.files {
        let is_fine = matches!(
            file.state,
            FileState::Ok | FileState::Empty | FileState::Vanished
        );
        let (path, cause) = (file.path.display(), &file.cause);
        assert!(is_fine, "{path}: {:?} {cause}", file.state);
    }
    let mut samples = view.families.iter().flat_map(|family| &family.samples);
    let found = samples.find(|s| &*s.name == sample && s.labels.get("l") == Some(label));
    found.map(|sample| sample.value)
}

#[test]
fn removed_series_leave_the_directory_and_the_reader() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let counters = descriptor(MetricType::Counter, "c");
    let kept = store.intern(&counters, &["kept"]);
    let unused = store.intern(&counters, &["unused"]);
    unused.add(0, 0.5);
    let mut reader = DirectoryReader::new(directory.path());
    for turn in 0..4 {
        for _ in 0..10 {
            kept.add(0, 1.0);
        }
        fold(&store, &counters, turn);
        let expected = 10.0 * whole(turn + 1);
        assert_eq!(kept.get(0), expected);
        assert_eq!(read(&mut reader, "c_total", "kept"), Some(expected));
        assert_eq!(read(&mut reader, "c_total", "unused"), Some(0.5));
        let series: usize = reader
            .refresh()
            .families
            .iter()
            .map(|f| f.samples.len())
            .sum();
        assert_eq!(series, 2);
    }
    assert!(
        bytes_in(directory.path()) < 2 << 20,
        "{}",
        bytes_in(directory.path())
    );
    let names = names_in(directory.path());
    assert!(
        names.iter().any(|name| name.starts_with("counter_retired")),
        "{names:?}"
    );
    // Removed and made again, it starts from zero whatever was folded.
    assert!(store.remove(&counters, &["unused"]));
    assert_eq!(read(&mut reader, "c_total", "unused"), None);
    store.intern(&counters, &["unused"]).add(0, 1.0);
    assert_eq!(read(&mut reader, "c_total", "unused"), Some(1.0));
    kept.reset();
    assert_eq!(
        (kept.get(0), read(&mut reader, "c_total", "kept")),
        (0.0, Some(0.0))
    );
}

#[test]
fn what_was_folded_is_made_again_when_the_files_are_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let counters = descriptor(MetricType::Counter, "c");
    let kept = store.intern(&counters, &["kept"]);
    kept.add(0, 3.0);
    fold(&store, &counters, 0);
    kept.add(0, 1.0);
    assert_eq!(value(&store, "c_total", "kept"), Some(4.0));
    for name in names_in(directory.path()) {
        fs::remove_file(directory.path().join(name)).unwrap();
    }
    kept.add(0, 1.0);
    assert_eq!(value(&store, "c_total", "kept"), Some(5.0));
    assert_eq!(kept.get(0), 5.0);
}

#[test]
fn a_worker_that_slept_counts_on_and_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = directory.path().join("metrics");
    let wake = directory.path().join("wake");
    let counters = descriptor(MetricType::Counter, "c");
    let store = store_in(&metrics);
    let kept = store.intern(&counters, &["kept"]);
    let sleeper = fork(|| {
        end_after_seconds(60);
        let store = store_in(&metrics);
        let kept = store.intern(&counters, &["kept"]);
        kept.add(0, 1.0);
        fs::write(directory.path().join("ready"), []).unwrap();
        while !wake.exists() {
            thread::sleep(Duration::from_millis(1));
        }
        // It knows nothing of what happened meanwhile, and looks nothing up.
        kept.add(0, 1.0);
        assert_eq!(kept.get(0), 5.0);
        fs::write(directory.path().join("awake"), []).unwrap();
        while wake.exists() {
            thread::sleep(Duration::from_millis(1));
        }
        // Now it moves on.
        store.refresh();
        kept.add(0, 1.0);
        thread::sleep(DRAINED);
        store.refresh();
        kept.add(0, 1.0);
    });
    wait_for(&directory.path().join("ready"));
    let mut reader = DirectoryReader::new(&metrics);
    for turn in 0..3 {
        fold(&store, &counters, turn);
        kept.add(0, 1.0);
        assert_eq!(
            read(&mut reader, "c_total", "kept"),
            Some(2.0 + whole(turn))
        );
    }
    // The sleeper's segment is there, the retired one, the one in use, and one that is being left.
    assert!(names_in(&metrics).len() <= 4, "{:?}", names_in(&metrics));
    fs::write(&wake, []).unwrap();
    wait_for(&directory.path().join("awake"));
    assert_eq!(read(&mut reader, "c_total", "kept"), Some(5.0));
    fs::remove_file(&wake).unwrap();
    assert_eq!(sleeper.wait(), 0);
    assert_eq!(read(&mut reader, "c_total", "kept"), Some(7.0));
    fold(&store, &counters, 10);
    // The retired segment, the one in use, and one that is being left.
    assert!(names_in(&metrics).len() <= 3, "{:?}", names_in(&metrics));
    assert_eq!(
        (kept.get(0), read(&mut reader, "c_total", "kept")),
        (7.0, Some(7.0))
    );
}

#[test]
fn a_forked_child_goes_on_in_a_segment_that_was_left() {
    let directory = tempfile::tempdir().unwrap();
    let counters = descriptor(MetricType::Counter, "c");
    let store = store_in(directory.path());
    let kept = store.intern(&counters, &["kept"]);
    kept.add(0, 1.0);
    churn(&store, &counters, 0..CROWD);
    let go = directory.path().join("go");
    // The child takes over handles to a segment that its parent leaves and folds before the child looks.
    let child = fork(|| {
        end_after_seconds(60);
        wait_for(&go);
        kept.add(0, 1.0);
        assert_eq!(kept.get(0), 2.0);
    });
    thread::sleep(DRAINED);
    churn(&store, &counters, CROWD..CROWD + 1);
    fs::write(&go, []).unwrap();
    assert_eq!(child.wait(), 0);
    assert_eq!(value(&store, "c_total", "kept"), Some(2.0));
}

#[test]
fn a_removal_reaches_what_other_workers_left() {
    let directory = tempfile::tempdir().unwrap();
    let counters = descriptor(MetricType::Counter, "c");
    let histograms = descriptor(MetricType::Histogram, "h");
    let store = store_in(directory.path());
    let handles = || {
        let counter = store.intern(&counters, &["gone"]);
        let histogram = store.intern(&histograms, &["gone"]);
        counter.add(0, 1.0);
        histogram.add(0, 1.0);
        (counter, histogram)
    };
    let (counter, histogram) = handles();
    let other = fork(|| {
        let other = store_in(directory.path());
        assert!(other.remove(&counters, &["gone"]));
        assert!(other.remove(&histograms, &["gone"]));
    });
    assert_eq!(other.wait(), 0);
    for kind in [&counters, &histograms] {
        fold(&store, kind, 0);
    }
    assert_eq!(value(&store, "c_total", "gone"), None);
    // This worker knows it no more, but for the handle, whose first count makes it anew.
    assert_eq!(store.series(&counters), Vec::<Box<[Arc<str>]>>::new());
    assert_eq!(counter.get(0), 0.0);
    assert_eq!(
        value(&store, "c_total", "gone"),
        None,
        "looking is not counting"
    );
    counter.add(0, 2.0);
    assert_eq!(value(&store, "c_total", "gone"), Some(2.0));
    // One of the slots of a histogram is counted on; the others are exposed with it, now and once it was folded.
    histogram.add(0, 2.0);
    let samples = || {
        let collected = store.collect();
        let family = collected.families.iter().find(|f| &*f.name == "h").unwrap();
        let mut samples: Vec<_> = family
            .samples
            .iter()
            .map(|s| (s.name.to_string(), s.value))
            .collect();
        samples.sort_by(|a, b| a.partial_cmp(b).unwrap());
        samples
    };
    let before = samples();
    assert_eq!(before.len(), 4, "{before:?}");
    for turn in 1..3 {
        fold(&store, &histograms, turn);
        assert_eq!(samples(), before);
    }
}

fn exemplar(id: &str) -> Exemplar {
    Exemplar {
        labels: LabelSet::from_pairs([("id", id)]),
        value: 1.0,
        timestamp: None,
    }
}

#[test]
fn an_exemplar_moves_with_its_slot() {
    let directory = tempfile::tempdir().unwrap();
    let counters = descriptor(MetricType::Counter, "c");
    let store = store_in(directory.path());
    let kept = store.intern(&counters, &["kept"]);
    let set = |id: &str| {
        kept.add(0, 1.0);
        kept.set_exemplar(0, exemplar(id));
    };
    let shown = || {
        let collected = store.collect();
        let mut samples = collected.families.iter().flat_map(|f| &f.samples);
        let sample = samples.find(|s| s.labels.get("l") == Some("kept")).unwrap();
        let exemplar = sample.exemplar.as_ref();
        exemplar.and_then(|exemplar| exemplar.labels.get("id").map(str::to_owned))
    };
    set("first");
    fold(&store, &counters, 0);
    assert_eq!(shown().as_deref(), Some("first"));
    assert_eq!(kept.exemplar(0).unwrap().labels.get("id"), Some("first"));
    set("second");
    fold(&store, &counters, 1);
    assert_eq!(shown().as_deref(), Some("second"));
    // Those of removed series are used again.
    let file = directory.path().join("forkmeter.exemplars");
    for turn in 0..500 {
        let name = format!("passing {turn}");
        let series = store.intern(&counters, &[&name]);
        series.set_exemplar(0, exemplar(&name));
        store.remove(&counters, &[&name]);
    }
    let bytes = fs::metadata(file).unwrap().len();
    assert!(bytes < 16 * 1024, "{bytes}");
    assert!(store.remove(&counters, &["kept"]));
    store.intern(&counters, &["kept"]);
    assert_eq!(shown(), None);
}

/// Is what one worker has counted, written down after each count, where its death does not change it.
struct Log(File);

impl Log {
    fn open(path: &Path) -> Self {
        let mut options = OpenOptions::new();
        Self(
            options
                .create(true)
                .append(false)
                .write(true)
                .truncate(false)
                .open(path)
                .unwrap(),
        )
    }

    fn write(&self, count: u64) {
        self.0.write_all_at(&count.to_le_bytes(), 0).unwrap();
    }
}

fn logged(log: &Path) -> u64 {
    let entries = fs::read_dir(log).unwrap();
    let counts = entries.map(|entry| {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        bytes.try_into().map_or(0, u64::from_le_bytes)
    });
    counts.sum()
}

/// Counts on kept series and churns, until it is killed.
fn work(metrics: &Path, log: &Path, worker: u64) {
    end_after_seconds(120);
    let store = store_in(metrics);
    let counters = descriptor(MetricType::Counter, "c");
    let kept = store.intern(&counters, &["kept"]);
    let log = Log::open(log);
    let first = worker * 1_000_000_000;
    for turn in 0.. {
        kept.add(0, 1.0);
        log.write(turn + 1);
        let name = format!("{:032}", first + turn);
        store.intern(&counters, &[&name]).add(0, 1.0);
        store.remove(&counters, &[&name]);
        // Names that all workers make, use and remove.
        let common = format!("common {}", turn % 7);
        store.intern(&counters, &[&common]).add(0, 1.0);
        store.remove(&counters, &[&common]);
    }
}

#[test]
fn workers_that_are_killed_while_segments_are_folded_lose_nothing() {
    const WORKERS: u64 = 3;
    let seconds = std::env::var("FORKMETER_KILL_SECONDS").ok();
    let seconds: u64 = seconds.map_or(12, |seconds| seconds.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let metrics = directory.path().join("metrics");
    let log = directory.path().join("log");
    // Looked into before the first worker has had the time to make it.
    fs::create_dir(&metrics).unwrap();
    fs::create_dir(&log).unwrap();
    let mut started = 0;
    let mut start = || {
        started += 1;
        (
            fork(|| work(&metrics, &log.join(started.to_string()), started)),
            Instant::now(),
        )
    };
    let mut workers: Vec<(Child, Instant)> = (0..WORKERS).map(|_| start()).collect();
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut reader = DirectoryReader::new(&metrics);
    let (mut before, mut kills, mut retired) = (0.0, 0, 0);
    let mut last = Vec::new();
    while Instant::now() < end {
        let at_least = logged(&log);
        let seen = read(&mut reader, "c_total", "kept").unwrap_or_default();
        assert!(
            seen >= before,
            "a counter went down from {before} to {seen}"
        );
        assert!(
            seen >= whole(at_least),
            "{seen} is less than the {at_least} that were counted"
        );
        before = seen;
        let names: Vec<_> = names_in(&metrics)
            .into_iter()
            .filter(|name| name.contains("retired"))
            .collect();
        if names != last && !names.is_empty() {
            retired += 1;
            last = names;
        }
        // A worker has to live a second to leave a segment; some do, some die at once.
        let index = usize::try_from(next() % WORKERS).unwrap();
        let patience = Duration::from_millis(if next() % 4 == 0 { 50 } else { 2_500 });
        if workers[index].1.elapsed() > patience {
            thread::sleep(Duration::from_micros(next() % 3_000));
            let (worker, _) = std::mem::replace(&mut workers[index], start());
            worker.kill();
            kills += 1;
        }
    }
    for (worker, _) in workers {
        worker.kill();
        kills += 1;
    }
    let counted = logged(&log);
    let seen = read(&mut reader, "c_total", "kept").unwrap();
    eprintln!("{kills} kills, {retired} retired segments seen, {counted} counted, {seen} shown");
    assert!(retired > 1, "nothing was folded");
    assert!(
        seen >= whole(counted) && seen <= whole(counted + kills),
        "{seen}, {counted} counted, {kills} kills"
    );
    let store = store_in(&metrics);
    let kept = store.intern(&descriptor(MetricType::Counter, "c"), &["kept"]);
    assert_eq!(kept.get(0), seen);
    assert_eq!(store.kept_series().0, 0);
    assert!(bytes_in(&metrics) < 8 << 20, "{}", bytes_in(&metrics));
    check_oracle(&metrics, seen);
}

/// Compares with what the official client makes of the directory.
fn check_oracle(metrics: &Path, expected: f64) {
    let Some(python) = std::env::var_os("FORKMETER_ORACLE_PYTHON") else {
        eprintln!("SKIPPED oracle: FORKMETER_ORACLE_PYTHON names no Python with prometheus_client");
        return;
    };
    let program = "import sys\nfrom prometheus_client import CollectorRegistry\n\
        from prometheus_client.multiprocess import MultiProcessCollector\n\
        registry = CollectorRegistry()\nMultiProcessCollector(registry, sys.argv[1])\n\
        print(registry.get_sample_value('c_total', {'l': 'kept'}))";
    let output = Command::new(python)
        .args(["-c", program])
        .arg(metrics)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let found = text.trim().parse::<f64>();
    assert_eq!(
        found.ok(),
        Some(expected),
        "{text} {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

pub(crate) fn wait_for(path: &Path) {
    let start = Instant::now();
    while !path.exists() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{} does not come",
            path.display()
        );
        thread::sleep(Duration::from_millis(1));
    }
}

fn whole(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

#[test]
fn removed_gauges_leave_their_file_and_the_others_stay() {
    const THREADS: u32 = 2;
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let gauges = gauge(MetricType::Gauge, "g", MultiprocessMode::Sum);
    let recent = gauge(MetricType::Gauge, "r", MultiprocessMode::MostRecent);
    let kept = store.intern(&gauges, &["kept"]);
    let unused = store.intern(&gauges, &["unused"]);
    let last = store.intern(&recent, &["kept"]);
    unused.set(0, 0.5);
    last.set(0, 7.0);
    let stop = AtomicBool::new(false);
    let added = thread::scope(|scope| {
        let add = || {
            let mut added = 0;
            while !stop.load(Ordering::Relaxed) {
                kept.add(0, 1.0);
                added += 1;
            }
            added
        };
        let adders: Vec<_> = (0..THREADS).map(|_| scope.spawn(add)).collect();
        let mut reader = DirectoryReader::new(directory.path());
        let mut before = 0.0;
        for name in 0..2 * CROWD {
            let name = format!("{name:032}");
            for kind in [&gauges, &recent] {
                store.intern(kind, &[&name]).set(0, 1.0);
                assert!(store.remove(kind, &[&name]));
            }
            if name.ends_with("000") {
                let seen = read(&mut reader, "g", "kept").unwrap();
                assert!(seen >= before, "{seen} {before}");
                before = seen;
                assert_eq!(read(&mut reader, "g", "unused"), Some(0.5));
                assert_eq!(read(&mut reader, "r", "kept"), Some(7.0));
            }
            if name.ends_with("999") {
                // A file is replaced again after a second.
                thread::sleep(DRAINED / 8);
            }
        }
        stop.store(true, Ordering::Relaxed);
        adders
            .into_iter()
            .map(|adder| adder.join().unwrap())
            .sum::<u64>()
    });
    assert_eq!(kept.get(0), whole(added));
    let mut reader = DirectoryReader::new(directory.path());
    assert_eq!(read(&mut reader, "g", "kept"), Some(whole(added)));
    last.set(0, 8.0);
    unused.add(0, 0.5);
    assert_eq!(read(&mut reader, "r", "kept"), Some(8.0));
    assert_eq!(read(&mut reader, "g", "unused"), Some(1.0));
    assert!(
        bytes_in(directory.path()) < 3 << 20,
        "{}",
        bytes_in(directory.path())
    );
    // What another worker removes is gone, and made anew by the handle.
    let other = fork(|| assert!(store_in(directory.path()).remove(&gauges, &["unused"])));
    assert_eq!(other.wait(), 0);
    assert_eq!(read(&mut reader, "g", "unused"), None);
    unused.add(0, 2.0);
    assert_eq!(read(&mut reader, "g", "unused"), Some(2.0));
}

#[test]
fn removed_states_leave_their_file_and_other_workers_find_the_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let states = Arc::new(Descriptor {
        states: Box::new(["a".into(), "b".into(), "c".into()]),
        ..(*descriptor(MetricType::StateSet, "s")).clone()
    });
    let store = store_in(directory.path());
    let other = store_in(directory.path());
    store.declare(&states);
    let kept = store.intern(&states, &["kept"]);
    let theirs = other.intern(&states, &["kept"]);
    kept.set(0, 2.0);
    for name in 0..CROWD {
        let name = format!("{name:032}");
        store.intern(&states, &[&name]).set(0, 1.0);
        assert!(store.remove(&states, &[&name]));
    }
    let bytes = fs::metadata(directory.path().join("forkmeter.states"))
        .unwrap()
        .len();
    assert!(bytes < 512 << 10, "{bytes}");
    assert_eq!((kept.get(0), theirs.get(0)), (2.0, 2.0));
    theirs.set(0, 1.0);
    assert_eq!((kept.get(0), theirs.get(0)), (1.0, 1.0));
    kept.set(0, 0.0);
    assert_eq!((kept.get(0), theirs.get(0)), (0.0, 0.0));
    let mut reader = DirectoryReader::new(directory.path());
    assert_eq!(reader.refresh().families[0].samples.len(), 3);
    assert!(read(&mut reader, "s", "kept").is_some());
}
