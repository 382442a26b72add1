//! The store of a single process: values in its own memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::{Clock, Collected, Slots, Store};
use crate::fork;
use crate::model::{Descriptor, Exemplar, LabelSet, MetricFamily, MetricType, SeriesView};

/// Keeps values in the memory of this process.
///
/// Families are exposed in the order in which they were declared, series in the order in which they were made.
#[derive(Debug)]
pub struct HeapStore {
    clock: Clock,
    created_samples: bool,
    families: RwLock<Vec<HeapFamily>>,
}

#[derive(Debug)]
struct HeapFamily {
    descriptor: Arc<Descriptor>,
    index: HashMap<Box<[Arc<str>]>, Arc<HeapSeries>>,
    order: Vec<Box<[Arc<str>]>>,
}

impl HeapStore {
    /// Makes an empty store that stamps new series with `clock`.
    pub fn new(clock: Clock) -> Self {
        Self { clock, created_samples: false, families: RwLock::default() }
    }

    /// Exposes a `_created` sample for every counter, histogram and summary series.
    #[must_use]
    pub fn with_created_samples(mut self, enabled: bool) -> Self {
        self.created_samples = enabled;
        self
    }

    fn change<R>(&self, descriptor: &Arc<Descriptor>, f: impl FnOnce(&mut HeapFamily) -> R) -> R {
        let _section = fork::enter();
        let mut families = self.families.write().unwrap_or_else(PoisonError::into_inner);
        let position = families.iter().position(|family| family.descriptor.name == descriptor.name);
        let position = position.unwrap_or_else(|| {
            families.push(HeapFamily {
                descriptor: Arc::clone(descriptor),
                index: HashMap::new(),
                order: Vec::new(),
            });
            families.len() - 1
        });
        f(&mut families[position])
    }

    fn series_of(&self, descriptor: &Arc<Descriptor>, label_values: &[&str]) -> Arc<HeapSeries> {
        let key: Box<[Arc<str>]> = label_values.iter().map(|value| Arc::from(*value)).collect();
        self.change(descriptor, |family| {
            if let Some(series) = family.index.get(&key) {
                return Arc::clone(series);
            }
            let series = Arc::new(HeapSeries::new(descriptor, self.clock));
            family.order.push(key.clone());
            family.index.insert(key, Arc::clone(&series));
            series
        })
    }
}

impl Store for HeapStore {
    fn declare(&self, descriptor: &Arc<Descriptor>) {
        self.change(descriptor, |_| ());
    }

    fn intern(&self, descriptor: &Arc<Descriptor>, label_values: &[&str]) -> Arc<dyn Slots> {
        self.series_of(descriptor, label_values)
    }

    fn remove(&self, descriptor: &Arc<Descriptor>, label_values: &[&str]) -> bool {
        let key: Box<[Arc<str>]> = label_values.iter().map(|value| Arc::from(*value)).collect();
        self.change(descriptor, |family| {
            family.order.retain(|other| *other != key);
            family.index.remove(&key).is_some()
        })
    }

    fn series(&self, descriptor: &Arc<Descriptor>) -> Vec<Box<[Arc<str>]>> {
        self.change(descriptor, |family| family.order.clone())
    }

    fn set_info(&self, descriptor: &Arc<Descriptor>, label_values: &[&str], facts: LabelSet) {
        let series = self.series_of(descriptor, label_values);
        let _section = fork::enter();
        *series.info.lock().unwrap_or_else(PoisonError::into_inner) = Some(facts);
    }

    fn collect(&self) -> Collected {
        let _section = fork::enter();
        let families = self.families.read().unwrap_or_else(PoisonError::into_inner);
        let families = families.iter().map(|family| family.expose(self.created_samples)).collect();
        Collected { families, errors: Vec::new() }
    }
}

impl HeapFamily {
    fn expose(&self, created_samples: bool) -> MetricFamily {
        let descriptor = &self.descriptor;
        let mut family = descriptor.family();
        for values in &self.order {
            let Some(series) = self.index.get(values) else { continue };
            let labels = descriptor.label_names.iter().cloned().zip(values.iter().cloned()).collect();
            let info = series.info.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let created = created_samples.then(|| series.created_seconds());
            descriptor.expose(
                &SeriesView { labels, info, created_seconds: created, slots: &**series },
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
    exemplars: Mutex<Vec<Option<Exemplar>>>,
    info: Mutex<Option<LabelSet>>,
}

impl HeapSeries {
    fn new(descriptor: &Descriptor, clock: Clock) -> Self {
        Self {
            cells: (0..descriptor.slot_count()).map(|_| AtomicU64::new(0)).collect(),
            created_bits: AtomicU64::new(clock().to_bits()),
            clock,
            exemplars: Mutex::default(),
            info: Mutex::new((descriptor.kind == MetricType::Info).then(LabelSet::empty)),
        }
    }
}

impl Slots for HeapSeries {
    fn len(&self) -> usize {
        self.cells.len()
    }

    fn add(&self, index: usize, delta: f64) {
        super::add_to_cell(&self.cells[index], delta);
    }

    fn set(&self, index: usize, value: f64) {
        // ORDERING: each cell stands alone; readers need no order between cells.
        self.cells[index].store(value.to_bits(), Ordering::Relaxed);
    }

    fn get(&self, index: usize) -> f64 {
        // ORDERING: as in `set`.
        f64::from_bits(self.cells[index].load(Ordering::Relaxed))
    }

    fn set_exemplar(&self, index: usize, exemplar: Exemplar) {
        let _section = fork::enter();
        let mut exemplars = self.exemplars.lock().unwrap_or_else(PoisonError::into_inner);
        exemplars.resize(self.cells.len(), None);
        exemplars[index] = Some(exemplar);
    }

    fn exemplar(&self, index: usize) -> Option<Exemplar> {
        let _section = fork::enter();
        let exemplars = self.exemplars.lock().unwrap_or_else(PoisonError::into_inner);
        exemplars.get(index).cloned().flatten()
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
        self.created_bits.store((self.clock)().to_bits(), Ordering::Relaxed);
        let _section = fork::enter();
        self.exemplars.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
