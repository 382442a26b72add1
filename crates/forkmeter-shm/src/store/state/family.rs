//! The series of one family that a store knows, by their label values and in the order in which they were made.

mod table;

use std::path::PathBuf;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Weak};

use forkmeter_core::Descriptor;

use self::table::Table;
use super::State;
use crate::store::Shared;
use crate::store::series::{Home, Series, Values};

/// Is a family that a program declared.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) descriptor: Arc<Descriptor>,
    pub(super) is_declared_in: Option<PathBuf>,
    /// What its series have in common, once there are any.
    home: Option<Arc<Home>>,
    table: Table,
    /// Those of the table that expired, and are not listed until somebody counts.
    expired: Vec<Arc<Series>>,
}

/// The table's.
pub(super) const HANDLES_OF_A_FAMILY: usize = 1;
/// The table's and that of the list of expired series.
const HANDLES_OF_AN_EXPIRED_SERIES: usize = HANDLES_OF_A_FAMILY + 1;

impl Family {
    pub(super) fn new(descriptor: &Arc<Descriptor>) -> Self {
        Self {
            descriptor: Arc::clone(descriptor),
            is_declared_in: None,
            home: None,
            table: Table::default(),
            expired: Vec::new(),
        }
    }

    /// Returns what the series of the family have in common.
    pub(super) fn home(&mut self, store: &Arc<Shared>) -> &Arc<Home> {
        let new = || Home::new(store, &self.descriptor);
        self.home.get_or_insert_with(new)
    }

    /// Tells whether somebody has the family's descriptor beside it.
    pub(super) fn is_declared(&self) -> bool {
        let own_handles = 1 + usize::from(self.home.is_some());
        Arc::strong_count(&self.descriptor) > own_handles
    }

    /// Tells whether the family, or somebody else, has a series of it.
    pub(super) fn has_series(&self) -> bool {
        let home = self.home.as_ref();
        home.is_some_and(|home| Arc::strong_count(home) > 1)
    }

    /// Yields the series that did not expire, in the order in which they were made or came back.
    pub(super) fn order(&self) -> impl Iterator<Item = &Arc<Series>> {
        self.table.iter().filter(|series| !series.is_expired())
    }

    /// Returns how many series there are that did not expire.
    pub(super) fn len(&self) -> usize {
        self.table.len() - self.expired.len()
    }

    /// Returns what the series of these values is found by in this family.
    pub(super) fn hash(&self, values: &Values) -> u64 {
        self.table.hash(values)
    }

    /// Returns the series of these values, whose hash is `hash`.
    pub(super) fn get(&self, values: &Values, hash: u64) -> Option<&Arc<Series>> {
        self.table.get(values, hash)
    }

    /// Adds a series, of which there is none with its values, whose hash is `hash`.
    pub(super) fn add(&mut self, series: &Arc<Series>, hash: u64) {
        self.table.push(Arc::clone(series), hash);
    }

    /// Returns all series, also those that expired while somebody had a handle of them.
    pub(super) fn with_expired(&self) -> impl Iterator<Item = &Arc<Series>> {
        self.table.iter()
    }

    /// Tells whether somebody other than the family has a handle of one of its series.
    pub(super) fn is_held(series: &Arc<Series>) -> bool {
        let own = if series.is_expired() {
            HANDLES_OF_AN_EXPIRED_SERIES
        } else {
            HANDLES_OF_A_FAMILY
        };
        Arc::strong_count(series) > own
    }

    /// Takes in that a series was marked as expired; see [`Family::look_at_expired`].
    pub(super) fn expire(&mut self, series: Arc<Series>, counted: &mut Vec<Arc<Series>>) {
        self.keep_if_held(series, counted);
    }

    /// Puts an expired series into the order again; tells whether it was one.
    pub(super) fn bring_back(&mut self, series: &Arc<Series>) -> bool {
        if !series.is_expired() {
            return false;
        }
        series.bring_back();
        self.expired.retain(|other| !Arc::ptr_eq(other, series));
        self.table.renew(&series.values);
        true
    }

    /// Brings those back that somebody counted in, which are added to `counted`, and forgets those that nobody holds.
    pub(super) fn look_at_expired(&mut self, counted: &mut Vec<Arc<Series>>) {
        for series in std::mem::take(&mut self.expired) {
            self.keep_if_held(series, counted);
        }
    }

    fn keep_if_held(&mut self, series: Arc<Series>, counted: &mut Vec<Arc<Series>>) {
        // Looked at first: who counts and then lets go is heard.
        let is_held = Self::is_held(&series);
        // ORDERING: with the release of whoever let go of it.
        fence(Ordering::Acquire);
        if series.is_counted() {
            series.bring_back();
            self.table.renew(&series.values);
            counted.push(series);
        } else if is_held {
            self.expired.push(series);
        } else {
            self.table.remove(&series.values);
        }
    }

    /// Takes the series of these values out.
    pub(super) fn remove(&mut self, values: &Values) -> Option<Arc<Series>> {
        let series = self.table.remove(values)?;
        if series.is_expired() {
            self.expired.retain(|other| !Arc::ptr_eq(other, &series));
        }
        Some(series)
    }

    /// Keeps the series that are wanted and returns the others. `is_wanted` is asked while the family has its handles
    /// of a series; see [`Family::is_held`].
    pub(super) fn retain(&mut self, is_wanted: impl Fn(&Arc<Series>) -> bool) -> Vec<Arc<Series>> {
        let gone = self.table.extract(is_wanted);
        let table = &self.table;
        self.expired.retain(|series| {
            let hash = table.hash(&series.values);
            table.get(&series.values, hash).is_some()
        });
        gone
    }
}

impl State {
    /// Returns a family, where it is known with this metadata.
    pub(super) fn known_family(&self, descriptor: &Descriptor) -> Option<&Family> {
        let index = self.by_name.get(&descriptor.name)?;
        let family = &self.families[*index];
        let is_it = std::ptr::eq(&raw const *family.descriptor, descriptor)
            || *family.descriptor == *descriptor;
        is_it.then_some(family)
    }

    /// Returns a series that this process knows.
    pub(in crate::store) fn known(
        &self,
        descriptor: &Descriptor,
        label_values: &[&str],
    ) -> Option<Arc<Series>> {
        let values = Values::pack(label_values);
        let family = self.known_family(descriptor)?;
        let known = family.get(&values, family.hash(&values));
        known.filter(|series| !series.is_expired()).cloned()
    }

    /// Returns the handle that everybody has of a series.
    pub(super) fn find(&self, series: &Series) -> Option<Arc<Series>> {
        let is_it = |other: &Arc<Series>| std::ptr::eq(&raw const **other, series);
        let index = self.by_name.get(&series.descriptor.name)?;
        let family = &self.families[*index];
        let known = family.get(&series.values, family.hash(&series.values));
        let known = known.filter(|known| is_it(known)).cloned();
        let former = || self.former.iter().filter_map(Weak::upgrade).find(is_it);
        known.or_else(former)
    }
}
