//! Registries: duplicates, custom collectors, views and gathering.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use forkmeter_core::encode::Format;
use forkmeter_core::metric::{Counter, DynFamily, Gauge, Histogram, Summary};
use forkmeter_core::registry::{Collector, Gather, Registry};
use forkmeter_core::store::{Collected, HeapStore, Slots, Store};
use forkmeter_core::{Descriptor, LabelSet, MetricFamily, MetricType, Sample, Timestamp};

fn registry() -> Registry {
    Registry::new(Arc::new(HeapStore::new(|| 1_700_000_000.0)))
}

fn sample_names(gathered: &dyn Gather) -> Vec<String> {
    let families = gathered.gather().families;
    families
        .iter()
        .flat_map(|f| &f.samples)
        .map(|s| s.name.to_string())
        .collect()
}

/// Yields fixed families and counts how often it is asked.
#[derive(Debug, Default)]
struct Fixed {
    families: Vec<MetricFamily>,
    described: bool,
    asked: AtomicUsize,
}

impl Collector for Fixed {
    fn collect(&self) -> Vec<MetricFamily> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.families.clone()
    }

    fn describe(&self) -> Vec<MetricFamily> {
        let bare = |family: &MetricFamily| MetricFamily {
            samples: vec![],
            ..family.clone()
        };
        if self.described {
            self.families.iter().map(bare).collect()
        } else {
            Vec::new()
        }
    }
}

fn gauge_family(name: &str, samples: &[(&str, f64)]) -> MetricFamily {
    let mut family = MetricFamily::new(name, "", MetricType::Gauge);
    for (label, value) in samples {
        let labels = LabelSet::from_pairs([("l", *label)]);
        family.samples.push(Sample::new(name, labels, *value));
    }
    family
}

fn fixed(families: Vec<MetricFamily>, described: bool) -> Arc<Fixed> {
    Arc::new(Fixed {
        families,
        described,
        asked: AtomicUsize::new(0),
    })
}

#[test]
fn names_with_suffixes_are_taken_too() {
    let registry = registry();
    Counter::builder("c_total", "").register(&registry).unwrap();
    Histogram::builder("h", "").register(&registry).unwrap();
    Summary::builder("s", "").register(&registry).unwrap();
    for taken in [
        "c",
        "c_total",
        "c_created",
        "h_bucket",
        "h_sum",
        "h_count",
        "s_sum",
        "s_created",
    ] {
        let error = Gauge::builder(taken, "").register(&registry).unwrap_err();
        assert!(error.is_duplicate(), "{taken}: {error}");
    }
    // A family whose suffixed names meet a plain one.
    Gauge::builder("x_count", "").register(&registry).unwrap();
    let error = Summary::builder("x", "").register(&registry).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot register \"x\": already registered: x_count"
    );
    assert_eq!(
        &*error.registered().unwrap().descriptor().unwrap().name,
        "x_count"
    );
    assert!(error.registered().unwrap().metric::<Summary>().is_none());
    Gauge::builder("s_bucket", "").register(&registry).unwrap();
    assert!(
        registry
            .gather()
            .families
            .iter()
            .all(|family| *family.name != *"x")
    );
}

#[test]
fn the_same_declaration_can_be_had_again() {
    let registry = registry();
    let declare = |help: &str| {
        Counter::builder("c", help)
            .labels(["l"])
            .register_or_get(&registry)
    };
    declare("First.").unwrap().with_label_values(["x"]).inc();
    assert_eq!(
        declare("Second.").unwrap().with_label_values(["x"]).get(),
        1.0
    );
    let other_labels = Counter::builder("c", "")
        .labels(["m"])
        .register_or_get(&registry);
    assert!(other_labels.unwrap_err().is_duplicate());
    let other_count = Counter::builder("c", "").register_or_get(&registry);
    assert!(other_count.unwrap_err().is_duplicate());
    let other_kind = Gauge::builder("c", "")
        .labels(["l"])
        .register_or_get(&registry);
    let error = other_kind.unwrap_err();
    assert!(
        error
            .registered()
            .unwrap()
            .labelled::<Counter, 1>()
            .is_some()
    );
    assert!(
        error
            .registered()
            .unwrap()
            .labelled::<Counter, 2>()
            .is_none()
    );
}

#[test]
fn an_unregistered_family_is_gone_and_its_names_are_free() {
    let registry = registry();
    let family: DynFamily<Counter> = Counter::builder("c", "")
        .dynamic_labels(["l"])
        .register(&registry)
        .unwrap();
    family.try_with_label_values(&["x"]).unwrap().inc();
    assert!(registry.unregister("nothing").is_none());
    let removed = registry.unregister("c_total").unwrap();
    assert_eq!(
        removed
            .names()
            .iter()
            .map(|name| &**name)
            .collect::<Vec<_>>(),
        ["c", "c_total", "c_created"]
    );
    assert_eq!(sample_names(&registry), [""; 0]);
    assert!(registry.registered("c").is_none());
    registry.register(&family).unwrap();
    assert_eq!(registry.gather().families[0].samples[0].value, 1.0);
    registry.unregister("c").unwrap();
    let other = Counter::builder("c", "").register(&registry).unwrap();
    assert_eq!(other.get(), 0.0);
    assert_eq!(sample_names(&registry), ["c_total"]);
}

/// Keeps what was declared, as a store does that other workers share.
#[derive(Debug)]
struct Shared(HeapStore);

impl Store for Shared {
    fn declare(&self, descriptor: &Arc<Descriptor>) {
        self.0.declare(descriptor);
    }

    fn intern(&self, descriptor: &Arc<Descriptor>, label_values: &[&str]) -> Arc<dyn Slots> {
        self.0.intern(descriptor, label_values)
    }

    fn remove(&self, descriptor: &Arc<Descriptor>, label_values: &[&str]) -> bool {
        self.0.remove(descriptor, label_values)
    }

    fn expire(&self, descriptor: &Arc<Descriptor>, label_values: &[&str]) -> bool {
        self.0.expire(descriptor, label_values)
    }

    fn series(&self, descriptor: &Arc<Descriptor>) -> Vec<Box<[Arc<str>]>> {
        self.0.series(descriptor)
    }

    fn set_info(&self, descriptor: &Arc<Descriptor>, label_values: &[&str], facts: LabelSet) {
        self.0.set_info(descriptor, label_values, facts);
    }

    fn now_seconds(&self) -> f64 {
        self.0.now_seconds()
    }

    fn collect(&self) -> Collected {
        self.0.collect()
    }
}

#[test]
fn a_family_that_was_unregistered_here_is_not_shown_though_others_count_on() {
    let store: Arc<dyn Store> = Arc::new(Shared(HeapStore::new(|| 0.0)));
    let registry = Registry::new(Arc::clone(&store));
    let here = Counter::builder("c", "").register(&registry).unwrap();
    here.inc();
    registry.unregister("c").unwrap();
    assert_eq!(sample_names(&registry), [""; 0]);
    assert_eq!(sample_names(&Registry::new(store)), ["c_total"]);
    let again = Counter::builder("c", "").register(&registry).unwrap();
    again.inc();
    assert_eq!(here.get(), 2.0);
    assert_eq!(sample_names(&registry), ["c_total"]);
}

#[test]
fn an_exposition_is_complete_and_names_what_is_missing() {
    let registry = registry();
    Counter::builder("c", "Help.")
        .register(&registry)
        .unwrap()
        .inc();
    let mut odd = gauge_family("odd", &[("a", 1.0)]);
    odd.samples[0].timestamp = Some(Timestamp::Seconds(f64::NAN));
    registry
        .register_collector(fixed(vec![odd], false))
        .unwrap();
    let exposition = registry.expose(Format::Text004);
    assert_eq!(
        String::from_utf8(exposition.body).unwrap(),
        "# HELP c_total Help.\n# TYPE c_total counter\nc_total 1.0\n# HELP odd \n# TYPE odd gauge\nodd{l=\"a\"} 1.0\n"
    );
    assert_eq!(
        exposition.content_type,
        "text/plain; version=0.0.4; charset=utf-8"
    );
    assert_eq!(exposition.errors.len(), 1, "{:?}", exposition.errors);
    let view = registry.restricted(["c_total"]).expose(Format::Text004);
    assert!(view.errors.is_empty() && view.body.ends_with(b"c_total 1.0\n"));
}

#[test]
fn a_registry_shows_all_of_its_store() {
    let store: Arc<dyn Store> = Arc::new(HeapStore::new(|| 0.0));
    let registry = Registry::new(Arc::clone(&store));
    Counter::builder("elsewhere", "")
        .build_in(&store)
        .unwrap()
        .inc();
    assert_eq!(sample_names(&registry), ["elsewhere_total"]);
}

#[test]
fn custom_collectors_are_asked_on_every_gathering() {
    let registry = registry();
    let collector = fixed(vec![gauge_family("custom", &[("a", 1.0)])], true);
    let shared: Arc<dyn Collector> = collector.clone();
    registry.register_collector(Arc::clone(&shared)).unwrap();
    let error = Gauge::builder("custom", "")
        .register(&registry)
        .unwrap_err();
    assert!(Arc::ptr_eq(
        error.registered().unwrap().collector().unwrap(),
        &shared
    ));
    assert_eq!(sample_names(&registry), ["custom"]);
    assert_eq!(sample_names(&registry), ["custom"]);
    assert_eq!(collector.asked.load(Ordering::Relaxed), 2);
    assert!(registry.unregister_collector(&shared));
    assert!(!registry.unregister_collector(&shared));
    assert_eq!(sample_names(&registry), [""; 0]);
    Gauge::builder("custom", "").register(&registry).unwrap();
}

#[test]
fn a_collector_may_use_the_registry_it_is_in() {
    #[derive(Debug)]
    struct Nested(Registry);
    impl Collector for Nested {
        fn collect(&self) -> Vec<MetricFamily> {
            let runs = Counter::builder("runs", "")
                .register_or_get(&self.0)
                .unwrap();
            runs.inc();
            let registrations = u32::try_from(self.0.registrations().len()).unwrap();
            vec![gauge_family(
                "registrations",
                &[("", f64::from(registrations))],
            )]
        }
    }
    let registry = registry();
    registry
        .register_collector(Arc::new(Nested(registry.clone())))
        .unwrap();
    registry.gather();
    assert_eq!(sample_names(&registry), ["runs_total", "registrations"]);
}

#[test]
fn a_panicking_collector_is_named_and_the_others_are_exposed() {
    #[derive(Debug)]
    struct Broken(Mutex<()>);
    impl Collector for Broken {
        fn collect(&self) -> Vec<MetricFamily> {
            let _held = self.0.lock();
            panic!("no {}", "luck");
        }
    }
    let registry = registry();
    registry
        .register_collector(Arc::new(Broken(Mutex::new(()))))
        .unwrap();
    registry
        .register_collector(fixed(vec![gauge_family("fine", &[("a", 1.0)])], false))
        .unwrap();
    for _ in 0..2 {
        let gathered = registry.gather();
        assert_eq!(&*gathered.families[0].name, "fine");
        assert_eq!(gathered.errors.len(), 1);
        assert!(gathered.errors[0].contains("Broken") && gathered.errors[0].contains("no luck"));
    }
    Counter::builder("still_works", "")
        .register(&registry)
        .unwrap();
}

#[test]
fn families_of_one_name_are_merged_or_reported() {
    let registry = registry();
    Gauge::builder("shared", "")
        .labels(["l"])
        .register(&registry)
        .unwrap()
        .with_label_values(["a"])
        .set(1.0);
    let families = vec![
        gauge_family("shared", &[("a", 5.0), ("b", 2.0)]),
        gauge_family("own", &[("x", 1.0), ("x", 2.0)]),
        MetricFamily::new("own", "", MetricType::Counter),
    ];
    registry.register_collector(fixed(families, false)).unwrap();
    let gathered = registry.gather();
    let values: Vec<_> = gathered
        .families
        .iter()
        .flat_map(|f| &f.samples)
        .map(|s| (&*s.name, s.labels.get("l").unwrap(), s.value))
        .collect();
    assert_eq!(
        values,
        [
            ("shared", "a", 1.0),
            ("shared", "b", 2.0),
            ("own", "x", 1.0)
        ]
    );
    assert_eq!(gathered.errors.len(), 3, "{:?}", gathered.errors);
    assert!(gathered.errors[0].contains("shared") && gathered.errors[0].contains("twice"));
    assert!(
        gathered.errors[2].contains("as gauge and as counter"),
        "{:?}",
        gathered.errors
    );
}

#[test]
fn a_view_shows_only_its_names_and_asks_only_whom_it_must() {
    let registry = registry();
    Counter::builder("c", "").register(&registry).unwrap();
    Histogram::builder("h", "").register(&registry).unwrap();
    let asked = fixed(vec![gauge_family("wanted", &[("a", 1.0)])], true);
    let spared = fixed(vec![gauge_family("unwanted", &[("a", 1.0)])], true);
    let undescribed = fixed(vec![gauge_family("wanted_too", &[("a", 1.0)])], false);
    for collector in [&asked, &spared, &undescribed] {
        registry
            .register_collector(Arc::<Fixed>::clone(collector))
            .unwrap();
    }
    let view = registry.restricted(["c_total", "h_sum", "wanted", "wanted_too", "missing"]);
    assert_eq!(
        sample_names(&view),
        ["c_total", "h_sum", "wanted", "wanted_too"]
    );
    let counts = [&asked, &spared, &undescribed].map(|c| c.asked.load(Ordering::Relaxed));
    assert_eq!(counts, [1, 0, 1]);
    assert_eq!(sample_names(&registry.restricted(["h"])), [""; 0]);
}

#[test]
fn target_info_comes_first_and_can_be_taken_away() {
    let registry = registry();
    Counter::builder("c", "").register(&registry).unwrap();
    let labels = LabelSet::from_pairs([("service", "x")]);
    registry.set_target_info(labels.clone()).unwrap();
    registry.set_target_info(labels.clone()).unwrap();
    assert_eq!(registry.target_info(), labels);
    let family = &registry.gather().families[0];
    assert_eq!((&*family.name, family.kind), ("target", MetricType::Info));
    assert_eq!(
        (&*family.samples[0].name, &family.samples[0].labels),
        ("target_info", &labels)
    );
    assert!(
        Gauge::builder("target_info", "")
            .register(&registry)
            .unwrap_err()
            .is_duplicate()
    );
    registry.set_target_info(LabelSet::empty()).unwrap();
    registry.set_target_info(LabelSet::empty()).unwrap();
    assert_eq!(sample_names(&registry), ["c_total"]);
    Gauge::builder("target_info", "")
        .register(&registry)
        .unwrap();
    assert!(registry.set_target_info(labels).unwrap_err().is_duplicate());
    assert_eq!(registry.target_info(), LabelSet::empty());
}

#[test]
fn outer_labels_are_put_on_collected_samples() {
    let outer = LabelSet::from_pairs([("l", "outer"), ("app", "a")]);
    let registry = registry().with_const_labels(&outer);
    registry
        .register_collector(fixed(vec![gauge_family("g", &[("own", 1.0)])], false))
        .unwrap();
    let family = &registry.gather().families[0];
    assert_eq!(
        family.samples[0].labels,
        LabelSet::from_pairs([("l", "own"), ("app", "a")])
    );
}
