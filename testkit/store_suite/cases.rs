//! The tests; each is given an empty store.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;

use forkmeter_core::model::OVERFLOW_LABEL_VALUE;

use super::*;

pub(crate) fn every_kind_is_exposed_under_its_sample_names(store: &Arc<dyn Store>) {
    use MetricType::{Counter, Gauge, Histogram, Summary, Unknown};
    for (kind, adds, expected) in [
        (Counter, &[2.0][..], &[("m_total{l=v}", 2.0)][..]),
        (Gauge, &[-2.0], &[("m{l=v}", -2.0)]),
        (Unknown, &[3.0], &[("m{l=v}", 3.0)]),
        (
            Summary,
            &[1.0, 0.25],
            &[("m_count{l=v}", 1.0), ("m_sum{l=v}", 0.25)],
        ),
        (
            Histogram,
            &[4.25, 1.0, 0.0, 2.0],
            &[
                ("m_bucket{l=v,le=0.5}", 1.0),
                ("m_bucket{l=v,le=1.0}", 1.0),
                ("m_bucket{l=v,le=+Inf}", 3.0),
                ("m_count{l=v}", 3.0),
                ("m_sum{l=v}", 4.25),
            ],
        ),
    ] {
        let name = format!("kind_{kind}");
        let descriptor = Arc::new(descriptor(&name, kind, &["l"]));
        store.declare(&descriptor);
        let slots = store.intern(&descriptor, &["v"]);
        assert_eq!(slots.len(), adds.len(), "{kind}");
        assert!(!slots.is_empty());
        for (index, delta) in adds.iter().enumerate() {
            slots.add(index, *delta);
            assert_eq!(slots.get(index), *delta, "{kind}");
        }
        let expected: Vec<_> = expected
            .iter()
            .map(|(series, value)| (series.replacen('m', &name, 1), *value))
            .collect();
        assert_eq!(sorted(samples(store, &name)), sorted(expected));
        assert_eq!(family(store, &name).kind, kind);
    }
}

pub(crate) fn gauges_of_all_modes_expose_the_value_of_the_only_worker(store: &Arc<dyn Store>) {
    for mode in MultiprocessMode::ALL {
        let name = format!("gauge_{mode}");
        let descriptor = Arc::new(Descriptor {
            mode,
            ..descriptor(&name, MetricType::Gauge, &["l"])
        });
        let slots = store.intern(&descriptor, &["v"]);
        slots.set(0, 7.0);
        slots.add(0, -2.0);
        assert_eq!(slots.get(0), 5.0, "{mode}");
        assert_eq!(
            samples(store, &name),
            [(format!("{name}{{l=v}}"), 5.0)],
            "{mode}"
        );
    }
}

pub(crate) fn a_series_has_one_set_of_cells(store: &Arc<dyn Store>) {
    let descriptor = Arc::new(descriptor("one", MetricType::Counter, &["a", "b"]));
    let first = store.intern(&descriptor, &["1", "2"]);
    let same = store.intern(&descriptor, &["1", "2"]);
    let other = store.intern(&descriptor, &["2", "1"]);
    first.add(0, 1.0);
    same.add(0, 2.0);
    other.add(0, 10.0);
    assert_eq!((first.get(0), same.get(0), other.get(0)), (3.0, 3.0, 10.0));
    let expected = exposed(&[("one_total{a=1,b=2}", 3.0), ("one_total{a=2,b=1}", 10.0)]);
    assert_eq!(sorted_samples(store, "one"), expected);
}

pub(crate) fn a_declared_family_is_exposed_without_series(store: &Arc<dyn Store>) {
    let first = Arc::new(descriptor("declared", MetricType::Histogram, &["l"]));
    store.declare(&first);
    store.declare(&first);
    let family = family(store, "declared");
    assert_eq!(
        (family.kind, &*family.help),
        (MetricType::Histogram, "Help of declared.")
    );
    assert!(family.samples.is_empty());
}

pub(crate) fn help_unit_and_labels_may_be_any_text(store: &Arc<dyn Store>) {
    let text = "quote \" back\\slash\nline \u{1f600} \u{0} \u{7f} é";
    let descriptor = Arc::new(Descriptor {
        help: text.into(),
        unit: "bytes".into(),
        ..descriptor("größe.of_bytes", MetricType::Counter, &["läbel", "b"])
    });
    store.declare(&descriptor);
    store.intern(&descriptor, &[text, ""]).add(0, 1.0);
    let family = family(store, "größe.of_bytes");
    assert_eq!((&*family.help, &*family.unit), (text, "bytes"));
    let labels = LabelSet::from_pairs([("läbel", text), ("b", "")]);
    assert_eq!(family.samples[0].labels, labels);
}

pub(crate) fn values_may_be_any_float(store: &Arc<dyn Store>) {
    let descriptor = Arc::new(descriptor("float", MetricType::Gauge, &[]));
    let slots = store.intern(&descriptor, &[]);
    for value in [
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MIN_POSITIVE,
        5e-324,
        f64::MAX,
        0.1,
    ] {
        slots.set(0, value);
        assert_eq!(slots.get(0), value);
        assert_eq!(samples(store, "float")[0].1, value);
    }
    slots.set(0, f64::NAN);
    assert!(slots.get(0).is_nan());
    assert!(samples(store, "float")[0].1.is_nan());
}

pub(crate) fn a_removed_series_starts_again_from_zero(store: &Arc<dyn Store>) {
    for kind in [
        MetricType::Counter,
        MetricType::Gauge,
        MetricType::Histogram,
    ] {
        let name = format!("removed_{kind}");
        let descriptor = Arc::new(descriptor(&name, kind, &["l"]));
        store.declare(&descriptor);
        let before = store.intern(&descriptor, &["v"]);
        before.add(0, 5.0);
        assert!(store.remove(&descriptor, &["v"]), "{kind}");
        assert!(!store.remove(&descriptor, &["v"]), "{kind}: removed twice");
        assert!(!store.remove(&descriptor, &["never made"]), "{kind}");
        assert_eq!(samples(store, &name), [], "{kind}");
        assert!(store.series(&descriptor).is_empty(), "{kind}");
        let after = store.intern(&descriptor, &["v"]);
        assert_eq!(after.get(0), 0.0, "{kind}");
        after.add(0, 1.0);
        assert_eq!(after.get(0), 1.0, "{kind}");
        let sum: f64 = match kind {
            MetricType::Histogram => value(store, &name, &format!("{name}_sum{{l=v}}")),
            _ => samples(store, &name).first().map(|(_, value)| *value),
        }
        .unwrap_or_else(|| panic!("{kind} is not exposed again"));
        assert_eq!(sum, 1.0, "{kind}");
    }
}

pub(crate) fn handles_of_an_expired_series_count_on(store: &Arc<dyn Store>) {
    use MetricType::{Counter, Gauge, Histogram, Summary};
    for kind in [Counter, Gauge, Histogram, Summary] {
        let name = format!("expired_{kind}");
        let descriptor = Arc::new(descriptor(&name, kind, &["l"]));
        let values = |name: &str| -> f64 {
            let samples = samples(store, name);
            samples.iter().map(|(_, value)| value).sum()
        };
        let held = store.intern(&descriptor, &["v"]);
        store.intern(&descriptor, &["other"]);
        assert!(store.remove(&descriptor, &["other"]), "{kind}");
        held.add(0, 5.0);
        assert!(store.expire(&descriptor, &["v"]), "{kind}");
        assert!(!store.expire(&descriptor, &["v"]), "{kind}: expired twice");
        for _ in 0..2 {
            assert_eq!(samples(store, &name), [], "{kind}");
            assert!(store.series(&descriptor).is_empty(), "{kind}");
        }
        assert_eq!(held.get(0), 0.0, "{kind}");
        held.add(0, 1.0);
        assert_eq!(values(&name), 1.0, "{kind}");
        assert_eq!(store.series(&descriptor).len(), 1, "{kind}");
        let again = store.intern(&descriptor, &["v"]);
        again.add(0, 2.0);
        assert_eq!((held.get(0), again.get(0)), (3.0, 3.0), "{kind}");
        assert_eq!(values(&name), 3.0, "{kind}");
        // Asked for before anybody counts.
        assert!(store.expire(&descriptor, &["v"]), "{kind}");
        let third = store.intern(&descriptor, &["v"]);
        assert!(!samples(store, &name).is_empty(), "{kind}");
        held.add(0, 1.0);
        third.add(0, 1.0);
        assert_eq!((held.get(0), third.get(0)), (2.0, 2.0), "{kind}");
        assert_eq!(values(&name), 2.0, "{kind}");
        // Removed for good after it expired.
        assert!(store.expire(&descriptor, &["v"]), "{kind}");
        assert!(!store.remove(&descriptor, &["v"]), "{kind}");
        third.add(0, 1.0);
        assert_eq!(store.intern(&descriptor, &["v"]).get(0), 0.0, "{kind}");
    }
}

pub(crate) fn a_gauge_that_expired_is_there_again_once_it_is_set_to_zero(store: &Arc<dyn Store>) {
    let descriptor = Arc::new(descriptor("zero", MetricType::Gauge, &["l"]));
    let held = store.intern(&descriptor, &["v"]);
    assert!(store.expire(&descriptor, &["v"]));
    assert_eq!(samples(store, "zero"), []);
    held.set(0, 0.0);
    let expected = exposed(&[("zero{l=v}", 0.0)]);
    assert_eq!(samples(store, "zero"), expected);
    assert!(store.expire(&descriptor, &["v"]));
    // Nobody holds it.
    drop(held);
    assert_eq!(samples(store, "zero"), []);
    assert_eq!(store.intern(&descriptor, &["v"]).get(0), 0.0);
    assert_eq!(samples(store, "zero"), expected);
}

pub(crate) fn states_that_expired_are_there_again_once_one_is_set(store: &Arc<dyn Store>) {
    let descriptor = Arc::new(descriptor("state", MetricType::StateSet, &["l"]));
    let held = store.intern(&descriptor, &["v"]);
    for state in [0.0, 1.0] {
        held.set(0, 1.0);
        assert!(store.expire(&descriptor, &["v"]));
        assert_eq!(samples(store, "state"), []);
        held.set(0, state);
        let expected = [
            ("state{l=v,state=down}", state),
            ("state{l=v,state=up}", 1.0 - state),
        ];
        assert_eq!(sorted_samples(store, "state"), exposed(&expected));
    }
}

pub(crate) fn removing_one_series_leaves_the_others(store: &Arc<dyn Store>) {
    let descriptor = Arc::new(descriptor("others", MetricType::Counter, &["l"]));
    for label in ["a", "b", "c"] {
        store.intern(&descriptor, &[label]).add(0, 1.0);
    }
    assert!(store.remove(&descriptor, &["b"]));
    let expected = exposed(&[("others_total{l=a}", 1.0), ("others_total{l=c}", 1.0)]);
    assert_eq!(sorted_samples(store, "others"), expected);
}

pub(crate) fn series_are_listed_in_the_order_they_were_made(store: &Arc<dyn Store>) {
    let descriptor = Arc::new(descriptor("order", MetricType::Gauge, &["l"]));
    for label in ["z", "a", "m"] {
        store.intern(&descriptor, &[label]);
    }
    let listed = |store: &Arc<dyn Store>| -> Vec<String> {
        store
            .series(&descriptor)
            .iter()
            .map(|values| values[0].to_string())
            .collect()
    };
    assert_eq!(listed(store), ["z", "a", "m"]);
    store.remove(&descriptor, &["a"]);
    assert_eq!(listed(store), ["z", "m"]);
}

pub(crate) fn threads_that_count_together_lose_nothing(store: &Arc<dyn Store>) {
    const THREADS: usize = 4;
    const ROUNDS: u32 = 30_000;
    let counter = Arc::new(descriptor("together", MetricType::Counter, &["l"]));
    let histogram = Arc::new(descriptor("observed", MetricType::Histogram, &[]));
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (counter, histogram) = (&counter, &histogram);
            scope.spawn(move || {
                let shared = store.intern(counter, &["shared"]);
                let observed = store.intern(histogram, &[]);
                for round in 0..ROUNDS {
                    shared.add(0, 1.0);
                    observed.add(0, 0.5);
                    observed.add(1, 1.0);
                    if round % 600 == 0 {
                        let label = format!("{number}-{round}");
                        store.intern(counter, &[&label]).add(0, 1.0);
                    }
                }
            });
        }
    });
    let total = 4.0 * f64::from(ROUNDS);
    assert_eq!(
        value(store, "together", "together_total{l=shared}"),
        Some(total)
    );
    assert_eq!(samples(store, "together").len(), 1 + THREADS * 50);
    assert_eq!(value(store, "observed", "observed_count{}"), Some(total));
    assert_eq!(
        value(store, "observed", "observed_sum{}"),
        Some(total / 2.0)
    );
}

pub(crate) fn threads_that_make_the_same_series_get_the_same_cells(store: &Arc<dyn Store>) {
    let descriptor = Arc::new(descriptor("raced", MetricType::Counter, &["l"]));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for label in 0..100 {
                    store.intern(&descriptor, &[&label.to_string()]).add(0, 1.0);
                }
            });
        }
    });
    let samples = samples(store, "raced");
    assert_eq!(samples.len(), 100);
    assert!(
        samples.iter().all(|(_, value)| *value == 4.0),
        "{samples:?}"
    );
}

pub(crate) fn exemplars_are_kept_per_slot_and_stamped(store: &Arc<dyn Store>) {
    let labels = |id: &str| LabelSet::from_pairs([("trace_id", id)]);
    let unstamped = |id: &str, value| Exemplar {
        labels: labels(id),
        value,
        timestamp: None,
    };
    let counter = Arc::new(descriptor("traced", MetricType::Counter, &[]));
    let slots = store.intern(&counter, &[]);
    slots.add(0, 2.0);
    assert_eq!(slots.exemplar(0), None);
    slots.set_exemplar(0, unstamped("first", 1.0));
    slots.set_exemplar(0, unstamped("last", 2.0));
    let kept = slots.exemplar(0).expect("an exemplar was set");
    assert_eq!((&kept.labels, kept.value), (&labels("last"), 2.0));
    assert!(
        kept.timestamp.is_some_and(|time| time.as_seconds() > 0.0),
        "{kept:?}"
    );
    assert_eq!(family(store, "traced").samples[0].exemplar, Some(kept));

    let histogram = Arc::new(descriptor("traced_seconds", MetricType::Histogram, &[]));
    let slots = store.intern(&histogram, &[]);
    slots.add(0, 0.75);
    slots.add(2, 1.0);
    let stamped = Exemplar {
        timestamp: Some(Timestamp::Seconds(1_500_000_000.5)),
        ..unstamped("bucket", 0.75)
    };
    slots.set_exemplar(2, stamped.clone());
    assert_eq!(
        (slots.exemplar(1), slots.exemplar(2)),
        (None, Some(stamped.clone()))
    );
    let exposed: Vec<_> = family(store, "traced_seconds")
        .samples
        .into_iter()
        .filter_map(|s| Some((s.labels.get("le")?.to_owned(), s.exemplar?)))
        .collect();
    assert_eq!(exposed, [("1.0".to_owned(), stamped)]);
}

pub(crate) fn facts_are_replaced(store: &Arc<dyn Store>) {
    let descriptor = Arc::new(descriptor("build", MetricType::Info, &["l"]));
    store.declare(&descriptor);
    assert!(store.intern(&descriptor, &["v"]).is_empty());
    store.set_info(
        &descriptor,
        &["v"],
        LabelSet::from_pairs([("version", "1"), ("x", "y")]),
    );
    store.set_info(
        &descriptor,
        &["v"],
        LabelSet::from_pairs([("version", "2")]),
    );
    store.set_info(
        &descriptor,
        &["w"],
        LabelSet::from_pairs([("version", "3")]),
    );
    let expected = exposed(&[
        ("build_info{l=v,version=2}", 1.0),
        ("build_info{l=w,version=3}", 1.0),
    ]);
    assert_eq!(sorted_samples(store, "build"), expected);
    assert!(store.remove(&descriptor, &["v"]));
    assert_eq!(sorted_samples(store, "build"), expected[1..]);
}

pub(crate) fn states_are_indices(store: &Arc<dyn Store>) {
    let descriptor = Arc::new(descriptor("task", MetricType::StateSet, &["l"]));
    let slots = store.intern(&descriptor, &["v"]);
    let states = |up, down| exposed(&[("task{l=v,task=up}", up), ("task{l=v,task=down}", down)]);
    assert_eq!(samples(store, "task"), states(1.0, 0.0));
    slots.set(0, 1.0);
    assert_eq!(slots.get(0), 1.0);
    assert_eq!(samples(store, "task"), states(0.0, 1.0));
}

pub(crate) fn a_reset_zeroes_the_series_and_its_created_time(store: &Arc<dyn Store>) {
    for kind in [
        MetricType::Counter,
        MetricType::Summary,
        MetricType::Histogram,
    ] {
        let name = format!("reset_{kind}");
        let descriptor = Arc::new(descriptor(&name, kind, &[]));
        let slots = store.intern(&descriptor, &[]);
        let created = slots.created_seconds();
        assert!(created > 0.0, "{kind} has no created time");
        for index in 0..slots.len() {
            slots.add(index, 3.0);
        }
        slots.reset();
        assert!(
            (0..slots.len()).all(|index| slots.get(index) == 0.0),
            "{kind}"
        );
        assert!(slots.created_seconds() >= created, "{kind}");
        assert!(!samples(store, &name).is_empty(), "{kind} is still exposed");
        assert!(
            samples(store, &name).iter().all(|(_, value)| *value == 0.0),
            "{kind}"
        );
        slots.add(0, 1.0);
        assert_eq!(slots.get(0), 1.0, "{kind}");
    }
}

pub(crate) fn many_series_keep_their_values(store: &Arc<dyn Store>) {
    const SERIES: u32 = 5_000;
    let descriptor = Arc::new(descriptor(
        "many",
        MetricType::Counter,
        &["number", "padding"],
    ));
    let padding = "p".repeat(60);
    let handles: Vec<Arc<dyn Slots>> = (0..SERIES)
        .map(|number| store.intern(&descriptor, &[&number.to_string(), &padding]))
        .collect();
    for (number, slots) in (0_u32..).zip(&handles) {
        slots.add(0, f64::from(number));
    }
    let samples = samples(store, "many");
    assert_eq!(samples.len(), SERIES as usize);
    let values: HashMap<_, _> = samples.into_iter().collect();
    for number in 0..SERIES {
        let series = format!("many_total{{number={number},padding={padding}}}");
        assert_eq!(values.get(&series), Some(&f64::from(number)), "{series}");
    }
}

pub(crate) fn label_sets_are_told_apart(store: &Arc<dyn Store>) {
    // Values that run into each other when somebody joins them carelessly.
    let sets = [
        ["ab", ""],
        ["", "ab"],
        ["a", "b"],
        ["a\",\"b", ""],
        ["a", "\",\"b"],
        ["a\0", "b"],
        ["a", "\0b"],
        ["é", "e\u{301}"],
        [" ", "  "],
        ["null", "None"],
    ];
    let descriptor = Arc::new(descriptor("apart", MetricType::Counter, &["x", "y"]));
    for (weight, set) in (1_u32..).zip(&sets) {
        store.intern(&descriptor, set).add(0, f64::from(weight));
    }
    let family = family(store, "apart");
    assert_eq!(family.samples.len(), sets.len());
    for (weight, set) in (1_u32..).zip(&sets) {
        let labels = descriptor.labels(set);
        let found = family.samples.iter().find(|sample| sample.labels == labels);
        assert_eq!(
            found.map(|sample| sample.value),
            Some(f64::from(weight)),
            "{set:?}"
        );
    }
}

pub(crate) fn a_family_with_a_limit_has_no_more_series(store: &Arc<dyn Store>) {
    use MetricType::{Counter, Gauge, Histogram, Summary};
    for kind in [Counter, Gauge, Histogram, Summary] {
        let name = format!("limited_{kind}");
        let descriptor = Arc::new(descriptor(&name, kind, &["l"]));
        let other = Arc::new(self::descriptor(&format!("{name}_other"), kind, &["l"]));
        store.intern(&other, &["x"]);
        let is_taken = |value: &str| store.intern_within(&descriptor, &[value], 3).is_some();
        let taken = ["a", "b", "a", "c", "d", "b"].map(is_taken);
        assert_eq!(taken, [true, true, true, true, false, true], "{kind}");
        assert!(is_taken(OVERFLOW_LABEL_VALUE), "{kind}");
        assert!(!is_taken("d"), "{kind}");
        assert!(store.remove(&descriptor, &["a"]));
        assert_eq!(["d", "a"].map(is_taken), [true, false], "{kind}");
        assert!(store.remove(&descriptor, &[OVERFLOW_LABEL_VALUE]));
        assert!(!is_taken("a"), "{kind}");
        assert_eq!(store.series(&descriptor).len(), 3, "{kind}");
    }
}
