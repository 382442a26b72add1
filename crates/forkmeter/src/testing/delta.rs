//! What changed, sample by sample.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use forkmeter_core::LabelSet;
use forkmeter_core::encode::format_value;
use forkmeter_core::registry::Gather;

use super::gather;
use super::mismatch::{is_same, series};

type Values = BTreeMap<(Arc<str>, LabelSet), f64>;

/// Remembers all values at one moment.
///
/// # Examples
///
/// Around what is asynchronous:
///
/// ```
/// use forkmeter::testing::{self, Snapshot};
/// use forkmeter::Counter;
///
/// let registry = testing::registry();
/// let jobs = Counter::builder("jobs", "").register(&registry)?;
/// let before = Snapshot::of(&registry);
/// // ... .await ...
/// # jobs.inc_by(2.0);
/// assert_eq!(before.delta(&registry).value("jobs_total", []), 2.0);
/// # Ok::<(), forkmeter::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Snapshot {
    values: Values,
}

impl Snapshot {
    /// Takes the values of now.
    pub fn of(from: &(impl Gather + ?Sized)) -> Self {
        let families = gather(from).into_iter();
        let samples = families.flat_map(|family| family.samples);
        let values = samples.map(|sample| ((sample.name, sample.labels), sample.value));
        Self {
            values: values.collect(),
        }
    }

    /// Returns what changed until now.
    pub fn delta(&self, from: &(impl Gather + ?Sized)) -> Delta {
        let after = Self::of(from).values;
        let mut keys: Vec<_> = self.values.keys().chain(after.keys()).collect();
        keys.sort();
        keys.dedup();
        let changes = keys.into_iter().filter_map(|key| {
            let change = Change {
                name: Arc::clone(&key.0),
                labels: key.1.clone(),
                before: self.values.get(key).copied(),
                after: after.get(key).copied(),
            };
            match (change.before, change.after) {
                (Some(before), Some(after)) if is_same(before, after) => None,
                _ => Some(change),
            }
        });
        Delta {
            changes: changes.collect(),
        }
    }
}

/// Calls `f` and returns what changed meanwhile, whoever changed it.
///
/// # Examples
///
/// ```
/// use forkmeter::{Histogram, testing};
///
/// let registry = testing::registry();
/// let sizes = Histogram::builder("sizes", "").buckets([10.0]).register(&registry)?;
/// let delta = testing::delta(&registry, || sizes.observe(3.0));
/// assert_eq!(delta.value("sizes_count", []), 1.0);
/// assert_eq!(delta.value("sizes_sum", []), 3.0);
/// assert!(testing::delta(&registry, || sizes.count()).is_empty());
/// # Ok::<(), forkmeter::Error>(())
/// ```
pub fn delta<R>(from: &(impl Gather + ?Sized), f: impl FnOnce() -> R) -> Delta {
    let before = Snapshot::of(from);
    f();
    before.delta(from)
}

/// Holds what changed between two moments, by name and labels.
///
/// Its text has one line per change.
#[derive(Clone, Debug, PartialEq)]
pub struct Delta {
    changes: Vec<Change>,
}

impl Delta {
    /// Returns by how much a sample changed; 0 where it did not. Name and labels are as for [`value`](super::value()).
    pub fn value<'a>(
        &self,
        name: &str,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> f64 {
        let labels = LabelSet::from_pairs(labels);
        let mut changes = self.changes.iter();
        changes
            .find(|change| *change.name == *name && change.labels == labels)
            .map_or(0.0, Change::amount)
    }

    /// Returns by how much all samples of a name changed together.
    pub fn sum(&self, name: &str) -> f64 {
        let changes = self.changes.iter();
        changes
            .filter(|change| *change.name == *name)
            .map(Change::amount)
            .sum()
    }

    /// Returns the changes, by name and labels.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Tells whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

impl fmt::Display for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.changes
            .iter()
            .try_for_each(|change| writeln!(f, "{change}"))
    }
}

/// Is the change of one sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The sample's name with its suffix.
    pub name: Arc<str>,
    /// All of its labels.
    pub labels: LabelSet,
    /// The value before; none where it was not exposed.
    pub before: Option<f64>,
    /// The value after; none where it is no longer exposed.
    pub after: Option<f64>,
}

impl Change {
    /// Returns by how much the value changed; where it was not exposed it counts as 0.
    pub fn amount(&self) -> f64 {
        self.after.unwrap_or(0.0) - self.before.unwrap_or(0.0)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.amount() < 0.0 { "" } else { "+" };
        let amount = format_value(self.amount());
        write!(f, "{} {sign}{amount} (", series(&self.name, &self.labels))?;
        match (self.before, self.after) {
            (Some(before), Some(after)) => {
                write!(f, "{}, was {})", format_value(after), format_value(before))
            }
            (None, after) => write!(f, "{}, was not there)", format_value(after.unwrap_or(0.0))),
            (Some(before), None) => write!(f, "gone, was {})", format_value(before)),
        }
    }
}
