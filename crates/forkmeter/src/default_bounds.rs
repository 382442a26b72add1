//! The bounds of families that say nothing of their own: as configured, or as the environment says.

use std::time::Duration;

use forkmeter_core::metric::Bound;
use forkmeter_core::registry::Registry;

/// The variable that says how many series a family has at most.
const MAX_SERIES_VARIABLE: &str = "FORKMETER_MAX_SERIES";
/// The variable that says after how many seconds a series goes in which nobody counts.
const IDLE_SECONDS_VARIABLE: &str = "FORKMETER_IDLE_SECONDS";

/// Is what was configured; the environment decides what was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DefaultBounds {
    pub(crate) max_series: Bound<usize>,
    pub(crate) idle_after: Bound<Duration>,
}

impl DefaultBounds {
    pub(crate) const fn new() -> Self {
        Self {
            max_series: Bound::Default,
            idle_after: Bound::Default,
        }
    }

    /// Sets them in a registry.
    pub(crate) fn set_in(self, registry: &Registry) {
        let variable = |name: &str| std::env::var(name).ok();
        let max_series = self.max_series.or_default(|| {
            let text = variable(MAX_SERIES_VARIABLE)?;
            text.trim().parse().ok()
        });
        let idle_after = self.idle_after.or_default(|| {
            let seconds: f64 = variable(IDLE_SECONDS_VARIABLE)?.trim().parse().ok()?;
            Duration::try_from_secs_f64(seconds).ok()
        });
        registry.set_default_bounds(max_series, idle_after);
    }
}
