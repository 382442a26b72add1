//! What a parser reports: line, cause and the text that is wrong.

use std::fmt;

use crate::model::EXEMPLAR_MAX_CHARACTERS;

/// How many characters of the offending text an error keeps.
const MAX_TEXT: usize = 80;

/// Reports why an exposition cannot be parsed, and where.
///
/// # Examples
///
/// ```
/// use forkmeter_core::parse::{self, ParseErrorKind};
///
/// let error = parse::text(b"up 1\nup{job=api} 1\n").unwrap_err();
/// assert_eq!((error.line(), error.kind()), (2, ParseErrorKind::MissingLabelValue));
/// assert_eq!(error.to_string(), "line 2: label value must stand in double quotes, at \"api} 1\"");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    line: usize,
    kind: ParseErrorKind,
    text: Box<str>,
}

impl ParseError {
    /// Returns the number of the line, counted from 1.
    pub const fn line(&self) -> usize {
        self.line
    }

    /// Returns the cause.
    pub const fn kind(&self) -> ParseErrorKind {
        self.kind
    }

    /// Returns what is wrong: a name, a number or the rest of the line, cut off after 80 characters.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.kind)?;
        if self.text.is_empty() {
            return Ok(());
        }
        write!(f, ", at {:?}", self.text)
    }
}

impl std::error::Error for ParseError {}

/// An error of one line, before the line's number is known to it.
#[derive(Debug)]
pub(super) struct Cause<'a> {
    kind: ParseErrorKind,
    text: &'a str,
}

impl<'a> Cause<'a> {
    pub(super) const fn new(kind: ParseErrorKind, text: &'a str) -> Self {
        Self { kind, text }
    }

    pub(super) fn at(&self, line: usize) -> ParseError {
        let text = match self.text.char_indices().nth(MAX_TEXT) {
            Some((end, _)) => &self.text[..end],
            None => self.text,
        };
        ParseError {
            line,
            kind: self.kind,
            text: text.into(),
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])+ $name:ident => $text:expr,)+) => {
        /// Says why an exposition cannot be parsed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ParseErrorKind {
            $($(#[$doc])+ $name,)+
        }

        impl fmt::Display for ParseErrorKind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name => write!(f, $text),)+
                }
            }
        }
    };
}

kinds! {
    /// The input is not UTF-8.
    InvalidUtf8 => "invalid UTF-8",
    /// A metric name is empty, or outside the legacy set and not in quotes.
    InvalidMetricName => "invalid metric name, names with other than letters, digits, '_' and ':' need quotes",
    /// A metric name stands before the braces and again inside them, or twice inside them.
    RepeatedMetricName => "metric name is given twice",
    /// A label name is empty, reserved, or outside the legacy set and not in quotes.
    InvalidLabelName => "invalid label name",
    /// A label name occurs twice in one label set.
    DuplicateLabel => "duplicate label name",
    /// A label has no value in double quotes.
    MissingLabelValue => "label value must stand in double quotes",
    /// A comma stands where a label was expected.
    ExtraComma => "comma without a label",
    /// Text in quotes, or labels in braces, have no end.
    Unterminated => "closing quote or brace is missing",
    /// There is other text where a separator or the end of the line was expected.
    UnexpectedText => "unexpected text",
    /// A sample has no value.
    MissingValue => "value is missing",
    /// A value is not a number.
    InvalidValue => "value is not a number",
    /// A timestamp is not a finite number.
    InvalidTimestamp => "timestamp is not a finite number",
    /// A metadata line is incomplete, or an OpenMetrics comment is none of `HELP`, `TYPE`, `UNIT` and `EOF`.
    InvalidMetadata => "invalid metadata line",
    /// A type is unknown in this format.
    InvalidType => "unknown metric type",
    /// OpenMetrics: a line is empty.
    BlankLine => "blank line",
    /// OpenMetrics: there is a line after `# EOF`.
    TextAfterEof => "text after # EOF",
    /// OpenMetrics: the last line is not `# EOF`; the exposition may be cut off.
    MissingEof => "# EOF is missing at the end",
    /// OpenMetrics: a family has the same metadata twice.
    DuplicateMetadata => "metadata is given twice for one family",
    /// OpenMetrics: metadata of a family follows its samples.
    MetadataAfterSamples => "metadata after samples of the same family",
    /// OpenMetrics: a name belongs to a family that came before.
    ClashingName => "name belongs to an earlier family",
    /// OpenMetrics: a family's name does not end in its unit.
    UnitNotInName => "family name does not end in its unit",
    /// OpenMetrics: infos and state sets have no unit.
    UnitNotAllowed => "this metric type cannot have a unit",
    /// OpenMetrics: the labels of an exemplar are too long.
    ExemplarTooLong => "exemplar labels have more than {EXEMPLAR_MAX_CHARACTERS} characters",
    /// OpenMetrics: an exemplar hangs on a sample that is no counter's total and no histogram's bucket.
    ExemplarNotAllowed => "only totals of counters and buckets of histograms can have an exemplar",
    /// OpenMetrics: a bucket has no `le` label, or one that is not a number or not in canonical form.
    InvalidBound => "le label of a bucket is missing or not a canonical number",
    /// OpenMetrics: a quantile label is missing, or not a number from 0 to 1.
    InvalidQuantile => "quantile label is missing or not a number from 0 to 1",
    /// OpenMetrics: a bucket or count is not a whole number.
    CountNotWhole => "value of a bucket or count is not a whole number",
    /// OpenMetrics: a sample that only goes up is NaN.
    CounterIsNan => "total, sum, count or bucket is NaN",
    /// OpenMetrics: a sample that only goes up is negative.
    CounterIsNegative => "total, sum, count or bucket is negative",
    /// OpenMetrics: a summary's quantile has a negative value.
    NegativeQuantile => "value of a quantile is negative",
    /// OpenMetrics: a state set's sample lacks the label with the state.
    MissingState => "sample of a state set lacks the label named as the family",
    /// OpenMetrics: a state set's value is neither 0 nor 1.
    InvalidState => "value of a state is neither 0 nor 1",
    /// OpenMetrics: an info's value is not 1.
    InvalidInfo => "value of an info is not 1",
    /// OpenMetrics: samples of one series stand apart.
    Interleaved => "samples of one series do not stand together",
    /// OpenMetrics: a sample occurs twice.
    DuplicateSample => "sample occurs twice",
    /// OpenMetrics: some samples of a series have timestamps and others have none.
    MixedTimestamps => "samples of one series with and without timestamp",
    /// OpenMetrics: a timestamp is earlier than the one before it.
    TimestampsGoBack => "timestamps of one series go back",
    /// OpenMetrics: a bucket's upper bound is not above the one before it.
    BoundsOutOfOrder => "buckets are not in the order of their upper bounds",
    /// OpenMetrics: a bucket has less than the one before it, though buckets are cumulative.
    BucketsNotCumulative => "bucket is smaller than the one before it",
    /// OpenMetrics: a histogram's last bucket is not `+Inf`.
    MissingInfBucket => "bucket with le=\"+Inf\" is missing",
    /// OpenMetrics: a histogram's count differs from its last bucket.
    CountMismatch => "count differs from the bucket with le=\"+Inf\"",
    /// OpenMetrics: a histogram has a sum and no count.
    MissingCount => "histogram has a sum and no count",
    /// OpenMetrics: a histogram has a count and no sum.
    MissingSum => "histogram has a count and no sum",
    /// OpenMetrics: a sum may go down because of negative buckets, or is negative without any.
    InvalidSum => "sum does not fit the signs of the buckets",
}
