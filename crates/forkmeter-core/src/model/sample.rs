//! One exposed value, and what may hang on it.

use std::fmt;
use std::sync::Arc;

use super::LabelSet;

/// Holds one exposed value: the full sample name (with suffix), its labels and the value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The name with its suffix, for example `http_requests_total`.
    pub name: Arc<str>,
    /// The labels, `le` and `quantile` included.
    pub labels: LabelSet,
    /// The value; any float, NaN and infinities included.
    pub value: f64,
    /// When the value was taken, where the collector says so. Expositions leave it out when it is `None`.
    pub timestamp: Option<Timestamp>,
    /// A link from the value to one trace, exposed by OpenMetrics only.
    pub exemplar: Option<Exemplar>,
}

impl Sample {
    /// Makes a sample without timestamp and exemplar.
    pub fn new(name: impl Into<Arc<str>>, labels: LabelSet, value: f64) -> Self {
        Self {
            name: name.into(),
            labels,
            value,
            timestamp: None,
            exemplar: None,
        }
    }
}

/// Links a counter or a bucket to one event that was counted in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// The labels, usually `trace_id`; at most 128 characters over all names and values.
    pub labels: LabelSet,
    /// The observed value, or the amount that a counter rose by.
    pub value: f64,
    /// When it was observed.
    pub timestamp: Option<Timestamp>,
}

/// Holds a Unix time in one of the two precisions that expositions tell apart.
///
/// The official Python client prints a float as `repr` does and an exact time with nine decimals, and both
/// must survive a round trip through our parsers and encoders.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Timestamp {
    /// Seconds since the epoch as a float.
    Seconds(f64),
    /// Whole seconds and nanoseconds since the epoch. Of a negative time both parts are negative or zero.
    Exact {
        /// Whole seconds.
        seconds: i64,
        /// Nanoseconds, between -999,999,999 and 999,999,999.
        nanoseconds: i32,
    },
}

impl Timestamp {
    /// Returns the time as float seconds since the epoch; an exact time may be rounded.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a float is what the caller asks for"
    )]
    pub fn as_seconds(self) -> f64 {
        match self {
            Self::Seconds(seconds) => seconds,
            Self::Exact {
                seconds,
                nanoseconds,
            } => seconds as f64 + f64::from(nanoseconds) / 1e9,
        }
    }
}

impl fmt::Display for Timestamp {
    /// Writes the time as float seconds, for messages; encoders have their own rules.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_seconds())
    }
}
