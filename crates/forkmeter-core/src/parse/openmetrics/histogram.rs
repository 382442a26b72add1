//! The rules about the samples of one histogram series.

use crate::model::{LabelSet, Sample, Timestamp};
use crate::parse::ParseError;
use crate::parse::error::{Cause, ParseErrorKind as Kind};
use crate::parse::scan::number;

/// Checks the series of a histogram, or of a gauge histogram, one after the other.
#[derive(Debug, Default)]
pub(super) struct HistogramCheck {
    current: Option<Series>,
}

/// What is known of the samples of one series at one time.
#[derive(Debug)]
struct Series {
    group: LabelSet,
    timestamp: Option<Timestamp>,
    /// The upper bound and the value of the last bucket.
    bucket: Option<(f64, f64)>,
    has_negative_buckets: bool,
    count: Option<f64>,
    has_sum: bool,
    gauge_sum: Option<f64>,
    last_line: usize,
}

impl HistogramCheck {
    /// Checks one sample, and if it starts another series, the one before.
    pub(super) fn add(
        &mut self,
        group: LabelSet,
        suffix: &str,
        sample: &Sample,
        line: &str,
        number_of_line: usize,
    ) -> Result<(), ParseError> {
        let is_same = self
            .current
            .as_ref()
            .is_some_and(|series| series.group == group && series.timestamp == sample.timestamp);
        if !is_same {
            self.finish(sample.name.strip_suffix(suffix).unwrap_or(&sample.name))?;
        }
        let series = self
            .current
            .get_or_insert_with(|| Series::new(group, sample.timestamp));
        series.last_line = number_of_line;
        series
            .add(suffix, sample)
            .map_err(|kind| Cause::new(kind, line).at(number_of_line))
    }

    /// Checks that the last series is complete.
    pub(super) fn finish(&mut self, family_name: &str) -> Result<(), ParseError> {
        let Some(series) = self.current.take() else {
            return Ok(());
        };
        series
            .finish()
            .map_err(|kind| Cause::new(kind, family_name).at(series.last_line))
    }
}

impl Series {
    fn new(group: LabelSet, timestamp: Option<Timestamp>) -> Self {
        Self {
            group,
            timestamp,
            bucket: None,
            has_negative_buckets: false,
            count: None,
            has_sum: false,
            gauge_sum: None,
            last_line: 0,
        }
    }

    fn add(&mut self, suffix: &str, sample: &Sample) -> Result<(), Kind> {
        match suffix {
            "_bucket" => {
                let bound = sample
                    .labels
                    .get("le")
                    .and_then(number)
                    .ok_or(Kind::InvalidBound)?;
                self.has_negative_buckets |= bound < 0.0;
                if let Some((last_bound, last_value)) = self.bucket {
                    if bound <= last_bound {
                        return Err(Kind::BoundsOutOfOrder);
                    }
                    if sample.value < last_value {
                        return Err(Kind::BucketsNotCumulative);
                    }
                }
                self.bucket = Some((bound, sample.value));
            }
            "_count" | "_gcount" => self.count = Some(sample.value),
            "_sum" => self.has_sum = true,
            "_gsum" => self.gauge_sum = Some(sample.value),
            _ => {}
        }
        Ok(())
    }

    #[expect(clippy::float_cmp, reason = "counts are whole numbers")]
    fn finish(&self) -> Result<(), Kind> {
        let last = self.bucket.filter(|(bound, _)| *bound == f64::INFINITY);
        let (_, last_value) = last.ok_or(Kind::MissingInfBucket)?;
        let has_any_sum = self.has_sum || self.gauge_sum.is_some();
        match self.count {
            Some(count) if count != last_value => return Err(Kind::CountMismatch),
            Some(_) if !has_any_sum => return Err(Kind::MissingSum),
            None if has_any_sum => return Err(Kind::MissingCount),
            _ => {}
        }
        let is_gauge_sum_negative = self.gauge_sum.is_some_and(|sum| sum < 0.0);
        if (self.has_negative_buckets && self.has_sum)
            || (!self.has_negative_buckets && is_gauge_sum_negative)
        {
            return Err(Kind::InvalidSum);
        }
        Ok(())
    }
}
