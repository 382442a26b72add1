//! How a family's name is made of its parts, and what it may look like.

use super::error::{ErrorKind, Result};
use crate::model::MetricType;

/// Says which characters names may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NameScheme {
    /// Letters, digits, `_` and (metric names only) `:`, not starting with a digit.
    Legacy,
    /// Any text that is not empty.
    #[default]
    Utf8,
}

impl NameScheme {
    /// Tells whether `name` may be a metric's name.
    pub(super) fn allows_metric_name(self, name: &str) -> bool {
        match self {
            Self::Utf8 => !name.is_empty(),
            Self::Legacy => is_legacy(name, |byte| byte == b':'),
        }
    }

    /// Tells whether `name` may be a label's name.
    pub(super) fn allows_label_name(self, name: &str) -> bool {
        match self {
            Self::Utf8 => !name.is_empty(),
            Self::Legacy => is_legacy(name, |_| false),
        }
    }
}

fn is_legacy(name: &str, also: impl Fn(u8) -> bool) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || also(byte);
    let mut bytes = name.bytes();
    bytes.next().is_some_and(letter) && bytes.all(|byte| letter(byte) || byte.is_ascii_digit())
}

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
        let invalid = |name: &str| ErrorKind::InvalidName { name: name.into() };
        if self.name.is_empty() {
            return Err(invalid("").into());
        }
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
        if scheme.allows_metric_name(&full) {
            Ok(full)
        } else {
            Err(invalid(&full).into())
        }
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
            (Gauge, ["", "", "", ""], "invalid metric name \"\""),
            (Gauge, ["", "", "0", ""], "invalid metric name \"0\""),
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

    #[test]
    fn schemes_differ_in_the_characters_they_allow() {
        assert!(NameScheme::Utf8.allows_metric_name("http.größe"));
        assert!(!NameScheme::Legacy.allows_metric_name("http.size"));
        assert!(!NameScheme::Legacy.allows_label_name("a:b"));
        assert!(NameScheme::Legacy.allows_label_name("_a1"));
        assert!(!NameScheme::Utf8.allows_label_name(""));
    }
}
