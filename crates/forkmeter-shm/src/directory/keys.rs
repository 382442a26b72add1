//! The keys of a series' slots.

use forkmeter_core::encode::format_value;
use forkmeter_core::{Descriptor, LabelSet};

use crate::key;
use crate::segment::Wanted;

const BOUND: &str = "le";

/// Is the labels of a series, sorted by name, each name once.
pub(crate) type Labels<'a> = [(&'a str, &'a str)];

/// How many bytes of room for keys are kept.
const KEPT_BYTES: usize = 16 << 10;

/// Holds the keys of a series' slots, one after the other; may be used again for another series.
#[derive(Debug, Default)]
pub(super) struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    sample: String,
}

impl Keys {
    /// Makes the keys of a series.
    pub(super) fn of(descriptor: &Descriptor, labels: &LabelSet) -> Self {
        let labels: Vec<_> = labels.iter().collect();
        let mut keys = Self::default();
        keys.write(descriptor, &labels);
        keys
    }

    /// Replaces the keys by those of a series.
    pub(super) fn write(&mut self, descriptor: &Descriptor, labels: &Labels<'_>) {
        let (bytes, sample) = (&mut self.bytes, &mut self.sample);
        let count = descriptor.slot_count();
        bytes.clear();
        bytes.shrink_to(KEPT_BYTES);
        // Enough for most, so that it is not moved while it grows.
        bytes.reserve(count * 256);
        self.ends.clear();
        let before = labels.partition_point(|(name, _)| *name < BOUND);
        let (before, behind) = labels.split_at(before);
        let (family, help) = (&descriptor.name, &descriptor.help);
        for index in 0..count {
            let slot = descriptor.slot(index);
            sample.clear();
            sample.push_str(family);
            sample.push_str(slot.suffix);
            if let Some(bound) = slot.upper_bound {
                let bound = format_value(bound);
                let own = std::iter::once((BOUND, &*bound));
                let behind = behind.iter().filter(|(name, _)| *name != BOUND);
                let labels = before.iter().copied().chain(own).chain(behind.copied());
                key::write(bytes, family, sample, labels, help);
            } else {
                key::write(bytes, family, sample, labels.iter().copied(), help);
            }
            self.ends.push(bytes.len());
        }
    }

    /// Calls `f` with the slots that have these keys.
    pub(super) fn with_wanted<R>(&self, timestamp: f64, f: impl FnOnce(&[Wanted<'_>]) -> R) -> R {
        if self.ends.len() == 1 {
            return f(&[Wanted::new(&self.bytes, timestamp)]);
        }
        f(&self.wanted(timestamp))
    }

    /// Says which slots have these keys.
    pub(super) fn wanted(&self, timestamp: f64) -> Vec<Wanted<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let keys = starts.zip(&self.ends);
        let keys = keys.map(|(start, end)| &self.bytes[start..*end]);
        keys.map(|key| Wanted::new(key, timestamp)).collect()
    }
}
