//! Bounded families: how many series one may have, and how long a series may stand unchanged.
//!
//! Used by families. Without bounds nothing here is made, and nothing costs anything; with them only what makes a new
//! series, or collects, does more.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::fork;
use crate::idle::{IdleWatch, LabelValues};
use crate::model::{Descriptor, MetricFamily, MetricType, MultiprocessMode};
use crate::store::{Slots, Store};

/// The family that tells how often that happened, by the bounded family's name.
pub const OVERFLOWS_NAME: &str = "forkmeter_series_overflows";

/// What it says of itself.
pub const OVERFLOWS_HELP: &str =
    "Uses of label sets for which a family has no series, since it has as many as it may have.";

/// Says what a bound is, or that somebody else says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bound<T> {
    /// Nothing was said: the default holds.
    #[default]
    Default,
    /// This, or that there is no bound.
    Own(Option<T>),
}

impl<T> Bound<T> {
    /// Returns the bound, if there is one.
    pub fn or_default(self, default: impl FnOnce() -> Option<T>) -> Option<T> {
        match self {
            Self::Default => default(),
            Self::Own(own) => own,
        }
    }
}

/// Is what a declaration says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bounds {
    pub(super) max_series: Bound<usize>,
    pub(super) idle_seconds: Bound<f64>,
}

/// Holds the bounds of all families of a registry that say nothing of their own; may be changed at any time.
///
/// See [`Registry::set_default_bounds`](crate::registry::Registry::set_default_bounds).
#[derive(Debug)]
pub(crate) struct DefaultBounds {
    /// [`NO_LIMIT`] where there is none.
    max_series: AtomicUsize,
    /// The bits of a number; infinity where nothing expires.
    idle_seconds_bits: AtomicU64,
}

const NO_LIMIT: usize = usize::MAX;

impl Default for DefaultBounds {
    fn default() -> Self {
        Self {
            max_series: AtomicUsize::new(NO_LIMIT),
            idle_seconds_bits: AtomicU64::new(f64::INFINITY.to_bits()),
        }
    }
}

impl DefaultBounds {
    pub(crate) fn set(&self, max_series: Option<usize>, idle_after: Option<Duration>) {
        let idle_seconds = idle_after.map_or(f64::INFINITY, |after| after.as_secs_f64());
        // ORDERING: lone values; a series that is made meanwhile is as if it came before.
        let relaxed = Ordering::Relaxed;
        self.max_series
            .store(max_series.unwrap_or(NO_LIMIT), relaxed);
        self.idle_seconds_bits
            .store(idle_seconds.to_bits(), relaxed);
    }

    fn max_series(&self) -> Option<usize> {
        // ORDERING: as in `set`.
        let max_series = self.max_series.load(Ordering::Relaxed);
        (max_series != NO_LIMIT).then_some(max_series)
    }

    fn idle_seconds(&self) -> Option<f64> {
        // ORDERING: as in `set`.
        let seconds = f64::from_bits(self.idle_seconds_bits.load(Ordering::Relaxed));
        seconds.is_finite().then_some(seconds)
    }
}

/// Keeps a family within its bounds.
#[derive(Debug)]
pub(super) struct Bounded {
    own: Bounds,
    defaults: Arc<DefaultBounds>,
    /// Whether no default says when series expire: a gauge and a state hold until somebody says otherwise.
    is_state: bool,
    /// Made with the first overflow, or where the family itself has a limit.
    overflows: OnceLock<Arc<dyn Slots>>,
    watch: Mutex<Option<Watch>>,
}

/// Watches for idle series, as long as the bound is what it was.
#[derive(Debug)]
struct Watch {
    idle_seconds: f64,
    watch: IdleWatch,
}

impl Bounded {
    /// Takes the bounds of a family; one with a limit on its series has its overflows counted in the same store.
    pub(super) fn new(
        own: Bounds,
        defaults: Arc<DefaultBounds>,
        descriptor: &Descriptor,
        store: &dyn Store,
    ) -> Self {
        let overflows = OnceLock::new();
        if let Bound::Own(Some(_)) = own.max_series {
            overflows.get_or_init(|| overflows_of(&descriptor.name, store));
        }
        Self {
            own,
            defaults,
            is_state: !matches!(
                descriptor.kind,
                MetricType::Counter | MetricType::Histogram | MetricType::Summary
            ),
            overflows,
            watch: Mutex::default(),
        }
    }

    /// Returns the slots of a series; where the family has no room for a new one, nothing, and counts that.
    pub(super) fn intern(
        &self,
        store: &dyn Store,
        descriptor: &Arc<Descriptor>,
        label_values: &[&str],
    ) -> Option<Arc<dyn Slots>> {
        let max_series = self.own.max_series;
        let max_series = max_series.or_default(|| self.defaults.max_series());
        let Some(max_series) = max_series else {
            return Some(store.intern(descriptor, label_values));
        };
        let slots = store.intern_within(descriptor, label_values, max_series);
        if slots.is_none() {
            let overflows = self
                .overflows
                .get_or_init(|| overflows_of(&descriptor.name, store));
            overflows.add(0, 1.0);
        }
        slots
    }

    /// Tells whether series are to go once nobody counts in them.
    pub(super) fn watches(&self) -> bool {
        self.idle_seconds().is_some()
    }

    fn idle_seconds(&self) -> Option<f64> {
        let default = || self.defaults.idle_seconds().filter(|_| !self.is_state);
        self.own.idle_seconds.or_default(default)
    }

    /// Returns the series that have not changed for too long, as somebody sees who collected the family.
    pub(super) fn idle(
        &self,
        descriptor: &Descriptor,
        family: &MetricFamily,
        now_seconds: f64,
    ) -> Vec<LabelValues> {
        let Some(idle_seconds) = self.idle_seconds() else {
            return Vec::new();
        };
        let _section = fork::enter();
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let is_other = |watch: &mut Watch| watch.idle_seconds.to_bits() != idle_seconds.to_bits();
        watch.take_if(is_other);
        let watch = watch.get_or_insert_with(|| Watch {
            idle_seconds,
            watch: IdleWatch::new(idle_seconds),
        });
        watch.watch.look(descriptor, family, now_seconds)
    }
}

/// Returns the slots that count the overflows of a family.
fn overflows_of(family: &str, store: &dyn Store) -> Arc<dyn Slots> {
    let descriptor = Arc::new(Descriptor {
        name: OVERFLOWS_NAME.into(),
        help: OVERFLOWS_HELP.into(),
        unit: "".into(),
        kind: MetricType::Counter,
        label_names: Box::new(["family".into()]),
        mode: MultiprocessMode::default(),
        upper_bounds: Box::default(),
        states: Box::default(),
    });
    store.declare(&descriptor);
    store.intern(&descriptor, &[family])
}
