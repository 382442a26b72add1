//! State sets: which of a fixed set of states is the present one.

use std::sync::Arc;

use super::error::{ErrorKind, Result};
use super::held::Held;
use super::{Builder, Metric, Series, sealed};
use crate::model::MetricType;
use crate::store::Slots;

/// Exposes every state of a fixed set as a sample, 1 for the present state and 0 for the others.
///
/// The first declared state is the present one until another is set. In a shared store all workers have the
/// same state: the last one that was set.
///
/// # Examples
///
/// ```
/// # use std::sync::Arc;
/// # use forkmeter_core::{metric::StateSet, registry::Registry, store::HeapStore};
/// # let registry = Registry::new(Arc::new(HeapStore::new(|| 0.0)));
/// let task = StateSet::builder("task_state", "State of the task.")
///     .states(["starting", "running", "stopped"])
///     .register(&registry)?;
/// assert_eq!(task.state(), "starting");
/// task.set("running")?;
/// assert_eq!(task.state(), "running");
/// # Ok::<(), forkmeter_core::metric::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StateSet {
    slots: Held,
}

impl sealed::Sealed for StateSet {}

impl Metric for StateSet {
    const KIND: MetricType = MetricType::StateSet;

    fn from_series(series: Series<'_>) -> Self {
        Self { slots: series.held }
    }
}

impl<S> Builder<StateSet, S> {
    /// Sets the states; at least one, each once.
    pub fn states<T: AsRef<str>>(mut self, states: impl IntoIterator<Item = T>) -> Self {
        self.states = states
            .into_iter()
            .map(|state| Arc::from(state.as_ref()))
            .collect();
        self
    }
}

impl StateSet {
    /// Starts the declaration of a state set, whose states [`Builder::states`] takes.
    pub fn builder(name: &str, help: &str) -> Builder<Self> {
        Builder::new(name, help)
    }

    /// Makes `state` the present one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownState`] when the family was declared without that state.
    pub fn set(&self, state: &str) -> Result<()> {
        let states = (0_u32..).zip(&self.slots.descriptor().states);
        for (index, known) in states {
            if **known == *state {
                self.slots.set(0, f64::from(index));
                return Ok(());
            }
        }
        let family = (&*self.slots.descriptor().name).into();
        Err(ErrorKind::UnknownState {
            family,
            state: state.into(),
        }
        .into())
    }

    /// Returns the present state; empty where the store holds one that this declaration does not know.
    pub fn state(&self) -> &str {
        let current = self.slots.get(0);
        let mut states = (0_u32..).zip(&self.slots.descriptor().states);
        states
            .find(|(index, _)| (current - f64::from(*index)).abs() < 0.5)
            .map_or("", |(_, state)| state)
    }

    /// Returns the value cells, for bindings; the one cell holds the index of the state.
    pub fn slots(&self) -> &Arc<dyn Slots> {
        &self.slots
    }
}
