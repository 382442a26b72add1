//! OpenMetrics 1.0.

use super::error::{EncodeErrorKind, Problems};
use super::escape::{Escaping, push_label_name, push_metric_name, push_quoted_text};
use super::line::LineWriter;
use super::number::{push_integer, push_python_repr, push_value};
use super::out::Out;
use crate::model::{Exemplar, MetricFamily, MetricType, Sample, Timestamp, is_legacy_label_name};

pub(super) fn encode_family<'f>(
    family: &'f MetricFamily,
    lines: &mut LineWriter<'f>,
    out: &mut Out<'_>,
    problems: &mut Problems,
) {
    push_metadata("# HELP", family, lines, out);
    push_quoted_text(&family.help, out);
    push_metadata("\n# TYPE", family, lines, out);
    out.extend_from_slice(family.kind.as_str().as_bytes());
    if !family.unit.is_empty() {
        push_metadata("\n# UNIT", family, lines, out);
        push_unit(&family.unit, out);
    }
    out.push(b'\n');
    for sample in &family.samples {
        lines.push_start(&sample.name, &sample.labels, out);
        push_value(sample.value, out);
        if let Some(timestamp) = sample.timestamp
            && !push_timestamp(timestamp, out)
        {
            problems.add(EncodeErrorKind::TimestampOutOfRange, family, &sample.name);
        }
        if let Some(exemplar) = &sample.exemplar {
            let family_type = family.kind;
            if !can_have_exemplar(family, sample) {
                let kind = EncodeErrorKind::ExemplarNotAllowed { family_type };
                problems.add(kind, family, &sample.name);
            } else if !push_exemplar(exemplar, lines.escaping(), out) {
                problems.add(EncodeErrorKind::TimestampOutOfRange, family, &sample.name);
            }
        }
        out.push(b'\n');
        out.part();
    }
}

fn push_metadata(keyword: &str, family: &MetricFamily, lines: &LineWriter<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(keyword.as_bytes());
    out.push(b' ');
    push_metric_name(&family.name, lines.escaping(), out);
    out.push(b' ');
}

/// Appends a unit. The format has no escapes for it, so that one with a newline cannot be read back, but it
/// must not break the lines after it either.
fn push_unit(unit: &str, out: &mut Vec<u8>) {
    for byte in unit.bytes() {
        match byte {
            b'\n' => out.extend_from_slice(br"\n"),
            _ => out.push(byte),
        }
    }
}

/// Appends an exemplar; tells whether its timestamp could be written, where it has one.
#[cold]
pub(super) fn push_exemplar(exemplar: &Exemplar, escaping: Escaping, out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(b" # {");
    for (index, (name, value)) in exemplar.labels.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if is_legacy_label_name(name) {
            // Even under `Escaping::Dots` and `Escaping::Values`, as the official client does.
            out.extend_from_slice(name.as_bytes());
        } else {
            push_label_name(name, escaping, out);
        }
        out.extend_from_slice(b"=\"");
        push_quoted_text(value, out);
        out.push(b'"');
    }
    out.extend_from_slice(b"} ");
    push_value(exemplar.value, out);
    exemplar
        .timestamp
        .is_none_or(|timestamp| push_timestamp(timestamp, out))
}

fn can_have_exemplar(family: &MetricFamily, sample: &Sample) -> bool {
    match family.kind {
        MetricType::Counter => sample.name.ends_with("_total"),
        MetricType::GaugeHistogram => sample.name.ends_with("_bucket"),
        MetricType::Histogram => sample.name.ends_with("_bucket") || sample.name == family.name,
        _ => false,
    }
}

/// Appends a space and the time; tells whether it could.
fn push_timestamp(timestamp: Timestamp, out: &mut Vec<u8>) -> bool {
    match timestamp {
        Timestamp::Seconds(seconds) if !seconds.is_finite() => return false,
        Timestamp::Seconds(seconds) => {
            out.push(b' ');
            push_python_repr(seconds, out);
        }
        Timestamp::Exact {
            seconds,
            nanoseconds,
        } => {
            out.push(b' ');
            if seconds == 0 && nanoseconds < 0 {
                out.push(b'-');
            }
            push_integer(seconds, out);
            out.push(b'.');
            // A leading one keeps the zeros that follow it.
            let with_one = 1_000_000_000 + i64::from(nanoseconds.unsigned_abs() % 1_000_000_000);
            let start = out.len();
            push_integer(with_one, out);
            out.remove(start);
        }
    }
    true
}
