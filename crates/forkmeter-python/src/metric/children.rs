//! The objects that stand for series in Python: only those that somebody needs.

use hashbrown::HashTable;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::objects;
use crate::attached::Traverse;

/// So many objects that nobody holds stay at least, so that label sets in use find theirs.
const MIN_KEPT: usize = 512;
/// Of many series, the objects of one in so many.
const KEPT_SHARE: usize = 64;

/// Finds the children of a metric by their label values.
///
/// A child is in here for as long as anybody else holds it, so that it is always the same object.
#[derive(Debug, Default)]
pub(super) struct Children {
    by_values: HashTable<Entry>,
    sweep_at: usize,
}

#[derive(Debug)]
pub(super) struct Entry {
    hash: u64,
    values: Py<PyTuple>,
    child: Py<PyAny>,
}

/// Returns the hash of label values; nothing where one is not plainly text.
#[inline]
pub(super) fn hash(values: &[Bound<'_, PyAny>]) -> Option<u64> {
    // The mixing function of FxHash, of the hashes that strings know already.
    const FACTOR: u64 = 0x517c_c1b7_2722_0a95;
    let mut hash = 0_u64;
    for value in values {
        let own = objects::text_hash(value.cast_exact::<PyString>().ok()?);
        hash = (hash.rotate_left(5) ^ own).wrapping_mul(FACTOR);
    }
    // The table looks at the high bits and the low ones.
    Some(hash ^ (hash >> 32))
}

impl Children {
    pub(super) fn len(&self) -> usize {
        self.by_values.len()
    }

    /// Returns the child of label values with this hash.
    #[inline]
    pub(super) fn find<'py>(
        &self,
        py: Python<'py>,
        hash: u64,
        values: &[Bound<'py, PyAny>],
    ) -> Option<Bound<'py, PyAny>> {
        let is_it = |entry: &Entry| entry.is(py, hash, values);
        let entry = self.by_values.find(hash, is_it)?;
        Some(entry.child.bind(py).clone())
    }

    /// Adds a child unless there is one. Returns the one that is there, and whether it is time for a look at all.
    pub(super) fn add<'py>(
        &mut self,
        hash: u64,
        values: &Bound<'py, PyTuple>,
        child: &Bound<'py, PyAny>,
    ) -> (Bound<'py, PyAny>, bool) {
        let py = child.py();
        if let Some(known) = self.find(py, hash, values.as_slice()) {
            return (known, false);
        }
        let entry = Entry {
            hash,
            values: values.clone().unbind(),
            child: child.clone().unbind(),
        };
        self.by_values
            .insert_unique(hash, entry, |entry| entry.hash);
        let is_time = self.len() >= self.sweep_at.max(MIN_KEPT);
        (child.clone(), is_time)
    }

    /// Takes a child out, for the caller to drop where Python code may run.
    pub(super) fn take(
        &mut self,
        py: Python<'_>,
        hash: u64,
        values: &[Bound<'_, PyAny>],
    ) -> Option<Entry> {
        let found = self.by_values.find_entry(hash, |e| e.is(py, hash, values));
        Some(found.ok()?.remove().0)
    }

    /// Takes out all children; see [`Children::take`].
    pub(super) fn take_all(&mut self) -> Vec<Entry> {
        self.by_values.drain().collect()
    }

    /// Returns all children with their label values.
    pub(super) fn all<'py>(
        &self,
        py: Python<'py>,
    ) -> Vec<(Bound<'py, PyTuple>, Bound<'py, PyAny>)> {
        let entries = self.by_values.iter();
        entries
            .map(|entry| (entry.values.bind(py).clone(), entry.child.bind(py).clone()))
            .collect()
    }

    /// Tells whether `is_one` says so of all children; it may not run Python code.
    pub(super) fn are_all(
        &self,
        py: Python<'_>,
        mut is_one: impl FnMut(&Bound<'_, PyAny>) -> bool,
    ) -> bool {
        self.by_values
            .iter()
            .all(|entry| is_one(entry.child.bind(py)))
    }

    /// Says when to look again, after a look, for a metric with so many series.
    pub(super) fn sweep_later(&mut self, series: usize) {
        self.sweep_at = self.len() + MIN_KEPT.max(series / KEPT_SHARE);
    }
}

impl Entry {
    /// Returns what it holds; dropping that, unlike the entry, takes no look whether the interpreter is attached.
    pub(super) fn into_bound(self, py: Python<'_>) -> (Bound<'_, PyTuple>, Bound<'_, PyAny>) {
        (self.values.into_bound(py), self.child.into_bound(py))
    }

    #[inline]
    fn is(&self, py: Python<'_>, hash: u64, values: &[Bound<'_, PyAny>]) -> bool {
        self.hash == hash && objects::are_equal_texts(self.values.bind(py).as_slice(), values)
    }
}

impl Traverse for Children {
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        for entry in &self.by_values {
            visit.call(&entry.values)?;
            visit.call(&entry.child)?;
        }
        Ok(())
    }
}
