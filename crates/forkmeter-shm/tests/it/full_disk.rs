//! A directory on a file system that is full: nothing is lost, nobody dies, and room is used once there is some.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use forkmeter_core::store::{Slots, Store};
use forkmeter_core::{MetricType, MultiprocessMode};
use forkmeter_shm::{ShmStore, workers};

use crate::children::{descriptor, end_after_seconds, fork, gauge, store_in};

/// Is a tmpfs of 64 KiB, unmounted when dropped.
struct SmallDisk {
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl SmallDisk {
    /// Mounts one; nothing where this user may not mount.
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=64k", "forkmeter-test"])
            .arg(&path);
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        if !is_mounted {
            assert!(
                std::env::var_os("CI").is_none(),
                "CI must be able to mount a tmpfs"
            );
            eprintln!("SKIPPED: this user may not mount a tmpfs");
            return None;
        }
        Some(Self {
            path,
            _directory: directory,
        })
    }

    /// Takes all room that is left, and says how to give it back.
    fn fill(&self) -> PathBuf {
        let ballast = self.path.join("ballast");
        let _ = fs::write(&ballast, vec![1; 1 << 20]);
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.path).output();
    }
}

/// Counts on series of all kinds until there are `count` of each, and returns the handles.
fn count_on_all(store: &ShmStore, count: usize) -> Vec<(Arc<dyn Slots>, usize)> {
    let counters = descriptor(MetricType::Counter, "c");
    let histograms = descriptor(MetricType::Histogram, "h");
    let gauges = gauge(MetricType::Gauge, "g", MultiprocessMode::Sum);
    let mut handles = Vec::new();
    for turn in 0..count {
        let label = format!("{turn}/{}", "x".repeat(100));
        for (descriptor, index) in [(&counters, 0), (&histograms, 1), (&gauges, 0)] {
            let slots = store.intern(descriptor, &[&label]);
            slots.add(index, 1.0);
            handles.push((slots, index));
        }
    }
    handles
}

fn sums(store: &ShmStore) -> [f64; 3] {
    let families = store.collect().families;
    ["c_total", "h_count", "g"].map(|name| {
        let samples = families.iter().flat_map(|family| &family.samples);
        samples
            .filter(|sample| &*sample.name == name)
            .map(|sample| sample.value)
            .sum()
    })
}

/// Returns what the self-metric says; 0 where it is not there.
fn kept_by_self_metric(store: &ShmStore) -> u64 {
    let families = store.collect().families;
    let family = families
        .iter()
        .find(|family| &*family.name == "forkmeter_kept_series");
    family.map_or(0, |family| {
        family.samples[0].value.to_string().parse().unwrap()
    })
}

fn check(disk: &Path, ballast: Option<PathBuf>) {
    const SERIES: usize = 500;
    end_after_seconds(60);
    let store = store_in(disk);
    let handles = count_on_all(&store, SERIES);
    let all = [500.0; 3];
    assert_eq!(sums(&store), all, "what is kept in memory is collected too");
    assert!(
        handles
            .iter()
            .all(|(slots, index)| slots.get(*index) == 1.0)
    );
    let (kept, why) = store.kept_series();
    assert!(kept > 0 && why.is_some(), "{kept} {why:?}");
    assert_eq!(kept_by_self_metric(&store), kept);
    if let Some(record) = workers::observe(disk).unwrap().records.first() {
        assert_eq!(record.kept_series, kept);
    }
    for (slots, index) in &handles {
        slots.add(*index, 1.0);
    }
    assert_eq!(sums(&store), [1000.0; 3]);

    // Room: another process sees what was in memory, once, and nothing is counted twice.
    if let Some(ballast) = ballast {
        fs::remove_file(ballast).unwrap();
    }
    let mut mount = Command::new("mount");
    mount.args(["-o", "remount,size=64m"]).arg(disk);
    assert!(mount.output().unwrap().status.success());
    std::thread::sleep(std::time::Duration::from_millis(1100));
    store.refresh();
    assert_eq!(store.kept_series(), (0, None));
    assert_eq!(kept_by_self_metric(&store), 0);
    assert_eq!(sums(&store_in(disk)), [1000.0; 3]);
    for (slots, index) in &handles {
        slots.add(*index, 1.0);
    }
    assert_eq!(sums(&store_in(disk)), [1500.0; 3]);
    assert_eq!(workers::observe(disk).unwrap().records[0].kept_series, 0);
}

#[test]
fn a_disk_that_fills_up_keeps_the_rest_in_memory() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    // In a child, so that a SIGBUS would be a failed test and not the end of all tests.
    assert_eq!(fork(|| check(&disk.path, None)).wait(), 0);
}

#[test]
fn a_disk_that_is_full_from_the_start_keeps_everything_in_memory() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let ballast = disk.fill();
    assert_eq!(fork(|| check(&disk.path, Some(ballast))).wait(), 0);
}
