//! Numbers against the official client's.

use forkmeter_core::encode::{Format, encode, format_value};
use forkmeter_core::{LabelSet, MetricFamily, MetricType, Sample, Timestamp};

use crate::support::{python, testdata};

/// Returns what the OpenMetrics encoder writes for a float timestamp, which is Python's `repr`.
fn python_repr(values: &[f64]) -> Vec<String> {
    let mut family = MetricFamily::new("a", "", MetricType::Gauge);
    family.samples.extend(values.iter().map(|value| Sample {
        timestamp: Some(Timestamp::Seconds(*value)),
        ..Sample::new("a", LabelSet::empty(), 1.0)
    }));
    let mut out = Vec::new();
    let _ = encode(
        &[family],
        Format::OpenMetrics100 {
            escaping: <_>::default(),
        },
        &mut out,
    );
    let text = String::from_utf8(out).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.strip_prefix("a 1.0").unwrap().trim_start().to_owned())
        .collect()
}

fn check(values: &[f64], expected: impl Iterator<Item = (String, String)>) {
    let reprs = python_repr(values);
    let mut count = 0;
    for ((value, repr), (value_text, expected_repr)) in values.iter().zip(reprs).zip(expected) {
        assert_eq!(format_value(*value), value_text, "{:016x}", value.to_bits());
        if value.is_finite() {
            assert_eq!(repr, expected_repr, "{:016x}", value.to_bits());
        } else {
            assert_eq!(repr, "", "timestamps that are not finite are left out");
        }
        count += 1;
    }
    assert_eq!(count, values.len());
}

#[test]
fn golden_numbers_are_written_as_by_the_official_client() {
    let text = std::fs::read_to_string(testdata("numbers.txt")).unwrap();
    let parse = |line: &str| {
        let mut parts = line.split(' ').map(str::to_owned);
        let bits = u64::from_str_radix(&parts.next().unwrap(), 16).unwrap();
        (
            f64::from_bits(bits),
            (parts.next().unwrap(), parts.next().unwrap()),
        )
    };
    let (values, expected): (Vec<_>, Vec<_>) = text.lines().map(parse).unzip();
    assert!(
        values.len() > 3000,
        "the golden file has {} lines",
        values.len()
    );
    check(&values, expected.into_iter());
}

/// A well-mixed sequence (`SplitMix64`) that is the same in every run.
fn random_bits(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "any float will do")]
fn a_million_numbers_are_written_as_by_the_official_client() {
    let mut state = 7;
    let mut values: Vec<f64> = (0..800_000)
        .map(|_| f64::from_bits(random_bits(&mut state)))
        .collect();
    // Counts, sums of measured times and averages are what expositions are full of.
    for _ in 0..100_000 {
        let shift = random_bits(&mut state) % 64;
        let whole = (random_bits(&mut state) >> shift) as f64;
        values.extend([whole, -whole, whole / 1000.0, 1.0 / whole]);
    }
    for exponent in -1074..1024 {
        values.extend([2_f64.powi(exponent), -(2_f64.powi(exponent))]);
    }
    let Some(lines) = python::numbers("a million numbers", &values) else {
        return;
    };
    let expected = lines.into_iter().map(|line| {
        let (value, repr) = line.split_once(' ').unwrap();
        (value.to_owned(), repr.to_owned())
    });
    check(&values, expected);
}
