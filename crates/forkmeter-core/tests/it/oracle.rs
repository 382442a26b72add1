//! Generated families through both encoders and both parsers: ours and the official client's.

use forkmeter_core::encode::{Escaping, Format};
use forkmeter_core::parse;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::support::json::{families_from_json, families_to_json};
use crate::support::python::TextOracle;
use crate::support::{all_formats, assert_same_families, encode_text, strategy};

/// How many sets of families each test generates.
const ROUNDS: usize = 300;

fn generated() -> impl Iterator<Item = Vec<forkmeter_core::MetricFamily>> {
    let algorithm = proptest::test_runner::RngAlgorithm::ChaCha;
    let rng = TestRng::from_seed(algorithm, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = strategy::families();
    (0..ROUNDS).map(move |_| strategy.new_tree(&mut runner).unwrap().current())
}

fn format_name(format: Format) -> &'static str {
    if matches!(format, Format::OpenMetrics100 { .. }) {
        "openmetrics"
    } else {
        "text"
    }
}

fn request(op: &str, format: Format) -> Value {
    json!({ "op": op, "format": format_name(format), "escaping": format.escaping().as_str() })
}

#[test]
fn generated_families_are_written_as_by_the_official_client() {
    let Some(mut oracle) = TextOracle::start("encoders") else {
        return;
    };
    for families in generated() {
        let json = families_to_json(&families);
        for format in all_formats() {
            let mut request = request("encode", format);
            request["families"] = json.clone();
            let answer = oracle.ask(&request);
            let (text, error) = encode_text(&families, format);
            assert_eq!(answer["text"], text, "{format:?}: {}", answer["error"]);
            assert_eq!(error, None);
        }
    }
}

#[test]
fn what_we_write_is_read_as_by_the_official_client() {
    let Some(mut oracle) = TextOracle::start("parsers") else {
        return;
    };
    let mut compared = 0;
    for families in generated() {
        for format in all_formats() {
            if format.escaping() != Escaping::AllowUtf8 {
                continue;
            }
            let (text, _) = encode_text(&families, format);
            let mut request = request("parse", format);
            request["text"] = text.as_str().into();
            let answer = oracle.ask(&request);
            let ours = match format {
                Format::OpenMetrics100 { .. } => parse::openmetrics(text.as_bytes()),
                _ => parse::text(text.as_bytes()),
            };
            let ours = ours.unwrap_or_else(|error| panic!("{error}\n{text}"));
            if let Some(error) = answer["error"].as_str() {
                assert!(is_known_refusal(error), "{error}\n{text}");
                continue;
            }
            assert_same_families(&ours, &families_from_json(&answer["families"]));
            compared += 1;
        }
    }
    assert!(
        compared > ROUNDS + ROUNDS / 2,
        "the official client read only {compared} of {}",
        2 * ROUNDS
    );
}

/// Tells whether the official `OpenMetrics` parser is known to refuse such valid input: a quote in an
/// exemplar's label value, and infos of which some have a timestamp.
fn is_known_refusal(error: &str) -> bool {
    (error.contains("Invalid line: ") && error.contains("\\\""))
        || (error.contains("Mix of timestamp presence within a group") && error.contains("_info"))
}
