use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::atomic::{AtomicU32, Ordering};

use forkmeter_core::{LabelSet, MetricFamily, MetricType, MultiprocessMode, Sample};

use super::*;
use crate::layout::WORKERS_FILE;
use crate::store::{Directory, Options, ShmStore};

type Row<'a> = (&'a [(&'a str, &'a str)], f64);

fn family(
    name: &str,
    kind: MetricType,
    mode: MultiprocessMode,
    rows: &[Row<'_>],
) -> (MetricFamily, MultiprocessMode) {
    let sample = |(labels, value): &Row<'_>| {
        Sample::new(name, LabelSet::from_pairs(labels.iter().copied()), *value)
    };
    let samples = rows.iter().map(sample).collect();
    let family = MetricFamily {
        samples,
        ..MetricFamily::new(name, "help", kind)
    };
    (family, mode)
}

fn published(time_seconds: f64, families: Vec<(MetricFamily, MultiprocessMode)>) -> Published {
    Published {
        time_seconds,
        families,
        ..Published::default()
    }
}

fn show(families: &[MetricFamily]) -> Vec<String> {
    let samples = families.iter().flat_map(|family| &family.samples);
    let text = |sample: &Sample| {
        let labels = sample.labels.iter();
        let labels: Vec<_> = labels
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        format!("{}{{{}}} {}", sample.name, labels.join(","), sample.value)
    };
    samples.map(text).collect()
}

#[test]
fn workers_are_told_apart_facts_are_not_and_modes_combine() {
    use MetricType::{Counter, Gauge, Info};
    use MultiprocessMode::{LiveAll, LiveMax, LiveMostRecent, LiveSum};
    let worker = |time, value: f64, version| {
        published(
            time,
            vec![
                family("cpu", Counter, LiveAll, &[(&[("pid", "own")], value)]),
                family(
                    "python_info",
                    Gauge,
                    LiveAll,
                    &[(&[("version", version)], 1.0)],
                ),
                family("build", Info, LiveAll, &[(&[("version", "1")], 1.0)]),
                family("jobs", Gauge, LiveSum, &[(&[], value)]),
                family("peak", Gauge, LiveMax, &[(&[("a", "b")], value)]),
                family("last", Gauge, LiveMostRecent, &[(&[], value)]),
            ],
        )
    };
    let workers = vec![
        ("7".to_owned(), worker(20.0, 1.0, "3.9")),
        ("8-1".to_owned(), worker(10.0, 2.0, "3.9")),
        ("9".to_owned(), worker(10.0, 4.0, "3.14")),
    ];
    assert_eq!(
        show(&merge(workers)),
        [
            "cpu{pid=own,worker_pid=7} 1",
            "cpu{pid=own,worker_pid=8-1} 2",
            "cpu{pid=own,worker_pid=9} 4",
            "python_info{version=3.9} 1",
            "python_info{version=3.14} 1",
            "build{version=1} 1",
            "jobs{} 7",
            "peak{a=b} 4",
            "last{} 1",
        ]
    );
}

#[test]
fn of_families_that_contradict_each_other_the_first_stays() {
    let rows: &[Row<'_>] = &[(&[], 1.0)];
    let of = |kind| {
        published(
            1.0,
            vec![family("x", kind, MultiprocessMode::LiveAll, rows)],
        )
    };
    let workers = vec![
        ("1".to_owned(), of(MetricType::Gauge)),
        ("2".to_owned(), of(MetricType::Counter)),
    ];
    let merged = merge(workers);
    assert_eq!(merged[0].kind, MetricType::Gauge);
    assert_eq!(show(&merged), ["x{pid=1} 1"]);
}

#[test]
fn a_worker_reads_what_is_good_and_removes_what_dead_ones_left() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let store = ShmStore::new(Options::new(Directory::Fixed(path.to_owned())));
    let rows: &[Row<'_>] = &[(&[], 1.0)];
    let families = vec![family(
        "x",
        MetricType::Gauge,
        MultiprocessMode::LiveAll,
        rows,
    )];
    assert!(store.publish(families.clone()).unwrap());
    let tag = std::process::id().to_string();
    let own = path.join(format!("{PUBLISHED_PREFIX}{tag}"));
    assert!(own.exists() && path.join(WORKERS_FILE).exists());
    // A dead worker's, one that died while it wrote, and one of a worker that nobody knows.
    for name in ["4000000000", "4000000000.new", "x"] {
        fs::write(path.join(format!("{PUBLISHED_PREFIX}{name}")), b"x").unwrap();
    }
    let found = find(path, None, DeadFiles::Keep);
    assert_eq!((found.workers.len(), found.files.len()), (1, 1));
    assert_eq!(found.workers[0].0, tag);
    assert_eq!(found.workers[0].1.families, families);
    assert!(find(path, Some(&tag), DeadFiles::Remove).workers.is_empty());
    assert_eq!(list(path), [format!("{PUBLISHED_PREFIX}{tag}")]);
}

#[test]
fn hostile_files_are_named_and_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let store = ShmStore::new(Options::new(Directory::Fixed(path.to_owned())));
    assert!(store.publish(Vec::new()).unwrap());
    let own = path.join(format!("{PUBLISHED_PREFIX}{}", std::process::id()));
    let good = fs::read(&own).unwrap();
    let mut of_another = Published::from_bytes(&good).unwrap();
    of_another.record += 1;
    let of_another = of_another.to_bytes();
    let cases: [(&[u8], &[FileState]); 5] = [
        (&good, &[FileState::Ok]),
        (&of_another, &[]),
        (&good[..good.len() - 1], &[FileState::Corrupt]),
        (b"", &[FileState::Corrupt]),
        (&[0xff; 4096], &[FileState::Corrupt]),
    ];
    for (bytes, expected) in cases {
        fs::write(&own, bytes).unwrap();
        let found = find(path, None, DeadFiles::Remove);
        let states: Vec<_> = found.files.iter().map(|file| file.state).collect();
        assert_eq!(states, expected);
    }
    // Neither a fifo nor a directory is waited for.
    for make in [
        (|path: &Path| symlink("/dev/zero", path)) as fn(&Path) -> io::Result<()>,
        |path: &Path| fs::create_dir(path),
    ] {
        fs::remove_file(&own).unwrap();
        make(&own).unwrap();
        let found = find(path, None, DeadFiles::Remove);
        assert_eq!(found.files[0].state, FileState::Foreign);
        assert!(found.workers.is_empty());
    }
}

#[test]
fn whoever_reads_meanwhile_sees_all_of_the_newest() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let store = ShmStore::new(Options::new(Directory::Fixed(path.to_owned())));
    let families = |round: u32| {
        // Longer and shorter ones.
        let count = 1 + round as usize * 7 % 40;
        let rows = vec![([].as_slice(), f64::from(round)); count];
        vec![family(
            "x",
            MetricType::Gauge,
            MultiprocessMode::LiveAll,
            &rows,
        )]
    };
    assert!(store.publish(families(0)).unwrap());
    let own = path.join(format!("{PUBLISHED_PREFIX}{}", std::process::id()));
    let inode = fs::metadata(&own).unwrap().ino();
    let round = AtomicU32::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for next in 1..=3000 {
                assert!(store.publish(families(next)).unwrap());
                round.store(next, Ordering::SeqCst);
            }
        });
        while round.load(Ordering::SeqCst) < 3000 {
            let before = f64::from(round.load(Ordering::SeqCst));
            let found = find(path, None, DeadFiles::Remove);
            assert_eq!(found.workers.len(), 1, "{:?}", found.files);
            let samples = &found.workers[0].1.families[0].0.samples;
            assert!(samples[0].value >= before);
            let first = samples[0].value.to_bits();
            assert!(samples.iter().all(|sample| sample.value.to_bits() == first));
        }
    });
    let meta = fs::metadata(&own).unwrap();
    assert_eq!(meta.ino(), inode, "the file was replaced");
    assert!(meta.len() < 20_000);
}

#[test]
fn a_file_that_became_long_is_replaced_by_a_short_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let store = ShmStore::new(Options::new(Directory::Fixed(path.to_owned())));
    let rows = vec![([].as_slice(), 1.0); 10_000];
    let many = vec![family(
        "x",
        MetricType::Gauge,
        MultiprocessMode::LiveAll,
        &rows,
    )];
    assert!(store.publish(many).unwrap());
    let own = path.join(format!("{PUBLISHED_PREFIX}{}", std::process::id()));
    assert!(fs::metadata(&own).unwrap().len() > 300_000);
    assert!(store.publish(Vec::new()).unwrap());
    assert!(fs::metadata(&own).unwrap().len() < 100);
}

#[test]
fn a_directory_that_is_gone_is_not_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("metrics");
    let store = ShmStore::new(Options::new(Directory::Fixed(path.clone())));
    assert!(!store.publish(Vec::new()).unwrap());
    fs::create_dir(&path).unwrap();
    assert!(store.publish(Vec::new()).unwrap());
    fs::remove_dir_all(&path).unwrap();
    assert!(!store.publish(Vec::new()).unwrap());
    assert!(!path.exists());
}
