//! Takes series out: for good, or until somebody counts in them again.

use std::sync::Arc;

use forkmeter_core::{Descriptor, MetricType};

use super::State;
use crate::directory::is_shared;
use crate::segment::Found;
use crate::store::Options;
use crate::store::series::{Series, Values, mark_removed};

impl State {
    /// Removes a series for everybody; handles of it count nowhere from now on.
    pub(in crate::store) fn remove(
        &mut self,
        options: &Options,
        descriptor: &Arc<Descriptor>,
        label_values: &[&str],
    ) -> bool {
        self.follow(options);
        self.shares.forget(&descriptor.name);
        let values = Values::pack(label_values);
        let known = self.family(descriptor).remove(&values);
        let mut was_there = false;
        if let Some(series) = &known {
            was_there = !series.is_expired() || series.is_counted();
            self.unpublished.retain(|other| !Arc::ptr_eq(other, series));
            self.draining
                .retain(|(other, _)| !Arc::ptr_eq(other, series));
            series.remove();
        }
        self.remove_from_files(options, descriptor, label_values) || was_there
    }

    /// Removes a series for everybody until somebody counts in it: with a handle that was made before, or a new one.
    pub(in crate::store) fn expire(
        &mut self,
        options: &Options,
        descriptor: &Arc<Descriptor>,
        label_values: &[&str],
    ) -> bool {
        self.follow(options);
        self.shares.forget(&descriptor.name);
        let values = Values::pack(label_values);
        let family = self.family(descriptor);
        let known = family.get(&values, family.hash(&values)).cloned();
        if let Some(series) = &known {
            if series.is_expired() {
                return false;
            }
            if series.list_as_kept(false) {
                self.unpublished.retain(|other| !Arc::ptr_eq(other, series));
            }
            series.expire();
        }
        let was_in_file = self.remove_from_files(options, descriptor, label_values);
        let was_known = known.is_some();
        if let Some(series) = known {
            let mut counted = Vec::new();
            self.family(descriptor).expire(series, &mut counted);
            self.publish_counted(&counted);
        }
        was_in_file || was_known
    }

    /// Marks a series as removed in the files of all workers, also one that this worker does not know; tells whether it
    /// was there.
    fn remove_from_files(
        &mut self,
        options: &Options,
        descriptor: &Arc<Descriptor>,
        label_values: &[&str],
    ) -> bool {
        let labels = descriptor.labels(label_values);
        let Some(open) = self.open.as_mut() else {
            return false;
        };
        let now = (options.clock)();
        let mut was_there = false;
        let removed = match descriptor.kind {
            MetricType::Info => open.set_info(&descriptor.name, &labels, None),
            _ if is_shared(descriptor) || descriptor.kind == MetricType::StateSet => {
                // A series that only other workers counted is removed in the file all the same.
                let mut slots = Vec::new();
                let visited = open.visit_places(descriptor, &labels, &mut |place| {
                    was_there |= mark_removed(place, now);
                    slots.extend(place.slots.iter().map(Found::id));
                });
                visited.and_then(|()| open.clear_exemplars(descriptor, &slots))
            }
            _ => open
                .remove_gauge(descriptor, &labels)
                .map(|removed| was_there |= removed),
        };
        self.note(removed);
        was_there
    }

    /// Brings expired series back that somebody counted in, and forgets those of which nobody has a handle.
    pub(super) fn look_at_expired(&mut self) {
        let mut counted: Vec<Arc<Series>> = Vec::new();
        for family in &mut self.families {
            family.look_at_expired(&mut counted);
        }
        self.publish_counted(&counted);
    }

    fn publish_counted(&mut self, counted: &[Arc<Series>]) {
        for series in counted {
            if !series.is_published() || series.has_kept() {
                self.publish_or_keep(series);
            }
        }
    }
}
