//! A metric family as it is exposed: metadata and all its samples.

use std::sync::Arc;

use super::{MetricType, Sample};

/// Holds a metric family and its samples, in the order in which they are exposed.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricFamily {
    /// The family's name, without the suffixes that samples carry (`http_requests`, not `http_requests_total`).
    pub name: Arc<str>,
    /// What the family measures, in a sentence; may be empty.
    pub help: Arc<str>,
    /// The unit, for example `seconds`; empty where there is none. It is also the name's last part.
    pub unit: Arc<str>,
    /// The type.
    pub kind: MetricType,
    /// The samples; those of one series stand together.
    pub samples: Vec<Sample>,
}

impl MetricFamily {
    /// Makes a family without unit and samples.
    pub fn new(name: impl Into<Arc<str>>, help: impl Into<Arc<str>>, kind: MetricType) -> Self {
        Self {
            name: name.into(),
            help: help.into(),
            unit: Arc::from(""),
            kind,
            samples: Vec::new(),
        }
    }

    /// Returns the family with only the samples whose name is in `names`, or nothing if none is left.
    pub fn restricted(&self, names: &dyn Fn(&str) -> bool) -> Option<Self> {
        let samples: Vec<_> = self
            .samples
            .iter()
            .filter(|s| names(&s.name))
            .cloned()
            .collect();
        if samples.is_empty() {
            return None;
        }
        Some(Self {
            samples,
            ..self.clone_without_samples()
        })
    }

    fn clone_without_samples(&self) -> Self {
        Self {
            name: self.name.clone(),
            help: self.help.clone(),
            unit: self.unit.clone(),
            kind: self.kind,
            samples: Vec::new(),
        }
    }
}
