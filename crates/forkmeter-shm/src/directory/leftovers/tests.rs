//! Folds of left-over files: what they come to, what they leave alone, and kills at every step.

// The children that integration tests fork.
#[path = "../../../tests/it/children.rs"]
#[expect(
    dead_code,
    reason = "shared with integration tests, which need more of it"
)]
mod children;
#[path = "../../../tests/it/support.rs"]
#[expect(
    dead_code,
    clippy::duplicate_mod,
    reason = "as above, and with the tests of the reader"
)]
mod support;

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

use self::support::SegmentBytes;
use super::*;
use crate::layout::{self, Mark};
use crate::reader::DirectoryReader;

/// Greater than any process id can be.
const DEAD: u32 = 5_000_000;

/// What is expected to stay the same: every sample but those of `live` gauges.
type Totals = BTreeSet<String>;

static ALONE: Mutex<()> = Mutex::new(());

/// Makes a folder for a test that runs alone: a child that another one forks has what this one has open.
fn folder() -> (TempDir, MutexGuard<'static, ()>) {
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // In memory where that is to be had: hundreds of folds write thousands of files.
    let folder = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new());
    (folder.unwrap(), alone)
}

fn now(min_age: Duration) -> Options {
    Options {
        min_age,
        ..Options::default()
    }
}

fn fold_all(directory: &Path) -> Outcome {
    fold(directory, &now(Duration::ZERO), &mut |_| {}).unwrap()
}

/// Writes what one dead process left: a file of every kind.
fn leave(directory: &Path, number: u32) {
    let pid = DEAD + number;
    let value = f64::from(number) / 8.0;
    let shared = |labels: &str| {
        let labels: &[(&str, &str)] = &[("path", labels)];
        SegmentBytes::official()
            .with("c", "c_total", labels, value, 0.0)
            .with("c", "c_total", &[("path", "/")], 1.0, 0.0)
            .with("zero", "zero_total", &[], 0.0, 0.0)
    };
    let path = |kind: &str| directory.join(format!("{kind}_{pid}.db"));
    shared(&format!("/{}", number % 3)).write(path("counter"));
    let bucket =
        |bytes: SegmentBytes, le: &str| bytes.with("h", "h_bucket", &[("le", le)], 2.0, 0.0);
    let histogram = SegmentBytes::official().with("h", "h_sum", &[], value, 0.0);
    bucket(bucket(histogram, "1.0"), "+Inf").write(path("histogram"));
    SegmentBytes::official()
        .with("s", "s_count", &[], 1.0, 0.0)
        .with("s", "s_sum", &[], value, 0.0)
        .write(path("summary"));
    for mode in ["min", "max", "sum", "livesum"] {
        SegmentBytes::official()
            .gauge(&format!("g_{mode}"), value, 0.0)
            .write(path(&format!("gauge_{mode}")));
    }
    SegmentBytes::official()
        .gauge("g_recent", value, 1e9 + f64::from(number * 7 % 41))
        .gauge("g_never", 0.0, 0.0)
        .write(path("gauge_mostrecent"));
    SegmentBytes::official().write(path("gauge_liveall"));
}

fn totals(reader: &mut DirectoryReader) -> Totals {
    let snapshot = reader.read();
    for file in &snapshot.report.files {
        assert!(!file.path.ends_with("forkmeter.fold.new"), "{file:?}");
    }
    let lines = support::samples(&snapshot.families).into_iter();
    lines.filter(|line| !line.starts_with("g_live")).collect()
}

fn totals_of(directory: &Path) -> Totals {
    totals(&mut DirectoryReader::new(directory))
}

/// Returns the totals of a reader that knows nothing but segments: the official client's sees those files.
fn totals_of_segments(directory: &Path) -> Totals {
    let copy = TempDir::new().unwrap();
    let is_segment = |name: &&String| name.ends_with(layout::SEGMENT_SUFFIX);
    for name in names(directory).iter().filter(is_segment) {
        fs::copy(directory.join(name), copy.path().join(name)).unwrap();
    }
    totals_of(copy.path())
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort();
    names
}

/// Folds in a child that kills itself at a step, while this process reads. Tells whether the fold came to its end.
fn fold_and_die(
    directory: &Path,
    step: u64,
    reader: &mut DirectoryReader,
    expected: &Totals,
) -> bool {
    process::install_fork_hooks().unwrap();
    let child = children::fork(|| {
        children::end_after_seconds(60);
        fault::kill::at(step);
        fold_all(directory);
    });
    let status = loop {
        assert_eq!(
            totals(reader),
            *expected,
            "while it folds, to be killed at step {step}"
        );
        if let Some(status) = child.try_wait() {
            break status;
        }
        thread::sleep(Duration::from_micros(500));
    };
    assert!(
        status == 0 || status == libc::SIGKILL,
        "the child ended with {status}"
    );
    assert_eq!(totals(reader), *expected, "after step {step}");
    // The longer test does so for some of its steps.
    if step < 100 || step.is_multiple_of(8) {
        let anew = totals_of(directory);
        assert_eq!(anew, *expected, "after step {step}, read anew");
    }
    status == 0
}

fn assert_folded(directory: &Path, expected: &Totals) {
    let left = names(directory);
    let other = |name: &&String| !name.contains("_retired") && *name != "forkmeter.workers";
    assert_eq!(left.iter().filter(other).count(), 0, "{left:?}");
    assert_eq!(
        totals_of_segments(directory),
        *expected,
        "what the official client sees"
    );
}

#[test]
fn every_kind_and_mode_is_folded_into_one_file() {
    let (folder, _alone) = folder();
    for number in 0..20 {
        leave(folder.path(), number);
    }
    let before = totals_of(folder.path());
    assert!(before.contains("c_total{path=/} 20.0"), "{before:?}");
    let looked = fold(
        folder.path(),
        &Options {
            dry_run: true,
            ..now(Duration::ZERO)
        },
        &mut |_| panic!("nothing is done"),
    );
    let looked = looked.unwrap();
    assert_eq!(
        (looked.folded, looked.removed, looked.processes),
        (140, 40, 20)
    );
    assert_eq!((looked.files_after, names(folder.path()).len()), (180, 180));
    let mut steps = Vec::new();
    let outcome = fold(folder.path(), &now(Duration::ZERO), &mut |step| {
        steps.push(step);
    })
    .unwrap();
    assert_eq!(
        (outcome.folded, outcome.removed, outcome.processes),
        (140, 40, 20)
    );
    assert_eq!((outcome.files_before, outcome.files_after), (180, 7));
    assert!(outcome.bytes_after < outcome.bytes_before && outcome.kept.is_empty());
    let done: Vec<_> = steps.iter().map(|step| (step.done, step.files)).collect();
    assert_eq!(done, [(0, 180), (128, 180), (180, 180)]);
    assert_eq!(totals_of(folder.path()), before);
    assert_folded(folder.path(), &before);
    // What comes later is folded into the same files.
    leave(folder.path(), 20);
    let before = totals_of(folder.path());
    fold_all(folder.path());
    assert_eq!(totals_of(folder.path()), before);
    assert_folded(folder.path(), &before);
    assert_eq!(fold_all(folder.path()).folded, 0);
}

#[test]
fn a_fold_that_is_killed_at_any_of_its_steps_changes_nothing_that_readers_see() {
    let (folder, _alone) = folder();
    let mut reader = DirectoryReader::new(folder.path());
    leave(folder.path(), 100);
    fold_all(folder.path());
    let mut steps = 0;
    for step in 1.. {
        for number in 0..2 {
            leave(folder.path(), number);
        }
        let expected = totals_of(folder.path());
        let ended = fold_and_die(folder.path(), step, &mut reader, &expected);
        while !fold_and_die(folder.path(), 0, &mut reader, &expected) {}
        assert_folded(folder.path(), &expected);
        if ended {
            break;
        }
        steps = step;
    }
    assert!(steps > 90, "only {steps} steps were seen");
}

#[test]
fn five_hundred_kills_on_hundreds_of_files_change_nothing_that_readers_see() {
    let mut kills = 0;
    let mut random = 1_u64;
    let (base, _alone) = folder();
    while kills < 500 {
        let folder = TempDir::new_in(base.path()).unwrap();
        for number in 0..24 {
            leave(folder.path(), number);
        }
        let mut reader = DirectoryReader::new(folder.path());
        let expected = totals(&mut reader);
        loop {
            // Numerical Recipes' generator; its upper bits are good enough to choose from.
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            if fold_and_die(
                folder.path(),
                1 + (random >> 33) % 330,
                &mut reader,
                &expected,
            ) {
                break;
            }
            kills += 1;
        }
        assert_folded(folder.path(), &expected);
    }
}

#[test]
fn files_that_may_be_in_use_stay() {
    let (folder, _alone) = folder();
    let write = |name: &str| {
        let path = folder.path().join(name);
        SegmentBytes::official().counter("c", 1.0).write(&path);
        path
    };
    let open = write(&format!("counter_{DEAD}.db"));
    let _writer = OpenOptions::new().append(true).open(&open).unwrap();
    write(&format!("counter_{}.db", std::process::id()));
    write("counter_web_1.db");
    write("counter_0.db");
    write("counter_007.db");
    let torn = write(&format!("counter_{}.db", DEAD + 1));
    let bytes = fs::read(&torn).unwrap();
    fs::write(&torn, &bytes[..30]).unwrap();
    let marked = folder.path().join(format!("counter_{}.db", DEAD + 2));
    SegmentBytes::new(Mark::Foreign(*b"FS\x00\x09"))
        .counter("c", 1.0)
        .write(marked);
    fs::write(folder.path().join("counter_1.db.bak"), b"a").unwrap();
    fs::write(folder.path().join("notes.db"), b"a").unwrap();
    let before = names(folder.path());
    let outcome = fold_all(folder.path());
    assert_eq!(names(folder.path()), before);
    let kept: Vec<_> = outcome
        .kept
        .iter()
        .map(|kept| {
            let name = kept.path.file_name().unwrap().to_str().unwrap();
            assert_eq!(
                kept.cause.is_empty(),
                kept.reason != Reason::Bad,
                "{kept:?}"
            );
            (name.to_owned(), kept.reason)
        })
        .collect();
    let own = format!("counter_{}.db", std::process::id());
    let mut expected = [
        (own, Reason::Alive),
        ("counter_0.db".into(), Reason::NoProcess),
        ("counter_007.db".into(), Reason::NoProcess),
        (format!("counter_{DEAD}.db"), Reason::InUse),
        (format!("counter_{}.db", DEAD + 1), Reason::Bad),
        ("counter_web_1.db".into(), Reason::NoProcess),
    ];
    expected.sort();
    assert_eq!(kept, expected);
    let recent = fold(folder.path(), &now(Duration::from_secs(3600)), &mut |_| {}).unwrap();
    assert!(recent.kept.iter().any(|kept| kept.reason == Reason::Recent));
}

#[test]
fn whoever_is_given_the_id_of_a_process_whose_fold_was_interrupted_loses_nothing() {
    let (folder, _alone) = folder();
    let path = folder.path().join(format!("counter_{DEAD}.db"));
    let taken = folder
        .path()
        .join(layout::taken_name(&format!("counter_{DEAD}.db"), 0));
    SegmentBytes::official().counter("c", 1.0).write(&taken);
    fs::write(folder.path().join(GC_FILE), b"").unwrap();
    // It makes the file anew, and counts on.
    SegmentBytes::official().counter("c", 2.0).write(&path);
    let writer = OpenOptions::new().append(true).open(&path).unwrap();
    let value = |expected: f64| {
        let expected = Totals::from([format!("c_total{{}} {expected:?}")]);
        assert_eq!(totals_of(folder.path()), expected);
    };
    value(3.0);
    fold_all(folder.path());
    value(3.0);
    assert!(!taken.exists() && path.exists() && !folder.path().join(GC_FILE).exists());
    // One that came in before the file was taken has it back.
    drop(writer);
    fs::rename(&path, &taken).unwrap();
    let writer = OpenOptions::new().append(true).open(&taken).unwrap();
    assert_eq!(fold_all(folder.path()).kept.len(), 1);
    value(3.0);
    assert!(!taken.exists() && path.exists());
    drop(writer);
    assert_eq!(fold_all(folder.path()).folded, 1);
    value(3.0);
}

#[test]
fn gauges_of_mode_all_stay_for_the_newest_processes() {
    let (folder, _alone) = folder();
    let file = |number: u32| {
        folder
            .path()
            .join(format!("gauge_all_{}.db", DEAD + number))
    };
    for number in 0..70 {
        SegmentBytes::official()
            .gauge("g", 1.0, 0.0)
            .write(file(number));
        let time =
            std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1000 + u64::from(number));
        OpenOptions::new()
            .write(true)
            .open(file(number))
            .unwrap()
            .set_modified(time)
            .unwrap();
    }
    let mut own = SegmentBytes::new(Mark::Retired);
    own = own.gauge("g", 1.0, 0.0);
    own.write(folder.path().join("gauge_all_7.db"));
    let outcome = fold_all(folder.path());
    assert_eq!((outcome.removed, outcome.kept.len()), (7, 63));
    assert_eq!(outcome.kept[0].reason, Reason::AllMode);
    assert!(!file(6).exists() && file(7).exists());
}
