//! The one place of the command that calls the encoders.

use std::sync::Arc;

use forkmeter_core::MetricFamily;
use forkmeter_core::encode::{self, EncodeError, Escaping, Format};

/// Holds an exposition, which is complete and valid in any case.
#[derive(Debug)]
pub(crate) struct Exposition {
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
    /// What could not be written: an exemplar or timestamp that the format has no place for.
    pub(crate) left_out: Option<EncodeError>,
}

/// Writes families in a format that a client negotiated.
pub(crate) fn encode(families: &[Arc<MetricFamily>], format: Format) -> Exposition {
    let mut bytes = Vec::new();
    let families = families.iter().map(AsRef::as_ref);
    let left_out = encode::encode(families, format, &mut bytes).err();
    Exposition { bytes, left_out }
}

/// Writes families in the text format 0.0.4.
pub(crate) fn text(families: &[Arc<MetricFamily>]) -> Exposition {
    encode(families, Format::Text004)
}

/// Writes families in OpenMetrics 1.0, names outside the legacy set included as they are.
pub(crate) fn openmetrics(families: &[Arc<MetricFamily>]) -> Exposition {
    encode(
        families,
        Format::OpenMetrics100 {
            escaping: Escaping::AllowUtf8,
        },
    )
}
