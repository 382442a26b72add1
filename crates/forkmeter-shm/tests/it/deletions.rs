//! Deletions at bad moments: whoever looks first brings back all of it, also what only others have open, and a reader
//! never sees a part.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use forkmeter_core::MetricType;
use forkmeter_core::store::Store;
use forkmeter_shm::reader::DirectoryReader;

use crate::children::{Child, descriptor, end_after_seconds, fork, store_in, value};
use crate::compact::{fold, wait_for};

const COUNTED: f64 = 100.0;
const DELETIONS: [fn(&Path); 3] = [delete_files, delete_folder, move_folder];

fn delete_files(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
}

fn delete_folder(directory: &Path) {
    fs::remove_dir_all(directory).unwrap();
}

fn move_folder(directory: &Path) {
    let elsewhere = directory.with_file_name("elsewhere");
    fs::rename(directory, &elsewhere).unwrap();
    fs::remove_dir_all(elsewhere).unwrap();
}

fn seen_outside(directory: &Path) -> Option<f64> {
    let snapshot = DirectoryReader::new(directory).read();
    let mut samples = snapshot.families.iter().flat_map(|f| &f.samples);
    let found = samples.find(|s| &*s.name == "c_total" && s.labels.get("l") == Some("kept"));
    found.map(|sample| sample.value)
}

/// A worker in a process of its own that does one thing after the other, each once it is told.
struct Worker {
    child: Child,
    folder: PathBuf,
    done: usize,
}

impl Worker {
    fn start(folder: PathBuf, steps: &[&dyn Fn()]) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let child = fork(|| {
            end_after_seconds(60);
            for (number, step) in steps.iter().enumerate() {
                wait_for(&folder.join(format!("{number}.go")));
                step();
                fs::write(folder.join(format!("{number}.done")), []).unwrap();
            }
            wait_for(&folder.join("end"));
        });
        Self {
            child,
            folder,
            done: 0,
        }
    }

    fn go_on(&mut self) {
        let name = self.done.to_string();
        fs::write(self.folder.join(format!("{name}.go")), []).unwrap();
        wait_for(&self.folder.join(format!("{name}.done")));
        self.done += 1;
    }

    fn end(self) {
        fs::write(self.folder.join("end"), []).unwrap();
        assert_eq!(self.child.wait(), 0);
    }
}

#[test]
fn what_one_worker_folded_comes_back_whoever_looks_first() {
    for delete in DELETIONS {
        let directory = tempfile::tempdir().unwrap();
        let metrics = directory.path().join("metrics");
        let counters = descriptor(MetricType::Counter, "c");
        let store = store_in(&metrics);
        let kept = store.intern(&counters, &["kept"]);
        kept.add(0, COUNTED);
        let other = store_in(&metrics);
        // Seals what was counted in, leaves it, and folds it: nobody else has looked since.
        let mut folder = Worker::start(
            directory.path().join("folder"),
            &[&|| {
                let folds = store_in(&metrics);
                folds.intern(&counters, &["kept"]).add(0, 1.0);
                fold(&folds, &counters, 0);
                assert_eq!(value(&folds, "c_total", "kept"), Some(COUNTED + 1.0));
                std::mem::forget(folds);
            }],
        );
        drop((kept, store));
        // Whatever was dropped is left a moment later.
        thread::sleep(Duration::from_millis(10));
        folder.go_on();
        delete(&metrics);
        other.intern(&counters, &["another"]).add(0, 1.0);
        other.intern(&counters, &["kept"]).add(0, 1.0);
        assert_eq!(value(&other, "c_total", "kept"), Some(COUNTED + 2.0));
        assert_eq!(seen_outside(&metrics), Some(COUNTED + 2.0));
        folder.end();
        assert_eq!(seen_outside(&metrics), Some(COUNTED + 2.0));
    }
}

#[test]
fn who_missed_a_deletion_brings_back_what_others_moved_when_there_is_another() {
    for delete in DELETIONS {
        let directory = tempfile::tempdir().unwrap();
        let metrics = directory.path().join("metrics");
        let counters = descriptor(MetricType::Counter, "c");
        let sleeper = store_in(&metrics);
        let kept = sleeper.intern(&counters, &["kept"]);
        kept.add(0, COUNTED);
        // In a process of its own, so that it is not the one that looks for this one's files.
        let mut mover = Worker::start(
            directory.path().join("mover"),
            &[&|| {
                let store = store_in(&metrics);
                store.intern(&counters, &["kept"]).add(0, 1.0);
                assert_eq!(value(&store, "c_total", "kept"), Some(COUNTED + 1.0));
                std::mem::forget(store);
            }],
        );
        delete(&metrics);
        mover.go_on();
        assert_eq!(seen_outside(&metrics), Some(COUNTED + 1.0));
        // It has counted where the files are gone, and looks for the first time now.
        kept.add(0, 1.0);
        delete(&metrics);
        assert_eq!(value(&sleeper, "c_total", "kept"), Some(COUNTED + 2.0));
        assert_eq!(seen_outside(&metrics), Some(COUNTED + 2.0));
        mover.end();
    }
}

#[test]
fn a_worker_that_starts_after_a_deletion_does_not_begin_at_zero() {
    for delete in DELETIONS {
        let directory = tempfile::tempdir().unwrap();
        let metrics = directory.path().join("metrics");
        let counters = descriptor(MetricType::Counter, "c");
        let mut before = Worker::start(
            directory.path().join("before"),
            &[&|| {
                let store = store_in(&metrics);
                store.intern(&counters, &["kept"]).add(0, COUNTED);
                std::mem::forget(store);
            }],
        );
        before.go_on();
        // It needs to be asked nothing.
        before.child.signal(libc::SIGSTOP);
        delete(&metrics);
        let store = store_in(&metrics);
        store.intern(&counters, &["kept"]).add(0, 1.0);
        assert_eq!(seen_outside(&metrics), Some(COUNTED + 1.0));
        before.child.signal(libc::SIGCONT);
        before.end();
    }
}

#[test]
fn other_directories_of_the_same_name_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let counters = descriptor(MetricType::Counter, "c");
    let theirs = directory.path().join("theirs/metrics");
    let ours = directory.path().join("ours/metrics");
    let store = store_in(&theirs);
    store.intern(&counters, &["kept"]).add(0, COUNTED);
    delete_folder(&theirs);
    let own = store_in(&ours);
    own.intern(&counters, &["kept"]).add(0, 1.0);
    assert_eq!(value(&own, "c_total", "kept"), Some(1.0));
    assert_eq!(value(&store, "c_total", "kept"), Some(COUNTED));
}

#[test]
fn what_is_deleted_as_a_reset_does_not_come_back_with_the_next_worker() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = directory.path().join("metrics");
    let counters = descriptor(MetricType::Counter, "c");
    let test = store_in(&metrics);
    test.reset_on_deletion(true);
    test.intern(&counters, &["kept"]).add(0, COUNTED);
    delete_folder(&metrics);
    let child = fork(|| {
        let next = store_in(&metrics);
        next.intern(&counters, &["kept"]).add(0, 1.0);
    });
    assert_eq!(child.wait(), 0);
    assert_eq!(value(&test, "c_total", "kept"), Some(1.0));
}

#[test]
fn a_reader_shows_nothing_of_a_kind_while_some_of_its_files_are_gone() {
    check_reader(|path| DirectoryReader::new(path));
}

#[test]
fn nor_does_one_that_reads_some_metrics_alone() {
    check_reader(|path| DirectoryReader::new(path).with_names(["c_total"].iter().collect()));
}

fn check_reader(reader: fn(&Path) -> DirectoryReader) {
    let directory = tempfile::tempdir().unwrap();
    let counters = descriptor(MetricType::Counter, "c");
    let store = store_in(directory.path());
    store.intern(&counters, &["kept"]).add(0, COUNTED);
    fold(&store, &counters, 0);
    store.intern(&counters, &["kept"]).add(0, 1.0);
    let mut reader = reader(directory.path());
    let mut seen = || {
        let view = reader.refresh();
        let samples = view.families.iter().flat_map(|f| &f.samples);
        samples.map(|sample| sample.value).collect::<Vec<_>>()
    };
    assert_eq!(seen(), [COUNTED + 1.0]);
    let retired = directory.path().join("counter_retired.db");
    fs::remove_file(&retired).unwrap();
    assert_eq!(seen(), [0.0; 0]);
    // Whoever counts brings it back.
    store.refresh();
    assert_eq!(seen(), [COUNTED + 1.0]);
    // Nobody does: then that is how it is.
    fold(&store, &counters, 1);
    drop(store);
    assert_eq!(seen(), [COUNTED + 1.0]);
    let names = fs::read_dir(directory.path()).unwrap().flatten();
    let retired = names.filter(|name| name.file_name().to_string_lossy().contains("retired"));
    retired.for_each(|name| fs::remove_file(name.path()).unwrap());
    assert_eq!(seen(), [0.0; 0]);
    thread::sleep(Duration::from_millis(1100));
    assert_eq!(
        seen(),
        [0.0; 0],
        "what is left of the counter was never counted"
    );
}

#[test]
fn what_is_on_its_way_to_a_new_file_is_not_shown_as_less() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = directory.path().join("metrics");
    let counters = descriptor(MetricType::Counter, "c");
    let store = store_in(&metrics);
    let kept = store.intern(&counters, &["kept"]);
    kept.add(0, COUNTED);
    let mut busy = Worker::start(
        directory.path().join("busy"),
        &[&|| {
            // Makes the directory again, has its lock, and goes no further.
            drop(store_in(&metrics).intern(&descriptor(MetricType::Gauge, "g"), &["x"]));
            hold_directory_lock(&metrics);
        }],
    );
    delete_folder(&metrics);
    busy.go_on();
    let collected = store.collect();
    assert_eq!(collected.errors.len(), 1, "{collected:?}");
    let family = collected.families.iter().find(|f| &*f.name == "c");
    assert_eq!(family.map(|family| family.samples.len()), Some(0));
    busy.end();
    // A store leaves a directory alone for a second.
    thread::sleep(Duration::from_millis(1100));
    kept.add(0, 1.0);
    assert_eq!(value(&store, "c_total", "kept"), Some(COUNTED + 1.0));
}

/// Takes the lock of a directory for the rest of this process's life.
#[expect(unsafe_code, reason = "locks as another worker does")]
fn hold_directory_lock(metrics: &Path) {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(metrics.join("forkmeter.workers"))
        .unwrap();
    // SAFETY: `flock` is plain data for which all-zero bytes are a valid value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK.try_into().unwrap();
    lock.l_whence = libc::SEEK_SET.try_into().unwrap();
    lock.l_len = 64;
    // SAFETY: the descriptor is open, and `lock` outlives the call.
    let locked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw mut lock) };
    assert_eq!(locked, 0);
    std::mem::forget(file);
}
