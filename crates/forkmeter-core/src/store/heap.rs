//! The store of a single process: values in its own memory.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Clock, Collected, SeriesHandle, SeriesTable, Slots, Store};
use crate::encode::Encoding;
use crate::fork;
use crate::model::{Descriptor, Exemplar, LabelSet, MetricFamily, OVERFLOW_LABEL_VALUE, Timestamp};

/// Keeps values in the memory of this process.
///
/// Families are exposed in the order in which they were declared, series in the order in which they were made.
/// A forked child goes on with a copy of all values, which from then on is its own.
#[derive(Debug)]
pub struct HeapStore {
    clock: Clock,
    created_samples: bool,
    families: RwLock<Families>,
}

#[derive(Debug, Default)]
struct Families {
    by_name: HashMap<Arc<str>, usize>,
    in_order: Vec<HeapFamily>,
}

#[derive(Clone, Debug)]
struct HeapFamily {
    descriptor: Arc<Descriptor>,
    /// Withdrawn families are kept, since they may be declared again, but not exposed.
    withdrawn: bool,
    /// One, unless declarations of one name differ in their buckets or label names.
    tables: Vec<Arc<SeriesTable>>,
    /// How many of the series are for what a family has no room for.
    overflows: usize,
}

impl HeapStore {
    /// Makes an empty store that stamps new series and exemplars with `clock`.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            created_samples: false,
            families: RwLock::default(),
        }
    }

    /// Exposes a `_created` sample for every counter, histogram and summary series.
    #[must_use]
    pub fn with_created_samples(mut self, enabled: bool) -> Self {
        self.created_samples = enabled;
        self
    }

    /// Changes the family that the descriptor means: the one that was declared with it, or else one of its name.
    fn change<R>(&self, descriptor: &Arc<Descriptor>, f: impl FnOnce(&mut HeapFamily) -> R) -> R {
        let _section = fork::enter();
        let mut families = self
            .families
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let position = families.position(descriptor);
        f(&mut families.in_order[position])
    }

    /// Returns the families that are exposed, so that nobody who makes or looks up a series waits for a scrape of others.
    fn exposed(&self) -> Vec<HeapFamily> {
        let _section = fork::enter();
        let families = self.families.read().unwrap_or_else(PoisonError::into_inner);
        let exposed = families.in_order.iter().filter(|family| !family.withdrawn);
        exposed.cloned().collect()
    }

    fn series_of(&self, descriptor: &Arc<Descriptor>, label_values: &[&str]) -> HeapSeries {
        let handle = self.change(descriptor, |family| {
            family.series_of(descriptor, label_values, self.clock)
        });
        HeapSeries {
            handle,
            clock: self.clock,
        }
    }
}

impl Families {
    fn position(&mut self, descriptor: &Arc<Descriptor>) -> usize {
        if let Some(position) = self.by_name.get(&descriptor.name) {
            return *position;
        }
        self.by_name
            .insert(Arc::clone(&descriptor.name), self.in_order.len());
        self.in_order.push(HeapFamily::new(descriptor));
        self.in_order.len() - 1
    }
}

impl Store for HeapStore {
    fn declare(&self, descriptor: &Arc<Descriptor>) {
        self.change(descriptor, |family| {
            if family.withdrawn && !Arc::ptr_eq(&family.descriptor, descriptor) {
                *family = HeapFamily::new(descriptor);
            }
            family.withdrawn = false;
        });
    }

    fn withdraw(&self, descriptor: &Arc<Descriptor>) {
        self.change(descriptor, |family| family.withdrawn = true);
    }

    fn intern(&self, descriptor: &Arc<Descriptor>, label_values: &[&str]) -> Arc<dyn Slots> {
        Arc::new(self.series_of(descriptor, label_values))
    }

    fn intern_within(
        &self,
        descriptor: &Arc<Descriptor>,
        label_values: &[&str],
        max_series: usize,
    ) -> Option<Arc<dyn Slots>> {
        let has_room = self.change(descriptor, |family| {
            family.len() < max_series || is_overflow(label_values) || family.has(label_values)
        });
        has_room.then(|| self.intern(descriptor, label_values))
    }

    fn remove(&self, descriptor: &Arc<Descriptor>, label_values: &[&str]) -> bool {
        self.change(descriptor, |family| family.remove(label_values))
    }

    fn expire(&self, descriptor: &Arc<Descriptor>, label_values: &[&str]) -> bool {
        self.change(descriptor, |family| {
            family.expire(label_values, (self.clock)())
        })
    }

    fn series(&self, descriptor: &Arc<Descriptor>) -> Vec<Box<[Arc<str>]>> {
        let mut all = Vec::new();
        self.change(descriptor, |family| {
            for table in &family.tables {
                table.for_each(|series| all.push(series.label_values().map(Arc::from).collect()));
            }
        });
        all
    }

    fn set_info(&self, descriptor: &Arc<Descriptor>, label_values: &[&str], facts: LabelSet) {
        self.series_of(descriptor, label_values)
            .handle
            .set_facts(facts);
    }

    fn now_seconds(&self) -> f64 {
        (self.clock)()
    }

    fn collect(&self) -> Collected {
        let families = self.exposed().into_iter();
        let families = families
            .map(|family| family.expose(self.created_samples))
            .collect();
        Collected {
            families,
            errors: Vec::new(),
        }
    }

    fn encode_into(
        &self,
        is_visible: &mut dyn FnMut(&Arc<str>) -> bool,
        encoding: &mut Encoding<'_>,
    ) -> Vec<String> {
        for family in self.exposed() {
            if is_visible(&family.descriptor.name) {
                family.encode_into(self.created_samples, encoding);
            }
        }
        Vec::new()
    }
}

impl HeapFamily {
    fn new(descriptor: &Arc<Descriptor>) -> Self {
        Self {
            descriptor: Arc::clone(descriptor),
            withdrawn: false,
            tables: vec![table_for(descriptor)],
            overflows: 0,
        }
    }

    /// Returns how many series there are, those for what had no room not counted.
    fn len(&self) -> usize {
        let all: usize = self.tables.iter().map(|table| table.len()).sum();
        all - self.overflows
    }

    /// Tells whether there is a series with these label values.
    fn has(&self, label_values: &[&str]) -> bool {
        let mut tables = self.tables.iter();
        tables.any(|table| {
            table.label_count() == label_values.len() && table.find(label_values).is_some()
        })
    }

    fn series_of(
        &mut self,
        descriptor: &Descriptor,
        label_values: &[&str],
        clock: Clock,
    ) -> SeriesHandle {
        if is_overflow(label_values) && !self.has(label_values) {
            self.overflows += 1;
        }
        self.series_in_table(descriptor, label_values, clock)
    }

    fn series_in_table(
        &mut self,
        descriptor: &Descriptor,
        label_values: &[&str],
        clock: Clock,
    ) -> SeriesHandle {
        // Two declarations of one name may differ in their buckets: nobody gets fewer cells than declared.
        let slot_count = descriptor.slot_count().max(self.descriptor.slot_count());
        let label_count = label_values.len();
        if let [table] = &*self.tables
            && (table.label_count(), table.slot_count()) == (label_count, slot_count)
        {
            return table.intern(label_values, clock());
        }
        let with_labels = |table: &&Arc<SeriesTable>| table.label_count() == label_count;
        let mut tables = self.tables.iter().filter(with_labels);
        let known = tables.find_map(|table| table.find(label_values));
        if let Some(known) = known {
            if known.len() >= slot_count {
                return known;
            }
            known.table().remove(label_values);
        }
        let is_fit = |table: &&Arc<SeriesTable>| {
            table.label_count() == label_count && table.slot_count() >= slot_count
        };
        let fit = self.tables.iter().find(is_fit).cloned();
        let table = fit.unwrap_or_else(|| {
            let table = SeriesTable::new(label_count, slot_count);
            self.tables.push(Arc::clone(&table));
            table
        });
        table.intern(label_values, clock())
    }

    fn remove(&mut self, label_values: &[&str]) -> bool {
        let with_labels = |table: &&Arc<SeriesTable>| table.label_count() == label_values.len();
        let mut tables = self.tables.iter().filter(with_labels);
        let was_there = tables.any(|table| table.remove(label_values));
        self.overflows -= usize::from(was_there && is_overflow(label_values));
        was_there
    }

    fn expire(&mut self, label_values: &[&str], now_seconds: f64) -> bool {
        // How many series are for what has no room is known here only, so these stay.
        let mut tables = self.tables.iter();
        !is_overflow(label_values)
            && tables.any(|table| {
                table.label_count() == label_values.len() && table.expire(label_values, now_seconds)
            })
    }

    fn expose(&self, created_samples: bool) -> MetricFamily {
        let mut tables = self.tables.iter();
        let table = |table: &Arc<SeriesTable>| table.family(&self.descriptor, created_samples);
        let first = tables.next().map(table);
        let mut family = first.unwrap_or_else(|| self.descriptor.family());
        family
            .samples
            .extend(tables.flat_map(|other| table(other).samples));
        family
    }

    fn encode_into(&self, created_samples: bool, encoding: &mut Encoding<'_>) {
        match &*self.tables {
            [table] => table.encode_into(&self.descriptor, created_samples, encoding),
            _ => encoding.family(&self.expose(created_samples)),
        }
    }
}

/// Tells whether a series with these label values is for what had no room.
fn is_overflow(label_values: &[&str]) -> bool {
    label_values.first() == Some(&OVERFLOW_LABEL_VALUE)
}

fn table_for(descriptor: &Descriptor) -> Arc<SeriesTable> {
    SeriesTable::new(descriptor.label_names.len(), descriptor.slot_count())
}

/// Is what the store hands out: a series with the clock that stamps its exemplars.
#[derive(Debug)]
struct HeapSeries {
    handle: SeriesHandle,
    clock: Clock,
}

impl Slots for HeapSeries {
    fn len(&self) -> usize {
        self.handle.len()
    }

    #[inline]
    fn add(&self, index: usize, delta: f64) {
        self.handle.add(index, delta);
    }

    #[inline]
    fn set(&self, index: usize, value: f64) {
        self.handle.set(index, value);
    }

    fn get(&self, index: usize) -> f64 {
        self.handle.get(index)
    }

    fn set_exemplar(&self, index: usize, mut exemplar: Exemplar) {
        exemplar
            .timestamp
            .get_or_insert_with(|| Timestamp::Seconds((self.clock)()));
        self.handle.set_exemplar(index, exemplar);
    }

    fn exemplar(&self, index: usize) -> Option<Exemplar> {
        self.handle.exemplar(index)
    }

    fn created_seconds(&self) -> f64 {
        self.handle.created_seconds()
    }

    fn reset(&self) {
        self.handle.reset((self.clock)());
    }
}
