//! What the name of a segment says.

use std::sync::Arc;

use forkmeter_core::{MetricType, MultiprocessMode};

use crate::layout::{Mark, SEGMENT_SUFFIX};

/// Says what the slots of a segment are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Counter,
    Gauge(MultiprocessMode),
    Histogram,
    Summary,
    States,
}

impl Role {
    pub(crate) const fn kind(self) -> MetricType {
        match self {
            Self::Counter => MetricType::Counter,
            Self::Gauge(_) => MetricType::Gauge,
            Self::Histogram => MetricType::Histogram,
            Self::Summary => MetricType::Summary,
            Self::States => MetricType::StateSet,
        }
    }

    /// Tells whether all workers may share one slot per series.
    pub(crate) const fn is_shared(self) -> bool {
        matches!(self, Self::Counter | Self::Histogram | Self::Summary)
    }

    /// Tells whether a segment of this role may carry `mark`.
    pub(crate) fn takes(self, mark: Mark) -> bool {
        match mark {
            Mark::Official => self != Self::States,
            Mark::Shared | Mark::Sealed => self.is_shared(),
            Mark::Worker(_) => matches!(self, Self::Gauge(_)),
            Mark::Retired => match self {
                Self::Gauge(mode) => !mode.is_live(),
                _ => self.is_shared(),
            },
            Mark::States => self == Self::States,
            Mark::Foreign(_) => false,
        }
    }
}

/// Splits the name of a `*.db` file into its role and the tag of the process that wrote it.
///
/// The official client takes a gauge's process from between the second and the third underscore, and so
/// loses part of an identifier that has one; here the tag is all that follows the mode.
pub(crate) fn parse(name: &str) -> Option<(Role, Arc<str>)> {
    let stem = name.strip_suffix(SEGMENT_SUFFIX)?;
    let (kind, rest) = stem.split_once('_')?;
    let (role, tag) = match kind {
        "counter" => (Role::Counter, rest),
        "histogram" => (Role::Histogram, rest),
        "summary" => (Role::Summary, rest),
        "gauge" => {
            let (mode, tag) = rest.split_once('_')?;
            (Role::Gauge(mode.parse().ok()?), tag)
        }
        _ => return None,
    };
    Some((role, tag.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_role_and_tag() {
        let gauge = Role::Gauge(MultiprocessMode::LiveSum);
        for (name, expected) in [
            ("counter_12.db", Some((Role::Counter, "12"))),
            ("histogram_shared-1.db", Some((Role::Histogram, "shared-1"))),
            ("summary_.db", Some((Role::Summary, ""))),
            ("gauge_livesum_web_1.db", Some((gauge, "web_1"))),
            ("gauge_livesum.db", None),
            ("gauge_best_1.db", None),
            ("counter.db", None),
            ("info_1.db", None),
            ("x.db", None),
            ("counter_1.dbx", None),
        ] {
            let parsed = parse(name);
            assert_eq!(
                parsed.as_ref().map(|(role, tag)| (*role, &**tag)),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn marks_fit_roles() {
        let retired = |mode| Role::Gauge(mode).takes(Mark::Retired);
        assert!(retired(MultiprocessMode::Min) && retired(MultiprocessMode::MostRecent));
        assert!(retired(MultiprocessMode::All) && !retired(MultiprocessMode::LiveMin));
        assert!(Role::Counter.takes(Mark::Shared) && !Role::Counter.takes(Mark::Worker(1)));
        assert!(!Role::Gauge(MultiprocessMode::All).takes(Mark::Shared));
        assert!(Role::Counter.takes(Mark::Retired) && Role::Summary.takes(Mark::Sealed));
        assert!(!Role::States.takes(Mark::Retired));
        assert!(!Role::Counter.takes(Mark::States) && !Role::States.takes(Mark::Official));
    }
}
