//! Files that somebody cuts off under the workers that count in them.

use std::fs::{self, OpenOptions};
use std::path::Path;

use forkmeter_core::MetricType;
use forkmeter_core::store::Store;
use forkmeter_shm::layout::Entries;
use forkmeter_shm::workers;

use crate::children::{descriptor, end_after_seconds, fork, store_in, value};

fn cut(directory: &Path, name: &str, len: u64) {
    let file = OpenOptions::new()
        .write(true)
        .open(directory.join(name))
        .unwrap();
    file.set_len(len).unwrap();
}

fn label(number: u32) -> String {
    format!("{number}{}", "x".repeat(500))
}

/// Counts in a child of its own, since a SIGBUS would end all tests.
fn alone(work: impl FnOnce()) {
    let child = fork(|| {
        end_after_seconds(60);
        work();
    });
    assert_eq!(child.wait(), 0, "see the panic above");
}

#[test]
fn counting_in_a_file_that_was_cut_off_goes_on_from_what_is_left() {
    const SERIES: u32 = 40;
    // Nothing, a part of the header, of the first page, whole pages.
    for len in [0, 6, 100, 4096, 8192] {
        alone(|| {
            let directory = tempfile::tempdir().unwrap();
            let store = store_in(directory.path());
            let counters = descriptor(MetricType::Counter, "c");
            let handles: Vec<_> = (0..SERIES)
                .map(|number| store.intern(&counters, &[&label(number)]))
                .collect();
            let count = |delta| {
                for handle in &handles {
                    handle.add(0, delta);
                }
            };
            count(1.0);
            let whole = fs::read(directory.path().join("counter_shared.db")).unwrap();
            let entries = Entries::of_segment(&whole).map_while(Result::ok);
            let left = entries
                .filter(|entry| entry.value_offset + 16 <= len)
                .count() as u64;
            // Of a file without a whole header nothing is known.
            let left = if len < 8 { 0 } else { left };
            cut(directory.path(), "counter_shared.db", len);
            count(2.0);
            count(4.0);
            let said = store.collect().errors;
            assert!(
                said.len() == 1 && said[0].contains("begin anew"),
                "{said:?}"
            );
            let mut found_whole = 0;
            for number in 0..SERIES {
                let found = value(&store, "c_total", &label(number));
                // Whether or not what was there was lost, nothing that came later is.
                assert!(
                    [Some(6.0), Some(7.0)].contains(&found),
                    "{len} {number} {found:?}"
                );
                found_whole += u64::from(found == Some(7.0));
                assert_eq!(
                    value(&store_in(directory.path()), "c_total", &label(number)),
                    found
                );
            }
            assert_eq!(found_whole, left, "{len}");
            let lost = workers::observe(directory.path()).unwrap().lost_series;
            assert_eq!(lost, u64::from(SERIES) - left, "{len}");
            assert_eq!(store.kept_series(), (0, None));
        });
    }
}
