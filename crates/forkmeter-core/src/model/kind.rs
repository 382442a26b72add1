//! The closed sets of the data model: metric types and gauge merge rules.

use std::fmt;
use std::str::FromStr;

/// Names the type of a metric family, with `OpenMetrics`' words.
///
/// # Sources
///
/// OpenMetrics 1.0, section "Metric Types".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MetricType {
    /// A value that only goes up.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Observations in buckets with fixed upper bounds, with their sum and count.
    Histogram,
    /// Buckets of current values that may go down.
    GaugeHistogram,
    /// Observations as count and sum, optionally with quantiles.
    Summary,
    /// Textual facts as labels of a sample whose value is 1.
    Info,
    /// One state of a fixed set is 1, the others are 0.
    StateSet,
    /// A type that nobody declared; `untyped` in the text format.
    Unknown,
}

impl MetricType {
    /// All types, in declaration order.
    pub const ALL: [Self; 8] = [
        Self::Counter,
        Self::Gauge,
        Self::Histogram,
        Self::GaugeHistogram,
        Self::Summary,
        Self::Info,
        Self::StateSet,
        Self::Unknown,
    ];

    /// Returns the type's name in OpenMetrics, for example `gaugehistogram`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for MetricType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for MetricType {
    type Err = ParseKindError;

    /// Parses a type's name; `untyped` is accepted for [`MetricType::Unknown`].
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name == "untyped" {
            return Ok(Self::Unknown);
        }
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| ParseKindError {
                what: "metric type",
                got: name.into(),
            })
    }
}

/// Says how the values that several workers gave one gauge series become one exposition.
///
/// # Sources
///
/// `prometheus_client` 0.26, multi-process mode, whose words these are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MultiprocessMode {
    /// One series per worker, dead ones included, told apart by a `pid` label.
    #[default]
    All,
    /// One series per live worker, told apart by a `pid` label.
    LiveAll,
    /// The least value of all workers.
    Min,
    /// The least value of live workers.
    LiveMin,
    /// The greatest value of all workers.
    Max,
    /// The greatest value of live workers.
    LiveMax,
    /// The sum over all workers.
    Sum,
    /// The sum over live workers.
    LiveSum,
    /// The value that was set last by any worker.
    MostRecent,
    /// The value that was set last by a live worker.
    LiveMostRecent,
}

/// What remains of a mode when "live or not" is taken out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MergeRule {
    /// Keep every worker's value under its own `pid` label.
    PerWorker,
    /// Keep the least value.
    Min,
    /// Keep the greatest value.
    Max,
    /// Add the values up.
    Sum,
    /// Keep the value with the greatest timestamp.
    MostRecent,
}

impl MultiprocessMode {
    /// All ten modes.
    pub const ALL: [Self; 10] = [
        Self::All,
        Self::LiveAll,
        Self::Min,
        Self::LiveMin,
        Self::Max,
        Self::LiveMax,
        Self::Sum,
        Self::LiveSum,
        Self::MostRecent,
        Self::LiveMostRecent,
    ];

    /// Returns the mode's name as it stands in file names, for example `livesum`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::LiveAll => "liveall",
            Self::Min => "min",
            Self::LiveMin => "livemin",
            Self::Max => "max",
            Self::LiveMax => "livemax",
            Self::Sum => "sum",
            Self::LiveSum => "livesum",
            Self::MostRecent => "mostrecent",
            Self::LiveMostRecent => "livemostrecent",
        }
    }

    /// Tells whether values of dead workers are left out.
    pub const fn is_live(self) -> bool {
        matches!(
            self,
            Self::LiveAll | Self::LiveMin | Self::LiveMax | Self::LiveSum | Self::LiveMostRecent
        )
    }

    /// Returns how values of several workers combine, whether live or not.
    pub const fn rule(self) -> MergeRule {
        match self {
            Self::All | Self::LiveAll => MergeRule::PerWorker,
            Self::Min | Self::LiveMin => MergeRule::Min,
            Self::Max | Self::LiveMax => MergeRule::Max,
            Self::Sum | Self::LiveSum => MergeRule::Sum,
            Self::MostRecent | Self::LiveMostRecent => MergeRule::MostRecent,
        }
    }
}

impl fmt::Display for MultiprocessMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for MultiprocessMode {
    type Err = ParseKindError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str() == name)
            .ok_or_else(|| ParseKindError {
                what: "multiprocess mode",
                got: name.into(),
            })
    }
}

/// Reports a word that names no metric type or no multiprocess mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseKindError {
    what: &'static str,
    got: Box<str>,
}

impl fmt::Display for ParseKindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid {} {:?}", self.what, self.got)
    }
}

impl std::error::Error for ParseKindError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for kind in MetricType::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        for mode in MultiprocessMode::ALL {
            assert_eq!(mode.as_str().parse(), Ok(mode));
            assert_eq!(mode.is_live(), mode.as_str().starts_with("live"));
        }
        assert_eq!("untyped".parse(), Ok(MetricType::Unknown));
        let error = "meter".parse::<MetricType>().unwrap_err();
        assert_eq!(error.to_string(), "invalid metric type \"meter\"");
    }
}
