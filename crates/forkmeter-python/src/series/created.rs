//! When series of the store were made, by the program's clock, where that is another one than the store's.

use std::collections::HashMap;

use forkmeter_shm::process;
use pyo3::prelude::*;

use super::members::packed;
use crate::attached::Attached;

/// Times that differ by no more are of one clock.
const SAME_SECONDS: f64 = 1.0;

/// Keeps the times that a program's own clock, such as a test's, gave or that somebody assigned; mostly none.
#[derive(Debug, Default)]
pub(super) struct Created(Attached<HashMap<Box<str>, f64>>);

impl Created {
    /// Hears that a series was looked up or made at a time, of which the store says another one.
    pub(super) fn note(&self, py: Python<'_>, label_values: &[&str], seconds: f64, of_store: f64) {
        if is_same(seconds, of_store) || is_same(seconds, process::unix_seconds()) {
            return;
        }
        let packed = packed(label_values.iter().copied());
        self.0
            .with(py, |by_values| *by_values.entry(packed).or_insert(seconds));
    }

    /// Replaces the time of a series.
    pub(super) fn set<'a>(
        &self,
        py: Python<'_>,
        label_values: impl Iterator<Item = &'a str>,
        seconds: f64,
    ) {
        let packed = packed(label_values);
        self.0
            .with(py, |by_values| by_values.insert(packed, seconds));
    }

    /// Returns the time of a series, where it is not the store's.
    pub(super) fn get<'a>(
        &self,
        py: Python<'_>,
        label_values: impl Iterator<Item = &'a str>,
    ) -> Option<f64> {
        self.0.with(py, |by_values| {
            let is_used = !by_values.is_empty();
            is_used.then(|| by_values.get(&packed(label_values)).copied())?
        })
    }

    /// Forgets the time of a series.
    pub(super) fn forget<'a>(&self, py: Python<'_>, label_values: impl Iterator<Item = &'a str>) {
        self.0.with(py, |by_values| {
            if !by_values.is_empty() {
                by_values.remove(&packed(label_values));
            }
        });
    }
}

fn is_same(one: f64, other: f64) -> bool {
    (one - other).abs() <= SAME_SECONDS
}
