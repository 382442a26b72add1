//! Times the exposition of many series of one process, forkmeter's and its peers', for `benches/rust.py`.
//!
//! Every value changes before every round, so that nothing is won by keeping numbers. Prints a JSON line per comparison,
//! once all sides showed the same values: the case, the peer, and the nanoseconds of each exposition.
#![expect(
    clippy::print_stdout,
    reason = "the results are for the script that runs this"
)]

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use forkmeter::registry::Gather;
use forkmeter::{Counter, Format, single_process_registry};
use measured::metric::group::MetricGroup;
use measured::text::BufferedTextEncoder;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;

const SERIES: u32 = 100_000;
const ROUNDS: u32 = 15;
const CASE: &str = "text of 100,000 single-process series, Rust";

#[derive(Clone, Copy, Debug, PartialEq, measured::LabelGroup)]
#[label(set = PathSet)]
struct Path<'a> {
    #[label(dynamic_with = paracord::ParaCord)]
    path: &'a str,
}

#[derive(measured::MetricGroup)]
#[metric(new())]
struct Measured {
    /// Requests.
    #[metric(label_set = PathSet { path: paracord::ParaCord::default() })]
    requests: measured::CounterVec<PathSet>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OwnedPath {
    path: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let registry = single_process_registry();
    let ours = Counter::builder("requests", "Requests.")
        .labels(["path"])
        .register(&registry)?;
    let measured = Measured::new();
    let other = Family::<OwnedPath, prometheus_client::metrics::counter::Counter>::default();
    let paths: Vec<String> = (0..SERIES)
        .map(|number| format!("/api/v1/items/{number}"))
        .collect();
    let count = |round: u32| {
        for (number, path) in (0..).zip(&paths) {
            let count = if round == 0 {
                number % 10_000
            } else {
                1 + round
            };
            ours.with_label_values([path]).inc_by(f64::from(count));
            let count = u64::from(count);
            measured.requests.inc_by(Path { path }, count);
            let path = path.clone();
            other.get_or_create(&OwnedPath { path }).inc_by(count);
        }
    };
    count(0);
    let mut other_registry = prometheus_client::registry::Registry::default();
    other_registry.register("requests", "Requests", other.clone());
    let mut encoder = BufferedTextEncoder::new();

    let mut texts = [const { Vec::new() }; 3];
    let mut taken = [const { Vec::new() }; 3];
    for round in 1..=ROUNDS {
        count(round);
        let begin = Instant::now();
        texts[0] = black_box(registry.expose(Format::Text004).body);
        taken[0].push(nanoseconds(begin));

        let begin = Instant::now();
        measured.collect_group_into(&mut encoder)?;
        let text = black_box(encoder.finish());
        taken[1].push(nanoseconds(begin));
        texts[1] = text.to_vec();

        let begin = Instant::now();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &other_registry)?;
        black_box(&text);
        taken[2].push(nanoseconds(begin));
        texts[2] = text.into_bytes();
    }
    let samples: Vec<Vec<String>> = texts.iter().map(|text| samples(text)).collect();
    if samples[0] != samples[1] || samples[0] != samples[2] || samples[0].len() != SERIES as usize {
        return Err(format!(
            "different samples: {:?}",
            samples
                .iter()
                .map(|lines| (lines.len(), lines.first().cloned()))
                .collect::<Vec<_>>()
        )
        .into());
    }
    for (peer, theirs) in [
        ("measured 0.0.25", &taken[1]),
        ("prometheus-client 0.25", &taken[2]),
    ] {
        println!(
            r#"{{"case": "{CASE}", "peer": "{peer}", "theirs": {theirs:?}, "ours": {:?}}}"#,
            taken[0]
        );
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "some seconds at most")]
fn nanoseconds(begin: Instant) -> f64 {
    begin.elapsed().as_nanos() as f64
}

/// Returns the samples of an exposition as sorted text, numbers as integers, names without the counter's suffix.
fn samples(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.replacen("requests_total{", "requests{", 1))
        .map(|line| line.strip_suffix(".0").unwrap_or(&line).to_owned())
        .collect();
    lines.sort();
    lines
}
