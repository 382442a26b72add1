//! What several test modules use: paths, families as JSON, the official client as a process.

pub(crate) mod json;
pub(crate) mod python;
pub(crate) mod strategy;

use std::path::PathBuf;

use forkmeter_core::encode::Escaping;
use forkmeter_core::encode::{EncodeError, Format, encode};
use forkmeter_core::{MetricFamily, Timestamp};

/// Returns a path below the crate's `testdata`.
pub(crate) fn testdata(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(path)
}

/// Returns a path below the repository's root.
pub(crate) fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// Returns the exposition as text, with the error where there was one.
pub(crate) fn encode_text(
    families: &[MetricFamily],
    format: Format,
) -> (String, Option<EncodeError>) {
    let mut out = Vec::new();
    let error = encode(families, format, &mut out).err();
    (String::from_utf8(out).unwrap(), error)
}

/// Returns every format in every escaping.
pub(crate) fn all_formats() -> Vec<Format> {
    let with = |escaping| {
        [
            Format::Text100 { escaping },
            Format::OpenMetrics100 { escaping },
        ]
    };
    std::iter::once(Format::Text004)
        .chain(Escaping::ALL.into_iter().flat_map(with))
        .collect()
}

/// Compares families, where NaN equals NaN, and times that an exposition rounds need not be equal to the bit.
pub(crate) fn assert_same_families(a: &[MetricFamily], b: &[MetricFamily]) {
    let names = |families: &[MetricFamily]| -> Vec<_> {
        families.iter().map(|family| family.name.clone()).collect()
    };
    assert_eq!(names(a), names(b));
    for (a, b) in a.iter().zip(b) {
        assert_eq!(
            (&a.help, &a.unit, a.kind),
            (&b.help, &b.unit, b.kind),
            "{}",
            a.name
        );
        assert_eq!(a.samples.len(), b.samples.len(), "{}", a.name);
        for (a, b) in a.samples.iter().zip(&b.samples) {
            assert_eq!((&a.name, &a.labels), (&b.name, &b.labels));
            assert!(is_same_number(a.value, b.value), "{a:?} {b:?}");
            assert!(is_same_time(a.timestamp, b.timestamp), "{a:?} {b:?}");
            assert_eq!(a.exemplar.is_some(), b.exemplar.is_some(), "{a:?} {b:?}");
            if let (Some(a), Some(b)) = (&a.exemplar, &b.exemplar) {
                assert_eq!(a.labels, b.labels);
                assert!(is_same_number(a.value, b.value), "{a:?} {b:?}");
                assert!(is_same_time(a.timestamp, b.timestamp), "{a:?} {b:?}");
            }
        }
    }
}

fn is_same_number(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

fn is_same_time(a: Option<Timestamp>, b: Option<Timestamp>) -> bool {
    match (a, b) {
        (Some(a @ Timestamp::Exact { .. }), Some(b @ Timestamp::Exact { .. })) => a == b,
        (Some(a), Some(b)) => {
            let (a, b) = (a.as_seconds(), b.as_seconds());
            (a - b).abs() <= 1e-9 + a.abs() * f64::EPSILON
        }
        _ => a == b,
    }
}
