//! The one place of the command that calls the encoders.

use forkmeter_core::MetricFamily;
use forkmeter_core::encode::{self, Escaping, Format};

use crate::error::Error;

/// Writes families in a format that a client negotiated.
pub(crate) fn encode(families: &[MetricFamily], format: Format) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    encode::encode(families, format, &mut out).map_err(|error| Error::Encode(error.into()))?;
    Ok(out)
}

/// Writes families in the text format 0.0.4.
pub(crate) fn text(families: &[MetricFamily]) -> Result<Vec<u8>, Error> {
    encode(families, Format::Text004)
}

/// Writes families in OpenMetrics 1.0, names outside the legacy set included as they are.
pub(crate) fn openmetrics(families: &[MetricFamily]) -> Result<Vec<u8>, Error> {
    encode(families, Format::OpenMetrics100 { escaping: Escaping::AllowUtf8 })
}
