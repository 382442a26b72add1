//! The committed corpora of the parsers' fuzz targets.

use crate::fuzz_replay::replay;

#[path = "../../../../fuzz/bodies/parse_openmetrics.rs"]
mod parse_openmetrics;
#[path = "../../../../fuzz/bodies/parse_text.rs"]
mod parse_text;

#[test]
fn text() {
    replay("parse_text", parse_text::run);
}

#[test]
fn openmetrics() {
    replay("parse_openmetrics", parse_openmetrics::run);
}
