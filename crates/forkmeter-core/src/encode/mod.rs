//! Encoders: metric families in, expositions out.
//!
//! Called by whoever answers a scrape. Encoders see only the model: where samples come from, and over which
//! protocol the text leaves, is none of their business.

mod error;
mod escape;
mod kept;
mod line;
mod negotiate;
mod number;
mod openmetrics;
mod out;
mod sink;
mod text;

pub use error::{EncodeError, EncodeErrorKind};
pub use escape::{Escaping, UnknownEscapingError};
pub(crate) use kept::{ExposedSeries, KeptLines};
pub use negotiate::{accepts_gzip, negotiate};
pub use number::{format_value, push_value, write_value};

use crate::model::MetricFamily;
use error::Problems;
use line::{Dialect, LineWriter};
use out::Out;

/// Names an exposition format that [`encode`] writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// The text format 0.0.4. Names outside the legacy character set have underscores.
    #[default]
    Text004,
    /// The text format 1.0.0, which is 0.0.4 with a choice of escaping.
    Text100 {
        /// How names outside the legacy character set are written.
        escaping: Escaping,
    },
    /// OpenMetrics 1.0.0.
    OpenMetrics100 {
        /// How names outside the legacy character set are written.
        escaping: Escaping,
    },
}

impl Format {
    /// Returns the value of the `Content-Type` header, the escaping included where the format has a choice.
    pub const fn content_type(self) -> &'static str {
        use Escaping::{AllowUtf8, Dots, Underscores, Values};
        macro_rules! with_escaping {
            ($base:literal, $escaping:expr) => {
                match $escaping {
                    AllowUtf8 => concat!($base, "; escaping=allow-utf-8"),
                    Underscores => concat!($base, "; escaping=underscores"),
                    Dots => concat!($base, "; escaping=dots"),
                    Values => concat!($base, "; escaping=values"),
                }
            };
        }
        match self {
            Self::Text004 => "text/plain; version=0.0.4; charset=utf-8",
            Self::Text100 { escaping } => {
                with_escaping!("text/plain; version=1.0.0; charset=utf-8", escaping)
            }
            Self::OpenMetrics100 { escaping } => {
                with_escaping!(
                    "application/openmetrics-text; version=1.0.0; charset=utf-8",
                    escaping
                )
            }
        }
    }

    /// Returns how the format writes names outside the legacy character set.
    pub const fn escaping(self) -> Escaping {
        match self {
            Self::Text004 => Escaping::Underscores,
            Self::Text100 { escaping } | Self::OpenMetrics100 { escaping } => escaping,
        }
    }
}

/// Appends the exposition of `families`, in their order, to `out`.
///
/// The bytes are those of the official Python client's `generate_latest` for the same families, wherever those
/// are well-formed. What differs: names that end in a newline are escaped, negative exact timestamps have one
/// sign, and exemplar labels outside the legacy set are escaped. Nothing is sorted or checked for duplicates: the
/// registry has done that.
///
/// # Errors
///
/// Fails where a sample cannot be written as it is: an exemplar on a sample that cannot have one (the official
/// client raises there), or a timestamp that is not finite or too great. `out` then still holds the complete exposition,
/// without that exemplar or timestamp, so a scrape can be answered and the error be reported beside it.
///
/// # Examples
///
/// ```
/// use forkmeter_core::encode::{Format, encode};
/// use forkmeter_core::{LabelSet, MetricFamily, MetricType, Sample};
///
/// let mut family = MetricFamily::new("requests", "Requests served.", MetricType::Counter);
/// let labels = LabelSet::from_pairs([("path", "/")]);
/// family.samples.push(Sample::new("requests_total", labels, 3.0));
/// let mut out = Vec::new();
/// encode(&[family], Format::Text004, &mut out)?;
/// let text = String::from_utf8_lossy(&out);
/// assert!(text.ends_with("requests_total{path=\"/\"} 3.0\n"));
/// # Ok::<(), forkmeter_core::encode::EncodeError>(())
/// ```
pub fn encode<'f>(
    families: impl IntoIterator<Item = &'f MetricFamily>,
    format: Format,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let mut encoding = Encoding::new(format, out);
    encoding.families(families);
    encoding.finish()
}

/// Is an exposition that is being written, family by family.
#[derive(Debug)]
pub struct Encoding<'o> {
    format: Format,
    out: Out<'o>,
    problems: Problems,
}

impl<'o> Encoding<'o> {
    /// Starts an exposition, which is appended to `out`.
    pub fn new(format: Format, out: &'o mut Vec<u8>) -> Self {
        Self {
            format,
            out: Out::new(out, None),
            problems: Problems::default(),
        }
    }

    /// Starts an exposition that is handed on in parts, in their order. `buffer` is empty, holds one part at a time (64 KiB,
    /// and a line more), and is empty again at the end.
    pub fn in_parts(
        format: Format,
        buffer: &'o mut Vec<u8>,
        hand_on: &'o mut dyn FnMut(&[u8]),
    ) -> Self {
        Self {
            format,
            out: Out::new(buffer, Some(hand_on)),
            problems: Problems::default(),
        }
    }

    /// Returns the format.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Returns how many bytes there are: in `out`, or handed on.
    pub fn len(&self) -> usize {
        self.out.total_len()
    }

    /// Tells whether there is nothing yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a family.
    pub fn family(&mut self, family: &MetricFamily) {
        self.families([family]);
    }

    /// Appends families, in their order.
    pub fn families<'f>(&mut self, families: impl IntoIterator<Item = &'f MetricFamily>) {
        let Self {
            format,
            out,
            problems,
        } = self;
        match format {
            Format::Text004 | Format::Text100 { .. } => {
                let mut lines = LineWriter::new(format.escaping(), Dialect::Text);
                for family in families {
                    text::encode_family(family, &mut lines, out, problems);
                }
            }
            Format::OpenMetrics100 { escaping } => {
                let mut lines = LineWriter::new(*escaping, Dialect::OpenMetrics);
                for family in families {
                    openmetrics::encode_family(family, &mut lines, out, problems);
                }
            }
        }
    }

    /// Makes room for at least so many bytes more, where it is known that they come.
    pub fn reserve(&mut self, len: usize) {
        self.out.reserve_for(len);
    }

    /// Ends the exposition.
    ///
    /// # Errors
    ///
    /// As [`encode`].
    pub fn finish(mut self) -> Result<(), EncodeError> {
        if matches!(self.format, Format::OpenMetrics100 { .. }) {
            self.out.extend_from_slice(b"# EOF\n");
        }
        self.end_without_eof()
    }

    /// Ends what is only a part of an exposition.
    ///
    /// # Errors
    ///
    /// As [`encode`].
    pub fn end_without_eof(mut self) -> Result<(), EncodeError> {
        self.out.rest();
        self.problems.into_result()
    }
}
