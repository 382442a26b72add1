//! Families that may have no more than so many series, those of all workers together.
//!
//! A worker may make new series as long as it has a share of the room that a read of the directory has shown: a small part
//! of it, divided by the workers that live. It reads again once it has used that up, so the parts get smaller as the room
//! does, down to one series each. Shares that others hold are not seen, so workers that start at the same time may
//! together make more: an eighth of the limit, and one for each of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use forkmeter_core::model::OVERFLOW_LABEL_VALUE;
use forkmeter_core::store::Slots;
use forkmeter_core::{Descriptor, MetricFamily, MetricType};

use super::Shared;
use super::state::State;
use crate::directory::is_shared;
use crate::layout;
use crate::map::timestamp_of;
use crate::workers;

/// How long a worker that found no room waits before it reads again.
const PAUSE: Duration = Duration::from_secs(1);

/// Which part of the room all workers together may take before they look again.
const PART: usize = 8;
/// How many series a worker makes at most before it looks again.
const MAX_SHARE: usize = 32;

/// Are the shares of this worker, by the family's name.
#[derive(Debug, Default)]
pub(super) struct Shares(HashMap<Arc<str>, Share>);

#[derive(Clone, Copy, Debug)]
struct Share {
    left: usize,
    read_again_at: Instant,
}

impl Shares {
    /// Forgets a family's share: there may be room now.
    pub(super) fn forget(&mut self, family: &str) {
        self.0.remove(family);
    }

    /// Takes one of a family's share; tells whether there was one.
    fn take(&mut self, family: &str) -> bool {
        let share = self.0.get_mut(family).filter(|share| share.left > 0);
        share.map(|share| share.left -= 1).is_some()
    }

    /// Tells whether a read of the directory may give a new share.
    fn may_read(&self, family: &str) -> bool {
        self.0
            .get(family)
            .is_none_or(|share| Instant::now() >= share.read_again_at)
    }

    /// Gives a family its share of the room.
    fn give(&mut self, family: &Arc<str>, room: usize, workers: usize) {
        let now = Instant::now();
        let share = Share {
            left: room.div_ceil(PART * workers.max(1)).min(MAX_SHARE),
            read_again_at: if room == 0 { now + PAUSE } else { now },
        };
        self.0.insert(Arc::clone(family), share);
    }
}

impl Shared {
    /// Looks a series up, or makes it where the family then has no more than `max_series`. The caller is inside a fork
    /// section.
    pub(super) fn intern_within(
        self: &Arc<Self>,
        descriptor: &Arc<Descriptor>,
        label_values: &[&str],
        max_series: usize,
    ) -> Option<Arc<dyn Slots>> {
        let mut state = self.lock();
        let has_room = state.has_place_for(self, descriptor, label_values, max_series);
        if has_room == Some(true) {
            return Some(state.intern(self, descriptor, label_values));
        }
        if has_room == Some(false) || !state.shares.may_read(&descriptor.name) {
            return None;
        }
        let path = state.directory_path();
        drop(state);
        let count = count_series(
            descriptor,
            &self.collect(self.options.created_samples).families,
        );
        let alive = path.and_then(|path| workers::observe(&path).ok());
        let alive = alive.map_or(1, |observed| {
            observed
                .records
                .iter()
                .filter(|worker| worker.alive)
                .count()
        });
        let mut state = self.lock();
        let room = max_series.saturating_sub(count);
        state.shares.give(&descriptor.name, room, alive);
        state
            .shares
            .take(&descriptor.name)
            .then(|| state.intern(self, descriptor, label_values) as Arc<dyn Slots>)
    }
}

impl State {
    /// Tells whether there is a place for a series: it is there, or there is room. Only a read of the directory knows
    /// where nothing is returned.
    fn has_place_for(
        &mut self,
        shared: &Shared,
        descriptor: &Arc<Descriptor>,
        label_values: &[&str],
        max_series: usize,
    ) -> Option<bool> {
        self.follow(&shared.options);
        if self.known(descriptor, label_values).is_some()
            || label_values.first() == Some(&OVERFLOW_LABEL_VALUE)
        {
            return Some(true);
        }
        if !is_shared(descriptor) || self.directory_path().is_none() {
            return Some(self.series_of_own(descriptor) < max_series);
        }
        if self.shares.take(&descriptor.name) || self.is_in_directory(descriptor, label_values) {
            return Some(true);
        }
        None
    }

    /// Returns how many series of a family this process made, the one for what has no room not counted.
    fn series_of_own(&mut self, descriptor: &Arc<Descriptor>) -> usize {
        let own = self.series(descriptor);
        let is_overflow = |values: &[Arc<str>]| {
            let first = values.first();
            first.is_some_and(|value| **value == *OVERFLOW_LABEL_VALUE)
        };
        own.iter().filter(|values| !is_overflow(values)).count()
    }

    /// Tells whether some worker made the series, and nobody removed it.
    fn is_in_directory(&mut self, descriptor: &Descriptor, label_values: &[&str]) -> bool {
        let labels = descriptor.labels(label_values);
        let Some(open) = self.open_directory() else {
            return false;
        };
        let mut is_there = false;
        // What cannot be looked at is looked for in vain by others as well.
        let _ = open.visit_places(descriptor, &labels, &mut |place| {
            is_there |= place.slots.iter().any(|slot| {
                // ORDERING: lone values.
                let timestamp = f64::from_bits(timestamp_of(slot.cell).load(Ordering::Relaxed));
                let value = f64::from_bits(slot.cell.load(Ordering::Relaxed));
                !layout::is_removed_slot(value, timestamp)
            });
        });
        is_there
    }
}

/// Counts a family's series in what was collected, the one for what has no room not among them.
fn count_series(descriptor: &Descriptor, families: &[Arc<MetricFamily>]) -> usize {
    let suffix = match descriptor.kind {
        MetricType::Counter => "_total",
        // Every series of these has one, whatever its bounds.
        _ => "_count",
    };
    let families = families
        .iter()
        .filter(|family| family.name == descriptor.name);
    let samples = families.flat_map(|family| &family.samples);
    let is_series = samples.filter(|sample| {
        sample.name.strip_prefix(&*descriptor.name) == Some(suffix)
            && descriptor
                .label_names
                .first()
                .is_none_or(|name| sample.labels.get(name) != Some(OVERFLOW_LABEL_VALUE))
    });
    is_series.count()
}
