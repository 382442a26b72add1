//! The text format, 0.0.4 and 1.0.0.

use super::error::{EncodeErrorKind, Problems};
use super::escape::{Escaping, push_help_text, push_metric_name};
use super::line::LineWriter;
use super::number::{push_integer, push_value};
use super::out::Out;
use crate::model::{MetricFamily, MetricType, Sample, Timestamp};

/// Samples that only OpenMetrics knows stand in gauge families of their own, after the family and in this order.
const OPENMETRICS_ONLY: [&str; 3] = ["_created", "_gcount", "_gsum"];

pub(super) fn encode_family<'f>(
    family: &'f MetricFamily,
    lines: &mut LineWriter<'f>,
    out: &mut Out<'_>,
    problems: &mut Problems,
) {
    let (suffix, kind) = match family.kind {
        MetricType::Counter => ("_total", "counter"),
        MetricType::Info => ("_info", "gauge"),
        MetricType::StateSet | MetricType::Gauge => ("", "gauge"),
        MetricType::GaugeHistogram | MetricType::Histogram => ("", "histogram"),
        MetricType::Summary => ("", "summary"),
        MetricType::Unknown => ("", "untyped"),
    };
    push_metadata(family, suffix, kind, lines.escaping(), out);
    let mut is_present = [false; OPENMETRICS_ONLY.len()];
    let mut name: &str = "";
    let mut own_family = None;
    for sample in &family.samples {
        let sample_name: &str = &sample.name;
        if !std::ptr::eq(name, sample_name) {
            name = sample_name;
            own_family = family_of_its_own(family, sample);
        }
        match own_family {
            Some(index) => is_present[index] = true,
            None => push_sample(family, sample, lines, out, problems),
        }
        out.part();
    }
    for (index, suffix) in OPENMETRICS_ONLY.iter().enumerate() {
        if !is_present[index] {
            continue;
        }
        push_metadata(family, suffix, "gauge", lines.escaping(), out);
        for sample in &family.samples {
            if family_of_its_own(family, sample) == Some(index) {
                push_sample(family, sample, lines, out, problems);
                out.part();
            }
        }
    }
}

fn family_of_its_own(family: &MetricFamily, sample: &Sample) -> Option<usize> {
    let suffix = sample.name.strip_prefix(&*family.name)?;
    OPENMETRICS_ONLY.iter().position(|own| *own == suffix)
}

pub(super) fn push_metadata(
    family: &MetricFamily,
    suffix: &str,
    kind: &str,
    escaping: Escaping,
    out: &mut Vec<u8>,
) {
    let name = format!("{}{suffix}", family.name);
    out.extend_from_slice(b"# HELP ");
    push_metric_name(&name, escaping, out);
    out.push(b' ');
    push_help_text(&family.help, out);
    out.extend_from_slice(b"\n# TYPE ");
    push_metric_name(&name, escaping, out);
    out.push(b' ');
    out.extend_from_slice(kind.as_bytes());
    out.push(b'\n');
}

fn push_sample<'f>(
    family: &MetricFamily,
    sample: &'f Sample,
    lines: &mut LineWriter<'f>,
    out: &mut Vec<u8>,
    problems: &mut Problems,
) {
    lines.push_start(&sample.name, &sample.labels, out);
    push_value(sample.value, out);
    if let Some(timestamp) = sample.timestamp
        && !push_milliseconds(timestamp, out)
    {
        problems.add(EncodeErrorKind::TimestampOutOfRange, family, &sample.name);
    }
    out.push(b'\n');
}

/// Appends a space and whole milliseconds, rounded towards zero; tells whether it could.
fn push_milliseconds(timestamp: Timestamp, out: &mut Vec<u8>) -> bool {
    let milliseconds = timestamp.as_seconds() * 1000.0;
    // The official client writes any number in full, but scrapers take 64-bit integers and refuse the whole
    // exposition for a greater one.
    if milliseconds.is_nan() || milliseconds.abs() > 9.2e18 {
        return false;
    }
    out.push(b' ');
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole milliseconds are asked for"
    )]
    push_integer(milliseconds as i64, out);
    true
}
