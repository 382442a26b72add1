//! How the families that workers published become one list.

use std::collections::HashMap;
use std::sync::Arc;

use forkmeter_core::merge::Merged;
use forkmeter_core::{LabelSet, MergeRule, MetricFamily, MetricType, MultiprocessMode, Sample};

use super::Published;
use crate::reader::of_worker;

/// Merges what workers published, given with their tags, by family name in order of first appearance.
///
/// By default every series gets the label `pid`, whose value is the worker's tag, as gauges do. The modes that are no `all` combine
/// the workers' values as they do for gauges. Facts (families of type info, and gauges whose name ends with `_info`)
/// that several workers agree on stand there once, without that label. Which of the three it is never depends on
/// values, so that no series comes and goes with them. Of families that contradict each other in their type, that of
/// the first worker stays.
pub fn merge(workers: Vec<(String, Published)>) -> Vec<MetricFamily> {
    let mut merged: Vec<Accumulated> = Vec::new();
    let mut by_name: HashMap<Arc<str>, usize> = HashMap::new();
    for (tag, published) in workers {
        let tag: Arc<str> = tag.into();
        for (mut family, mode) in published.families {
            let samples = std::mem::take(&mut family.samples);
            let index = *by_name
                .entry(Arc::clone(&family.name))
                .or_insert(merged.len());
            if index == merged.len() {
                merged.push(Accumulated::new(family, mode));
            } else if merged[index].family.kind != family.kind {
                continue;
            }
            merged[index].add(&tag, published.time_seconds, samples);
        }
    }
    merged.into_iter().map(Accumulated::finish).collect()
}

/// Is a family with the samples of the workers so far.
struct Accumulated {
    family: MetricFamily,
    rule: MergeRule,
    is_fact: bool,
    index: HashMap<(Arc<str>, LabelSet), usize>,
    values: Vec<Merged>,
}

impl Accumulated {
    fn new(family: MetricFamily, mode: MultiprocessMode) -> Self {
        let is_fact = match family.kind {
            MetricType::Info => true,
            MetricType::Gauge => family.name.ends_with("_info"),
            _ => false,
        };
        Self {
            family,
            rule: mode.rule(),
            is_fact,
            index: HashMap::new(),
            values: Vec::new(),
        }
    }

    fn add(&mut self, tag: &Arc<str>, time_seconds: f64, samples: Vec<Sample>) {
        let rule = if self.is_fact {
            MergeRule::Max
        } else {
            self.rule
        };
        for mut sample in samples {
            if rule == MergeRule::PerWorker {
                sample.labels = of_worker(&sample.labels, tag);
            }
            let key = (Arc::clone(&sample.name), sample.labels.clone());
            let value = sample.value;
            let index = *self.index.entry(key).or_insert(self.values.len());
            if index == self.values.len() {
                self.family.samples.push(sample);
                self.values.push(Merged::empty(rule));
            }
            self.values[index].add(rule, value, time_seconds);
        }
    }

    fn finish(mut self) -> MetricFamily {
        for (sample, value) in self.family.samples.iter_mut().zip(&self.values) {
            sample.value = value.value();
        }
        self.family
    }
}
