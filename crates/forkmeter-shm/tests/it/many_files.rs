//! Many files that are new at once are read as they are one after the other.

use std::fs;
use std::path::Path;

use forkmeter_shm::layout::Mark;
use forkmeter_shm::reader::{DirectoryReader, View};

use crate::support::{SegmentBytes, samples};

const FILES: u32 = 2700;
/// Fewer than are read together.
const AT_ONCE: u32 = 15;

fn usual(number: u32) -> SegmentBytes {
    let names = ["a", "b", "c", "d"];
    let values = names.into_iter().zip(1..);
    values.fold(SegmentBytes::official(), |segment, (name, factor)| {
        segment.counter(name, f64::from(number * factor))
    })
}

/// Writes one of the files: most hold the same series.
fn write(directory: &Path, number: u32) {
    let value = f64::from(number);
    let of = |kind: &str| directory.join(format!("{kind}_{number:04}.db"));
    let counter = of("counter");
    match number % 60 {
        30 => SegmentBytes::official().counter("a", value).write(counter),
        31 => usual(number)
            .counter(&format!("new{number}"), value)
            .write(counter),
        32 => SegmentBytes::official()
            .counter("b", value)
            .counter("a", value)
            .write(counter),
        33 => usual(number).with_key(b"[]", 9.0, 0.0).write(counter),
        34 => {
            let bytes = usual(number).bytes();
            fs::write(counter, &bytes[..bytes.len() - 20]).unwrap();
        }
        35 => fs::write(counter, []).unwrap(),
        36 => fs::create_dir(counter).unwrap(),
        37 => SegmentBytes::new(Mark::Shared)
            .counter("a", value)
            .write(counter),
        38 | 39 => SegmentBytes::official()
            .gauge("g", value, 1.0)
            .gauge("h", value, 1.0)
            .write(of("gauge_all")),
        40 | 41 => SegmentBytes::official()
            .gauge("m", value, 1.0)
            .write(of("gauge_max")),
        // A family that is a counter elsewhere.
        42 => SegmentBytes::official()
            .gauge("a", value, 1.0)
            .write(of("gauge_max")),
        43..50 => {
            let bucket = |bound| ("h_bucket", [("le", bound)]);
            let buckets = [bucket("1.0"), bucket("+Inf")];
            let segment = SegmentBytes::official().with("h", "h_sum", &[], value, 0.0);
            let segment = buckets.iter().fold(segment, |segment, (name, labels)| {
                segment.with("h", name, labels, value, 0.0)
            });
            segment.write(of("histogram"));
        }
        _ => usual(number).write(counter),
    }
}

fn assert_same(whole: View<'_>, steps: View<'_>) {
    assert_eq!(samples(whole.families), samples(steps.families));
    let (files, others) = (&whole.report.files, &steps.report.files);
    let differing = files
        .iter()
        .zip(others)
        .filter(|(file, other)| file != other);
    assert_eq!(differing.collect::<Vec<_>>(), []);
    assert_eq!(files.len(), others.len());
    assert_eq!(whole.report.series, steps.report.series);
    assert_eq!(whole.report.conflicts, steps.report.conflicts);
}

#[test]
fn files_that_are_new_at_once_are_read_as_one_after_the_other() {
    for mapped in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let new_reader = || DirectoryReader::new(directory.path()).with_mapped_files(mapped);
        let mut steps = new_reader();
        for number in 0..FILES {
            write(directory.path(), number);
            if number % AT_ONCE == AT_ONCE - 1 {
                steps.refresh();
            }
        }
        let mut whole = new_reader();
        assert_same(whole.refresh(), steps.refresh());
        let sum = |factor: u32| {
            let usual = |number: &u32| !(30..50).contains(&(number % 60));
            (0..FILES).filter(usual).sum::<u32>() * factor
        };
        let d = format!("d_total{{}} {:?}", f64::from(sum(4)));
        let has_d = |view: View<'_>| {
            let found = samples(view.families).into_iter();
            found
                .filter(|line| line.starts_with("d_"))
                .collect::<Vec<_>>()
        };
        // Those with a key that is new, or none, have it as well; this one is checked without them.
        for number in (0..FILES).filter(|number| matches!(number % 60, 31 | 33 | 34)) {
            fs::remove_file(directory.path().join(format!("counter_{number:04}.db"))).unwrap();
        }
        assert_eq!(has_d(new_reader().refresh()), [d]);

        // What changes in files whose places are shared is theirs alone.
        usual(3000)
            .counter("later", 3.0)
            .write(directory.path().join("counter_0070.db"));
        SegmentBytes::official()
            .counter("a", 5.0)
            .write(directory.path().join("counter_0071.db"));
        fs::remove_file(directory.path().join("counter_0072.db")).unwrap();
        assert_same(whole.refresh(), steps.refresh());
        assert_same(whole.refresh(), new_reader().refresh());
    }
}
