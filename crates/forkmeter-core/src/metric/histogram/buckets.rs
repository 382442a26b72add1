//! Upper bounds: defaults, helpers that make them, and the search for an observation's bucket.

use crate::metric::error::{ErrorKind, Result};

/// The upper bounds of a histogram that was declared without: 5 ms to 10 s, for durations in seconds.
///
/// # Sources
///
/// `prometheus_client` 0.26, `Histogram.DEFAULT_BUCKETS`; `+Inf` is added when the histogram is declared.
pub const DEFAULT_UPPER_BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Returns `count` upper bounds, the first one `start`, each `width` above the one before.
///
/// Whether they ascend is checked when the histogram is declared.
///
/// # Examples
///
/// ```
/// assert_eq!(forkmeter_core::metric::linear_bounds(1.0, 0.5, 3), [1.0, 1.5, 2.0]);
/// ```
pub fn linear_bounds(start: f64, width: f64, count: u32) -> Vec<f64> {
    (0..count)
        .map(|index| start + width * f64::from(index))
        .collect()
}

/// Returns `count` upper bounds, the first one `start`, each `factor` times the one before.
///
/// Whether they ascend is checked when the histogram is declared.
///
/// # Examples
///
/// ```
/// assert_eq!(forkmeter_core::metric::exponential_bounds(0.5, 2.0, 3), [0.5, 1.0, 2.0]);
/// ```
pub fn exponential_bounds(start: f64, factor: f64, count: u32) -> Vec<f64> {
    std::iter::successors(Some(start), |bound| Some(bound * factor))
        .take(count as usize)
        .collect()
}

/// Checks the bounds of a declaration and ends them with `+Inf`.
pub(in crate::metric) fn checked(family: &str, mut bounds: Vec<f64>) -> Result<Box<[f64]>> {
    let mut below = None;
    for bound in bounds.iter().copied() {
        if bound.is_nan() || below.is_some_and(|below| bound <= below) {
            return Err(ErrorKind::UnsortedBuckets {
                family: family.into(),
                bound,
            }
            .into());
        }
        below = Some(bound);
    }
    if bounds.last().is_none_or(|last| *last != f64::INFINITY) {
        bounds.push(f64::INFINITY);
    }
    if bounds.len() < 2 {
        return Err(ErrorKind::NoBuckets {
            family: family.into(),
        }
        .into());
    }
    Ok(bounds.into())
}

/// Returns the index of the bucket that `value` falls into; none for NaN.
#[inline]
pub(super) fn find(upper_bounds: &[f64], value: f64) -> Option<usize> {
    // Bounds are few and most observations are small: a scan beats a binary search there.
    const SCANNED: usize = 16;
    let (head, tail) = upper_bounds.split_at(upper_bounds.len().min(SCANNED));
    if let Some(index) = head.iter().position(|bound| value <= *bound) {
        return Some(index);
    }
    if tail.is_empty() || value.is_nan() {
        return None;
    }
    Some(SCANNED + tail.partition_point(|bound| *bound < value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bound_is_infinite_and_bounds_ascend() {
        let bounds = |given: &[f64]| {
            checked("h", given.to_vec())
                .map_err(|error| error.to_string())
                .map(Vec::from)
        };
        assert_eq!(bounds(&[1.0]), Ok(vec![1.0, f64::INFINITY]));
        assert_eq!(bounds(&[1.0, f64::INFINITY]), Ok(vec![1.0, f64::INFINITY]));
        assert!(bounds(&[f64::NEG_INFINITY, 0.0]).is_ok());
        for wrong in [&[2.0, 1.0][..], &[1.0, 1.0], &[f64::NAN], &[1.0, f64::NAN]] {
            assert!(
                bounds(wrong).unwrap_err().contains("must ascend strictly"),
                "{wrong:?}"
            );
        }
        for none in [&[][..], &[f64::INFINITY]] {
            assert!(
                bounds(none)
                    .unwrap_err()
                    .contains("at least one upper bound"),
                "{none:?}"
            );
        }
    }

    #[test]
    fn the_search_equals_a_plain_scan() {
        let many = checked("h", linear_bounds(-3.0, 0.5, 100)).unwrap();
        let few = checked("h", vec![0.0, 1.0]).unwrap();
        for bounds in [&many, &few] {
            let values = bounds
                .iter()
                .flat_map(|bound| [bound - 0.1, *bound, bound + 0.1]);
            for value in values.chain([f64::NEG_INFINITY, f64::INFINITY, f64::NAN]) {
                let expected = bounds.iter().position(|bound| value <= *bound);
                assert_eq!(find(bounds, value), expected, "{value}");
            }
        }
    }
}
