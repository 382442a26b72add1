//! What several test modules use: paths, families as JSON, the official client as a process.

pub(crate) mod json;
pub(crate) mod python;
pub(crate) mod strategy;

use std::path::PathBuf;

use forkmeter_core::encode::{EncodeError, Format, encode};
use forkmeter_core::{MetricFamily, encode::Escaping};

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
