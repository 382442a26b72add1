//! Series by their label values and by age.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::store::series::{Series, Values};

/// How many gaps are worth the walk that closes them.
const MIN_GAPS: usize = 32;

/// Holds series; finding, adding and removing one takes the same time however many there are.
///
/// It has one handle of each. A series remembers no hash, so that it takes less: the growing of the index asks for each
/// about once.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Where in `entries` a series is.
    index: HashTable<u32>,
    /// By age, with gaps where series were that are gone.
    entries: Vec<Option<Arc<Series>>>,
    gaps: usize,
    hasher: DefaultHashBuilder,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.gaps
    }

    /// Yields the series by age.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Series>> {
        self.entries.iter().flatten()
    }

    /// Returns what the series of these values is found by.
    pub(super) fn hash(&self, values: &Values) -> u64 {
        self.hasher.hash_one(values.bytes())
    }

    pub(super) fn get(&self, values: &Values, hash: u64) -> Option<&Arc<Series>> {
        let is_it = |at: &u32| has(&self.entries, *at, values);
        let at = self.index.find(hash, is_it)?;
        self.entries[*at as usize].as_ref()
    }

    /// Adds a series, of which there is none with its values, as the youngest.
    pub(super) fn push(&mut self, series: Arc<Series>, hash: u64) {
        self.close_gaps();
        let at = position(self.entries.len());
        self.entries.push(Some(series));
        let (entries, hasher) = (&self.entries, &self.hasher);
        let rehash = |at: &u32| {
            let series = entries[*at as usize].as_ref();
            series.map_or(0, |series| hasher.hash_one(series.values.bytes()))
        };
        self.index.insert_unique(hash, at, rehash);
    }

    /// Takes the series of these values out.
    pub(super) fn remove(&mut self, values: &Values) -> Option<Arc<Series>> {
        let hash = self.hash(values);
        let is_it = |at: &u32| has(&self.entries, *at, values);
        let (at, _) = self.index.find_entry(hash, is_it).ok()?.remove();
        self.gaps += 1;
        self.entries[at as usize].take()
    }

    /// Makes the series of these values the youngest.
    pub(super) fn renew(&mut self, values: &Values) {
        if let Some(series) = self.remove(values) {
            let hash = self.hash(values);
            self.push(series, hash);
        }
    }

    /// Takes out the series that are not wanted, by age.
    pub(super) fn extract(&mut self, is_wanted: impl Fn(&Arc<Series>) -> bool) -> Vec<Arc<Series>> {
        let unwanted = |entry: &mut Option<Arc<Series>>| entry.take_if(|series| !is_wanted(series));
        let gone: Vec<_> = self.entries.iter_mut().filter_map(unwanted).collect();
        if !gone.is_empty() {
            self.gaps += gone.len();
            let entries = &self.entries;
            self.index.retain(|at| entries[*at as usize].is_some());
        }
        gone
    }

    /// Takes out the gaps once they are the greater part, so that all of them together cost what removing cost.
    fn close_gaps(&mut self) {
        if self.gaps < MIN_GAPS || self.gaps < self.entries.len() / 2 {
            return;
        }
        let mut next = 0;
        let count_up = |entry: &Option<Arc<Series>>| {
            let at = next;
            next += u32::from(entry.is_some());
            at
        };
        let moved_to: Vec<u32> = self.entries.iter().map(count_up).collect();
        for at in &mut self.index {
            *at = moved_to[*at as usize];
        }
        self.entries.retain(Option::is_some);
        self.gaps = 0;
    }
}

fn has(entries: &[Option<Arc<Series>>], at: u32, values: &Values) -> bool {
    let series = entries[at as usize].as_ref();
    series.is_some_and(|series| series.values.bytes() == values.bytes())
}

fn position(at: usize) -> u32 {
    u32::try_from(at).expect("invariant: so many series fill the memory first")
}
