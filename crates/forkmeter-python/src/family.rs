//! Families in their native form: to write them, or to make Python's of them.

use std::sync::Arc;

use forkmeter_core::encode::Encoding;
use forkmeter_core::{MetricFamily, MetricType, Timestamp};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet, PyString, PyTuple};

use crate::exemplar;
use crate::metric::NativeMetric;
use crate::series::Family;

/// A family as it was collected, with all its samples.
#[pyclass(frozen, module = "forkmeter._forkmeter")]
#[derive(Debug)]
pub(crate) struct NativeFamily(Content);

/// Is where the samples of a family are.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Collected(Arc<MetricFamily>),
    /// Not looked at yet: they are what the metric has when they are.
    OfMetric {
        family: Arc<Family>,
        created_samples: bool,
    },
}

impl From<MetricFamily> for NativeFamily {
    fn from(family: MetricFamily) -> Self {
        Arc::new(family).into()
    }
}

impl From<Arc<MetricFamily>> for NativeFamily {
    fn from(family: Arc<MetricFamily>) -> Self {
        Self(Content::Collected(family))
    }
}

impl Content {
    fn name(&self) -> &str {
        match self {
            Self::Collected(family) => &family.name,
            Self::OfMetric { family, .. } => &family.descriptor().name,
        }
    }

    /// Returns the family with its samples, which needs no interpreter.
    fn model(&self) -> Arc<MetricFamily> {
        match self {
            Self::Collected(family) => Arc::clone(family),
            Self::OfMetric {
                family,
                created_samples,
            } => {
                let table = family.table();
                Arc::new(table.family(family.descriptor(), *created_samples))
            }
        }
    }

    /// Appends the family to an exposition, which needs no interpreter.
    pub(crate) fn encode_into(&self, encoding: &mut Encoding<'_>) {
        match self {
            Self::Collected(family) => encoding.family(family),
            Self::OfMetric {
                family,
                created_samples,
            } => {
                let table = family.table();
                table.encode_into(family.descriptor(), *created_samples, encoding);
            }
        }
    }
}

impl NativeFamily {
    /// Returns the family.
    pub(crate) fn model(&self) -> Arc<MetricFamily> {
        self.0.model()
    }

    /// Returns where the samples are.
    pub(crate) fn content(&self) -> &Content {
        &self.0
    }
}

#[pymethods]
impl NativeFamily {
    #[getter]
    fn name<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::new(py, self.0.name())
    }

    /// Returns the family with only the samples of these names, and as the official client without its unit.
    fn restricted(&self, names: &Bound<'_, PySet>) -> PyResult<Option<Self>> {
        let family = &*self.model();
        let mut samples = Vec::new();
        for sample in &family.samples {
            if names.contains(&*sample.name)? {
                samples.push(sample.clone());
            }
        }
        if samples.is_empty() {
            return Ok(None);
        }
        let unrelated = MetricFamily::new(
            Arc::clone(&family.name),
            Arc::clone(&family.help),
            family.kind,
        );
        Ok(Some(Self::from(MetricFamily {
            samples,
            ..unrelated
        })))
    }

    /// Returns `(name, help, type, unit, samples)`, with samples as `(name, labels, value, timestamp, exemplar)`.
    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let family = &*self.model();
        let samples = PyList::empty(py);
        for sample in &family.samples {
            let labels = PyDict::new(py);
            for (name, value) in sample.labels.iter() {
                labels.set_item(name, value)?;
            }
            let timestamp = sample.timestamp.map(Timestamp::as_seconds);
            let exemplar = sample.exemplar.as_ref();
            let exemplar = exemplar
                .map(|core| exemplar::to_python(py, core))
                .transpose()?;
            samples.append((&*sample.name, labels, sample.value, timestamp, exemplar))?;
        }
        let kind = family.kind.as_str();
        (&*family.name, &*family.help, kind, &*family.unit, samples).into_pyobject(py)
    }
}

/// Returns the family of a metric with its samples, where all of them come from native values, and what describes it
/// is what it was made with.
///
/// An info's facts are kept in Python, as they were given.
#[pyfunction]
pub(crate) fn native_family(
    metric: &Bound<'_, NativeMetric>,
    name: &str,
    help: &str,
    unit: &str,
    created_samples: bool,
) -> Option<NativeFamily> {
    let py = metric.py();
    let descriptor = metric.get().descriptor()?;
    let described = (&*descriptor.name, &*descriptor.help, &*descriptor.unit);
    if descriptor.kind == MetricType::Info || described != (name, help, unit) {
        return None;
    }
    let exposed = metric.get().exposed_family(py)?;
    if exposed.is_in_table(py) {
        return Some(NativeFamily(Content::OfMetric {
            family: Arc::clone(exposed),
            created_samples,
        }));
    }
    // What is no exemplar is reported by whoever writes it in Python.
    let views = exposed.views(py).ok()?;
    let family = py.detach(|| {
        let mut family = descriptor.family();
        for view in &views {
            view.expose(descriptor, created_samples, &mut family.samples);
        }
        family
    });
    Some(NativeFamily::from(family))
}
