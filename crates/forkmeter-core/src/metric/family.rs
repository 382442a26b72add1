//! Families: the series of one metric, by their label values.

use std::hash::{BuildHasher, Hash, Hasher};
use std::marker::PhantomData;
use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashTable;

use super::bounds::Bounded;
use super::error::{ErrorKind, Result};
use super::held::{Held, HeldSeries};
use super::recent::{self, Generation};
use super::{Metric, Series};
use crate::fork;
use crate::idle::LabelValues;
use crate::model::{Descriptor, LabelSet, MetricFamily, OVERFLOW_LABEL_VALUE};
use crate::store::Store;

/// Holds the series of a metric with `N` labels.
///
/// Clones are the same family. Looking a series up that this thread asked for lately compares the label
/// values, without a lock; keep the handle where even that is too much.
///
/// # Examples
///
/// ```
/// # use std::sync::Arc;
/// # use forkmeter_core::{metric::Counter, registry::Registry, store::HeapStore};
/// # let registry = Registry::new(Arc::new(HeapStore::new(|| 0.0)));
/// let requests =
///     Counter::builder("requests", "Requests.").labels(["method", "code"]).register(&registry)?;
/// requests.with_label_values(["GET", "200"]).inc();
/// requests.with_label_values(["GET", "500"]).inc();
/// requests.remove_by_labels([("code", "500")])?;
/// assert_eq!(requests.series(), [["GET", "200"].map(Into::into)]);
/// # Ok::<(), forkmeter_core::metric::Error>(())
/// ```
#[derive(Debug)]
pub struct Family<M, const N: usize> {
    core: Arc<FamilyCore<M>>,
}

impl<M, const N: usize> Clone for Family<M, N> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
        }
    }
}

impl<M: Metric, const N: usize> Family<M, N> {
    /// Returns the handle of a series, made at zero the first time.
    ///
    /// Values are in the order of the declared label names and may be any text, the empty one included.
    #[inline]
    pub fn with_label_values(&self, label_values: [&str; N]) -> M {
        self.core.get(&label_values)
    }

    /// Removes a series and returns whether it was there. Asked for again, it starts from zero; handles that are
    /// still held count nowhere.
    pub fn remove(&self, label_values: [&str; N]) -> bool {
        self.core.remove(&label_values)
    }

    /// Removes all series that have these labels among theirs, and returns how many; with no labels none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownLabel`] when the family has no such label; then nothing is removed.
    pub fn remove_by_labels<'a>(
        &self,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<usize> {
        self.core
            .remove_by_labels(&labels.into_iter().collect::<Vec<_>>())
    }

    /// Removes all series.
    pub fn clear(&self) {
        self.core.clear();
    }

    /// Returns the label values of all series, in the order in which they were made.
    pub fn series(&self) -> Vec<[Arc<str>; N]> {
        self.core
            .series()
            .into_iter()
            .filter_map(|values| values.try_into().ok())
            .collect()
    }

    /// Returns the labels of all series, constant ones included, in the order in which they were made.
    pub fn label_sets(&self) -> Vec<LabelSet> {
        self.core.label_sets()
    }

    /// Returns the handle of a series if there is one, unlike [`Family::with_label_values`], which makes it.
    ///
    /// Looks at all series; for tests and tools.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use forkmeter_core::{metric::Counter, registry::Registry, store::HeapStore};
    /// # let registry = Registry::new(Arc::new(HeapStore::new(|| 0.0)));
    /// let requests = Counter::builder("requests", "").labels(["code"]).register(&registry)?;
    /// assert!(requests.find(["200"]).is_none());
    /// requests.with_label_values(["200"]).inc();
    /// assert_eq!(requests.find(["200"]).map(|counter| counter.get()), Some(1.0));
    /// # Ok::<(), forkmeter_core::metric::Error>(())
    /// ```
    pub fn find(&self, label_values: [&str; N]) -> Option<M> {
        self.core.find(&label_values)
    }

    /// Returns the family's metadata.
    pub fn descriptor(&self) -> &Arc<Descriptor> {
        &self.core.descriptor
    }

    /// Returns the family without its label count in the type.
    pub fn to_dynamic(&self) -> DynFamily<M> {
        DynFamily {
            core: Arc::clone(&self.core),
        }
    }
}

/// Holds the series of a metric whose label count is known at run time only, as in bindings.
///
/// Otherwise like [`Family`].
#[derive(Debug)]
pub struct DynFamily<M> {
    core: Arc<FamilyCore<M>>,
}

impl<M> Clone for DynFamily<M> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
        }
    }
}

impl<M: Metric> DynFamily<M> {
    pub(super) fn new(
        descriptor: Arc<Descriptor>,
        store: Arc<dyn Store>,
        const_values: Box<[Arc<str>]>,
        bounded: Bounded,
    ) -> Self {
        let core = FamilyCore {
            descriptor,
            store,
            const_values,
            bounded,
            hasher: foldhash::fast::RandomState::default(),
            generation: Generation::new(),
            known: RwLock::default(),
            kind: PhantomData,
        };
        Self {
            core: Arc::new(core),
        }
    }

    /// Returns the family with its label count in the type; none when it has another number of labels.
    pub fn try_into_family<const N: usize>(self) -> Option<Family<M, N>> {
        (self.label_count() == N).then_some(Family { core: self.core })
    }

    /// Tells whether both have the same declaration, help text apart.
    pub(super) fn is_declared_like(&self, other: &Self) -> bool {
        let (own, other) = (&*self.core, &*other.core);
        let help = Arc::clone(&own.descriptor.help);
        own.const_values == other.const_values
            && *own.descriptor
                == Descriptor {
                    help,
                    ..(*other.descriptor).clone()
                }
    }

    /// Returns the number of label values that a series has, without those of constant labels.
    pub fn label_count(&self) -> usize {
        self.core.label_count()
    }

    /// Returns the handle of a series, made at zero the first time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LabelCount`] when the number of values is not [`DynFamily::label_count`].
    #[inline]
    pub fn try_with_label_values(&self, label_values: &[&str]) -> Result<M> {
        self.core.check_count(label_values)?;
        Ok(self.core.get(label_values))
    }

    /// Removes a series and returns whether it was there; see [`Family::remove`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LabelCount`] when the number of values is not [`DynFamily::label_count`].
    pub fn remove(&self, label_values: &[&str]) -> Result<bool> {
        self.core.check_count(label_values)?;
        Ok(self.core.remove(label_values))
    }

    /// Removes all series that have these labels among theirs, and returns how many; with no labels none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownLabel`] when the family has no such label; then nothing is removed.
    pub fn remove_by_labels(&self, labels: &[(&str, &str)]) -> Result<usize> {
        self.core.remove_by_labels(labels)
    }

    /// Removes all series.
    pub fn clear(&self) {
        self.core.clear();
    }

    /// Returns the label values of all series, in the order in which they were made.
    pub fn series(&self) -> Vec<Vec<Arc<str>>> {
        self.core.series()
    }

    /// Returns the labels of all series, constant ones included, in the order in which they were made.
    pub fn label_sets(&self) -> Vec<LabelSet> {
        self.core.label_sets()
    }

    /// Returns the handle of a series if there is one; see [`Family::find`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LabelCount`] when the number of values is not [`DynFamily::label_count`].
    pub fn find(&self, label_values: &[&str]) -> Result<Option<M>> {
        self.core.check_count(label_values)?;
        Ok(self.core.find(label_values))
    }

    /// Returns the family's metadata.
    pub fn descriptor(&self) -> &Arc<Descriptor> {
        &self.core.descriptor
    }

    /// Tells whether series are to be removed once nobody counts in them.
    pub(crate) fn forgets_idle_series(&self) -> bool {
        self.core.label_count() > 0 && self.core.bounded.watches()
    }

    /// Removes the series that are idle, as a collection of the family at a time shows, and returns their label values.
    pub(crate) fn remove_idle(&self, family: &MetricFamily, now_seconds: f64) -> Vec<LabelValues> {
        self.core.remove_idle(family, now_seconds)
    }

    /// Returns the store that keeps the family's values.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.core.store
    }
}

/// Is what all handles to one family share.
#[derive(Debug)]
struct FamilyCore<M> {
    descriptor: Arc<Descriptor>,
    store: Arc<dyn Store>,
    /// The values of the constant labels, which are the last of the descriptor's label names.
    const_values: Box<[Arc<str>]>,
    bounded: Bounded,
    hasher: foldhash::fast::RandomState,
    generation: Generation,
    known: RwLock<HashTable<Known>>,
    kind: PhantomData<fn() -> M>,
}

/// Remembers a series that was asked for.
#[derive(Debug)]
struct Known {
    label_values: Box<[Box<str>]>,
    series: Arc<HeldSeries>,
}

impl Known {
    fn is(&self, label_values: &[&str]) -> bool {
        self.label_values.len() == label_values.len()
            && self
                .label_values
                .iter()
                .zip(label_values)
                .all(|(own, other)| **own == **other)
    }
}

/// Takes out what the store has forgotten, before the table would grow.
fn make_room(known: &mut HashTable<Known>, rehash: impl Fn(&Known) -> u64) -> Vec<Known> {
    if known.len() < known.capacity() {
        return Vec::new();
    }
    let is_forgotten = |known: &mut Known| known.series.slots.is_forgotten();
    let forgotten: Vec<_> = known.extract_if(is_forgotten).collect();
    if forgotten.len() < known.len() {
        // The next look is to be worth its time, too.
        known.reserve(known.len(), rehash);
    }
    forgotten
}

impl<M: Metric> FamilyCore<M> {
    fn label_count(&self) -> usize {
        self.descriptor.label_names.len() - self.const_values.len()
    }

    fn check_count(&self, label_values: &[&str]) -> Result<()> {
        let (expected, got) = (self.label_count(), label_values.len());
        if expected == got {
            return Ok(());
        }
        let family = (&*self.descriptor.name).into();
        Err(ErrorKind::LabelCount {
            family,
            expected,
            got,
        }
        .into())
    }

    #[inline]
    fn hash<T: Hash>(&self, label_values: impl Iterator<Item = T>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        label_values.for_each(|value| value.hash(&mut hasher));
        hasher.finish()
    }

    /// Returns the handle of a series; the caller has checked the number of values.
    #[inline]
    fn get(&self, label_values: &[&str]) -> M {
        let held = recent::find(self.generation.stamp(), label_values)
            .unwrap_or_else(|| self.look_up(label_values));
        if M::NEEDS_LABEL_VALUES {
            return self.with_all_values(label_values, |all| self.handle(all, held));
        }
        self.handle(&[], held)
    }

    #[inline]
    fn handle(&self, label_values: &[&str], held: Held) -> M {
        let (descriptor, store) = (&self.descriptor, &self.store);
        M::from_series(Series {
            descriptor,
            store,
            label_values,
            held,
        })
    }

    #[cold]
    fn look_up(&self, label_values: &[&str]) -> Held {
        let hash = self.hash(label_values.iter());
        let _section = fork::enter();
        let remember = |series: &Arc<HeldSeries>| {
            recent::remember(self.generation.stamp(), label_values, series)
        };
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = known.find(hash, |known| known.is(label_values)) {
                return remember(&found.series);
            }
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.find(hash, |known| known.is(label_values)) {
            return remember(&found.series);
        }
        // The lock is kept while the store works, so that no removal comes between interning and remembering.
        let (store, descriptor) = (&*self.store, &self.descriptor);
        let interned = self.with_all_values(label_values, |all| {
            if label_values.is_empty() {
                // The one series of a family without labels always has room.
                return Some(store.intern(descriptor, all));
            }
            self.bounded.intern(store, descriptor, all)
        });
        let Some(slots) = interned else {
            drop(known);
            // Its own label values are not remembered: there may be any number of such label sets.
            return self.look_up(&vec![OVERFLOW_LABEL_VALUE; label_values.len()]);
        };
        let descriptor = Arc::clone(&self.descriptor);
        let series = Arc::new(HeldSeries { slots, descriptor });
        let held = remember(&series);
        let rehash = |known: &Known| self.hash(known.label_values.iter());
        let label_values = label_values.iter().map(|value| Box::from(*value)).collect();
        let new = Known {
            label_values,
            series,
        };
        let forgotten = make_room(&mut known, rehash);
        known.insert_unique(hash, new, rehash);
        drop(known);
        // Not before here, since dropping slots runs the code of a store.
        drop(forgotten);
        held
    }

    fn with_all_values<R>(&self, label_values: &[&str], f: impl FnOnce(&[&str]) -> R) -> R {
        if self.const_values.is_empty() {
            return f(label_values);
        }
        let constant = self.const_values.iter().map(|value| &**value);
        f(&label_values
            .iter()
            .copied()
            .chain(constant)
            .collect::<Vec<_>>())
    }

    fn remove(&self, label_values: &[&str]) -> bool {
        self.take_out(label_values, |store, all| {
            store.remove(&self.descriptor, all)
        })
    }

    /// Forgets a series and has the store take it out, with no lookup in between.
    fn take_out(
        &self,
        label_values: &[&str],
        from_store: impl FnOnce(&dyn Store, &[&str]) -> bool,
    ) -> bool {
        let hash = self.hash(label_values.iter());
        let _section = fork::enter();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        self.generation.advance();
        if let Ok(found) = known.find_entry(hash, |known| known.is(label_values)) {
            found.remove();
        }
        self.with_all_values(label_values, |all| from_store(&*self.store, all))
    }

    /// As [`FamilyCore::remove`], for a series that is idle: who holds a handle of it counts on.
    fn expire(&self, label_values: &[&str]) -> bool {
        // What has no room is counted there for as long as the family lives.
        label_values.first() != Some(&OVERFLOW_LABEL_VALUE)
            && self.take_out(label_values, |store, all| {
                store.expire(&self.descriptor, all)
            })
    }

    fn remove_by_labels(&self, labels: &[(&str, &str)]) -> Result<usize> {
        let own_names = &self.descriptor.label_names[..self.label_count()];
        let mut wanted = Vec::with_capacity(labels.len());
        for (name, value) in labels {
            let position = own_names.iter().position(|own| **own == **name);
            let position = position.ok_or_else(|| ErrorKind::UnknownLabel {
                family: (&*self.descriptor.name).into(),
                label: (*name).into(),
            })?;
            wanted.push((position, *value));
        }
        if wanted.is_empty() {
            return Ok(0);
        }
        Ok(self.remove_where(|values| wanted.iter().all(|(at, value)| *values[*at] == **value)))
    }

    fn clear(&self) {
        self.remove_where(|_| true);
    }

    fn remove_where(&self, matches: impl Fn(&[Arc<str>]) -> bool) -> usize {
        let mut removed = 0;
        for values in self.series().iter().filter(|values| matches(values)) {
            let values: Vec<&str> = values.iter().map(|value| &**value).collect();
            removed += usize::from(self.remove(&values));
        }
        removed
    }

    fn remove_idle(&self, family: &MetricFamily, now_seconds: f64) -> Vec<LabelValues> {
        let idle = self.bounded.idle(&self.descriptor, family, now_seconds);
        let own = self.label_count();
        let removed = idle.into_iter().filter(|values| {
            let own_values: Vec<&str> = values[..own].iter().map(|value| &**value).collect();
            values[own..] == *self.const_values && self.expire(&own_values)
        });
        removed.collect()
    }

    fn find(&self, label_values: &[&str]) -> Option<M> {
        let is_it = |values: &Vec<Arc<str>>| {
            let mut pairs = values.iter().zip(label_values);
            pairs.all(|(own, other)| **own == **other)
        };
        self.series()
            .iter()
            .any(is_it)
            .then(|| self.get(label_values))
    }

    fn label_sets(&self) -> Vec<LabelSet> {
        let names = &self.descriptor.label_names;
        let with_names = |values: Vec<Arc<str>>| {
            let all = values.into_iter().chain(self.const_values.iter().cloned());
            names.iter().cloned().zip(all).collect()
        };
        self.series().into_iter().map(with_names).collect()
    }

    /// Returns the label values, without those of constant labels, of the series that have these constant labels.
    fn series(&self) -> Vec<Vec<Arc<str>>> {
        let own = self.label_count();
        let all = self.store.series(&self.descriptor).into_iter();
        all.filter(|values| values.get(own..) == Some(&*self.const_values))
            .map(|values| values[..own].to_vec())
            .collect()
    }
}
