//! Which of the store's series are those of one metric object.
//!
//! Mostly there is one object for each name, and all series that the store has of it are that object's. Where there is
//! another, as in two registries, each lists its own.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Weak};

use pyo3::prelude::*;

use super::Family;
use crate::attached::Attached;
use crate::shared;

/// The least number of names at which those of dead families are looked for.
const MIN_PRUNE: usize = 1024;

/// The families that all series of their names are of, or were before another one came.
static FIRST: Attached<Option<Firsts>> = Attached::new(None);

#[derive(Debug, Default)]
struct Firsts {
    by_name: BTreeMap<Arc<str>, Weak<Family>>,
    prune_at: usize,
}

/// Says which series are a family's.
#[derive(Debug, Default)]
pub(super) struct Members(Attached<Listed>);

/// Are the label values of a family's series, as `packed` makes one text of them; nothing where all series of the store
/// are the family's.
type Listed = Option<HashSet<Box<str>>>;

impl Members {
    /// Finds out whether there is, or was, another family of the same name in the store.
    pub(super) fn begin(&self, py: Python<'_>, family: &Arc<Family>) {
        // What other threads make meanwhile is listed.
        self.0.replace(py, Some(HashSet::new()));
        let is_new = shared::all(py, &family.descriptor).is_empty();
        match first(py, family) {
            Some(first) => first.members.list(py, &first),
            None if is_new => {
                note_first(py, family);
                self.0.replace(py, None);
            }
            None => {}
        }
    }

    /// Adds a series.
    pub(super) fn add(&self, py: Python<'_>, label_values: &[&str]) {
        self.0.with(py, |listed| {
            if let Some(listed) = listed {
                listed.insert(packed(label_values.iter().copied()));
            }
        });
    }

    /// Takes out a series that stays in the store; tells whether it was there.
    pub(super) fn take_out(&self, py: Python<'_>, family: &Family, label_values: &[&str]) -> bool {
        if shared::find(py, &family.descriptor, label_values).is_none() {
            return false;
        }
        self.list(py, family);
        self.forget(py, label_values)
    }

    /// Forgets a series that leaves the store; tells whether it was listed.
    pub(super) fn forget(&self, py: Python<'_>, label_values: &[&str]) -> bool {
        self.0.with(py, |listed| {
            let listed = listed.as_mut();
            listed.is_some_and(|listed| listed.remove(&packed(label_values.iter().copied())))
        })
    }

    /// Tells whether a series of the store is one of these.
    pub(super) fn has<'a>(
        &self,
        py: Python<'_>,
        label_values: impl Iterator<Item = &'a str>,
    ) -> bool {
        self.0.with(py, |listed| {
            let listed = listed.as_ref();
            listed.is_none_or(|listed| listed.contains(&packed(label_values)))
        })
    }

    /// From now on lists the series, which so far are all that the store has.
    fn list(&self, py: Python<'_>, family: &Family) {
        let is_listed = self.0.with(py, |listed| {
            // What is made while the store is asked, by another thread, is added.
            let is_listed = listed.is_some();
            listed.get_or_insert_default();
            is_listed
        });
        if !is_listed {
            for series in shared::all(py, &family.descriptor) {
                let label_values: Vec<&str> = series.label_values().collect();
                self.add(py, &label_values);
            }
        }
    }
}

/// Returns the family that came before another one of its name, if it is still there.
fn first(py: Python<'_>, family: &Family) -> Option<Arc<Family>> {
    let name = &family.descriptor.name;
    let find = |firsts: &mut Option<Firsts>| firsts.as_ref()?.by_name.get(name).cloned();
    FIRST.with(py, find)?.upgrade()
}

fn note_first(py: Python<'_>, family: &Arc<Family>) {
    FIRST.with(py, |firsts| {
        let Firsts { by_name, prune_at } = firsts.get_or_insert_default();
        if by_name.len() >= MIN_PRUNE.max(*prune_at) {
            by_name.retain(|_, other| other.strong_count() > 0);
            *prune_at = by_name.len() * 2;
        }
        by_name.insert(Arc::clone(&family.descriptor.name), Arc::downgrade(family));
    });
}

/// Makes one text of label values: the length of each, and the text of all.
pub(super) fn packed<'a>(label_values: impl Iterator<Item = &'a str>) -> Box<str> {
    let mut packed = String::new();
    for value in label_values {
        packed.push_str(&value.len().to_string());
        packed.push(':');
        packed.push_str(value);
    }
    packed.into()
}
