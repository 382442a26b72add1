//! The immutable metadata of a family that a program declares, and the layout of its series' slots.

use std::fmt;
use std::sync::Arc;

use super::{Exemplar, LabelSet, MetricFamily, MetricType, MultiprocessMode, Sample};
use crate::store::Slots;

/// Holds the immutable metadata of one metric family that is instrumented (not collected by custom code).
///
/// It is also the one place that knows which value cells a series of each type has, under which sample
/// names and labels they are exposed, and so where the suffixes come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Descriptor {
    /// The family's name without suffix, unit included.
    pub name: Arc<str>,
    /// What the family measures.
    pub help: Arc<str>,
    /// The unit; empty where there is none.
    pub unit: Arc<str>,
    /// The type. [`MetricType::GaugeHistogram`] is not instrumented.
    pub kind: MetricType,
    /// The label names, in the order in which label values are passed.
    pub label_names: Box<[Arc<str>]>,
    /// How values of several workers merge; read for gauges (and untyped families) only.
    pub mode: MultiprocessMode,
    /// A histogram's upper bounds, strictly ascending, the last one `+Inf`; empty for other types.
    pub upper_bounds: Box<[f64]>,
    /// A state set's states; empty for other types.
    pub states: Box<[Arc<str>]>,
}

/// Index of the sum slot of a histogram series; the buckets follow it.
pub const HISTOGRAM_SUM: usize = 0;
/// Index of the first bucket slot of a histogram series.
pub const HISTOGRAM_FIRST_BUCKET: usize = 1;
/// Index of the count slot of a summary series.
pub const SUMMARY_COUNT: usize = 0;
/// Index of the sum slot of a summary series.
pub const SUMMARY_SUM: usize = 1;

/// Says under which sample one slot of a series stands in a store.
#[derive(Clone, Debug, PartialEq)]
pub struct SlotName {
    /// What is appended to the family's name.
    pub suffix: &'static str,
    /// The upper bound of a bucket slot, whose `le` label it is.
    pub upper_bound: Option<f64>,
}

impl Descriptor {
    /// Returns how many slots a series has: 1 for a counter, gauge, state set or untyped family, 2 for a
    /// summary, one more than it has buckets for a histogram, 0 for an info family.
    pub fn slot_count(&self) -> usize {
        match self.kind {
            MetricType::Info => 0,
            MetricType::Summary => 2,
            MetricType::Histogram | MetricType::GaugeHistogram => 1 + self.upper_bounds.len(),
            _ => 1,
        }
    }

    /// Returns the sample name and bound of slot `index`.
    ///
    /// Bucket slots hold the observations of their own bucket only; readers accumulate them. The order is the
    /// official client's: a histogram's sum before its buckets, a summary's count before its sum.
    ///
    /// # Panics
    ///
    /// Panics when `index` is not below [`Descriptor::slot_count`].
    pub fn slot(&self, index: usize) -> SlotName {
        assert!(
            index < self.slot_count(),
            "slot {index} of {} does not exist",
            self.name
        );
        let plain = |suffix| SlotName {
            suffix,
            upper_bound: None,
        };
        match (self.kind, index) {
            (MetricType::Counter, _) => plain("_total"),
            (MetricType::Summary, SUMMARY_COUNT) => plain("_count"),
            (MetricType::Summary | MetricType::Histogram | MetricType::GaugeHistogram, _)
                if !self.is_bucket(index) =>
            {
                plain("_sum")
            }
            (MetricType::Histogram | MetricType::GaugeHistogram, _) => SlotName {
                suffix: "_bucket",
                upper_bound: Some(self.upper_bounds[index - HISTOGRAM_FIRST_BUCKET]),
            },
            _ => plain(""),
        }
    }

    fn is_bucket(&self, index: usize) -> bool {
        !self.upper_bounds.is_empty() && index >= HISTOGRAM_FIRST_BUCKET
    }

    /// Pairs label values, in declared order, with the label names.
    ///
    /// Values beyond the declared names are dropped: callers check the count.
    pub fn labels(&self, label_values: &[&str]) -> LabelSet {
        let values = label_values.iter().map(|value| Arc::<str>::from(*value));
        self.label_names.iter().cloned().zip(values).collect()
    }
}

/// Gives [`Descriptor::expose`] what stands in the slots of one series.
pub trait SlotValues: fmt::Debug {
    /// Returns the value of a slot.
    fn value(&self, index: usize) -> f64;

    /// Returns the exemplar of a slot.
    fn exemplar(&self, index: usize) -> Option<Exemplar>;
}

impl<S: Slots> SlotValues for S {
    fn value(&self, index: usize) -> f64 {
        self.get(index)
    }

    fn exemplar(&self, index: usize) -> Option<Exemplar> {
        Slots::exemplar(self, index)
    }
}

/// Shows one series to [`Descriptor::expose`].
#[derive(Debug)]
pub struct SeriesView<'a> {
    /// The series' labels.
    pub labels: LabelSet,
    /// The facts of an info series.
    pub info: Option<LabelSet>,
    /// When the series was made, as Unix time in seconds, where a `_created` sample is wanted.
    pub created_seconds: Option<f64>,
    /// The value cells.
    pub slots: &'a dyn SlotValues,
}

impl Descriptor {
    /// Returns the family that the descriptor describes, without samples.
    pub fn family(&self) -> MetricFamily {
        MetricFamily {
            unit: Arc::clone(&self.unit),
            ..MetricFamily::new(Arc::clone(&self.name), Arc::clone(&self.help), self.kind)
        }
    }

    /// Appends the samples of one series, in the order of the official client's single-process mode:
    /// a histogram's cumulative buckets, its count and sum, and the created time last.
    ///
    /// As there, a histogram with a negative upper bound has no `_sum`, since its sum may go down.
    pub fn expose(&self, series: &SeriesView<'_>, samples: &mut Vec<Sample>) {
        let slots = series.slots;
        let labels = &series.labels;
        let name = |suffix: &str| -> Arc<str> { format!("{}{suffix}", self.name).into() };
        let plain = |suffix: &str, value| Sample::new(name(suffix), labels.clone(), value);
        match self.kind {
            MetricType::Counter => {
                let total = plain("_total", slots.value(0));
                samples.push(Sample {
                    exemplar: slots.exemplar(0),
                    ..total
                });
            }
            MetricType::Gauge | MetricType::Unknown => samples.push(plain("", slots.value(0))),
            MetricType::Summary => {
                samples.push(plain("_count", slots.value(SUMMARY_COUNT)));
                samples.push(plain("_sum", slots.value(SUMMARY_SUM)));
            }
            MetricType::Histogram | MetricType::GaugeHistogram => {
                self.expose_histogram(series, samples);
            }
            MetricType::Info => {
                let facts = series.info.clone().unwrap_or_default();
                let facts = facts.iter_shared().map(|(n, v)| (n.clone(), v.clone()));
                let own = labels.iter_shared().map(|(n, v)| (n.clone(), v.clone()));
                samples.push(Sample::new(name("_info"), own.chain(facts).collect(), 1.0));
            }
            MetricType::StateSet => {
                let current = slots.value(0);
                for (index, state) in (0_u32..).zip(&self.states) {
                    let labels = labels.with(Arc::clone(&self.name), Arc::clone(state));
                    let on = (current - f64::from(index)).abs() < 0.5;
                    samples.push(Sample::new(
                        Arc::clone(&self.name),
                        labels,
                        f64::from(u8::from(on)),
                    ));
                }
            }
        }
        if let Some(created) = series.created_seconds
            && matches!(
                self.kind,
                MetricType::Counter | MetricType::Histogram | MetricType::Summary
            )
        {
            samples.push(plain("_created", created));
        }
    }

    fn expose_histogram(&self, series: &SeriesView<'_>, samples: &mut Vec<Sample>) {
        let bucket_name: Arc<str> = format!("{}_bucket", self.name).into();
        let mut count = 0.0;
        for (index, bound) in self.upper_bounds.iter().enumerate() {
            let slot = HISTOGRAM_FIRST_BUCKET + index;
            count += series.slots.value(slot);
            let labels = series
                .labels
                .with("le", crate::encode::format_value(*bound));
            let bucket = Sample::new(Arc::clone(&bucket_name), labels, count);
            samples.push(Sample {
                exemplar: series.slots.exemplar(slot),
                ..bucket
            });
        }
        let plain = |suffix: &str, value| {
            Sample::new(
                format!("{}{suffix}", self.name),
                series.labels.clone(),
                value,
            )
        };
        samples.push(plain("_count", count));
        if self.upper_bounds.first().is_none_or(|bound| *bound >= 0.0) {
            samples.push(plain("_sum", series.slots.value(HISTOGRAM_SUM)));
        }
    }
}
