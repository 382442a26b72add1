//! How values of several workers become one: pure rules, without knowledge of files and processes.
//!
//! The directory reader merges with them what it read, and the writer what dead workers leave behind, so both
//! come to the same numbers.

#[cfg(test)]
mod tests;

use crate::model::MergeRule;

/// Accumulates the values that workers gave one sample.
///
/// Except for rounding, and for values with equal timestamps under [`MergeRule::MostRecent`], the order in
/// which values are added does not matter.
///
/// # Examples
///
/// ```
/// use forkmeter_core::MergeRule;
/// use forkmeter_core::merge::Merged;
///
/// let mut merged = Merged::empty(MergeRule::Max);
/// merged.add(MergeRule::Max, 2.0, 0.0);
/// merged.add(MergeRule::Max, 1.0, 0.0);
/// assert_eq!(merged.value(), 2.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Merged {
    value: f64,
    timestamp_seconds: f64,
}

impl Merged {
    /// Returns what no value at all comes to.
    pub const fn empty(rule: MergeRule) -> Self {
        let value = match rule {
            MergeRule::Min | MergeRule::Max => f64::NAN,
            MergeRule::Sum | MergeRule::PerWorker | MergeRule::MostRecent => 0.0,
        };
        Self {
            value,
            timestamp_seconds: 0.0,
        }
    }

    /// Adds one worker's value.
    ///
    /// `timestamp_seconds`, when the value was set, counts for [`MergeRule::MostRecent`] only: values that
    /// were never set (0) do not count, and of equal times the first one added stays. The least and the
    /// greatest ignore NaN unless there is nothing else. [`MergeRule::PerWorker`] keeps the last value added,
    /// as one worker has one.
    #[inline]
    pub fn add(&mut self, rule: MergeRule, value: f64, timestamp_seconds: f64) {
        let wins = match rule {
            MergeRule::Sum => {
                self.value += value;
                return;
            }
            MergeRule::PerWorker => true,
            MergeRule::Min => value < self.value || self.value.is_nan(),
            MergeRule::Max => value > self.value || self.value.is_nan(),
            MergeRule::MostRecent => timestamp_seconds > self.timestamp_seconds,
        };
        if wins {
            *self = Self {
                value,
                timestamp_seconds,
            };
        }
    }

    /// Adds what another accumulator of the same rule came to.
    pub fn join(&mut self, rule: MergeRule, other: Self) {
        self.add(rule, other.value, other.timestamp_seconds);
    }

    /// Returns what the values came to so far.
    #[inline]
    pub const fn value(self) -> f64 {
        self.value
    }

    /// Returns when the value that won was set, as Unix time in seconds; 0 where nobody said or under
    /// [`MergeRule::Sum`].
    #[inline]
    pub const fn timestamp_seconds(self) -> f64 {
        self.timestamp_seconds
    }
}
