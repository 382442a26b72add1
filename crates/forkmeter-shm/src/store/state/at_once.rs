//! The making of a series where nothing is in the way: no system call, no waiting, few allocations.

use std::sync::Arc;

use forkmeter_core::Descriptor;

use super::State;
use crate::process;
use crate::store::Shared;
use crate::store::series::{Series, Values};

/// Label sets of so many labels are put in order without an allocation.
const FEW_LABELS: usize = 8;

impl State {
    /// Looks a series up, or makes it, where that needs neither a system call nor anybody else; nothing where it does, or
    /// where something may be to be followed first, and then nothing happened.
    pub(in crate::store) fn intern_at_once(
        &mut self,
        shared: &Arc<Shared>,
        descriptor: &Arc<Descriptor>,
        label_values: &[&str],
    ) -> Option<Arc<Series>> {
        let is_quiet = self.followed_in == process::epoch()
            && self.retry_at.is_none()
            && !self.undeclared
            && self.rewritten.is_empty()
            && !self.looks.is_wary(&shared.hints);
        let open = self.open.as_mut().filter(|_| is_quiet)?;
        if open.has_sealed() || open.has_left() {
            return None;
        }
        let family = match self.families.get(self.last_family) {
            Some(last) if Arc::ptr_eq(&last.descriptor, descriptor) => self.last_family,
            _ => *self.by_name.get(&descriptor.name)?,
        };
        let known = &self.families[family];
        if !Arc::ptr_eq(&known.descriptor, descriptor) && known.descriptor != *descriptor {
            return None;
        }
        self.last_family = family;
        let values = Values::pack(label_values);
        let known = &self.families[family];
        let hash = known.hash(&values);
        if let Some(series) = known.get(&values, hash) {
            let is_there = series.is_published() && !series.is_left() && !series.is_expired();
            return is_there.then(|| Arc::clone(series));
        }
        let now = (shared.options.clock)();
        let open = self.open.as_mut()?;
        let place = with_sorted_labels(descriptor, label_values, |labels| {
            open.intern_at_once(descriptor, labels, now, &mut |_| 0.0)
        })??;
        let family = &mut self.families[family];
        let series = Series::new(family.home(shared), values, now);
        family.add(&series, hash);
        series.publish(&place);
        Some(series)
    }
}

/// Calls `f` with names and values as a set of them yields them; nothing where there are many, or one has two names.
fn with_sorted_labels<R>(
    descriptor: &Descriptor,
    label_values: &[&str],
    f: impl FnOnce(&[(&str, &str)]) -> R,
) -> Option<R> {
    let names = &descriptor.label_names;
    if names.len() > FEW_LABELS || names.len() != label_values.len() {
        return None;
    }
    let mut labels = [("", ""); FEW_LABELS];
    let labels = &mut labels[..names.len()];
    for (label, pair) in labels.iter_mut().zip(names.iter().zip(label_values)) {
        *label = (pair.0, pair.1);
    }
    labels.sort_unstable_by_key(|(name, _)| *name);
    let has_each_once = labels.windows(2).all(|pair| pair[0].0 != pair[1].0);
    has_each_once.then(|| f(labels))
}
