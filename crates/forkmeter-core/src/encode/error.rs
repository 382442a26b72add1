//! What an encoder reports beside a complete exposition.

use std::fmt;

use crate::model::{MetricFamily, MetricType};

/// Reports the first sample that could not be written as it is; all other samples were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodeError {
    kind: EncodeErrorKind,
    family: Box<str>,
    sample: Box<str>,
    others: usize,
}

/// Says what was left out of an exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeErrorKind {
    /// An exemplar, since only totals of counters and buckets of histograms can have one.
    ExemplarNotAllowed {
        /// The family's type.
        family_type: MetricType,
    },
    /// A timestamp of a sample or an exemplar, since it is NaN or infinite, or in the text format beyond the
    /// milliseconds of a 64-bit integer.
    TimestampOutOfRange,
}

impl EncodeError {
    /// Returns the cause.
    pub const fn kind(&self) -> EncodeErrorKind {
        self.kind
    }

    /// Returns the name of the family.
    pub fn family(&self) -> &str {
        &self.family
    }

    /// Returns the name of the sample.
    pub fn sample(&self) -> &str {
        &self.sample
    }

    /// Returns how many more samples of the same exposition had a problem.
    pub const fn others(&self) -> usize {
        self.others
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            family,
            sample,
            others,
        } = self;
        match kind {
            EncodeErrorKind::ExemplarNotAllowed { family_type } => write!(
                f,
                "exemplar of sample {sample:?} left out: a sample of {family_type} {family:?} cannot have \
                 one, use a counter's total or a histogram's bucket"
            )?,
            EncodeErrorKind::TimestampOutOfRange => {
                write!(
                    f,
                    "timestamp of sample {sample:?} of {family:?} left out: it is out of range"
                )?;
            }
        }
        if *others > 0 {
            write!(f, " (and {others} more such problems)")?;
        }
        Ok(())
    }
}

impl std::error::Error for EncodeError {}

/// Keeps the first problem of an exposition and counts the others.
#[derive(Debug, Default)]
pub(super) struct Problems {
    first: Option<EncodeError>,
    count: usize,
}

impl Problems {
    #[cold]
    pub(super) fn add(&mut self, kind: EncodeErrorKind, family: &MetricFamily, sample: &str) {
        self.count += 1;
        self.first.get_or_insert_with(|| EncodeError {
            kind,
            family: (*family.name).into(),
            sample: sample.into(),
            others: 0,
        });
    }

    pub(super) fn into_result(self) -> Result<(), EncodeError> {
        match self.first {
            Some(error) => Err(EncodeError {
                others: self.count - 1,
                ..error
            }),
            None => Ok(()),
        }
    }
}
