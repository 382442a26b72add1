//! Families in their native form: to write them, or to make Python's of them.

use std::sync::Arc;

use forkmeter_core::encode::{Escaping, Format, encode};
use forkmeter_core::{MetricFamily, MetricType, Timestamp};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PySet, PyString, PyTuple};

use crate::exemplar;
use crate::metric::NativeMetric;

/// What ends an exposition in OpenMetrics, and not a part of one.
const END: &[u8] = b"# EOF\n";

/// A family as it was collected, with all its samples.
#[pyclass(frozen, module = "forkmeter._forkmeter")]
#[derive(Debug)]
pub(crate) struct NativeFamily(Arc<MetricFamily>);

impl From<MetricFamily> for NativeFamily {
    fn from(family: MetricFamily) -> Self {
        Self(Arc::new(family))
    }
}

impl From<Arc<MetricFamily>> for NativeFamily {
    fn from(family: Arc<MetricFamily>) -> Self {
        Self(family)
    }
}

impl NativeFamily {
    /// Returns the family.
    pub(crate) fn model(&self) -> &Arc<MetricFamily> {
        &self.0
    }
}

#[pymethods]
impl NativeFamily {
    #[getter]
    fn name<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::new(py, &self.0.name)
    }

    /// Returns the family with only the samples of these names, and as the official client without its unit.
    fn restricted(&self, names: &Bound<'_, PySet>) -> PyResult<Option<Self>> {
        let family = &*self.0;
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
        let family = &*self.0;
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

/// Writes families as a part of an exposition, with the interpreter released.
///
/// # Errors
///
/// `ValueError` where the escaping is unknown, or a sample cannot be written.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "the signature is PyO3's")]
pub(crate) fn write_families<'py>(
    py: Python<'py>,
    families: Vec<PyRef<'py, NativeFamily>>,
    is_openmetrics: bool,
    escaping: &str,
) -> PyResult<Bound<'py, PyBytes>> {
    let invalid = |cause: &dyn std::fmt::Display| PyValueError::new_err(cause.to_string());
    let escaping: Escaping = escaping.parse().map_err(|error| invalid(&error))?;
    let format = if is_openmetrics {
        Format::OpenMetrics100 { escaping }
    } else {
        Format::Text100 { escaping }
    };
    let families: Vec<Arc<MetricFamily>> = families
        .iter()
        .map(|family| Arc::clone(&family.0))
        .collect();
    let written = py.detach(|| {
        let mut out = Vec::new();
        encode(families.iter().map(|family| &**family), format, &mut out).map(|()| out)
    });
    let out = written.map_err(|error| invalid(&error))?;
    Ok(PyBytes::new(py, out.strip_suffix(END).unwrap_or(&out)))
}
