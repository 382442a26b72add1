//! Makes descriptors from what a metric class passes.

use std::sync::Arc;

use forkmeter_core::{Descriptor, MetricType, MultiprocessMode};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Is what a metric class says about itself, in this order.
#[derive(FromPyObject)]
pub(crate) struct Declaration(
    /// The type.
    String,
    /// The name, unit included.
    String,
    /// The help text.
    String,
    /// The unit.
    String,
    /// A gauge's multiprocess mode.
    String,
    /// A histogram's upper bounds.
    Vec<f64>,
    /// A state set's states.
    Vec<String>,
);

impl Declaration {
    /// Makes the descriptor of a family with these label names.
    pub(crate) fn into_descriptor(self, label_names: &[String]) -> PyResult<Arc<Descriptor>> {
        let Self(kind, name, help, unit, mode, bounds, states) = self;
        let invalid =
            |error: forkmeter_core::model::ParseKindError| PyValueError::new_err(error.to_string());
        let kind: MetricType = kind.parse().map_err(invalid)?;
        let mode: MultiprocessMode = mode.parse().map_err(invalid)?;
        Ok(Arc::new(Descriptor {
            name: name.into(),
            help: help.into(),
            unit: unit.into(),
            kind,
            label_names: label_names
                .iter()
                .map(|name| Arc::from(name.as_str()))
                .collect(),
            mode,
            upper_bounds: bounds.into(),
            states: states.into_iter().map(Arc::from).collect(),
        }))
    }
}
