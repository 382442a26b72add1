//! The series of one family that a store knows, by their label values and in the order in which they were made.

use std::hash::BuildHasher;
use std::path::PathBuf;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Weak};

use forkmeter_core::Descriptor;
use hashbrown::{DefaultHashBuilder, HashTable};

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
    index: HashTable<Arc<Series>>,
    hasher: DefaultHashBuilder,
    order: Vec<Arc<Series>>,
    /// Those of the index that expired, and are not in the order until somebody counts.
    expired: Vec<Arc<Series>>,
}

/// The index's and that of the list of expired series.
const HANDLES_OF_AN_EXPIRED_SERIES: usize = 2;

impl Family {
    pub(super) fn new(descriptor: &Arc<Descriptor>) -> Self {
        Self {
            descriptor: Arc::clone(descriptor),
            is_declared_in: None,
            home: None,
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            order: Vec::new(),
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

    /// Returns the series in the order in which they were made.
    pub(super) fn order(&self) -> &[Arc<Series>] {
        &self.order
    }

    /// Returns what the series of these values is found by in this family.
    pub(super) fn hash(&self, values: &Values) -> u64 {
        self.hasher.hash_one(values.bytes())
    }

    /// Returns the series of these values, whose hash is `hash`.
    pub(super) fn get(&self, values: &Values, hash: u64) -> Option<&Arc<Series>> {
        self.index.find(hash, |series| is_of(series, values))
    }

    /// Adds a series, of which there is none with its values, whose hash is `hash`.
    pub(super) fn add(&mut self, series: &Arc<Series>, hash: u64) {
        let hasher = &self.hasher;
        // A series remembers no hash: so it takes less, and the growing of a table asks for each about once.
        let rehash = |series: &Arc<Series>| hasher.hash_one(series.values.bytes());
        let new = Arc::clone(series);
        self.index.insert_unique(hash, new, rehash);
        self.order.push(Arc::clone(series));
    }

    /// Returns the series that expired while somebody had a handle of them.
    pub(super) fn expired(&self) -> &[Arc<Series>] {
        &self.expired
    }

    /// Takes a series that was marked as expired out of the order; see [`Family::look_at_expired`].
    pub(super) fn expire(&mut self, series: Arc<Series>, counted: &mut Vec<Arc<Series>>) {
        self.order.retain(|other| !Arc::ptr_eq(other, &series));
        self.keep_if_held(series, counted);
    }

    /// Puts an expired series into the order again; tells whether it was one.
    pub(super) fn bring_back(&mut self, series: &Arc<Series>) -> bool {
        if !series.is_expired() {
            return false;
        }
        series.bring_back();
        self.expired.retain(|other| !Arc::ptr_eq(other, series));
        self.order.push(Arc::clone(series));
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
        let is_held = Arc::strong_count(&series) > HANDLES_OF_AN_EXPIRED_SERIES;
        // ORDERING: with the release of whoever let go of it.
        fence(Ordering::Acquire);
        if series.is_counted() {
            series.bring_back();
            self.order.push(Arc::clone(&series));
            counted.push(series);
        } else if is_held {
            self.expired.push(series);
        } else {
            let is_it = |other: &Arc<Series>| Arc::ptr_eq(other, &series);
            let hash = self.hash(&series.values);
            if let Ok(known) = self.index.find_entry(hash, is_it) {
                known.remove();
            }
        }
    }

    /// Takes the series of these values out.
    pub(super) fn remove(&mut self, values: &Values) -> Option<Arc<Series>> {
        let hash = self.hash(values);
        let known = |series: &Arc<Series>| is_of(series, values);
        let (series, _) = self.index.find_entry(hash, known).ok()?.remove();
        let list = if series.is_expired() {
            &mut self.expired
        } else {
            &mut self.order
        };
        list.retain(|other| !Arc::ptr_eq(other, &series));
        Some(series)
    }

    /// Keeps the series that are wanted and returns the others. `is_wanted` is asked first while the family has
    /// two handles of a series, and then while it has one.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(&Arc<Series>) -> bool) -> Vec<Arc<Series>> {
        self.index.retain(|series| is_wanted(series));
        let unwanted = |series: &mut Arc<Series>| !is_wanted(series);
        let mut gone: Vec<_> = self.order.extract_if(.., unwanted).collect();
        gone.extend(self.expired.extract_if(.., unwanted));
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

fn is_of(series: &Series, values: &Values) -> bool {
    series.values.bytes() == values.bytes()
}
