//! Families that remove series in which nobody counts any more, when they are collected.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Registry, What};
use crate::idle::LabelValues;
use crate::metric::{DynFamily, Metric};
use crate::model::{Descriptor, LabelSet, MetricFamily};

/// Is such a family, whatever its kind.
pub(super) trait Forgetful: Send + Sync {
    /// Tells whether its idle series are to go.
    fn is_forgetful(&self) -> bool;

    /// Removes what a collection at a time shows to be idle, from the store and from the collected family.
    fn remove_idle(&self, collected: &mut MetricFamily, now_seconds: f64);
}

impl<M: Metric> Forgetful for DynFamily<M> {
    fn is_forgetful(&self) -> bool {
        self.forgets_idle_series()
    }

    fn remove_idle(&self, collected: &mut MetricFamily, now_seconds: f64) {
        let removed = DynFamily::remove_idle(self, collected, now_seconds);
        let descriptor = self.descriptor();
        for values in removed {
            let samples = &mut collected.samples;
            samples.retain(|sample| !is_of(descriptor, &values, &sample.labels));
        }
    }
}

impl Registry {
    /// Tells whether any family removes idle series.
    pub(super) fn has_forgetful(&self) -> bool {
        !self.forgetful().is_empty()
    }

    fn forgetful(&self) -> HashMap<Arc<str>, Arc<dyn Forgetful>> {
        self.locked(|state| {
            let entries = state.entries.values();
            let forgetful = entries.filter_map(|entry| match &entry.what {
                What::Family {
                    descriptor,
                    forgetful,
                    ..
                } if !descriptor.label_names.is_empty() && forgetful.is_forgetful() => {
                    Some((Arc::clone(&descriptor.name), Arc::clone(forgetful)))
                }
                _ => None,
            });
            forgetful.collect()
        })
    }
}

/// Has families remove their idle series, of which a collection shows no more.
pub(super) fn forget(registry: &Registry, families: &mut [MetricFamily]) {
    let forgetful = registry.forgetful();
    let now_seconds = registry.store.now_seconds();
    for family in families {
        if let Some(forgetful) = forgetful.get(&family.name) {
            forgetful.remove_idle(family, now_seconds);
        }
    }
}

/// Tells whether a sample with these labels is of the series with these label values.
fn is_of(descriptor: &Descriptor, values: &LabelValues, labels: &LabelSet) -> bool {
    let mut pairs = descriptor.label_names.iter().zip(values);
    pairs.all(|(name, value)| labels.get(name) == Some(&**value))
}
