//! Series whose samples are being made.

use std::sync::Arc;

use forkmeter_core::model::{SeriesView, SlotValues};
use forkmeter_core::store::SeriesHandle;
use forkmeter_core::{Descriptor, Exemplar, Sample};
use forkmeter_shm::SharedSlots;

/// Holds a series, so that its samples can be made without the interpreter.
#[derive(Debug)]
pub(crate) enum View {
    Alone {
        series: SeriesHandle,
        exemplars: Vec<Option<Exemplar>>,
    },
    Stored {
        slots: SharedSlots,
        created_seconds: f64,
    },
}

impl View {
    /// Appends the series' samples.
    pub(crate) fn expose(
        &self,
        descriptor: &Descriptor,
        created_samples: bool,
        samples: &mut Vec<Sample>,
    ) {
        let names = descriptor.label_names.iter().cloned();
        let (labels, created_seconds) = match self {
            Self::Alone { series, .. } => (
                names.zip(series.label_values()).collect(),
                series.created_seconds(),
            ),
            Self::Stored {
                slots,
                created_seconds,
            } => (
                names.zip(slots.label_values().map(Arc::from)).collect(),
                *created_seconds,
            ),
        };
        let view = SeriesView {
            labels,
            info: None,
            created_seconds: created_samples.then_some(created_seconds),
            slots: self,
        };
        descriptor.expose(&view, samples);
    }
}

impl SlotValues for View {
    fn value(&self, index: usize) -> f64 {
        match self {
            Self::Alone { series, .. } => series.get(index),
            Self::Stored { slots, .. } => slots.get(index),
        }
    }

    fn exemplar(&self, index: usize) -> Option<Exemplar> {
        match self {
            Self::Alone { exemplars, .. } => exemplars.get(index).cloned().flatten(),
            Self::Stored { slots, .. } => slots.exemplar(index),
        }
    }
}
