//! The starts of sample lines of a family, kept between expositions.
//!
//! Called by who keeps series in order. A scrape then copies these starts and formats numbers. The bytes are those of
//! [`encode`](super::encode) for the family that the descriptor exposes.

use std::sync::Arc;

use super::error::{EncodeErrorKind, Problems};
use super::line::{Dialect, LineWriter};
use super::sink::{LineSink, PADDING};
use super::{Encoding, Format, openmetrics, text};
use crate::model::{
    Descriptor, HISTOGRAM_FIRST_BUCKET, HISTOGRAM_SUM, LabelSet, MetricFamily, MetricType,
    SUMMARY_COUNT, SUMMARY_SUM, Sample, SeriesView, SlotValues,
};

/// How many series are rendered at a time: names are looked at once for each time, and samples kept for so long.
const RENDERED_AT_ONCE: usize = 256;

/// Is a series whose line starts are kept.
pub(crate) trait ExposedSeries: SlotValues {
    /// Returns the labels.
    fn labels(&self, descriptor: &Descriptor) -> LabelSet;

    /// Returns when the series was made, as Unix time in seconds.
    fn created_seconds(&self) -> f64;
}

/// Holds the starts of the lines of a family's series, in the order of the series, in one format.
///
/// Series have places in this order. A place whose series went keeps its lines, which are skipped.
///
/// Takes about as much memory as the exposition without its numbers.
#[derive(Debug)]
pub(crate) struct KeptLines {
    descriptor: Arc<Descriptor>,
    format: Format,
    created_samples: bool,
    /// Whether these are of a type that has them, too.
    has_created: bool,
    /// Without the `_created` lines, which the text format has in a family of their own.
    main: Starts,
    created: Starts,
    places: usize,
}

/// Line starts in one run of text, [`PADDING`] behind them.
#[derive(Debug)]
struct Starts {
    text: Vec<u8>,
    lens: Vec<u32>,
}

impl KeptLines {
    /// Makes lines of no series, with or without `_created` samples where the type has them.
    pub(crate) fn new(descriptor: &Arc<Descriptor>, format: Format, created_samples: bool) -> Self {
        let can_have_created = matches!(
            descriptor.kind,
            MetricType::Counter | MetricType::Histogram | MetricType::Summary
        );
        Self {
            descriptor: Arc::clone(descriptor),
            format,
            created_samples,
            has_created: created_samples && can_have_created,
            main: Starts::new(),
            created: Starts::new(),
            places: 0,
        }
    }

    /// Tells whether the lines of series of this type can be kept: those of infos change with their facts.
    pub(crate) fn are_possible(kind: MetricType) -> bool {
        kind != MetricType::Info
    }

    /// Tells whether these are the lines that [`KeptLines::new`] with these arguments begins.
    pub(crate) fn are_of(
        &self,
        descriptor: &Arc<Descriptor>,
        format: Format,
        created_samples: bool,
    ) -> bool {
        Arc::ptr_eq(&self.descriptor, descriptor)
            && self.format == format
            && self.created_samples == created_samples
    }

    /// Returns for how many places lines are kept.
    pub(crate) fn len(&self) -> usize {
        self.places
    }

    /// Renders the lines of series that come behind the others. A place that is empty by now gets empty lines.
    pub(crate) fn extend<S: ExposedSeries>(&mut self, series: impl Iterator<Item = Option<S>>) {
        let descriptor = Arc::clone(&self.descriptor);
        let mut series = series.peekable();
        let mut samples: Vec<Sample> = Vec::new();
        while series.peek().is_some() {
            samples.clear();
            for one in series.by_ref().take(RENDERED_AT_ONCE) {
                self.places += 1;
                let Some(one) = one else {
                    self.render(&samples);
                    samples.clear();
                    self.main.push_empty(self.lines_of_a_series());
                    self.created.push_empty(usize::from(self.has_created));
                    continue;
                };
                let view = SeriesView {
                    labels: one.labels(&descriptor),
                    info: None,
                    created_seconds: self.has_created.then_some(0.0),
                    slots: &one,
                };
                descriptor.expose(&view, &mut samples);
            }
            self.render(&samples);
        }
        self.main.fit();
        self.created.fit();
    }

    /// Returns the number of lines that [`Descriptor::expose`] has for a series, `_created` apart.
    fn lines_of_a_series(&self) -> usize {
        let upper_bounds = &self.descriptor.upper_bounds;
        match self.descriptor.kind {
            MetricType::Counter | MetricType::Gauge | MetricType::Unknown => 1,
            MetricType::Summary => 2,
            MetricType::Histogram | MetricType::GaugeHistogram => {
                upper_bounds.len() + 1 + usize::from(has_sum(upper_bounds))
            }
            MetricType::StateSet => self.descriptor.states.len(),
            MetricType::Info => 0,
        }
    }

    fn render(&mut self, samples: &[Sample]) {
        let dialect = match self.format {
            Format::OpenMetrics100 { .. } => Dialect::OpenMetrics,
            _ => Dialect::Text,
        };
        let mut lines = LineWriter::new(self.format.escaping(), dialect);
        let name = &*self.descriptor.name;
        for sample in samples {
            let is_created = sample.name.strip_prefix(name) == Some("_created");
            let starts = if is_created {
                &mut self.created
            } else {
                &mut self.main
            };
            starts.push(|text| lines.push_start(&sample.name, &sample.labels, text));
        }
    }

    /// Returns about how many bytes the exposition takes.
    pub(crate) fn estimated_len(&self) -> usize {
        self.main.text.len() + self.main.lens.len() * 6
    }

    /// Appends the family. `series` are all whose lines are kept, in that order.
    pub(crate) fn write<S: ExposedSeries>(
        &self,
        series: impl Iterator<Item = Option<S>> + Clone,
        has_exemplars: bool,
        encoding: &mut Encoding<'_>,
    ) {
        let family = self.descriptor.family();
        encoding.family(&family);
        let Encoding { out, problems, .. } = encoding;
        let is_empty = series.clone().all(|one| one.is_none());
        let has_created = self.has_created && !is_empty;
        let is_openmetrics = matches!(self.format, Format::OpenMetrics100 { .. });
        let mut writer = Writer {
            lines: self.main.cursor(),
            sink: LineSink::new(out),
            descriptor: &self.descriptor,
            family: &family,
            format: self.format,
            lines_of_a_series: self.lines_of_a_series(),
            exemplars: (has_exemplars && is_openmetrics).then_some(problems),
        };
        if !is_openmetrics || !has_created {
            series
                .clone()
                .for_each(|one| writer.push_place(one.as_ref()));
        }
        if !has_created {
            return;
        }
        let mut created = self.created.cursor();
        if is_openmetrics {
            for one in series {
                writer.push_place(one.as_ref());
                created.push_created(&mut writer.sink, one.as_ref());
            }
            return;
        }
        let escaping = self.format.escaping();
        text::push_metadata(&family, "_created", "gauge", escaping, writer.sink.out());
        for one in series {
            created.push_created(&mut writer.sink, one.as_ref());
        }
    }
}

/// Tells whether a histogram with these bounds exposes its sum.
fn has_sum(upper_bounds: &[f64]) -> bool {
    upper_bounds.first().is_none_or(|bound| *bound >= 0.0)
}

impl Starts {
    fn new() -> Self {
        Self {
            text: PADDING.to_vec(),
            lens: Vec::new(),
        }
    }

    fn push(&mut self, render: impl FnOnce(&mut Vec<u8>)) {
        let end = self.text.len() - PADDING.len();
        self.text.truncate(end);
        render(&mut self.text);
        // A line of more than 4 GiB would be cut, like a label value.
        let len = u32::try_from(self.text.len() - end).unwrap_or(u32::MAX);
        self.text.truncate(end + len as usize);
        self.lens.push(len);
        self.text.extend_from_slice(&PADDING);
    }

    fn push_empty(&mut self, count: usize) {
        self.lens.resize(self.lens.len() + count, 0);
    }

    /// Gives back what was reserved for more, where that is much.
    fn fit(&mut self) {
        if self.text.capacity() > self.text.len() + self.text.len() / 4 {
            self.text.shrink_to(self.text.len() + self.text.len() / 8);
            self.lens.shrink_to(self.lens.len() + self.lens.len() / 8);
        }
    }

    fn cursor(&self) -> Cursor<'_> {
        Cursor {
            text: &self.text,
            lens: self.lens.iter(),
            at: 0,
        }
    }
}

/// Walks over line starts.
struct Cursor<'a> {
    text: &'a [u8],
    lens: std::slice::Iter<'a, u32>,
    at: usize,
}

impl Cursor<'_> {
    /// Appends the next line up to its number.
    #[inline]
    fn push(&mut self, sink: &mut LineSink<'_, '_>, value: f64) {
        let len = self.lens.next().map_or(0, |len| *len as usize);
        sink.push(self.text, self.at, len, value);
        self.at += len;
    }

    fn push_created(&mut self, sink: &mut LineSink<'_, '_>, series: Option<&impl ExposedSeries>) {
        match series {
            Some(series) => {
                self.push(sink, series.created_seconds());
                sink.end();
            }
            None => self.skip(1),
        }
    }

    fn skip(&mut self, count: usize) {
        let lens = self.lens.by_ref().take(count);
        self.at += lens.map(|len| *len as usize).sum::<usize>();
    }
}

/// Writes the lines of series one after the other.
struct Writer<'a, 'o> {
    lines: Cursor<'a>,
    sink: LineSink<'a, 'o>,
    descriptor: &'a Descriptor,
    family: &'a MetricFamily,
    format: Format,
    lines_of_a_series: usize,
    /// Where exemplars are wanted, who hears of their problems.
    exemplars: Option<&'a mut Problems>,
}

impl Writer<'_, '_> {
    #[inline]
    fn push_place(&mut self, series: Option<&impl SlotValues>) {
        match series {
            Some(series) => self.push_series(series),
            None => self.lines.skip(self.lines_of_a_series),
        }
    }

    /// Writes the lines that [`Descriptor::expose`] has for the series, `_created` apart.
    #[inline]
    fn push_series(&mut self, series: &impl SlotValues) {
        match self.descriptor.kind {
            MetricType::Counter => self.push_with_exemplar(series, 0, series.value(0), "_total"),
            MetricType::Gauge | MetricType::Unknown => self.push(series.value(0)),
            MetricType::Summary => {
                self.push(series.value(SUMMARY_COUNT));
                self.push(series.value(SUMMARY_SUM));
            }
            MetricType::Histogram | MetricType::GaugeHistogram => self.push_histogram(series),
            MetricType::StateSet => {
                let current = series.value(0);
                for (index, _) in (0_u32..).zip(&self.descriptor.states) {
                    let on = (current - f64::from(index)).abs() < 0.5;
                    self.push(f64::from(u8::from(on)));
                }
            }
            MetricType::Info => {}
        }
    }

    fn push_histogram(&mut self, series: &impl SlotValues) {
        let upper_bounds = &self.descriptor.upper_bounds;
        let mut count = 0.0;
        for index in 0..upper_bounds.len() {
            let slot = HISTOGRAM_FIRST_BUCKET + index;
            count += series.value(slot);
            self.push_with_exemplar(series, slot, count, "_bucket");
        }
        self.push(count);
        if has_sum(upper_bounds) {
            self.push(series.value(HISTOGRAM_SUM));
        }
    }

    #[inline]
    fn push(&mut self, value: f64) {
        self.lines.push(&mut self.sink, value);
        self.sink.end();
    }

    #[inline]
    fn push_with_exemplar(
        &mut self,
        series: &impl SlotValues,
        slot: usize,
        value: f64,
        suffix: &str,
    ) {
        self.lines.push(&mut self.sink, value);
        if let Some(problems) = &mut self.exemplars
            && let Some(exemplar) = series.exemplar(slot)
        {
            let escaping = self.format.escaping();
            if !openmetrics::push_exemplar(&exemplar, escaping, self.sink.out()) {
                let name = format!("{}{suffix}", self.family.name);
                problems.add(EncodeErrorKind::TimestampOutOfRange, self.family, &name);
            }
        }
        self.sink.end();
    }
}
