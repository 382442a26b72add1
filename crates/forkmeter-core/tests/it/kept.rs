//! Expositions from kept lines are byte for byte those of the families that the store collects.

use std::sync::Arc;

use forkmeter_core::encode::{Encoding, Escaping, Format, encode};
use forkmeter_core::registry::{Collector, Gather, Registry};
use forkmeter_core::store::{HeapStore, SeriesTable, Store};
use forkmeter_core::{
    Descriptor, Exemplar, LabelSet, MetricFamily, MetricType, MultiprocessMode, Sample, Timestamp,
};
use proptest::prelude::*;
use proptest::sample::select;

fn formats() -> impl Iterator<Item = Format> {
    Escaping::ALL
        .into_iter()
        .flat_map(|escaping| {
            [
                Format::Text100 { escaping },
                Format::OpenMetrics100 { escaping },
            ]
        })
        .chain([Format::Text004])
}

#[derive(Clone, Debug)]
enum Step {
    /// Changes a slot of a series of a family.
    Count(u8, [String; 2], u8, f64),
    Trace(u8, [String; 2], u8, Option<f64>),
    Remove(u8, [String; 2]),
    Facts(u8, [String; 2], String),
    Compare(Format),
}

fn step() -> impl Strategy<Value = Step> {
    let text = prop_oneof![4 => "[ab]{0,1}", 1 => "[a\\\\\n\"é]{0,3}", 1 => "[a-z]{30,70}"];
    let labels = [text.clone().boxed(), text.clone().boxed()];
    let value = prop_oneof![
        (0..2_000_000_u32).prop_map(f64::from),
        any::<f64>(),
        Just(-0.0),
        Just(0.25),
    ];
    let time = prop_oneof![Just(None), Just(Some(f64::NAN)), Just(Some(1.5))];
    prop_oneof![
        6 => (any::<u8>(), labels.clone(), any::<u8>(), value)
            .prop_map(|(family, labels, slot, value)| Step::Count(family, labels, slot, value)),
        1 => (any::<u8>(), labels.clone(), any::<u8>(), time)
            .prop_map(|(family, labels, slot, time)| Step::Trace(family, labels, slot, time)),
        1 => (any::<u8>(), labels.clone()).prop_map(|(family, labels)| Step::Remove(family, labels)),
        1 => (any::<u8>(), labels, text)
            .prop_map(|(family, labels, fact)| Step::Facts(family, labels, fact)),
        2 => select(formats().collect::<Vec<_>>()).prop_map(Step::Compare),
    ]
}

fn family() -> impl Strategy<Value = Descriptor> {
    let kind = select(&MetricType::ALL[..]);
    let name = prop_oneof![Just("m"), Just("m.é"), Just("a:b_total")];
    let labels = prop_oneof![
        Just([]).prop_map(|[]: [&str; 0]| vec![]),
        Just(vec!["z"]),
        Just(vec!["path", "k.é"])
    ];
    let bounds = prop_oneof![Just(vec![-1.0, 2.5]), Just(vec![0.5, 1e7, 1e-9])];
    (kind, name, labels, bounds).prop_map(|(kind, name, labels, mut bounds)| {
        bounds.sort_by(f64::total_cmp);
        bounds.push(f64::INFINITY);
        let has_buckets = matches!(kind, MetricType::Histogram | MetricType::GaugeHistogram);
        Descriptor {
            name: name.into(),
            help: "Help \\ \"of\"\nit.".into(),
            unit: "".into(),
            kind,
            label_names: labels.into_iter().map(Arc::from).collect(),
            mode: MultiprocessMode::All,
            upper_bounds: if has_buckets {
                bounds.into()
            } else {
                Box::default()
            },
            states: ["on", "o\"ff"].map(Arc::from).into(),
        }
    })
}

fn values<'a>(family: &Descriptor, labels: &'a [String; 2]) -> Vec<&'a str> {
    let values = labels.iter().map(|label| &**label);
    values.take(family.label_names.len()).collect()
}

fn compare(registry: &Registry, format: Format) -> Result<(), TestCaseError> {
    let mut expected = Vec::new();
    let collected = registry.gather();
    let mut errors = collected.errors;
    if let Err(error) = encode(&collected.families, format, &mut expected) {
        errors.push(error.to_string());
    }
    let exposition = registry.expose(format);
    prop_assert_eq!(
        String::from_utf8_lossy(&exposition.body),
        String::from_utf8_lossy(&expected)
    );
    prop_assert_eq!(exposition.errors, errors);
    prop_assert_eq!(exposition.content_type, format.content_type());
    Ok(())
}

proptest! {
    #[test]
    fn any_registry_is_written_as_its_families_are(
        families in prop::collection::vec(family(), 1..5),
        created_samples in any::<bool>(),
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let store = HeapStore::new(|| 1_700_000_000.25).with_created_samples(created_samples);
        let store: Arc<dyn Store> = Arc::new(store);
        let registry = Registry::new(Arc::clone(&store));
        let families: Vec<Arc<Descriptor>> = (0..)
            .zip(families)
            .map(|(number, family)| Arc::new(Descriptor { name: format!("{}{number}", family.name).into(), ..family }))
            .collect();
        for family in &families {
            store.declare(family);
        }
        for step in steps {
            let family = |at: u8| &families[usize::from(at) % families.len()];
            match step {
                Step::Count(at, labels, slot, value) => {
                    let slots = store.intern(family(at), &values(family(at), &labels));
                    if !slots.is_empty() {
                        slots.set(usize::from(slot) % slots.len(), value);
                    }
                }
                Step::Trace(at, labels, slot, time) => {
                    let slots = store.intern(family(at), &values(family(at), &labels));
                    let exemplar = Exemplar {
                        labels: LabelSet::from_pairs([("trace.id", "1")]),
                        value: 0.5,
                        timestamp: Some(Timestamp::Seconds(time.unwrap_or(2.0))),
                    };
                    if !slots.is_empty() {
                        slots.set_exemplar(usize::from(slot) % slots.len(), exemplar);
                    }
                }
                Step::Remove(at, labels) => {
                    store.remove(family(at), &values(family(at), &labels));
                }
                Step::Facts(at, labels, fact) => {
                    if family(at).kind == MetricType::Info {
                        let facts = LabelSet::from_pairs([("fact", fact)]);
                        store.set_info(family(at), &values(family(at), &labels), facts);
                    }
                }
                Step::Compare(format) => compare(&registry, format)?,
            }
        }
        for format in formats() {
            compare(&registry, format)?;
            compare(&registry, format)?;
        }
    }
}

/// Yields what it is told.
#[derive(Debug)]
struct Fixed(Vec<MetricFamily>);

impl Collector for Fixed {
    fn collect(&self) -> Vec<MetricFamily> {
        assert!(!self.0.is_empty(), "it broke");
        self.0.clone()
    }
}

fn gauge(name: &str, label: &str) -> MetricFamily {
    let mut family = MetricFamily::new(name, "", MetricType::Gauge);
    let labels = LabelSet::from_pairs([("l", label)]);
    family.samples.push(Sample::new(name, labels, 3.0));
    family
}

#[test]
fn collectors_hidden_families_and_the_target_are_written_as_they_are_gathered() {
    let store: Arc<dyn Store> = Arc::new(HeapStore::new(|| 0.0));
    let registry = Registry::new(store);
    let build = |name: &str| {
        let family = forkmeter_core::metric::Gauge::builder(name, "").labels(["l"]);
        let family = family.register(&registry).unwrap();
        family.with_label_values(["a"]).set(1.0);
    };
    build("a");
    build("b");
    build("c");
    registry.unregister("b");
    let all = |registry: &Registry| formats().for_each(|f| compare(registry, f).unwrap());
    all(&registry);
    let apart = Arc::new(Fixed(vec![gauge("d", "x"), gauge("d", "x")]));
    registry.register_collector(apart).unwrap();
    all(&registry);
    assert_eq!(registry.expose(Format::Text004).errors.len(), 1, "twice");
    let target = LabelSet::from_pairs([("service", "s")]);
    registry.set_target_info(target).unwrap();
    registry
        .register_collector(Arc::new(Fixed(Vec::new())))
        .unwrap();
    all(&registry);
    assert_eq!(registry.expose(Format::Text004).errors.len(), 2, "a panic");
    // Of a family that the store has too, and of one that is hidden.
    let mixed = Arc::new(Fixed(vec![
        gauge("a", "x"),
        gauge("a", "a"),
        gauge("b", "x"),
    ]));
    registry.register_collector(mixed).unwrap();
    all(&registry);
    assert_eq!(registry.expose(Format::Text004).errors.len(), 3);
    let text = String::from_utf8(registry.expose(Format::Text004).body).unwrap();
    assert!(text.contains("a{l=\"a\"} 1.0\na{l=\"x\"} 3.0\n"), "{text}");
}

#[test]
fn series_that_come_and_go_between_scrapes_are_written_as_they_are_gathered() {
    let store: Arc<dyn Store> = Arc::new(HeapStore::new(|| 0.5).with_created_samples(true));
    let registry = Registry::new(store);
    let sizes = forkmeter_core::metric::Summary::builder("sizes", "").labels(["session"]);
    let sizes = sizes.register(&registry).unwrap();
    let mut newest = 0;
    for round in 0..40_u32 {
        let oldest = newest - newest.min(100);
        for _ in 0..round {
            sizes
                .with_label_values([&newest.to_string()])
                .observe(f64::from(newest));
            newest += 1;
        }
        // Old ones, and some that no scrape has seen.
        for session in (oldest..newest).filter(|session| session % 7 != round % 7) {
            sizes.remove([&session.to_string()]);
        }
        compare(&registry, Format::Text004).unwrap();
        compare(&registry, Format::Text004).unwrap();
    }
    assert!(sizes.series().len() > 1, "{:?}", sizes.series());
    formats().for_each(|format| compare(&registry, format).unwrap());
    sizes.clear();
    formats().for_each(|format| compare(&registry, format).unwrap());
}

#[test]
fn a_table_writes_any_family_that_it_is_asked_for() {
    let table = SeriesTable::new(1, 2);
    for number in 0..3_u32 {
        let series = table.intern(&[&number.to_string()], 1.5);
        series.add(0, f64::from(number));
    }
    let family = |name| {
        Arc::new(crate::store_suite::descriptor(
            name,
            MetricType::Summary,
            &["l"],
        ))
    };
    let families = [family("a"), family("b")];
    for turn in 0..8_usize {
        let (descriptor, created_samples) = (&families[turn / 2 % 2], turn % 2 == 0);
        for format in formats() {
            let mut expected = Vec::new();
            encode(
                [&table.family(descriptor, created_samples)],
                format,
                &mut expected,
            )
            .unwrap();
            let mut text = b"before\n".to_vec();
            table
                .append_to(descriptor, format, created_samples, &mut text)
                .unwrap();
            if matches!(format, Format::OpenMetrics100 { .. }) {
                text.extend_from_slice(b"# EOF\n");
            }
            assert_eq!(
                String::from_utf8_lossy(&text),
                format!("before\n{}", String::from_utf8_lossy(&expected))
            );
        }
    }
}

#[test]
fn an_exposition_in_parts_is_the_same_and_no_part_is_long() {
    const MAX_PART_LEN: usize = 65 * 1024 + 16 * 1024;
    let table = SeriesTable::new(1, 1);
    for number in 0..20_000_u32 {
        table.intern(&[&number.to_string()], 1.5);
    }
    let descriptor = Arc::new(crate::store_suite::descriptor(
        "requests",
        MetricType::Counter,
        &["l"],
    ));
    let family = table.family(&descriptor, true);
    for format in formats() {
        let mut expected = Vec::new();
        encode([&family, &family], format, &mut expected).unwrap();
        let mut lens = Vec::new();
        let mut text = Vec::new();
        let mut hand_on = |part: &[u8]| {
            lens.push(part.len());
            text.extend_from_slice(part);
        };
        let mut buffer = Vec::new();
        let mut encoding = Encoding::in_parts(format, &mut buffer, &mut hand_on);
        encoding.family(&family);
        table.encode_into(&descriptor, true, &mut encoding);
        assert!(encoding.len() > 1_000_000 && !encoding.is_empty());
        encoding.finish().unwrap();
        assert!(buffer.is_empty() && buffer.capacity() < 4 * MAX_PART_LEN);
        assert!(text == expected, "{format:?}");
        assert!(
            lens.iter().all(|len| *len <= MAX_PART_LEN),
            "{format:?}: {lens:?}"
        );
    }
}
