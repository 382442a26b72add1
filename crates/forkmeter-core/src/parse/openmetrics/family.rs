//! One family under construction, with the rules that its samples must keep.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use super::histogram::HistogramCheck;
use super::{Keyword, Metadata};
use crate::model::{LabelSet, MetricFamily, MetricType, Sample, Timestamp};
use crate::parse::error::{Cause, ParseErrorKind as Kind};
use crate::parse::scan::number;
use crate::parse::{LineResult, ParseError};

#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: Arc<str>,
    pub(super) kind: Option<MetricType>,
    /// The line with which the family starts.
    pub(super) line: usize,
    help: Option<Arc<str>>,
    unit: Option<(Arc<str>, usize)>,
    samples: Vec<Sample>,
    groups: Groups,
    histogram: HistogramCheck,
}

impl Family {
    pub(super) fn new(name: Arc<str>, line: usize) -> Self {
        Self {
            name,
            kind: None,
            line,
            help: None,
            unit: None,
            samples: Vec::new(),
            groups: Groups::default(),
            histogram: HistogramCheck::default(),
        }
    }

    fn suffixes(&self) -> &'static [&'static str] {
        match self.kind {
            Some(MetricType::Counter) => &["_total", "_created"],
            Some(MetricType::Summary) => &["", "_count", "_sum", "_created"],
            Some(MetricType::Histogram) => &["_count", "_sum", "_bucket", "_created"],
            Some(MetricType::GaugeHistogram) => &["_gcount", "_gsum", "_bucket"],
            Some(MetricType::Info) => &["_info"],
            _ => &[""],
        }
    }

    pub(super) fn takes(&self, sample_name: &str) -> bool {
        let suffix = sample_name.strip_prefix(&*self.name);
        suffix.is_some_and(|suffix| self.suffixes().contains(&suffix))
    }

    /// Yields the names that no other family may have.
    pub(super) fn owned_names(&self) -> impl Iterator<Item = String> {
        let suffixes = self.suffixes().iter().filter(|suffix| !suffix.is_empty());
        std::iter::once(&"")
            .chain(suffixes)
            .map(|suffix| format!("{}{suffix}", self.name))
    }

    pub(super) fn add_metadata<'a>(
        &mut self,
        metadata: &Metadata<'a>,
        line: &'a str,
        number: usize,
    ) -> LineResult<'a, ()> {
        if !self.samples.is_empty() {
            return Err(Cause::new(Kind::MetadataAfterSamples, line));
        }
        let text = metadata.text;
        let is_repeated = match metadata.keyword {
            Keyword::Help => self.help.replace(metadata.help()).is_some(),
            Keyword::Type => {
                let kind = text.parse().ok().filter(|_| text != "untyped");
                let kind = kind.ok_or(Cause::new(Kind::InvalidType, text))?;
                self.kind.replace(kind).is_some()
            }
            Keyword::Unit => self.unit.replace((text.into(), number)).is_some(),
        };
        if is_repeated {
            return Err(Cause::new(Kind::DuplicateMetadata, line));
        }
        Ok(())
    }

    pub(super) fn add_sample(
        &mut self,
        sample: Sample,
        line: &str,
        number: usize,
    ) -> Result<(), ParseError> {
        let kind = self.kind.unwrap_or(MetricType::Unknown);
        let at_line = |kind| Cause::new(kind, line).at(number);
        let suffix = sample.name.strip_prefix(&*self.name).unwrap_or("");
        check_labels(kind, suffix, &self.name, &sample).map_err(at_line)?;
        check_value(kind, suffix, &sample).map_err(at_line)?;
        let may_have_exemplar = match kind {
            MetricType::Counter => suffix == "_total",
            MetricType::Histogram | MetricType::GaugeHistogram => suffix == "_bucket",
            _ => false,
        };
        if sample.exemplar.is_some() && !may_have_exemplar {
            return Err(at_line(Kind::ExemplarNotAllowed));
        }
        let group = group_of(kind, suffix, &self.name, &sample);
        if !self.groups.admit(&group, kind, &sample).map_err(at_line)? {
            return Ok(());
        }
        if matches!(kind, MetricType::Histogram | MetricType::GaugeHistogram) {
            self.histogram.add(group, suffix, &sample, line, number)?;
        }
        self.samples.push(sample);
        Ok(())
    }

    /// Checks what can be checked at the end only.
    pub(super) fn finish(mut self) -> Result<MetricFamily, ParseError> {
        let kind = self.kind.unwrap_or(MetricType::Unknown);
        let (unit, unit_line) = self.unit.take().unwrap_or_else(|| ("".into(), 0));
        if !unit.is_empty() {
            let before = self.name.strip_suffix(&*unit);
            if !before.is_some_and(|before| before.ends_with('_')) {
                return Err(Cause::new(Kind::UnitNotInName, &unit).at(unit_line));
            }
            if matches!(kind, MetricType::Info | MetricType::StateSet) {
                return Err(Cause::new(Kind::UnitNotAllowed, &unit).at(unit_line));
            }
        }
        self.histogram.finish(&self.name)?;
        let help = self.help.unwrap_or_else(|| "".into());
        let family = MetricFamily::new(self.name, help, kind);
        Ok(MetricFamily {
            unit,
            samples: self.samples,
            ..family
        })
    }
}

/// Returns the labels of the series to which a sample belongs.
fn group_of(kind: MetricType, suffix: &str, family_name: &str, sample: &Sample) -> LabelSet {
    match (kind, suffix) {
        // The facts of an info cannot be told from the labels of its series.
        (MetricType::Info, _) => LabelSet::empty(),
        (MetricType::Summary, "") => sample.labels.without("quantile"),
        (MetricType::StateSet, _) => sample.labels.without(family_name),
        (MetricType::Histogram | MetricType::GaugeHistogram, "_bucket") => {
            sample.labels.without("le")
        }
        _ => sample.labels.clone(),
    }
}

fn check_labels(
    kind: MetricType,
    suffix: &str,
    family_name: &str,
    sample: &Sample,
) -> Result<(), Kind> {
    // Infinity has one spelling; other numbers may have several.
    let parse = |name| {
        let text = sample.labels.get(name)?;
        number(text).filter(|number| *number != f64::INFINITY || text == "+Inf")
    };
    match (kind, suffix) {
        (MetricType::StateSet, _) if sample.labels.get(family_name).is_none() => {
            Err(Kind::MissingState)
        }
        (_, "_bucket") if parse("le").is_none_or(f64::is_nan) => Err(Kind::InvalidBound),
        (MetricType::Summary, "")
            if !parse("quantile").is_some_and(|quantile| (0.0..=1.0).contains(&quantile)) =>
        {
            Err(Kind::InvalidQuantile)
        }
        _ => Ok(()),
    }
}

#[expect(clippy::float_cmp, reason = "the format asks for exactly these values")]
fn check_value(kind: MetricType, suffix: &str, sample: &Sample) -> Result<(), Kind> {
    let value = sample.value;
    match (kind, suffix) {
        (_, "_total" | "_sum" | "_count" | "_bucket" | "_gcount" | "_gsum") if value.is_nan() => {
            Err(Kind::CounterIsNan)
        }
        (_, "_total" | "_sum" | "_count" | "_bucket" | "_gcount") if value < 0.0 => {
            Err(Kind::CounterIsNegative)
        }
        (_, "_bucket" | "_count" | "_gcount") if value.fract() != 0.0 || value.is_infinite() => {
            Err(Kind::CountNotWhole)
        }
        (MetricType::StateSet, _) if value != 0.0 && value != 1.0 => Err(Kind::InvalidState),
        (MetricType::Info, _) if value != 1.0 => Err(Kind::InvalidInfo),
        (MetricType::Summary, "") if value < 0.0 => Err(Kind::NegativeQuantile),
        _ => Ok(()),
    }
}

/// Sees to it that the samples of a series stand together and in the order of time.
#[derive(Debug, Default)]
struct Groups {
    seen: HashSet<LabelSet>,
    current: Option<LabelSet>,
    timestamp: Option<Timestamp>,
    seen_in_current: HashSet<(Arc<str>, LabelSet)>,
}

impl Groups {
    /// Checks a sample; tells whether it is to be kept.
    fn admit(&mut self, group: &LabelSet, kind: MetricType, sample: &Sample) -> Result<bool, Kind> {
        if self.current.as_ref() == Some(group) {
            match (self.timestamp, sample.timestamp) {
                // Several series of an info are one group here, so these rules cannot be applied.
                _ if kind == MetricType::Info => {}
                (Some(before), Some(after)) if compare(before, after) == Ordering::Greater => {
                    return Err(Kind::TimestampsGoBack);
                }
                (Some(_), Some(_)) | (None, None) => {}
                _ => return Err(Kind::MixedTimestamps),
            }
        } else {
            if !self.seen.insert(group.clone()) {
                return Err(Kind::Interleaved);
            }
            self.current = Some(group.clone());
            // A new set, since clearing one takes time in proportion to the largest series so far.
            self.seen_in_current = HashSet::new();
            self.timestamp = sample.timestamp;
        }
        let same_time = self.timestamp == sample.timestamp;
        self.timestamp = sample.timestamp;
        let series = (Arc::clone(&sample.name), sample.labels.clone());
        let is_new = self.seen_in_current.insert(series);
        if !is_new && sample.timestamp.is_none() {
            return Err(Kind::DuplicateSample);
        }
        Ok(is_new || !same_time)
    }
}

/// Compares times; two exact ones to the nanosecond.
fn compare(a: Timestamp, b: Timestamp) -> Ordering {
    match (a, b) {
        (
            Timestamp::Exact {
                seconds: a,
                nanoseconds: a_nanoseconds,
            },
            Timestamp::Exact {
                seconds: b,
                nanoseconds: b_nanoseconds,
            },
        ) => (a, a_nanoseconds).cmp(&(b, b_nanoseconds)),
        _ => a.as_seconds().total_cmp(&b.as_seconds()),
    }
}
