//! The shared suite on the shared store, in a directory and without one.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use forkmeter_core::store::Store;
use forkmeter_core::{Descriptor, LabelSet, MetricType, MultiprocessMode};
use forkmeter_shm::{Directory, Options, SharedSlots, ShmStore, process};

use crate::children::{descriptor, gauge, store_in, value};
use crate::store_suite::Fixture;

struct InDirectory {
    store: Arc<ShmStore>,
    _directory: tempfile::TempDir,
}

impl Fixture for InDirectory {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(store_in(directory.path()));
        Self {
            store,
            _directory: directory,
        }
    }

    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }
}

mod in_a_directory {
    use super::InDirectory;
    crate::store_suite!(InDirectory);
}

struct InMemory(Arc<ShmStore>);

impl Fixture for InMemory {
    fn new() -> Self {
        Self(Arc::new(ShmStore::new(Options::new(Directory::Follow(
            || None,
        )))))
    }

    fn store(&self) -> Arc<dyn Store> {
        self.0.clone()
    }
}

mod in_memory {
    use super::InMemory;
    crate::store_suite!(InMemory);
}

struct Unwritable(Arc<ShmStore>);

impl Fixture for Unwritable {
    fn new() -> Self {
        // A path below a file can never be made, by root neither.
        let path = "/proc/self/comm/never".into();
        Self(Arc::new(ShmStore::new(Options::new(Directory::Fixed(
            path,
        )))))
    }

    fn store(&self) -> Arc<dyn Store> {
        self.0.clone()
    }
}

mod in_a_directory_that_cannot_be_written {
    use super::Unwritable;
    crate::store_suite!(Unwritable);
}

#[test]
fn an_unwritable_directory_is_named_in_the_errors() {
    let fixture = Unwritable::new();
    fixture
        .0
        .intern(&descriptor(MetricType::Counter, "c"), &["a"])
        .add(0, 1.0);
    let errors = fixture.0.collect().errors;
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].starts_with("some series are kept in memory: ")
            && errors[0].contains("/proc/self/comm/never: "),
        "{errors:?}"
    );
    assert_eq!(fixture.0.kept_series().0, 1);
}

#[test]
fn a_file_that_is_not_ours_keeps_only_its_own_series_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("forkmeter.states"), [b'x'; 200]).unwrap();
    let store = store_in(directory.path());
    store
        .intern(&descriptor(MetricType::StateSet, "s"), &["a"])
        .set(0, 1.0);
    store
        .intern(&descriptor(MetricType::Counter, "c"), &["a"])
        .add(0, 2.0);
    let (kept, why) = store.kept_series();
    assert_eq!(kept, 1);
    assert!(why.is_some_and(|why| why.contains("forkmeter.states")));
    let families = store_in(directory.path()).collect().families;
    let mut samples = families.iter().flat_map(|family| &family.samples);
    assert!(samples.any(|sample| &*sample.name == "c_total" && sample.value == 2.0));
}

#[test]
fn the_official_layout_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    store
        .intern(&descriptor(MetricType::Counter, "c"), &["a"])
        .add(0, 2.0);
    let bytes = std::fs::read(directory.path().join("counter_shared.db")).unwrap();
    let key = br#"["c", "c_total", {"l": "a"}, "Help."]"#;
    assert_eq!(bytes[4..8], *b"FS\0\x01");
    assert_eq!(
        bytes[8..12],
        i32::try_from(key.len()).unwrap().to_le_bytes()
    );
    assert_eq!(bytes[12..12 + key.len()], *key);
    let at = 12 + key.len() + 8 - (key.len() + 4) % 8;
    assert_eq!(bytes[at..at + 8], 2.0_f64.to_le_bytes());
    assert_eq!(bytes.len() % 4096, 0);
}

#[test]
fn deleted_files_are_made_again_with_what_was_counted() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let counter = store.intern(&descriptor(MetricType::Counter, "c"), &["a"]);
    let level = store.intern(
        &gauge(MetricType::Gauge, "g", MultiprocessMode::Sum),
        &["a"],
    );
    let facts = descriptor(MetricType::Info, "i");
    store.set_info(&facts, &["a"], LabelSet::from_pairs([("version", "1")]));
    counter.add(0, 2.0);
    level.set(0, 5.0);
    for removal in 0..3 {
        match removal {
            0 => {
                for entry in std::fs::read_dir(directory.path()).unwrap() {
                    let path = entry.unwrap().path();
                    if path.extension().is_some_and(|extension| extension == "db") {
                        std::fs::remove_file(path).unwrap();
                    }
                }
            }
            1 => std::fs::remove_dir_all(directory.path()).unwrap(),
            _ => std::fs::remove_file(directory.path().join("forkmeter.workers")).unwrap(),
        }
        counter.add(0, 1.0);
        assert_eq!(
            value(&store, "c_total", "a"),
            Some(3.0 + f64::from(removal)),
            "{removal}"
        );
        assert_eq!(value(&store, "g", "a"), Some(5.0), "{removal}");
        assert_eq!(value(&store, "i_info", "a"), Some(1.0), "{removal}");
        assert_eq!(counter.get(0), 3.0 + f64::from(removal));
    }
}

#[test]
fn a_new_series_after_a_deletion_does_not_wait_for_a_scrape() {
    let directory = tempfile::tempdir().unwrap();
    let store = store_in(directory.path());
    let counters = descriptor(MetricType::Counter, "c");
    store.intern(&counters, &["a"]).add(0, 2.0);
    std::fs::remove_file(directory.path().join("counter_shared.db")).unwrap();
    store.intern(&counters, &["b"]).add(0, 1.0);
    assert_eq!(store.kept_series().0, 0);
    let other = store_in(directory.path());
    assert_eq!(value(&other, "c_total", "a"), Some(2.0));
    assert_eq!(value(&other, "c_total", "b"), Some(1.0));
}

static WANTED: Mutex<Option<PathBuf>> = Mutex::new(None);

#[test]
fn the_store_follows_the_directory() {
    let store = ShmStore::new(Options::new(Directory::Follow(|| {
        WANTED.lock().unwrap().clone()
    })));
    let counters = descriptor(MetricType::Counter, "c");
    let counter = store.intern(&counters, &["a"]);
    counter.add(0, 1.0);
    assert_eq!(
        (value(&store, "c_total", "a"), store.directory()),
        (Some(1.0), None)
    );
    let first = tempfile::tempdir().unwrap();
    *WANTED.lock().unwrap() = Some(first.path().to_owned());
    counter.add(0, 1.0);
    assert_eq!(
        value(&store, "c_total", "a"),
        Some(2.0),
        "what memory held comes along"
    );
    assert_eq!(value(&store_in(first.path()), "c_total", "a"), Some(2.0));
    let second = tempfile::tempdir().unwrap();
    *WANTED.lock().unwrap() = Some(second.path().to_owned());
    assert_eq!(
        value(&store, "c_total", "a"),
        None,
        "another directory starts from nothing"
    );
    counter.add(0, 5.0);
    assert_eq!(value(&store, "c_total", "a"), Some(5.0));
    assert_eq!(value(&store_in(first.path()), "c_total", "a"), Some(2.0));
    *WANTED.lock().unwrap() = None;
    store.refresh();
    counter.add(0, 1.0);
    assert_eq!(counter.get(0), 1.0);
}

#[test]
fn what_nobody_uses_any_more_stays_in_the_directory_before() {
    static WANTED: Mutex<Option<PathBuf>> = Mutex::new(None);
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    *WANTED.lock().unwrap() = Some(first.path().to_owned());
    let store = ShmStore::new(Options::new(Directory::Follow(|| {
        WANTED.lock().unwrap().clone()
    })));
    let make = |kind, name| {
        Arc::new(Descriptor {
            label_names: Vec::new().into(),
            ..(*descriptor(kind, name)).clone()
        })
    };
    let facts = make(MetricType::Info, "used_facts");
    let used = store.intern(&make(MetricType::Counter, "used"), &[]);
    let declared = make(MetricType::Gauge, "declared");
    store.declare(&declared);
    store.set_info(&facts, &[], LabelSet::from_pairs([("version", "1")]));
    {
        store
            .intern(&make(MetricType::Counter, "unused"), &[])
            .add(0, 1.0);
        store.set_info(
            &make(MetricType::Info, "unused_facts"),
            &[],
            LabelSet::from_pairs([("version", "1")]),
        );
    }
    let names = |store: &ShmStore| {
        let mut names: Vec<String> = store
            .collect()
            .families
            .iter()
            .map(|family| family.name.to_string())
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        names(&store),
        ["declared", "unused", "unused_facts", "used", "used_facts"]
    );
    *WANTED.lock().unwrap() = Some(second.path().to_owned());
    assert_eq!(names(&store), ["declared", "used", "used_facts"]);
    used.add(0, 1.0);
    assert_eq!(
        names(&store_in(second.path())),
        ["declared", "used", "used_facts"]
    );
    assert_eq!(names(&store_in(first.path())).len(), 5);
}

#[test]
fn a_full_segment_number_is_skipped_over_a_foreign_file() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("counter_shared.db"), [0; 64]).unwrap();
    let store = store_in(directory.path());
    store
        .intern(&descriptor(MetricType::Counter, "c"), &["a"])
        .add(0, 2.0);
    assert_eq!(value(&store, "c_total", "a"), Some(2.0));
    assert!(directory.path().join("counter_shared-1.db").exists());
    assert_eq!(
        std::fs::read(directory.path().join("counter_shared.db")).unwrap(),
        [0; 64]
    );
}

/// Makes a series at once: right after another one, which looked at the directory.
fn intern_at_once(
    store: &ShmStore,
    descriptor: &Arc<Descriptor>,
    label_values: &[&str],
) -> SharedSlots {
    (0..100_000)
        .find_map(|turn| {
            store.intern(descriptor, &[&*turn.to_string(), "other"]);
            store.intern_at_once(descriptor, label_values)
        })
        .expect("one of so many is quick enough")
}

#[test]
fn a_series_made_at_once_is_that_of_every_other_way() {
    let folder = tempfile::tempdir().unwrap();
    let store = || store_in(folder.path());
    let (first, other) = (store(), store());
    // Keys have the names in order, and values are given in the order of the declaration.
    let mut descriptor = (*descriptor(MetricType::Counter, "c")).clone();
    descriptor.label_names = Box::new(["z".into(), "l".into()]);
    let descriptor = Arc::new(descriptor);
    let unknown = first.intern_at_once(&descriptor, &["1", "x"]);
    assert!(unknown.is_none(), "nobody looked at the directory yet");

    intern_at_once(&first, &descriptor, &["z", "at once"]).add(0, 1.0);
    first.intern(&descriptor, &["z", "at once"]).add(0, 2.0);
    intern_at_once(&first, &descriptor, &["z", "at once"]).add(0, 4.0);
    other.intern(&descriptor, &["z", "at once"]).add(0, 8.0);
    other.intern(&descriptor, &["z", "later"]).add(0, 1.0);
    // What another worker made is found.
    intern_at_once(&first, &descriptor, &["z", "later"]).add(0, 2.0);
    assert_eq!(value(&first, "c_total", "at once"), Some(15.0));
    assert_eq!(value(&first, "c_total", "later"), Some(3.0));

    let made_before = first.intern_at_once(&descriptor, &["z", "at once"]);
    assert!(made_before.is_some(), "what is known takes no look");
    process::next_epoch();
    let made_before = first.intern_at_once(&descriptor, &["z", "at once"]);
    assert!(made_before.is_none(), "a directory may have to be followed");
}
