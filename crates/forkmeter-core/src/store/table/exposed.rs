//! The series of a table as an exposition.

use std::sync::Arc;

use super::{Series, SeriesEntry, SeriesTable};
use crate::encode::{EncodeError, Encoding, ExposedSeries, Format, KeptLines};
use crate::fork;
use crate::model::{Descriptor, LabelSet, MetricFamily, MetricType, SeriesView};

/// What was rendered for the last exposition, and of which series.
#[derive(Debug)]
pub(super) struct Rendered {
    lines: KeptLines,
    /// See [`Order::closings`](super::order::Order::closings).
    closings: u64,
    /// The length of the last exposition.
    last_len: usize,
}

impl SeriesTable {
    /// Appends the family of a descriptor with all series to an exposition.
    ///
    /// The bytes are those of [`encode`](crate::encode::encode) for [`SeriesTable::family`]. The starts of the lines are
    /// kept, for the descriptor (the object, not its text) and the format that were asked for last: about the length of
    /// the exposition. So a repeated call copies them and formats numbers. Series that came meanwhile are added, those
    /// that went are skipped; when they are the greater part all are rendered anew.
    ///
    /// Waits for other threads that do the same.
    pub fn encode_into(
        &self,
        descriptor: &Arc<Descriptor>,
        created_samples: bool,
        encoding: &mut Encoding<'_>,
    ) {
        if !KeptLines::are_possible(descriptor.kind) {
            encoding.family(&self.family(descriptor, created_samples));
            return;
        }
        let _section = fork::enter();
        let series = self.read_current();
        let mut rendered = self.rendered.lock().unwrap_or_else(|poisoned| {
            // What was rendered in part cannot be gone on with.
            let mut rendered = poisoned.into_inner();
            *rendered = None;
            rendered
        });
        let format = encoding.format();
        let is_current = |rendered: &Rendered| {
            rendered.lines.are_of(descriptor, format, created_samples)
                && rendered.closings == series.order.closings()
        };
        if rendered
            .as_deref()
            .is_some_and(|rendered| !is_current(rendered))
        {
            *rendered = None;
        }
        let rendered = rendered.get_or_insert_with(|| {
            Box::new(Rendered {
                lines: KeptLines::new(descriptor, format, created_samples),
                closings: series.order.closings(),
                last_len: 0,
            })
        });
        let lines = &mut rendered.lines;
        if lines.len() < series.order.places() {
            lines.extend(self.entries(&series).skip(lines.len()));
        }
        let before = encoding.len();
        let expected = rendered.last_len.max(lines.estimated_len());
        encoding.reserve(expected + expected / 16);
        let has_exemplars = self.extras.is_used();
        lines.write(self.entries(&series), has_exemplars, encoding);
        rendered.last_len = encoding.len() - before;
    }

    /// Appends the family of a descriptor to `out`, as a part of an exposition; see [`SeriesTable::encode_into`].
    ///
    /// # Errors
    ///
    /// As [`encode`](crate::encode::encode).
    pub fn append_to(
        &self,
        descriptor: &Arc<Descriptor>,
        format: Format,
        created_samples: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let mut encoding = Encoding::new(format, out);
        self.encode_into(descriptor, created_samples, &mut encoding);
        encoding.end_without_eof()
    }

    /// Returns the family of a descriptor with the samples of all series.
    pub fn family(&self, descriptor: &Descriptor, created_samples: bool) -> MetricFamily {
        let mut family = descriptor.family();
        self.for_each(|series| {
            let view = SeriesView {
                labels: series.labels(descriptor),
                info: (descriptor.kind == MetricType::Info).then(|| series.facts()),
                created_seconds: created_samples.then(|| series.created_seconds()),
                slots: &series,
            };
            descriptor.expose(&view, &mut family.samples);
        });
        family
    }

    /// Yields what stands in each place of the order.
    fn entries<'a>(
        &'a self,
        series: &'a Series,
    ) -> impl Iterator<Item = Option<SeriesEntry<'a>>> + Clone {
        let places = series.order.with_gaps();
        places.map(|id| Some(self.entry(series, id?)))
    }
}

impl ExposedSeries for SeriesEntry<'_> {
    fn labels(&self, descriptor: &Descriptor) -> LabelSet {
        let names = descriptor.label_names.iter().cloned();
        names.zip(self.label_values()).collect()
    }

    fn created_seconds(&self) -> f64 {
        SeriesEntry::created_seconds(self)
    }
}
