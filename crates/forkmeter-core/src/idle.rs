//! Which series of a family nobody counted in for a while, as somebody sees who looks at its samples now and then.
//!
//! Used by whoever collects families that are to forget idle series. It knows no store: it is shown families as they
//! were collected, so it sees what all workers counted, whichever of them made a series.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use crate::model::{Descriptor, MetricFamily, MetricType, Sample};

/// The label values of one series, in the order in which the family's label names were declared.
pub type LabelValues = Box<[Arc<str>]>;

/// Two looks at least have to find a series unchanged, however long ago the last one was: a clock that is set forward
/// is no proof that nobody counted.
const MIN_LOOKS: u32 = 2;

/// Watches the series of one family.
///
/// A look costs time in proportion to the family's samples, and memory for each of its series.
///
/// # Examples
///
/// ```
/// use forkmeter_core::idle::IdleWatch;
/// use forkmeter_core::{Descriptor, LabelSet, MetricFamily, MetricType, Sample};
/// # let descriptor = Descriptor {
/// #     name: "jobs".into(), help: "".into(), unit: "".into(), kind: MetricType::Counter,
/// #     label_names: Box::new(["queue".into()]), mode: Default::default(),
/// #     upper_bounds: Box::default(), states: Box::default(),
/// # };
///
/// let mut family = MetricFamily::new("jobs", "", MetricType::Counter);
/// family.samples.push(Sample::new("jobs_total", LabelSet::from_pairs([("queue", "mail")]), 1.0));
/// let mut watch = IdleWatch::new(60.0);
/// assert!(watch.look(&descriptor, &family, 0.0).is_empty());
/// assert!(watch.look(&descriptor, &family, 30.0).is_empty());
/// assert_eq!(watch.look(&descriptor, &family, 60.0), [["mail".into()].into()]);
/// ```
#[derive(Debug)]
pub struct IdleWatch {
    idle_seconds: f64,
    seen: HashMap<LabelValues, Seen>,
    hasher: foldhash::fast::RandomState,
    looks: u64,
}

/// Is what the last look found of a series.
#[derive(Clone, Copy, Debug)]
struct Seen {
    fingerprint: u64,
    since_seconds: f64,
    unchanged_looks: u32,
    look: u64,
}

impl IdleWatch {
    /// Makes a watch for series that did not change for so many seconds.
    pub fn new(idle_seconds: f64) -> Self {
        Self {
            idle_seconds,
            seen: HashMap::new(),
            hasher: foldhash::fast::RandomState::default(),
            looks: 0,
        }
    }

    /// Looks at the family as it was collected at a time, and returns the series that have not changed for too long.
    ///
    /// What changes is a value; whoever sets a gauge to what it was leaves it idle. Families without labels, and infos,
    /// whose facts are said once, have no idle series.
    pub fn look(
        &mut self,
        descriptor: &Descriptor,
        family: &MetricFamily,
        now_seconds: f64,
    ) -> Vec<LabelValues> {
        if descriptor.label_names.is_empty() || descriptor.kind == MetricType::Info {
            return Vec::new();
        }
        self.looks += 1;
        for (label_values, fingerprint) in self.fingerprints(descriptor, family) {
            let new = Seen {
                fingerprint,
                since_seconds: now_seconds,
                unchanged_looks: 0,
                look: self.looks,
            };
            let seen = self.seen.entry(label_values).or_insert(new);
            if seen.fingerprint == fingerprint && seen.look != self.looks {
                seen.unchanged_looks += 1;
                seen.look = self.looks;
                // A clock that is set back starts the time again.
                seen.since_seconds = seen.since_seconds.min(now_seconds);
            } else {
                *seen = new;
            }
        }
        let look = self.looks;
        self.seen.retain(|_, seen| seen.look == look);
        let is_idle = |_: &LabelValues, seen: &mut Seen| {
            let idle_seconds = now_seconds - seen.since_seconds;
            seen.unchanged_looks >= MIN_LOOKS && idle_seconds >= self.idle_seconds
        };
        // Forgotten here, too: one that is made again begins anew.
        let idle = self.seen.extract_if(is_idle);
        let mut idle: Vec<_> = idle.map(|(values, _)| values).collect();
        idle.sort();
        idle
    }

    /// Returns a number for each series that is another one when any of its values is.
    fn fingerprints(
        &self,
        descriptor: &Descriptor,
        family: &MetricFamily,
    ) -> HashMap<LabelValues, u64> {
        let mut fingerprints: HashMap<LabelValues, u64> = HashMap::new();
        for sample in &family.samples {
            let Some(values) = label_values(descriptor, sample) else {
                continue;
            };
            let value = (&*sample.name, &sample.labels, sample.value.to_bits());
            // The order in which workers' samples stand does not matter.
            let sum = fingerprints.entry(values).or_default();
            *sum = sum.wrapping_add(self.hasher.hash_one(value));
        }
        fingerprints
    }
}

/// Returns the label values of the series that a sample belongs to; none where it lacks a label.
fn label_values(descriptor: &Descriptor, sample: &Sample) -> Option<LabelValues> {
    let value_of = |name: &Arc<str>| {
        let mut labels = sample.labels.iter_shared();
        let label = labels.find(|(other, _)| *other == name)?;
        Some(Arc::clone(label.1))
    };
    descriptor.label_names.iter().map(value_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LabelSet, MultiprocessMode};

    fn descriptor(kind: MetricType) -> Descriptor {
        Descriptor {
            name: "m".into(),
            help: "".into(),
            unit: "".into(),
            kind,
            label_names: Box::new(["b".into(), "a".into()]),
            mode: MultiprocessMode::default(),
            upper_bounds: Box::default(),
            states: Box::default(),
        }
    }

    fn family(samples: &[(&str, &str, f64)]) -> MetricFamily {
        let mut family = MetricFamily::new("m", "", MetricType::Gauge);
        for (name, labels, value) in samples {
            let pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
            let labels = LabelSet::from_pairs(pairs);
            family.samples.push(Sample::new(*name, labels, *value));
        }
        family
    }

    fn idle(
        watch: &mut IdleWatch,
        samples: &[(&str, &str, f64)],
        now_seconds: f64,
    ) -> Vec<Vec<String>> {
        let found = watch.look(
            &descriptor(MetricType::Gauge),
            &family(samples),
            now_seconds,
        );
        let text = |values: &LabelValues| values.iter().map(ToString::to_string).collect();
        found.iter().map(text).collect()
    }

    #[test]
    fn what_changes_stays_and_what_does_not_goes_after_its_time() {
        let mut watch = IdleWatch::new(10.0);
        assert!(
            idle(
                &mut watch,
                &[("m", "a=1,b=2", 1.0), ("m", "a=2,b=2", 1.0)],
                0.0
            )
            .is_empty()
        );
        assert!(
            idle(
                &mut watch,
                &[("m", "a=1,b=2", 1.0), ("m", "a=2,b=2", 2.0)],
                9.0
            )
            .is_empty()
        );
        let found = idle(
            &mut watch,
            &[("m", "a=1,b=2", 1.0), ("m", "a=2,b=2", 2.0)],
            10.0,
        );
        assert_eq!(found, [["2", "1"]]);
        let found = idle(&mut watch, &[("m", "a=2,b=2", 2.0)], 19.0);
        assert_eq!(found, [["2", "2"]]);
    }

    #[test]
    fn a_clock_that_is_set_is_no_proof() {
        let mut watch = IdleWatch::new(10.0);
        let samples = [("m", "a=1,b=2", 1.0)];
        assert!(idle(&mut watch, &samples, 100.0).is_empty());
        assert!(idle(&mut watch, &samples, 1e6).is_empty());
        assert_eq!(idle(&mut watch, &samples, 1e6 + 1.0), [["2", "1"]]);
        assert!(idle(&mut watch, &samples, 5.0).is_empty());
        assert!(idle(&mut watch, &samples, 14.0).is_empty());
        assert_eq!(idle(&mut watch, &samples, 15.0), [["2", "1"]]);
    }

    #[test]
    fn a_series_that_was_away_starts_anew() {
        let mut watch = IdleWatch::new(10.0);
        let samples = [("m", "a=1,b=2", 1.0)];
        for now_seconds in [0.0, 5.0] {
            assert!(idle(&mut watch, &samples, now_seconds).is_empty());
        }
        assert!(idle(&mut watch, &[], 11.0).is_empty());
        for now_seconds in [12.0, 20.0] {
            assert!(idle(&mut watch, &samples, now_seconds).is_empty());
        }
        assert_eq!(idle(&mut watch, &samples, 22.0), [["2", "1"]]);
    }

    #[test]
    fn a_series_with_several_samples_is_idle_when_all_of_them_are() {
        let mut watch = IdleWatch::new(1.0);
        let at = |low: f64, high: f64| {
            [
                ("m_bucket", "a=1,b=2,le=1", low),
                ("m_bucket", "a=1,b=2,le=+Inf", high),
            ]
        };
        let steps = [(0.0, 1.0), (0.0, 2.0), (1.0, 2.0), (1.0, 2.0)];
        for (now_seconds, (low, high)) in (0_u32..).zip(steps) {
            let found = idle(&mut watch, &at(low, high), f64::from(now_seconds));
            assert!(found.is_empty());
        }
        assert_eq!(idle(&mut watch, &at(1.0, 2.0), 4.0), [["2", "1"]]);
    }

    #[test]
    fn a_value_that_moves_from_one_worker_to_another_is_a_change() {
        let mut watch = IdleWatch::new(1.0);
        for now_seconds in [0.0, 1.0, 2.0, 3.0] {
            let is_even = now_seconds % 2.0 == 0.0;
            let (one, other) = if is_even { (1.0, 2.0) } else { (2.0, 1.0) };
            let samples = [("m", "a=1,b=2,pid=7", one), ("m", "a=1,b=2,pid=8", other)];
            assert!(idle(&mut watch, &samples, now_seconds).is_empty());
        }
    }

    #[test]
    fn infos_and_what_has_no_labels_are_never_idle() {
        for kind in [MetricType::Info, MetricType::Gauge] {
            let mut watch = IdleWatch::new(1.0);
            let mut described = descriptor(kind);
            if kind == MetricType::Gauge {
                described.label_names = Box::default();
            }
            for now_seconds in [0.0, 10.0, 20.0] {
                let family = family(&[("m", "a=1,b=2", 1.0)]);
                assert!(watch.look(&described, &family, now_seconds).is_empty());
            }
        }
    }
}
