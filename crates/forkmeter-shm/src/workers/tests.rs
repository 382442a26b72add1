//! What one process can see of worker files.

// The children that integration tests fork.
#[path = "../../tests/it/children.rs"]
#[expect(
    dead_code,
    clippy::duplicate_mod,
    reason = "shared with other tests, which need more of it"
)]
mod children;

use std::time::{Duration, Instant};

use super::*;

#[test]
fn a_process_takes_one_record_and_is_alive() {
    let directory = tempfile::tempdir().unwrap();
    assert!(observe(directory.path()).unwrap().records.is_empty());
    let file = WorkersFile::open(directory.path()).unwrap();
    let take = || {
        let lock = file.lock_directory().unwrap();
        file.claim(&lock, &|tag| tag.contains('-'), &mut |_| Ok(()))
            .unwrap()
    };
    let claim = take();
    assert_eq!(claim.tag, format!("{}-1", std::process::id()));
    assert_eq!(take(), claim);
    let observed = observe(directory.path()).unwrap();
    assert_eq!(observed.records.len(), 1);
    assert!(observed.records[0].alive);
}

#[test]
fn a_dead_workers_record_is_taken_over_after_it_was_retired() {
    let directory = tempfile::tempdir().unwrap();
    let file = WorkersFile::open(directory.path()).unwrap();
    let dead = WorkerReport {
        tag: "7".into(),
        pid: 7,
        kept_series: 3,
        ..Default::default()
    };
    file.write_record(0, 1, &dead).unwrap();
    assert_eq!(file.observe().unwrap().lost_series, 3);
    let mut retired = Vec::new();
    let lock = file.lock_directory().unwrap();
    let claim = file
        .claim(&lock, &|_| true, &mut |record| {
            retired.push(record.tag.clone());
            Ok(())
        })
        .unwrap();
    drop(lock);
    assert_eq!((claim.index, retired), (0, vec!["7".to_string()]));
    assert_eq!(file.observe().unwrap().lost_series, 3);
}

#[test]
fn a_foreign_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(WORKERS_FILE), [b'x'; 200]).unwrap();
    let error = observe(directory.path()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(WorkersFile::open(directory.path()).is_err());
}

#[test]
fn who_is_stopped_in_an_append_holds_others_up_for_a_moment_and_the_dead_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let held = directory.path().join("held");
    crate::process::install_fork_hooks().unwrap();
    let child = children::fork(|| {
        children::end_after_seconds(60);
        let file = WorkersFile::open(directory.path()).unwrap();
        let lock = file.lock_directory().unwrap();
        let claim = file.claim(&lock, &|_| true, &mut |_| Ok(())).unwrap();
        drop(lock);
        let lock = file.lock_to_append(&claim);
        assert!(lock.is_some());
        fs::write(&held, []).unwrap();
        std::thread::sleep(Duration::from_secs(60));
    });
    while !held.exists() {
        assert_eq!(child.try_wait(), None);
        std::thread::sleep(Duration::from_millis(1));
    }
    let start = Instant::now();
    let file = WorkersFile::open(directory.path());
    assert_eq!(file.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "that was not bounded"
    );
    child.kill();
    let file = WorkersFile::open(directory.path()).unwrap();
    let lock = file.lock_directory().unwrap();
    let claim = file.claim(&lock, &|_| true, &mut |_| Ok(())).unwrap();
    drop(lock);
    assert!(file.lock_to_append(&claim).is_some());
}

#[test]
fn files_beside_a_deleted_worker_file_are_settled_once_nobody_has_its_lock() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("metrics");
    fs::create_dir(&directory).unwrap();
    let held = parent.path().join("held");
    let child = children::fork(|| {
        children::end_after_seconds(60);
        let file = WorkersFile::open(&directory).unwrap();
        let _lock = file.lock_directory().unwrap();
        fs::write(&held, []).unwrap();
        std::thread::sleep(Duration::from_secs(60));
    });
    while !held.exists() {
        assert_eq!(child.try_wait(), None);
        std::thread::sleep(Duration::from_millis(1));
    }
    let old = parent.path().join("old");
    // As it is in `/proc` once it was deleted: found by another path than its own.
    fs::rename(directory.join(WORKERS_FILE), &old).unwrap();
    let file = WorkersFile::open(&directory).unwrap();
    let place = file.place().unwrap();
    let look = |path: &Path, place| file.home_at(&file.lock_directory().unwrap(), path, place);
    assert_eq!(look(&old, place), Home::Busy);
    assert_eq!(look(&old, place ^ 1), Home::Foreign);
    child.kill();
    assert_eq!(look(&old, place), Home::Settled);
    let wants_reset = 1_u64.to_ne_bytes();
    let records = [&[0; 4][..], &[1, 0, 0, 0], &[0; 16], &wants_reset, &[0; 32]].concat();
    fs::write(&held, [&fs::read(&old).unwrap()[..64], &records].concat()).unwrap();
    assert_eq!(look(&held, place), Home::Reset);
    // Who asks has the lock of its own file.
    assert_eq!(look(&directory.join(WORKERS_FILE), place), Home::Settled);
}
