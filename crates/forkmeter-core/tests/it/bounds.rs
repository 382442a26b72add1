//! Families with a limit on their series, and families that forget idle ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use forkmeter_core::encode::Format;
use forkmeter_core::metric::{Counter, DynFamily, Gauge, Histogram};
use forkmeter_core::model::OVERFLOW_LABEL_VALUE;
use forkmeter_core::registry::{Gather, Registry};
use forkmeter_core::store::HeapStore;

fn registry() -> Registry {
    Registry::new(Arc::new(HeapStore::new(|| 0.0)))
}

/// Returns the samples of a family as text, with the first label's value.
fn samples(registry: &Registry, family: &str) -> Vec<(String, f64)> {
    let families = registry.gather().families;
    let family = families.iter().find(|found| &*found.name == family);
    let samples = family.map(|family| family.samples.iter());
    samples
        .into_iter()
        .flatten()
        .map(|sample| {
            let value = sample.labels.iter().next().map_or("", |(_, value)| value);
            (value.to_owned(), sample.value)
        })
        .collect()
}

#[test]
fn what_has_no_room_is_counted_in_one_more_series_and_said() {
    let registry = registry();
    let builder = Counter::builder("c", "").labels(["a"]).max_series(2);
    let family = builder.register(&registry).unwrap();
    for value in 0..1000 {
        family.with_label_values([&value.to_string()]).inc();
    }
    family.with_label_values(["1"]).inc();
    let expected = [("0", 1.0), ("1", 2.0), (OVERFLOW_LABEL_VALUE, 998.0)];
    assert_eq!(
        samples(&registry, "c"),
        expected.map(|(a, v)| (a.to_owned(), v))
    );
    let said = samples(&registry, "forkmeter_series_overflows");
    assert_eq!(said, [("c".to_owned(), 998.0)]);
    // What is removed makes room, and the series of what had none takes none.
    assert!(family.remove(["0"]));
    family.with_label_values(["new"]).inc();
    family.with_label_values(["newer"]).inc();
    assert_eq!(family.find(["new"]).map(|series| series.get()), Some(1.0));
    assert!(family.find(["newer"]).is_none());
}

#[test]
fn a_family_without_room_counts_everything_in_one_series() {
    let registry = registry();
    let family = Histogram::builder("h", "").labels(["a", "b"]).max_series(0);
    let family = family.const_label("c", "1").register(&registry).unwrap();
    family.with_label_values(["x", "y"]).observe(1.0);
    family.with_label_values(["y", "x"]).observe(1.0);
    assert_eq!(family.series().len(), 1);
    let overflow = [OVERFLOW_LABEL_VALUE; 2];
    assert_eq!(family.find(overflow).map(|series| series.count()), Some(2));
}

#[test]
fn families_without_a_limit_say_nothing_of_overflows() {
    let registry = registry();
    let family = Counter::builder("c", "").labels(["a"]);
    family
        .register(&registry)
        .unwrap()
        .with_label_values(["x"])
        .inc();
    assert_eq!(registry.gather().families.len(), 1);
}

static NOW: AtomicU32 = AtomicU32::new(0);

fn set_time(seconds: u32) {
    NOW.store(seconds, Ordering::Relaxed);
}

#[test]
fn series_in_which_nobody_counts_are_removed_by_the_collection_that_finds_out() {
    let registry = Registry::new(Arc::new(HeapStore::new(|| {
        f64::from(NOW.load(Ordering::Relaxed))
    })));
    let after = Duration::from_secs(60);
    let builder = Counter::builder("c", "").labels(["a"]).idle_expiry(after);
    let forgetful = builder.register(&registry).unwrap();
    let builder = Gauge::builder("g", "").labels(["a"]);
    let other = builder.register(&registry).unwrap();
    let lone = Counter::builder("lone", "").idle_expiry(after);
    lone.register(&registry).unwrap();
    other.with_label_values(["x"]).set(1.0);
    forgetful.with_label_values(["idle"]).inc();
    for seconds in [0, 30, 59] {
        set_time(seconds);
        forgetful.with_label_values(["busy"]).inc();
        assert_eq!(samples(&registry, "c").len(), 2);
    }
    set_time(60);
    assert_eq!(samples(&registry, "c"), [("busy".to_owned(), 3.0)]);
    assert!(forgetful.find(["idle"]).is_none());
    assert_eq!(samples(&registry, "g").len(), 1);
    assert_eq!(samples(&registry, "lone").len(), 1);
    // Counted in again, it starts from zero, and its time too.
    forgetful.with_label_values(["idle"]).inc();
    set_time(90);
    assert_eq!(samples(&registry, "c").len(), 2);
    set_time(118);
    assert_eq!(samples(&registry, "c").len(), 2);
    set_time(150);
    let text = registry.expose(Format::Text004).body;
    assert!(!String::from_utf8_lossy(&text).contains("c_total{"));
    assert_eq!(samples(&registry, "c"), []);
}

#[test]
fn series_of_other_constant_labels_stay() {
    let store: Arc<dyn forkmeter_core::store::Store> = Arc::new(HeapStore::new(|| 0.0));
    let family = |color| -> DynFamily<Counter> {
        let builder = Counter::builder("c", "").dynamic_labels(["a"]);
        let builder = builder.const_label("color", color);
        builder
            .idle_expiry(Duration::ZERO)
            .build_in(&store)
            .unwrap()
    };
    let (red, blue) = (family("red"), family("blue"));
    red.try_with_label_values(&["x"]).unwrap().inc();
    blue.try_with_label_values(&["x"]).unwrap().inc();
    let registry = Registry::new(Arc::clone(&store));
    registry.register(&red).unwrap();
    for _ in 0..2 {
        assert_eq!(samples(&registry, "c").len(), 2);
    }
    assert_eq!(samples(&registry, "c").len(), 1);
    assert_eq!(blue.series().len(), 1);
}

#[test]
fn defaults_hold_for_families_that_say_nothing_whenever_they_were_made() {
    let registry = registry();
    let before = Counter::builder("before", "").labels(["a"]);
    let before = before.register(&registry).unwrap();
    let own = Counter::builder("own", "").labels(["a"]).max_series(3);
    let own = own.register(&registry).unwrap();
    let free = Gauge::builder("free", "").labels(["a"]).max_series(None);
    let free = free.register(&registry).unwrap();
    let lone = Counter::builder("lone", "").const_label("a", "1");
    registry.set_default_bounds(Some(0), None);
    lone.register(&registry).unwrap().inc();
    registry.set_default_bounds(Some(1), None);
    let after = Histogram::builder("after", "").labels(["a"]);
    let after = after.register(&registry).unwrap();
    for value in ["0", "1", "2", "3", "4"] {
        before.with_label_values([value]).inc();
        own.with_label_values([value]).inc();
        free.with_label_values([value]).set(1.0);
        after.with_label_values([value]).observe(1.0);
    }
    let lens = [
        before.series().len(),
        own.series().len(),
        free.series().len(),
        after.series().len(),
    ];
    assert_eq!(lens, [2, 4, 5, 2]);
    assert_eq!(
        samples(&registry, "before"),
        [("0".to_owned(), 1.0), ("__overflow__".to_owned(), 4.0)]
    );
    assert_eq!(samples(&registry, "lone"), [("1".to_owned(), 1.0)]);
    let mut said = samples(&registry, "forkmeter_series_overflows");
    said.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [("after", 4.0), ("before", 4.0), ("own", 2.0)];
    assert_eq!(said, expected.map(|(a, v)| (a.to_owned(), v)));
    // What is there stays, and there is room again.
    registry.set_default_bounds(None, None);
    before.with_label_values(["new"]).inc();
    assert_eq!(before.series().len(), 3);
}

#[test]
fn by_default_what_counts_expires_and_what_says_how_things_are_does_not() {
    let registry = registry();
    let after = Duration::ZERO;
    let jobs = Counter::builder("jobs", "").labels(["a"]);
    let jobs = jobs.register(&registry).unwrap();
    let never = Counter::builder("never", "")
        .labels(["a"])
        .idle_expiry(None);
    let never = never.register(&registry).unwrap();
    let own = Gauge::builder("own", "").labels(["a"]).idle_expiry(after);
    let own = own.register(&registry).unwrap();
    let version = Gauge::builder("version", "").labels(["a"]);
    let version = version.register(&registry).unwrap();
    jobs.with_label_values(["x"]).inc();
    never.with_label_values(["x"]).inc();
    own.with_label_values(["x"]).set(1.0);
    version.with_label_values(["x"]).set(1.0);
    let lens = || {
        let families = registry.gather().families;
        let len = |name: &str| {
            let mut found = families.iter().filter(|family| &*family.name == name);
            found.next().map(|family| family.samples.len())
        };
        [len("jobs"), len("never"), len("own"), len("version")].map(Option::unwrap_or_default)
    };
    registry.set_default_bounds(None, Some(after));
    assert_eq!(lens(), [1; 4]);
    assert_eq!(lens(), [1; 4]);
    assert_eq!(lens(), [0, 1, 0, 1]);
    registry.set_default_bounds(None, None);
    jobs.with_label_values(["x"]).inc();
    for _ in 0..5 {
        assert_eq!(lens(), [1, 1, 0, 1]);
    }
}
