//! Metric kinds and families on a heap store.

use std::sync::Arc;
use std::time::Duration;

use forkmeter_core::metric::{
    Counter, DynFamily, ErrorKind, Gauge, Histogram, Info, StateSet, Summary, Untyped,
};
use forkmeter_core::model::NameScheme;
use forkmeter_core::registry::Registry;
use forkmeter_core::store::HeapStore;
use forkmeter_core::{LabelSet, MultiprocessMode};

fn registry() -> Registry {
    Registry::new(Arc::new(HeapStore::new(|| 1_700_000_000.0)))
}

/// Returns all samples as `name{labels} value`.
fn lines(registry: &Registry) -> Vec<String> {
    let gathered = registry.gather();
    assert!(gathered.errors.is_empty(), "{:?}", gathered.errors);
    let samples = gathered.families.iter().flat_map(|family| &family.samples);
    samples
        .map(|sample| {
            let labels = sample
                .labels
                .iter()
                .map(|(name, value)| format!("{name}={value}"));
            format!(
                "{}{{{}}} {}",
                sample.name,
                labels.collect::<Vec<_>>().join(","),
                sample.value
            )
        })
        .collect()
}

#[test]
fn a_metric_without_labels_is_exposed_at_once() {
    let registry = registry();
    Counter::builder("jobs_total", "Jobs.")
        .register(&registry)
        .unwrap();
    Gauge::builder("size", "Size.")
        .unit("bytes")
        .register(&registry)
        .unwrap();
    Counter::builder("labelled", "")
        .labels(["l"])
        .register(&registry)
        .unwrap();
    assert_eq!(lines(&registry), ["jobs_total{} 0", "size_bytes{} 0"]);
    assert_eq!(registry.gather().families.len(), 3);
}

#[test]
fn a_counter_refuses_what_would_lower_it() {
    let counter = Counter::builder("c", "").register(&registry()).unwrap();
    counter.inc_by(2.5);
    counter.inc_by(0.0);
    counter.try_inc_by(0.5).unwrap();
    for amount in [-1.0, -f64::MIN_POSITIVE, f64::NEG_INFINITY, f64::NAN] {
        counter.inc_by(amount);
        let error = counter.try_inc_by(amount).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::InvalidAmount { .. }),
            "{error}"
        );
    }
    assert_eq!(counter.get(), 3.0);
    counter.reset();
    assert_eq!(
        (counter.get(), counter.created_seconds()),
        (0.0, 1_700_000_000.0)
    );
}

#[test]
fn exemplars_that_cannot_be_exposed_do_not_stop_counting() {
    let counter = Counter::builder("c", "").register(&registry()).unwrap();
    let labels = |length| LabelSet::from_pairs([("id", "é".repeat(length))]);
    counter.try_inc_by_with_exemplar(1.0, labels(126)).unwrap();
    let error = counter
        .try_inc_by_with_exemplar(1.0, labels(127))
        .unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::InvalidExemplar { .. }),
        "{error}"
    );
    counter.inc_with_exemplar([("__reserved", "x")]);
    assert_eq!(counter.get(), 3.0);
    assert_eq!(counter.exemplar().unwrap().labels, labels(126));
}

#[test]
fn a_gauge_goes_both_ways_and_its_guard_survives_a_panic() {
    let gauge = Gauge::builder("g", "")
        .multiprocess_mode(MultiprocessMode::LiveSum)
        .register(&registry())
        .unwrap();
    gauge.set(10.0);
    gauge.inc();
    gauge.dec();
    gauge.dec();
    gauge.inc_by(0.5);
    gauge.dec_by(2.0);
    assert_eq!(gauge.get(), 7.5);
    let inside = gauge.clone();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _guard = inside.track_in_progress();
        assert_eq!(inside.get(), 8.5);
        panic!("on purpose");
    }));
    assert!(result.is_err());
    assert_eq!(gauge.get(), 7.5);
}

#[test]
fn a_histogram_sorts_observations_into_buckets() {
    let registry = registry();
    let histogram = Histogram::builder("h_seconds", "")
        .buckets([1.0, 2.0])
        .register(&registry);
    let histogram = histogram.unwrap();
    for value in [-1.0, 1.0, 1.5, 2.0, 2.5, f64::INFINITY] {
        histogram.observe(value);
    }
    histogram.observe_duration(Duration::from_millis(500));
    assert_eq!(histogram.bucket_counts(), [3, 2, 2]);
    assert_eq!((histogram.count(), histogram.sum()), (7, f64::INFINITY));
    assert_eq!(histogram.upper_bounds(), [1.0, 2.0, f64::INFINITY]);
    histogram.observe(f64::NAN);
    assert_eq!(histogram.count(), 7);
    assert!(histogram.sum().is_nan());
    histogram.reset();
    assert_eq!((histogram.count(), histogram.sum()), (0, 0.0));
    histogram.observe_with_exemplar(1.5, [("trace_id", "x")]);
    let exemplars = histogram.exemplars();
    assert_eq!(exemplars[1].as_ref().unwrap().value, 1.5);
    assert_eq!((&exemplars[0], &exemplars[2]), (&None, &None));
    let expected = [
        "h_seconds_bucket{le=1.0} 0",
        "h_seconds_bucket{le=2.0} 1",
        "h_seconds_bucket{le=+Inf} 1",
        "h_seconds_count{} 1",
        "h_seconds_sum{} 1.5",
    ];
    assert_eq!(lines(&registry), expected);
}

#[test]
fn the_other_kinds_expose_what_they_hold() {
    let registry = registry();
    let summary = Summary::builder("s", "").register(&registry).unwrap();
    summary.observe(1.5);
    summary.observe_duration(Duration::from_millis(500));
    let untyped = Untyped::builder("u", "").register(&registry).unwrap();
    untyped.set(2.0);
    untyped.inc_by(-3.0);
    let states = StateSet::builder("st", "").states(["a", "b"]).labels(["l"]);
    let state = states.register(&registry).unwrap().with_label_values(["x"]);
    state.set("b").unwrap();
    assert_eq!(
        state.set("c").unwrap_err().to_string(),
        "state set \"st\" has no state \"c\""
    );
    let info = Info::builder("build", "")
        .labels(["l"])
        .register(&registry)
        .unwrap();
    let info = info.with_label_values(["x"]);
    info.set([("version", "1"), ("l", "left out")]);
    let overlapping = LabelSet::from_pairs([("l", "y")]);
    assert!(matches!(
        info.try_set(overlapping).unwrap_err().kind(),
        ErrorKind::OverlappingFact { .. }
    ));
    let expected = [
        "s_count{} 2",
        "s_sum{} 2",
        "u{} -1",
        "st{l=x,st=a} 0",
        "st{l=x,st=b} 1",
        "build_info{l=x,version=1} 1",
    ];
    assert_eq!(lines(&registry), expected);
    assert_eq!(
        (summary.count(), untyped.get(), state.state()),
        (2, -1.0, "b")
    );
}

#[test]
fn handles_of_one_series_count_together() {
    let family = Counter::builder("c", "")
        .labels(["a", "b"])
        .register(&registry())
        .unwrap();
    family.with_label_values(["x", "y"]).inc();
    family.clone().with_label_values(["x", "y"]).inc();
    family
        .to_dynamic()
        .try_with_label_values(&["x", "y"])
        .unwrap()
        .inc();
    family.with_label_values(["xy", ""]).inc();
    assert_eq!(family.with_label_values(["x", "y"]).get(), 3.0);
    assert_eq!(family.with_label_values(["xy", ""]).get(), 1.0);
}

#[test]
fn removed_series_come_back_from_zero_and_old_handles_count_nowhere() {
    let registry = registry();
    let family = Counter::builder("c", "")
        .labels(["l"])
        .register(&registry)
        .unwrap();
    let old = family.with_label_values(["x"]);
    old.inc();
    assert!(family.remove(["x"]));
    assert!(!family.remove(["x"]));
    old.inc();
    assert_eq!(lines(&registry), [""; 0]);
    family.with_label_values(["x"]).inc();
    assert_eq!(lines(&registry), ["c_total{l=x} 1"]);
    family.with_label_values(["y"]).inc();
    family.clear();
    assert_eq!(family.series(), [[""; 1]; 0].map(|row| row.map(Arc::from)));
}

#[test]
fn series_are_removed_by_some_of_their_labels() {
    let family = Counter::builder("c", "")
        .labels(["m", "p"])
        .register(&registry())
        .unwrap();
    for (method, path) in [("GET", "/"), ("GET", "/a"), ("PUT", "/a")] {
        family.with_label_values([method, path]).inc();
    }
    assert_eq!(family.remove_by_labels([]).unwrap(), 0);
    let error = family
        .remove_by_labels([("m", "GET"), ("x", "")])
        .unwrap_err();
    assert_eq!(error.to_string(), "metric \"c\" has no label \"x\"");
    assert_eq!(family.series().len(), 3);
    assert_eq!(family.remove_by_labels([("m", "GET")]).unwrap(), 2);
    assert_eq!(family.series(), [["PUT", "/a"].map(Arc::from)]);
}

#[test]
fn a_family_of_unknown_label_count_checks_it() {
    let names = vec!["a".to_string(), "b".to_string()];
    let family: DynFamily<Gauge> = Gauge::builder("g", "")
        .dynamic_labels(names)
        .register(&registry())
        .unwrap();
    family.try_with_label_values(&["1", "2"]).unwrap().set(3.0);
    let error = family.try_with_label_values(&["1"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "metric \"g\" takes 2 label values, got 1"
    );
    assert!(family.remove(&["1"]).is_err());
    assert!(family.clone().try_into_family::<1>().is_none());
    assert_eq!(
        family
            .try_into_family::<2>()
            .unwrap()
            .with_label_values(["1", "2"])
            .get(),
        3.0
    );
}

#[test]
fn constant_labels_are_on_every_series() {
    let registry =
        registry().with_const_labels(&LabelSet::from_pairs([("app", "a"), ("z", "out")]));
    let family = Counter::builder("c", "")
        .labels(["l"])
        .const_label("z", "in")
        .register(&registry)
        .unwrap();
    family.with_label_values(["x"]).inc();
    let single = Gauge::builder("g", "").register(&registry).unwrap();
    single.set(2.0);
    assert_eq!(
        lines(&registry),
        ["c_total{app=a,l=x,z=in} 1", "g{app=a,z=out} 2"]
    );
    assert_eq!(family.series(), [["x"].map(Arc::from)]);
    assert!(family.remove(["x"]));
    let error = Counter::builder("d", "")
        .labels(["app"])
        .register(&registry)
        .unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::InvalidLabelName { .. }),
        "{error}"
    );
}

#[test]
fn wrong_declarations_are_refused() {
    let registry = registry();
    let text = |result: forkmeter_core::metric::Result<()>| result.unwrap_err().to_string();
    let counter = |name: &str| Counter::builder(name, "");
    let legacy = NameScheme::Legacy;
    let cases = [
        text(counter("").register(&registry).map(drop)),
        text(
            counter("a b")
                .name_scheme(legacy)
                .register(&registry)
                .map(drop),
        ),
        text(
            counter("c")
                .labels(["a.b"])
                .name_scheme(legacy)
                .register(&registry)
                .map(drop),
        ),
        text(counter("c").labels(["__a"]).register(&registry).map(drop)),
        text(
            counter("c")
                .labels(["a", "a"])
                .register(&registry)
                .map(drop),
        ),
        text(
            Histogram::builder("h", "")
                .labels(["le"])
                .register(&registry)
                .map(drop),
        ),
        text(
            Summary::builder("s", "")
                .labels(["quantile"])
                .register(&registry)
                .map(drop),
        ),
        text(
            Histogram::builder("h", "")
                .buckets([2.0, 1.0])
                .register(&registry)
                .map(drop),
        ),
        text(StateSet::builder("st", "").register(&registry).map(drop)),
        text(
            StateSet::builder("st", "")
                .states(["a", "a"])
                .register(&registry)
                .map(drop),
        ),
        text(
            StateSet::builder("st", "")
                .states(["a"])
                .labels(["st"])
                .register(&registry)
                .map(drop),
        ),
        text(
            Info::builder("i", "")
                .unit("bytes")
                .register(&registry)
                .map(drop),
        ),
    ];
    let expected = [
        "invalid metric name: it is empty",
        "invalid metric name \"a b\": ' ' at byte 1 is not a letter, a digit, '_' or ':'",
        "metric \"c\": invalid label name \"a.b\": '.' at byte 1 is not a letter, a digit or '_'",
        "metric \"c\": reserved label name \"__a\": names starting with \"__\" are internal",
        "metric \"c\": duplicate label name \"a\"",
        "metric \"h\": reserved label name \"le\": a histogram uses it itself",
        "metric \"s\": reserved label name \"quantile\": a summary uses it itself",
        "upper bounds of \"h\" must ascend strictly, 1 does not",
        "state set \"st\" needs states, each once",
        "state set \"st\" needs states, each once",
        "metric \"st\": reserved label name \"st\": a stateset uses it itself",
        "metric \"i\" is of a type that cannot have a unit, got \"bytes\"",
    ];
    assert_eq!(cases, expected);
    assert!(
        registry.gather().families.is_empty(),
        "a refused declaration left something behind"
    );
    counter("größe of")
        .labels(["a.b"])
        .register(&registry)
        .unwrap();
}

#[test]
fn a_removal_is_seen_by_threads_that_looked_the_series_up_before() {
    let registry = registry();
    let family = Counter::builder("c", "")
        .labels(["l"])
        .register(&registry)
        .unwrap();
    let other = Counter::builder("d", "")
        .labels(["l"])
        .register(&registry)
        .unwrap();
    let meeting = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            family.with_label_values(["x"]).inc_by(5.0);
            other.with_label_values(["x"]).inc_by(7.0);
            meeting.wait();
            meeting.wait();
            family.with_label_values(["x"]).inc();
            other.with_label_values(["x"]).inc();
        });
        meeting.wait();
        assert!(family.remove(["x"]));
        meeting.wait();
    });
    assert_eq!(lines(&registry), ["c_total{l=x} 1", "d_total{l=x} 8"]);
}

#[test]
fn a_thread_may_look_up_more_series_than_it_remembers() {
    let family = Counter::builder("c", "")
        .labels(["l"])
        .register(&registry())
        .unwrap();
    let labels: Vec<String> = (0..1_000).map(|label| label.to_string()).collect();
    for _ in 0..3 {
        for label in &labels {
            family.with_label_values([label]).inc();
        }
    }
    assert!(
        labels
            .iter()
            .all(|label| family.with_label_values([label]).get() == 3.0)
    );
    assert_eq!(family.series().len(), 1_000);
}

#[test]
fn threads_that_look_up_and_remove_never_lose_a_live_series() {
    let family = Counter::builder("c", "")
        .labels(["l"])
        .register(&registry())
        .unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for round in 0..3_000 {
                    family.with_label_values(["kept"]).inc();
                    let label = (round % 7).to_string();
                    family.with_label_values([&label]).inc();
                    family.remove([&label]);
                }
            });
        }
    });
    assert_eq!(family.with_label_values(["kept"]).get(), 9_000.0);
    // Whatever order the threads ran in, a handle that is asked for now is the one that is exposed.
    for label in 0..7 {
        let handle = family.with_label_values([&label.to_string()]);
        let before = handle.get();
        handle.inc();
        assert_eq!(
            family.with_label_values([&label.to_string()]).get(),
            before + 1.0
        );
        assert!(
            family
                .series()
                .iter()
                .any(|[value]| **value == *label.to_string())
        );
    }
}

#[test]
fn handles_that_come_and_go_in_any_order_count_on_their_series() {
    let registry = registry();
    let family = Counter::builder("c", "").labels(["l"]);
    let family = family.register(&registry).unwrap();
    let kept = family.with_label_values(["a"]);
    for _ in 0..3 {
        let [first, second] = [(); 2].map(|()| family.with_label_values(["a"]));
        family.with_label_values(["a"]).inc();
        first.clone().inc();
        drop(first);
        second.inc();
        std::thread::spawn(move || second.inc()).join().unwrap();
        family.with_label_values(["b"]).inc();
    }
    assert_eq!(kept.get(), 12.0);
    assert_eq!(family.with_label_values(["b"]).get(), 3.0);
    // A handle that is dropped after its series was removed is not what the next lookup gets.
    assert!(family.remove(["a"]));
    kept.inc();
    drop(kept);
    assert_eq!(family.with_label_values(["a"]).get(), 0.0);
    // Nor is one of another family with the same label values.
    let other = Counter::builder("other", "").labels(["l"]);
    let other = other.register(&registry).unwrap();
    other.with_label_values(["b"]).inc();
    assert_eq!(other.with_label_values(["b"]).get(), 1.0);
    assert_eq!(family.with_label_values(["b"]).get(), 3.0);
}

#[test]
fn label_values_that_look_alike_are_told_apart() {
    let registry = registry();
    let family = Counter::builder("c", "").labels(["a", "b"]);
    let family = family.register(&registry).unwrap();
    let long = |at: usize| {
        let mut text = "x".repeat(40);
        text.replace_range(at..=at, "y");
        text
    };
    let mut texts: Vec<String> = (0..40).map(long).collect();
    texts.extend(["", "a", "aa", "aaaa", "aaaaaaaa", "aaaaaaaaaaaaaaaaa"].map(String::from));
    for round in 1..4_u32 {
        for (weight, text) in (1_u32..).zip(&texts) {
            for labels in [[text, "z"], ["z", text]] {
                let counter = family.with_label_values(labels);
                counter.inc_by(f64::from(weight));
                assert_eq!(counter.get(), f64::from(round * weight), "{labels:?}");
            }
        }
    }
}
