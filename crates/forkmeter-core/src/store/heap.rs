//! The store of a single process: values in its own memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::{Clock, Collected, Slots, Store};
use crate::fork;
use crate::model::{
    Descriptor, Exemplar, LabelSet, MetricFamily, MetricType, SeriesView, Timestamp,
};

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

#[derive(Debug)]
struct HeapFamily {
    descriptor: Arc<Descriptor>,
    /// Withdrawn families are kept, since they may be declared again, but not exposed.
    withdrawn: bool,
    /// The number of a series, by its label values.
    numbers: HashMap<LabelValues, u64>,
    /// Series by number, which is their order.
    series: BTreeMap<u64, (LabelValues, Arc<HeapSeries>)>,
    next_number: u64,
}

type LabelValues = Arc<[Arc<str>]>;

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

    fn series_of(&self, descriptor: &Arc<Descriptor>, label_values: &[&str]) -> Arc<HeapSeries> {
        self.change(descriptor, |family| {
            family.series_of(descriptor, label_values, self.clock)
        })
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
        self.series_of(descriptor, label_values)
    }

    fn remove(&self, descriptor: &Arc<Descriptor>, label_values: &[&str]) -> bool {
        let key = key(label_values);
        self.change(descriptor, |family| {
            let number = family.numbers.remove(&key);
            number.is_some_and(|number| family.series.remove(&number).is_some())
        })
    }

    fn series(&self, descriptor: &Arc<Descriptor>) -> Vec<Box<[Arc<str>]>> {
        self.change(descriptor, |family| {
            family
                .series
                .values()
                .map(|(values, _)| (**values).into())
                .collect()
        })
    }

    fn set_info(&self, descriptor: &Arc<Descriptor>, label_values: &[&str], facts: LabelSet) {
        self.series_of(descriptor, label_values)
            .change_extras(|extras| extras.info = Some(facts));
    }

    fn collect(&self) -> Collected {
        let _section = fork::enter();
        let families = self.families.read().unwrap_or_else(PoisonError::into_inner);
        let exposed = families.in_order.iter().filter(|family| !family.withdrawn);
        let families = exposed
            .map(|family| family.expose(self.created_samples))
            .collect();
        Collected {
            families,
            errors: Vec::new(),
        }
    }
}

fn key(label_values: &[&str]) -> LabelValues {
    label_values.iter().map(|value| Arc::from(*value)).collect()
}

impl HeapFamily {
    fn new(descriptor: &Arc<Descriptor>) -> Self {
        Self {
            descriptor: Arc::clone(descriptor),
            withdrawn: false,
            numbers: HashMap::new(),
            series: BTreeMap::new(),
            next_number: 0,
        }
    }

    fn series_of(
        &mut self,
        descriptor: &Descriptor,
        label_values: &[&str],
        clock: Clock,
    ) -> Arc<HeapSeries> {
        let key = key(label_values);
        // Two declarations of one name may differ in their buckets: nobody gets fewer cells than declared.
        let cells = descriptor.slot_count().max(self.descriptor.slot_count());
        let known = self
            .numbers
            .get(&key)
            .and_then(|number| self.series.get(number));
        if let Some((_, series)) = known
            && series.len() >= cells
        {
            return Arc::clone(series);
        }
        let series = Arc::new(HeapSeries::new(cells, clock));
        let number = self.next_number;
        self.next_number += 1;
        if let Some(replaced) = self.numbers.insert(Arc::clone(&key), number) {
            self.series.remove(&replaced);
        }
        self.series.insert(number, (key, Arc::clone(&series)));
        series
    }

    fn expose(&self, created_samples: bool) -> MetricFamily {
        let descriptor = &self.descriptor;
        let mut family = descriptor.family();
        for (values, series) in self.series.values() {
            let labels = descriptor
                .label_names
                .iter()
                .cloned()
                .zip(values.iter().cloned())
                .collect();
            let info = match descriptor.kind {
                MetricType::Info => Some(series.facts()),
                _ => None,
            };
            let created_seconds = created_samples.then(|| series.created_seconds());
            descriptor.expose(
                &SeriesView {
                    labels,
                    info,
                    created_seconds,
                    slots: &**series,
                },
                &mut family.samples,
            );
        }
        family
    }
}

/// Holds the cells of one series.
#[derive(Debug)]
struct HeapSeries {
    cells: Box<[AtomicU64]>,
    created_bits: AtomicU64,
    clock: Clock,
    /// What few series have, so that the others do not pay for it.
    extras: Mutex<Option<Box<Extras>>>,
}

#[derive(Debug, Default)]
struct Extras {
    exemplars: Vec<Option<Exemplar>>,
    info: Option<LabelSet>,
}

impl HeapSeries {
    fn new(cells: usize, clock: Clock) -> Self {
        Self {
            cells: (0..cells).map(|_| AtomicU64::new(0)).collect(),
            created_bits: AtomicU64::new(clock().to_bits()),
            clock,
            extras: Mutex::default(),
        }
    }

    fn change_extras(&self, f: impl FnOnce(&mut Extras)) {
        let _section = fork::enter();
        let mut extras = self.extras.lock().unwrap_or_else(PoisonError::into_inner);
        f(extras.get_or_insert_default());
    }

    fn read_extras<R>(&self, f: impl FnOnce(&Extras) -> Option<R>) -> Option<R> {
        let _section = fork::enter();
        let extras = self.extras.lock().unwrap_or_else(PoisonError::into_inner);
        f(extras.as_deref()?)
    }

    fn facts(&self) -> LabelSet {
        self.read_extras(|extras| extras.info.clone())
            .unwrap_or_default()
    }
}

impl Slots for HeapSeries {
    fn len(&self) -> usize {
        self.cells.len()
    }

    #[inline]
    fn add(&self, index: usize, delta: f64) {
        super::add_to_cell(&self.cells[index], delta);
    }

    #[inline]
    fn set(&self, index: usize, value: f64) {
        // ORDERING: each cell stands alone; readers need no order between cells.
        self.cells[index].store(value.to_bits(), Ordering::Relaxed);
    }

    fn get(&self, index: usize) -> f64 {
        // ORDERING: as in `set`.
        f64::from_bits(self.cells[index].load(Ordering::Relaxed))
    }

    fn set_exemplar(&self, index: usize, mut exemplar: Exemplar) {
        exemplar
            .timestamp
            .get_or_insert_with(|| Timestamp::Seconds((self.clock)()));
        self.change_extras(|extras| {
            extras.exemplars.resize(self.cells.len(), None);
            extras.exemplars[index] = Some(exemplar);
        });
    }

    fn exemplar(&self, index: usize) -> Option<Exemplar> {
        self.read_extras(|extras| extras.exemplars.get(index).cloned().flatten())
    }

    fn created_seconds(&self) -> f64 {
        // ORDERING: as in `set`.
        f64::from_bits(self.created_bits.load(Ordering::Relaxed))
    }

    fn reset(&self) {
        for cell in &self.cells {
            // ORDERING: as in `set`.
            cell.store(0, Ordering::Relaxed);
        }
        // ORDERING: as in `set`.
        self.created_bits
            .store((self.clock)().to_bits(), Ordering::Relaxed);
        self.change_extras(|extras| extras.exemplars.clear());
    }
}
