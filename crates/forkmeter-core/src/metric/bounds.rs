//! Bounded families: how many series one may have, and how long a series may stand unchanged.
//!
//! Used by families. Without bounds nothing here is made, and nothing costs anything; with them only what makes a new
//! series, or collects, does more.

use std::sync::{Arc, Mutex, PoisonError};

use crate::fork;
use crate::idle::{IdleWatch, LabelValues};
use crate::model::{Descriptor, MetricFamily, MetricType, MultiprocessMode};
use crate::store::{Slots, Store};

/// The family that tells how often that happened, by the bounded family's name.
pub const OVERFLOWS_NAME: &str = "forkmeter_series_overflows";

/// What it says of itself.
pub const OVERFLOWS_HELP: &str =
    "Uses of label sets for which a family has no series, since it has as many as it may have.";

/// Is what a declaration says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bounds {
    pub(super) max_series: Option<usize>,
    pub(super) idle_seconds: Option<f64>,
}

/// Keeps a family within its bounds.
#[derive(Debug, Default)]
pub(super) struct Bounded {
    limit: Option<Limit>,
    watch: Option<Mutex<IdleWatch>>,
}

#[derive(Debug)]
struct Limit {
    max_series: usize,
    overflows: Arc<dyn Slots>,
}

impl Bounded {
    /// Takes the bounds of a family; one with a limit on its series has its overflows counted in the same store.
    pub(super) fn new(bounds: Bounds, descriptor: &Descriptor, store: &dyn Store) -> Self {
        let limit = bounds.max_series.map(|max_series| Limit {
            max_series,
            overflows: overflows_of(&descriptor.name, store),
        });
        let watch = bounds.idle_seconds.map(IdleWatch::new).map(Mutex::new);
        Self { limit, watch }
    }

    /// Returns the slots of a series; where the family has no room for a new one, nothing, and counts that.
    pub(super) fn intern(
        &self,
        store: &dyn Store,
        descriptor: &Arc<Descriptor>,
        label_values: &[&str],
    ) -> Option<Arc<dyn Slots>> {
        let Some(limit) = &self.limit else {
            return Some(store.intern(descriptor, label_values));
        };
        let slots = store.intern_within(descriptor, label_values, limit.max_series);
        if slots.is_none() {
            limit.overflows.add(0, 1.0);
        }
        slots
    }

    /// Tells whether series are to go once nobody counts in them.
    pub(super) fn watches(&self) -> bool {
        self.watch.is_some()
    }

    /// Returns the series that have not changed for too long, as somebody sees who collected the family.
    pub(super) fn idle(
        &self,
        descriptor: &Descriptor,
        family: &MetricFamily,
        now_seconds: f64,
    ) -> Vec<LabelValues> {
        let Some(watch) = &self.watch else {
            return Vec::new();
        };
        let _section = fork::enter();
        let mut watch = watch.lock().unwrap_or_else(PoisonError::into_inner);
        watch.look(descriptor, family, now_seconds)
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
