//! Registries: which families are exposed together.

mod collector;
mod forgetful;
mod gather;
mod restricted;

use std::any::Any;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use collector::Collector;
pub use gather::{Exposition, Gather};
pub use restricted::RestrictedRegistry;

use self::forgetful::Forgetful;
use crate::fork;
use crate::metric::{
    DefaultBounds, DynFamily, ErrorKind, Family, Metric, Result, claimed_suffixes,
};
use crate::model::{Descriptor, LabelSet, MetricFamily, MetricType};
use crate::store::{Collected, Store};

/// Holds what is exposed together: the families of a store, and custom collectors.
///
/// Clones are the same registry. In a store that workers share, a registry exposes all that any of them counted,
/// families that only others declared included.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use forkmeter_core::metric::Gauge;
/// use forkmeter_core::registry::Registry;
/// use forkmeter_core::store::HeapStore;
///
/// let registry = Registry::new(Arc::new(HeapStore::new(|| 0.0)));
/// let first = Gauge::builder("temperature", "").unit("celsius").register(&registry)?;
/// let again = Gauge::builder("temperature_celsius", "").register(&registry).unwrap_err();
/// assert_eq!(
///     again.to_string(),
///     "cannot register \"temperature_celsius\": already registered: temperature_celsius"
/// );
/// let same = again.registered().and_then(|r| r.metric::<Gauge>()).expect("it is a gauge");
/// same.set(21.5);
/// assert_eq!(first.get(), 21.5);
/// # Ok::<(), forkmeter_core::metric::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Registry {
    store: Arc<dyn Store>,
    const_labels: LabelSet,
    default_bounds: Arc<DefaultBounds>,
    state: Arc<Mutex<State>>,
}

/// What a registry holds apart from its store.
#[derive(Debug, Default)]
struct State {
    /// Which registration exposes a name.
    names: BTreeMap<Arc<str>, u64>,
    /// Registrations in the order in which they were made.
    entries: BTreeMap<u64, Registered>,
    next_entry: u64,
    /// Families of the store that were unregistered here.
    hidden: HashSet<Arc<str>>,
    target_info: LabelSet,
}

/// Shows one registration: a family or a custom collector, with the names that it exposes.
#[derive(Clone)]
pub struct Registered {
    names: Arc<[Arc<str>]>,
    what: What,
}

#[derive(Clone)]
enum What {
    Family {
        descriptor: Arc<Descriptor>,
        family: Arc<dyn Any + Send + Sync>,
        /// The same, as one that may have idle series.
        forgetful: Arc<dyn Forgetful>,
    },
    Collector(Arc<dyn Collector>),
    TargetInfo,
}

impl Registry {
    /// Makes an empty registry whose metrics are kept in `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            const_labels: LabelSet::empty(),
            default_bounds: Arc::default(),
            state: Arc::default(),
        }
    }

    /// Returns the same registry, putting `labels` on all that is registered through the returned handle, and on
    /// what custom collectors yield when it gathers.
    ///
    /// Labels that a family or a sample has itself stay as they are.
    #[must_use]
    pub fn with_const_labels(mut self, labels: &LabelSet) -> Self {
        let labels = labels.iter_shared().chain(self.const_labels.iter_shared());
        let labels = labels.map(|(name, value)| (Arc::clone(name), Arc::clone(value)));
        // Of equal names the last one stays, which are those that were set first.
        self.const_labels = labels.collect();
        self
    }

    /// Returns the store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Sets the bounds of the families that are or will be registered with a builder here, unless they have bounds of
    /// their own: how many series one has at most (see [`Builder::max_series`](crate::metric::Builder::max_series)), and
    /// after which time a series goes in which nobody counts (see
    /// [`Builder::idle_expiry`](crate::metric::Builder::idle_expiry)).
    ///
    /// They hold from now on, for families that exist, too; series that are there stay. Families without labels have no
    /// bounds. Series of gauges, infos and state sets do not expire by default, since what they say holds for as long as
    /// nobody says otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use forkmeter_core::{metric::Counter, registry::Registry, store::HeapStore};
    /// # let registry = Registry::new(Arc::new(HeapStore::new(|| 0.0)));
    /// let bounded = Counter::builder("visits", "").labels(["page"]).register(&registry)?;
    /// let free = Counter::builder("jobs", "").labels(["id"]).max_series(None).register(&registry)?;
    /// registry.set_default_bounds(Some(1), None);
    /// for value in ["a", "b", "c"] {
    ///     bounded.with_label_values([value]).inc();
    ///     free.with_label_values([value]).inc();
    /// }
    /// assert_eq!(bounded.find(["__overflow__"]).map(|series| series.get()), Some(2.0));
    /// assert_eq!(free.series().len(), 3);
    /// # Ok::<(), forkmeter_core::metric::Error>(())
    /// ```
    pub fn set_default_bounds(&self, max_series: Option<usize>, idle_after: Option<Duration>) {
        self.default_bounds.set(max_series, idle_after);
    }

    pub(crate) fn default_bounds(&self) -> &Arc<DefaultBounds> {
        &self.default_bounds
    }

    /// Returns the labels that all families get.
    pub fn const_labels(&self) -> &LabelSet {
        &self.const_labels
    }

    /// Registers a family that was made with [`Builder::build_in`](crate::metric::Builder::build_in), or that was
    /// unregistered before, and declares it to its store.
    ///
    /// The family should be of this registry's store; one of another store holds its names here but is exposed by
    /// its own store only.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Duplicate`] when one of its names is taken.
    pub fn register<M: Metric>(&self, family: &DynFamily<M>) -> Result<()> {
        let descriptor = Arc::clone(family.descriptor());
        let names = exposed_names(&descriptor.name, descriptor.kind);
        let family = Arc::new(family.clone());
        let what = What::Family {
            descriptor: Arc::clone(&descriptor),
            forgetful: Arc::clone(&family) as Arc<dyn Forgetful>,
            family,
        };
        self.claim(names, what)?;
        self.store.declare(&descriptor);
        Ok(())
    }

    /// Registers a custom collector, which is asked for its families on every gathering.
    ///
    /// Holds the names of the families that [`Collector::describe`] yields.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Duplicate`] when one of the names is taken.
    pub fn register_collector(&self, collector: Arc<dyn Collector>) -> Result<()> {
        // The collector is the application's code: it is asked before any lock is taken.
        let described = collector.describe();
        let names = described
            .iter()
            .flat_map(|f| exposed_names(&f.name, f.kind))
            .collect();
        self.claim(names, What::Collector(collector))
    }

    /// Removes what exposes `name` (a family's name, or one of its samples') and returns it.
    ///
    /// The family is no longer exposed by this registry. A store of one process then starts from zero when another
    /// family of this name is registered; a store that is shared keeps what was counted, since others count on.
    pub fn unregister(&self, name: &str) -> Option<Registered> {
        let removed = self.locked(|state| {
            let number = *state.names.get(name)?;
            state.remove(number)
        })?;
        self.withdraw(&removed);
        Some(removed)
    }

    /// Removes a custom collector and returns whether it was there; told by identity, not by names.
    pub fn unregister_collector(&self, collector: &Arc<dyn Collector>) -> bool {
        let removed = self.locked(|state| {
            let mut entries = state.entries.iter();
            let number = entries.find_map(|(number, entry)| match &entry.what {
                What::Collector(other) => Arc::ptr_eq(other, collector).then_some(*number),
                _ => None,
            });
            state.remove(number?)
        });
        removed.is_some()
    }

    fn withdraw(&self, removed: &Registered) {
        if let What::Family { descriptor, .. } = &removed.what {
            self.store.withdraw(descriptor);
        }
    }

    /// Returns what exposes `name`: a family's name, or one of its samples'.
    pub fn registered(&self, name: &str) -> Option<Registered> {
        self.locked(|state| state.entries.get(state.names.get(name)?).cloned())
    }

    /// Returns all registrations in the order in which they were made.
    pub fn registrations(&self) -> Vec<Registered> {
        self.locked(|state| state.entries.values().cloned().collect())
    }

    /// Sets the labels of the `target_info` sample, which comes first in expositions; the empty set takes it away.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Duplicate`] when something else exposes `target_info`.
    pub fn set_target_info(&self, labels: LabelSet) -> Result<()> {
        let names: Vec<Arc<str>> = vec!["target_info".into()];
        let present = self.locked(|state| {
            let entry = state
                .names
                .get("target_info")
                .and_then(|n| state.entries.get_key_value(n));
            let own = entry.filter(|(_, entry)| matches!(entry.what, What::TargetInfo));
            own.map(|(number, _)| *number)
        });
        match present {
            Some(number) if labels.is_empty() => {
                self.locked(|state| state.remove(number));
            }
            None if !labels.is_empty() => self.claim(names, What::TargetInfo)?,
            _ => {}
        }
        self.locked(|state| state.target_info = labels);
        Ok(())
    }

    /// Returns the labels of the `target_info` sample; empty where there is none.
    pub fn target_info(&self) -> LabelSet {
        self.locked(|state| state.target_info.clone())
    }

    /// Collects the store and all custom collectors.
    ///
    /// `target_info` comes first, then the store's families, then the collectors' in the order of registration.
    /// Collectors are called with no lock held. One that panics is left out and named in the errors; so is a
    /// family that has the name of an earlier one but another type, and a series that was there already.
    pub fn gather(&self) -> Collected {
        gather::gather(self, None)
    }

    /// Returns a view that gathers only samples with the given names, suffixes included.
    pub fn restricted<T: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = T>,
    ) -> RestrictedRegistry {
        RestrictedRegistry::new(self.clone(), names)
    }

    fn claim(&self, names: Vec<Arc<str>>, what: What) -> Result<()> {
        let entry = Registered {
            names: names.into(),
            what,
        };
        self.locked(|state| {
            let taken = |name: &&Arc<str>| state.names.contains_key(*name);
            let mut duplicates: Vec<_> = entry.names.iter().filter(taken).cloned().collect();
            duplicates.sort();
            if let Some(first) = duplicates.first() {
                let registered = state.entries[&state.names[first]].clone();
                let family = entry.names.first().map_or("", |name| &**name).into();
                return Err(ErrorKind::Duplicate {
                    family,
                    names: duplicates,
                    registered,
                }
                .into());
            }
            let number = state.next_entry;
            state.next_entry += 1;
            for name in entry.names.iter() {
                state.names.insert(Arc::clone(name), number);
                state.hidden.remove(name);
            }
            state.entries.insert(number, entry);
            Ok(())
        })
    }

    fn locked<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        let _section = fork::enter();
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn remove(&mut self, number: u64) -> Option<Registered> {
        let entry = self.entries.remove(&number)?;
        for name in entry.names.iter() {
            self.names.remove(name);
        }
        if let What::Family { descriptor, .. } = &entry.what {
            self.hidden.insert(Arc::clone(&descriptor.name));
        }
        Some(entry)
    }
}

impl Registered {
    /// Returns the names that are exposed: of each family its own, and those with a suffix.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Returns the metadata of a registered family.
    pub fn descriptor(&self) -> Option<&Arc<Descriptor>> {
        match &self.what {
            What::Family { descriptor, .. } => Some(descriptor),
            _ => None,
        }
    }

    /// Returns the registered family if it is of this kind.
    pub fn family<M: Metric>(&self) -> Option<DynFamily<M>> {
        match &self.what {
            What::Family { family, .. } => family.downcast_ref().cloned(),
            _ => None,
        }
    }

    /// Returns the registered family if it is of this kind and has `N` labels.
    pub fn labelled<M: Metric, const N: usize>(&self) -> Option<Family<M, N>> {
        self.family()?.try_into_family()
    }

    /// Returns the registered metric if it is of this kind and has no labels.
    pub fn metric<M: Metric>(&self) -> Option<M> {
        self.family::<M>()?.try_with_label_values(&[]).ok()
    }

    /// Returns the registered custom collector.
    pub fn collector(&self) -> Option<&Arc<dyn Collector>> {
        match &self.what {
            What::Collector(collector) => Some(collector),
            _ => None,
        }
    }
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

fn exposed_names(family: &Arc<str>, kind: MetricType) -> Vec<Arc<str>> {
    let suffixed = claimed_suffixes(kind)
        .iter()
        .map(|suffix| format!("{family}{suffix}").into());
    std::iter::once(Arc::clone(family))
        .chain(suffixed)
        .collect()
}

/// Returns the family of the `target_info` sample.
fn target_info_family(labels: LabelSet) -> MetricFamily {
    let mut family = MetricFamily::new("target", "Target metadata", MetricType::Info);
    family
        .samples
        .push(crate::model::Sample::new("target_info", labels, 1.0));
    family
}
