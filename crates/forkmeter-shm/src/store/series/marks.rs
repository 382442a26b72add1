//! What the cells of a series say of it: that it was removed, or moved to another file.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::directory::Place;
use crate::layout;
use crate::map::timestamp_of;

/// Adds to a gauge, unless it was moved to another file.
#[inline]
pub(super) fn add_to_gauge(cell: &AtomicU64, delta: f64) -> bool {
    // ORDERING: a lone value.
    let mut bits = cell.load(Ordering::Relaxed);
    loop {
        let mut sum = f64::from_bits(bits) + delta;
        if sum.is_nan() {
            match bits {
                layout::REMOVED_GAUGE_BITS => sum = delta,
                layout::MOVED_GAUGE_BITS => return false,
                _ => {}
            }
        }
        // ORDERING: as above.
        let (sum, relaxed) = (sum.to_bits(), Ordering::Relaxed);
        match cell.compare_exchange_weak(bits, sum, relaxed, relaxed) {
            Ok(_) => return true,
            Err(seen) => bits = seen,
        }
    }
}

/// Marks the slots of a series as removed; tells whether they were not.
pub(in crate::store) fn mark_removed(place: &Place, now: f64) -> bool {
    let marked = place
        .slots
        .iter()
        .map(|found| mark_slot_removed(found.cell, now));
    marked.fold(false, |any, one| any | one)
}

/// Tells whether any slot of a series is one that was not removed, or was counted on since.
pub(in crate::store) fn is_alive(place: &Place) -> bool {
    place.slots.iter().any(|found| !is_removed(found.cell))
}

pub(super) fn is_removed(cell: &'static AtomicU64) -> bool {
    // ORDERING: lone values.
    let value = f64::from_bits(cell.load(Ordering::Relaxed));
    let timestamp = f64::from_bits(timestamp_of(cell).load(Ordering::Relaxed));
    layout::is_removed_slot(value, timestamp)
}

/// Sets the slots of a series to zero as of now.
pub(in crate::store) fn reset_place(place: &Place, now: f64) {
    for found in &place.slots {
        // ORDERING: lone values.
        found.cell.store(0, Ordering::Relaxed);
        timestamp_of(found.cell).store(now.to_bits(), Ordering::Relaxed);
    }
}

/// Marks a slot as removed; tells whether it was not.
pub(super) fn mark_slot_removed(cell: &'static AtomicU64, now: f64) -> bool {
    let timestamp = timestamp_of(cell);
    // ORDERING: lone values; who counts between the two stores makes the series anew, as right after them.
    let created = f64::from_bits(timestamp.load(Ordering::Relaxed));
    let mark = if created == 0.0 { now } else { created.abs() };
    timestamp.store((-mark).to_bits(), Ordering::Relaxed);
    let value = cell.swap(0, Ordering::Relaxed);
    created >= 0.0 || value != 0
}
