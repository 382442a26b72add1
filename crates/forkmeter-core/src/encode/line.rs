//! The start of a sample line: name, labels and the space before the value.

use super::escape::{
    Escaping, push_label_name, push_metric_name, push_openmetrics_sample_name, push_quoted_text,
};
use crate::model::{LabelSet, is_legacy_metric_name};

/// Names the format whose rules for sample names hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Text,
    OpenMetrics,
}

/// Writes the starts of sample lines.
///
/// Samples that follow each other mostly have the same name and the same label names, often even the same
/// allocation, so it keeps the last ones as they were written and copies them.
#[derive(Debug)]
pub(super) struct LineWriter<'f> {
    escaping: Escaping,
    dialect: Dialect,
    name: &'f str,
    /// The name as written, after the brace it stands in.
    written_name: Vec<u8>,
    /// What comes before the first label: a brace, or a comma where the name itself stands in braces.
    before_first: u8,
    label_names: Vec<LabelName<'f>>,
}

/// A label name by its position in the line, as written: with the equals sign and the opening quote.
#[derive(Debug, Default)]
struct LabelName<'f> {
    name: &'f str,
    written: Vec<u8>,
}

impl<'f> LineWriter<'f> {
    pub(super) fn new(escaping: Escaping, dialect: Dialect) -> Self {
        let mut writer = Self {
            escaping,
            dialect,
            name: "",
            written_name: Vec::new(),
            before_first: b'{',
            label_names: Vec::new(),
        };
        writer.write_name("");
        writer
    }

    pub(super) const fn escaping(&self) -> Escaping {
        self.escaping
    }

    /// Appends name, labels and one space.
    pub(super) fn push_start(&mut self, name: &'f str, labels: &'f LabelSet, out: &mut Vec<u8>) {
        if !same(self.name, name) {
            self.write_name(name);
        }
        out.extend_from_slice(&self.written_name);
        let mut separator = self.before_first;
        for (position, (name, value)) in labels.iter().enumerate() {
            out.push(separator);
            separator = b',';
            out.extend_from_slice(self.written_label_name(position, name));
            push_quoted_text(value, out);
            out.push(b'"');
        }
        if separator == b',' {
            out.push(b'}');
        }
        out.push(b' ');
    }

    fn write_name(&mut self, name: &'f str) {
        self.name = name;
        self.written_name.clear();
        let in_braces = self.escaping == Escaping::AllowUtf8 && !is_legacy_metric_name(name);
        self.before_first = if in_braces { b',' } else { b'{' };
        if in_braces {
            self.written_name.push(b'{');
        }
        match self.dialect {
            Dialect::Text => push_metric_name(name, self.escaping, &mut self.written_name),
            Dialect::OpenMetrics => {
                push_openmetrics_sample_name(name, self.escaping, &mut self.written_name);
            }
        }
    }

    fn written_label_name(&mut self, position: usize, name: &'f str) -> &[u8] {
        if position == self.label_names.len() {
            self.label_names.push(LabelName::default());
        }
        let kept = &mut self.label_names[position];
        if !same(kept.name, name) || kept.written.is_empty() {
            kept.name = name;
            kept.written.clear();
            push_label_name(name, self.escaping, &mut kept.written);
            kept.written.extend_from_slice(b"=\"");
        }
        &kept.written
    }
}

/// Compares names, where most are the same allocation.
fn same(a: &str, b: &str) -> bool {
    std::ptr::eq(a, b) || a == b
}
