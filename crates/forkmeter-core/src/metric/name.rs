//! How a family's name is made of its parts.

use super::error::{ErrorKind, Result};
use crate::model::{MetricType, NameError, NameScheme, validate_metric_name};

/// Holds the parts of a name as they were declared.
#[derive(Clone, Debug, Default)]
pub(super) struct NameParts {
    pub(super) namespace: String,
    pub(super) subsystem: String,
    pub(super) name: String,
    pub(super) unit: String,
}

impl NameParts {
    /// Returns the family's name: the parts joined with `_`, a counter's `_total` taken off, the unit put at the end.
    pub(super) fn family_name(&self, kind: MetricType, scheme: NameScheme) -> Result<String> {
        let invalid = |cause: NameError| ErrorKind::InvalidName { cause };
        // An empty name must not pass as its namespace.
        validate_metric_name(&self.name, NameScheme::Utf8).map_err(invalid)?;
        let mut full = String::new();
        for part in [&self.namespace, &self.subsystem] {
            if !part.is_empty() {
                full.push_str(part);
                full.push('_');
            }
        }
        full.push_str(&self.name);
        if kind == MetricType::Counter && full.ends_with("_total") {
            full.truncate(full.len() - "_total".len());
        }
        if !self.unit.is_empty() {
            if matches!(kind, MetricType::Info | MetricType::StateSet) {
                let (family, unit) = (full.into(), self.unit.as_str().into());
                return Err(ErrorKind::UnitNotAllowed { family, unit }.into());
            }
            if !full
                .strip_suffix(&self.unit)
                .is_some_and(|rest| rest.ends_with('_'))
            {
                full.push('_');
                full.push_str(&self.unit);
            }
        }
        validate_metric_name(&full, scheme).map_err(invalid)?;
        Ok(full)
    }
}

/// Returns the suffixes of the sample names that a family of this type exposes.
pub(crate) fn claimed_suffixes(kind: MetricType) -> &'static [&'static str] {
    match kind {
        MetricType::Counter => &["_total", "_created"],
        MetricType::Summary => &["_sum", "_count", "_created"],
        MetricType::Histogram => &["_bucket", "_sum", "_count", "_created"],
        MetricType::GaugeHistogram => &["_bucket", "_gsum", "_gcount"],
        MetricType::Info => &["_info"],
        MetricType::Gauge | MetricType::StateSet | MetricType::Unknown => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(kind: MetricType, [namespace, subsystem, name, unit]: [&str; 4]) -> String {
        let parts = NameParts {
            namespace: namespace.into(),
            subsystem: subsystem.into(),
            name: name.into(),
            unit: unit.into(),
        };
        parts
            .family_name(kind, NameScheme::Legacy)
            .unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn parts_are_joined_and_suffixes_moved() {
        use MetricType::{Counter, Gauge, Info};
        for (kind, parts, expected) in [
            (Counter, ["", "", "requests_total", ""], "requests"),
            (
                Counter,
                ["app", "http", "requests_total", ""],
                "app_http_requests",
            ),
            (Counter, ["", "", "cpu_total", "seconds"], "cpu_seconds"),
            (
                Counter,
                ["", "", "cpu_seconds_total", "seconds"],
                "cpu_seconds",
            ),
            (Gauge, ["", "", "requests_total", ""], "requests_total"),
            (Gauge, ["", "", "seconds", "seconds"], "seconds_seconds"),
            (Gauge, ["", "", "", ""], "invalid metric name: it is empty"),
            (
                Gauge,
                ["", "", "0", ""],
                "invalid metric name \"0\": it starts with the digit 0",
            ),
            (Gauge, ["", "", "a:b", ""], "a:b"),
            (
                Info,
                ["", "", "build", "bytes"],
                "metric \"build\" is of a type that cannot have a unit, got \"bytes\"",
            ),
        ] {
            assert_eq!(name_of(kind, parts), expected, "{parts:?}");
        }
    }
}
