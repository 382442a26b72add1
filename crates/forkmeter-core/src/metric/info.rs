//! Info metrics: textual facts.

use std::sync::Arc;

use super::error::{ErrorKind, Result};
use super::{Builder, Metric, Series, sealed};
use crate::model::{Descriptor, LabelSet, MetricType, Sample};
use crate::store::Store;

/// Exposes facts, such as a version, as labels of a sample whose value is 1.
///
/// In a shared store all workers have the same facts: the last ones that were set.
///
/// # Examples
///
/// ```
/// # use std::sync::Arc;
/// # use forkmeter_core::{metric::Info, registry::Registry, store::HeapStore};
/// # let registry = Registry::new(Arc::new(HeapStore::new(|| 0.0)));
/// let build = Info::builder("build", "What this program was built from.").register(&registry)?;
/// build.set([("version", "1.2.3")]);
/// assert_eq!(build.facts().get("version"), Some("1.2.3"));
/// let sample = registry.gather().families[0].samples[0].clone();
/// assert_eq!((&*sample.name, sample.labels.get("version")), ("build_info", Some("1.2.3")));
/// # Ok::<(), forkmeter_core::metric::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Info {
    descriptor: Arc<Descriptor>,
    store: Arc<dyn Store>,
    label_values: Box<[Arc<str>]>,
}

impl sealed::Sealed for Info {}

impl Metric for Info {
    const KIND: MetricType = MetricType::Info;
    const NEEDS_LABEL_VALUES: bool = true;

    fn from_series(series: Series<'_>) -> Self {
        Self {
            descriptor: Arc::clone(series.descriptor),
            store: Arc::clone(series.store),
            label_values: series
                .label_values
                .iter()
                .map(|value| Arc::from(*value))
                .collect(),
        }
    }
}

impl Info {
    /// Starts the declaration of an info metric; samples get the suffix `_info`.
    pub fn builder(name: &str, help: &str) -> Builder<Self> {
        Builder::new(name, help)
    }

    /// Replaces the facts; a fact with the name of one of the metric's labels is left out.
    pub fn set<'a>(&self, facts: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let facts = facts.into_iter().filter(|(name, _)| !self.is_label(name));
        self.store_facts(LabelSet::from_pairs(facts));
    }

    /// Replaces the facts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OverlappingFact`] when a fact has the name of one of the metric's labels; the facts stay
    /// as they were.
    pub fn try_set(&self, facts: LabelSet) -> Result<()> {
        if let Some((fact, _)) = facts.iter().find(|(name, _)| self.is_label(name)) {
            let family = (&*self.descriptor.name).into();
            return Err(ErrorKind::OverlappingFact {
                family,
                fact: fact.into(),
            }
            .into());
        }
        self.store_facts(facts);
        Ok(())
    }

    /// Returns the facts that are exposed, without the metric's own labels; empty where none were set.
    ///
    /// Reads the store like a scrape does, so it is for tests and tools.
    pub fn facts(&self) -> LabelSet {
        let families = self.store.collect().families.into_iter();
        let own = families.filter(|family| family.name == self.descriptor.name);
        let labels = || self.descriptor.label_names.iter().zip(&self.label_values);
        let is_own = |sample: &Sample| {
            labels().all(|(name, value)| sample.labels.get(name) == Some(&**value))
        };
        let sample = own.flat_map(|family| family.samples).find(is_own);
        let facts = sample.map(|sample| sample.labels).unwrap_or_default();
        labels().fold(facts, |facts, (name, _)| facts.without(name))
    }

    fn is_label(&self, name: &str) -> bool {
        self.descriptor
            .label_names
            .iter()
            .any(|label| **label == *name)
    }

    fn store_facts(&self, facts: LabelSet) {
        let values: Vec<&str> = self.label_values.iter().map(|value| &**value).collect();
        self.store.set_info(&self.descriptor, &values, facts);
    }
}
