//! The keys of a series' slots.

use forkmeter_core::encode::format_value;
use forkmeter_core::{Descriptor, LabelSet};

use crate::key;
use crate::segment::Wanted;

const BOUND: &str = "le";

/// Is the labels of a series, sorted by name, each name once.
pub(crate) type Labels<'a> = [(&'a str, &'a str)];

/// Returns the keys of a series' slots, one after the other, and where each ends.
pub(super) fn keys_of(descriptor: &Descriptor, labels: &LabelSet) -> (Vec<u8>, Vec<usize>) {
    let labels: Vec<_> = labels.iter().collect();
    keys_of_sorted(descriptor, &labels)
}

/// As [`keys_of`], for labels that nobody made a set of.
pub(super) fn keys_of_sorted(
    descriptor: &Descriptor,
    labels: &Labels<'_>,
) -> (Vec<u8>, Vec<usize>) {
    let count = descriptor.slot_count();
    // Enough for most, so that it is not moved while it grows.
    let mut keys = Vec::with_capacity(count * 256);
    let mut ends = Vec::with_capacity(count);
    let mut sample = String::with_capacity(descriptor.name.len() + 8);
    let before = labels.partition_point(|(name, _)| *name < BOUND);
    let (before, behind) = labels.split_at(before);
    for index in 0..count {
        let slot = descriptor.slot(index);
        sample.clear();
        sample.push_str(&descriptor.name);
        sample.push_str(slot.suffix);
        let (family, help) = (&descriptor.name, &descriptor.help);
        if let Some(bound) = slot.upper_bound {
            let bound = format_value(bound);
            let own = std::iter::once((BOUND, &*bound));
            let behind = behind.iter().filter(|(name, _)| *name != BOUND);
            let labels = before.iter().copied().chain(own).chain(behind.copied());
            key::write(&mut keys, family, &sample, labels, help);
        } else {
            key::write(&mut keys, family, &sample, labels.iter().copied(), help);
        }
        ends.push(keys.len());
    }
    (keys, ends)
}

/// Says which slots have these keys.
pub(super) fn wanted<'a>(keys: &'a [u8], ends: &[usize], timestamp: f64) -> Vec<Wanted<'a>> {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let keys = starts.zip(ends).map(|(start, end)| &keys[start..*end]);
    keys.map(|key| Wanted { key, timestamp }).collect()
}
