//! Generated families that every parser accepts.

use std::collections::BTreeMap;

use forkmeter_core::{Exemplar, LabelSet, MetricFamily, MetricType, Sample, Timestamp};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

type Labels = BTreeMap<String, String>;

/// Yields names of the legacy set and others. They end in a letter: the official client takes a name with a
/// newline at its end for a legacy one.
fn name(first: &'static str) -> BoxedStrategy<String> {
    let utf8 = "\\PC{0,3}[a.\"\\\\\n{}=,# é🌡]{1,4}[a-z]";
    prop_oneof![3 => first.prop_map(String::from), 2 => utf8.prop_map(String::from)]
        .prop_filter("reserved", |name| !name.starts_with("__"))
        .boxed()
}

fn label_name() -> BoxedStrategy<String> {
    let legacy = prop_oneof!["[a-zA-Z][a-z0-9_]{0,6}", "_[a-z0-9][a-z_]{0,4}"];
    let utf8 = name("[a-z]{1,3}");
    prop_oneof![3 => legacy, 1 => utf8]
        .prop_filter("reserved", |name| name != "le" && name != "quantile")
        .boxed()
}

/// Yields text with the characters that escapes are about.
fn text() -> BoxedStrategy<String> {
    prop_oneof!["[a-z/]{0,8}", "[ab\\\\\n\" {}=,#\t\r]{0,12}", "\\PC{0,10}"].boxed()
}

fn labels(most: usize) -> BoxedStrategy<Labels> {
    btree_map(label_name(), text(), 0..=most).boxed()
}

fn value() -> BoxedStrategy<f64> {
    let special = prop_oneof![
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(-0.0),
        Just(f64::MIN)
    ];
    prop_oneof![3 => any::<f64>(), 3 => (-2_000_000_i32..9_000_000).prop_map(f64::from), 1 => special].boxed()
}

fn positive() -> BoxedStrategy<f64> {
    value()
        .prop_map(|value| if value.is_nan() { 0.0 } else { value.abs() })
        .boxed()
}

/// Yields times that both formats can carry.
fn timestamp() -> BoxedStrategy<Timestamp> {
    let exact = (-5_000_000_000_i64..5_000_000_000, 0..1_000_000_000_i32);
    let exact = exact.prop_map(|(seconds, nanoseconds)| {
        // The official client writes negative exact times in a way that nobody can read.
        Timestamp::Exact {
            seconds: seconds.abs(),
            nanoseconds,
        }
    });
    let seconds = prop_oneof![-1e10..1e10_f64, (0_i32..2_000_000_000).prop_map(f64::from)];
    prop_oneof![exact, seconds.prop_map(Timestamp::Seconds)].boxed()
}

fn exemplar() -> BoxedStrategy<Exemplar> {
    let labels = btree_map("[a-z]{1,8}", "[a-f0-9\\\\\n\"]{0,16}", 0..3);
    (labels, value(), option::of(timestamp()))
        .prop_map(|(labels, value, timestamp)| Exemplar {
            labels: LabelSet::from_pairs(labels),
            value,
            timestamp,
        })
        .boxed()
}

/// What one series is made of; each type takes what it needs.
#[derive(Clone, Debug)]
struct Series {
    labels: Labels,
    value: f64,
    positive: f64,
    bounds: Vec<u32>,
    timestamp: Option<Timestamp>,
    exemplar: Option<Exemplar>,
    created: Option<f64>,
}

fn series() -> impl Strategy<Value = Series> {
    let bounds = btree_set(0..5_000_000_u32, 0..4).prop_map(|bounds| bounds.into_iter().collect());
    let created = option::of(0.0..2e9_f64);
    let exemplar = option::weighted(0.3, exemplar());
    let timestamp = option::weighted(0.3, timestamp());
    (
        labels(4),
        value(),
        positive(),
        bounds,
        timestamp,
        exemplar,
        created,
    )
        .prop_map(
            |(labels, value, positive, bounds, timestamp, exemplar, created)| Series {
                labels,
                value,
                positive,
                bounds,
                timestamp,
                exemplar,
                created,
            },
        )
}

impl Series {
    fn add_to(&self, family: &mut MetricFamily) {
        let labels = LabelSet::from_pairs(self.labels.clone());
        let name = family.name.to_string();
        let sample = |suffix: &str, labels: &LabelSet, value| Sample {
            timestamp: self.timestamp,
            ..Sample::new(format!("{name}{suffix}"), labels.clone(), value)
        };
        let is_gauge_histogram = family.kind == MetricType::GaugeHistogram;
        let samples = &mut family.samples;
        match family.kind {
            MetricType::Counter => samples.push(Sample {
                exemplar: self.exemplar.clone(),
                ..sample("_total", &labels, self.positive)
            }),
            MetricType::Gauge | MetricType::Unknown => {
                samples.push(sample("", &labels, self.value));
            }
            MetricType::Info => samples.push(sample("_info", &labels, 1.0)),
            MetricType::StateSet => {
                for (state, on) in [("on \"1\"", 1.0), ("off", 0.0)] {
                    samples.push(sample("", &labels.with(name.clone(), state), on));
                }
            }
            MetricType::Summary => {
                let quantile = labels.with("quantile", "0.5");
                samples.push(sample("", &quantile, self.positive));
                samples.push(sample(
                    "_count",
                    &labels,
                    self.bounds.iter().map(|_| 1.0).sum(),
                ));
                samples.push(sample("_sum", &labels, self.positive));
            }
            MetricType::Histogram | MetricType::GaugeHistogram => {
                let mut count = 0.0;
                let bounds = self.bounds.iter().map(|bound| f64::from(*bound) / 64.0);
                for bound in bounds.chain([f64::INFINITY]) {
                    count += 3.0;
                    let le = forkmeter_core::encode::format_value(bound);
                    let bucket = sample("_bucket", &labels.with("le", le), count);
                    samples.push(Sample {
                        exemplar: self.exemplar.clone(),
                        ..bucket
                    });
                }
                let (count_suffix, sum_suffix) = if is_gauge_histogram {
                    ("_gcount", "_gsum")
                } else {
                    ("_count", "_sum")
                };
                samples.push(sample(count_suffix, &labels, count));
                samples.push(sample(sum_suffix, &labels, self.positive));
            }
        }
        let has_created = matches!(
            family.kind,
            MetricType::Counter | MetricType::Summary | MetricType::Histogram
        );
        if let Some(created) = self.created.filter(|_| has_created) {
            samples.push(sample("_created", &labels, created));
        }
    }
}

fn family(index: usize) -> impl Strategy<Value = MetricFamily> {
    let unit = option::weighted(0.3, "[a-z]{1,6}");
    let kind = proptest::sample::select(&MetricType::ALL[..]);
    let help = text().prop_map(|help| help.trim().to_owned());
    (
        name("[a-zA-Z:][a-z:0-9_]{0,6}"),
        help,
        kind,
        unit,
        vec(series(), 0..4),
    )
        .prop_map(move |(base, help, kind, unit, series)| {
            let unit = unit.filter(|_| !matches!(kind, MetricType::Info | MetricType::StateSet));
            // The number keeps names apart, from those with suffixes as well.
            let name = match &unit {
                Some(unit) => format!("{base}_{index}_{unit}"),
                None => format!("{base}_{index}"),
            };
            let mut family = MetricFamily::new(name, help, kind);
            family.unit = unit.unwrap_or_default().into();
            let mut seen = std::collections::HashSet::new();
            for one in series {
                if seen.insert(one.labels.clone()) {
                    one.add_to(&mut family);
                }
            }
            family
        })
}

/// Yields up to four families with names of their own.
pub(crate) fn families() -> impl Strategy<Value = Vec<MetricFamily>> {
    (family(0), family(1), family(2), family(3), 0..=4_usize).prop_map(|(a, b, c, d, count)| {
        let mut families = vec![a, b, c, d];
        families.truncate(count);
        families
    })
}
