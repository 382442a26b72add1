//! Parsers: case files, round trips, hostile input.

use std::fs;

use forkmeter_core::encode::{Escaping, Format};
use forkmeter_core::parse::{self, ParseError};
use forkmeter_core::{LabelSet, MetricFamily, MetricType, Sample, Timestamp};
use proptest::prelude::*;
use serde_json::Value;

use crate::support::json::families_from_json;
use crate::support::{assert_same_families, encode_text, strategy, testdata};

type Parse = fn(&[u8]) -> Result<Vec<MetricFamily>, ParseError>;

const PARSERS: [(&str, Parse); 2] = [("text", parse::text), ("openmetrics", parse::openmetrics)];

/// Yields titles and texts of a file of cases.
fn cases(file: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(testdata("parse").join(file)).unwrap();
    let text = format!("\n{text}");
    let cases = text.split("\n=== ").skip(1).map(|case| {
        let (title, text) = case.split_once('\n').unwrap_or((case, ""));
        (title.to_owned(), text.trim_end_matches('\n').to_owned())
    });
    cases.collect()
}

#[test]
fn good_cases_are_read_as_by_the_official_client() {
    for (name, parse) in PARSERS {
        let json = fs::read_to_string(testdata("parse").join(format!("{name}.good.json"))).unwrap();
        let expected: Value = serde_json::from_str(&json).unwrap();
        let cases = cases(&format!("{name}.good.txt"));
        assert_eq!(cases.len(), expected.as_array().unwrap().len());
        for ((title, text), expected) in cases.iter().zip(expected.as_array().unwrap()) {
            assert_eq!(title, expected["title"].as_str().unwrap());
            let families =
                parse(text.as_bytes()).unwrap_or_else(|error| panic!("{title}: {error}"));
            assert_same_families(&families, &families_from_json(&expected["families"]));
        }
    }
}

#[test]
fn bad_cases_are_reported_with_line_and_cause() {
    for (name, parse) in PARSERS {
        let cases = cases(&format!("{name}.bad.txt"));
        assert!(cases.len() > 40);
        for (expected, text) in cases {
            match parse(text.as_bytes()) {
                Ok(families) => panic!("{name}: accepted {text:?} as {families:?}"),
                Err(error) => {
                    let got = format!("{} {:?}", error.line(), error.kind());
                    assert_eq!(got, expected, "{name}: {text:?}: {error}");
                }
            }
        }
    }
}

#[test]
fn the_text_of_an_error_is_bounded() {
    let line = format!("{}.b 1\n", "é".repeat(100_000));
    for (_, parse) in PARSERS {
        let error = parse(line.as_bytes()).unwrap_err();
        assert_eq!(error.text(), "é".repeat(80));
    }
}

#[test]
fn metrics_that_openmetrics_knows_become_gauges_in_the_text_format() {
    let mut family = MetricFamily::new("a", "h", MetricType::Counter);
    family
        .samples
        .push(Sample::new("a_total", LabelSet::empty(), 1.0));
    family
        .samples
        .push(Sample::new("a_created", LabelSet::empty(), 5.0));
    let (text, _) = encode_text(&[family.clone()], Format::Text004);
    assert_same_families(
        &parse::text(text.as_bytes()).unwrap(),
        &as_text_format(&family),
    );
}

/// Returns what is left of a family when it went through the text format.
fn as_text_format(family: &MetricFamily) -> Vec<MetricFamily> {
    let (suffix, kind) = match family.kind {
        MetricType::Info => ("_info", MetricType::Gauge),
        MetricType::StateSet => ("", MetricType::Gauge),
        MetricType::GaugeHistogram => ("", MetricType::Histogram),
        kind => ("", kind),
    };
    let made = |suffix: &str, kind, of: &dyn Fn(&str) -> bool| {
        let name = format!("{}{suffix}", family.name);
        let mut made = MetricFamily::new(name, family.help.clone(), kind);
        let samples = family
            .samples
            .iter()
            .filter(|sample| of(sample.name.strip_prefix(&*family.name).unwrap()));
        made.samples = samples.cloned().collect();
        for sample in &mut made.samples {
            sample.exemplar = None;
            sample.timestamp = sample.timestamp.map(|timestamp| {
                Timestamp::Seconds((timestamp.as_seconds() * 1000.0).trunc() / 1000.0)
            });
        }
        made
    };
    let apart = ["_created", "_gcount", "_gsum"];
    let mut families = vec![made(suffix, kind, &|suffix| !apart.contains(&suffix))];
    let others = apart
        .iter()
        .map(|own| made(own, MetricType::Gauge, &|suffix| suffix == *own));
    families.extend(others.filter(|family| !family.samples.is_empty()));
    families
}

proptest! {
    #[test]
    fn openmetrics_round_trips(families in strategy::families()) {
        let format = Format::OpenMetrics100 { escaping: Escaping::AllowUtf8 };
        let (text, error) = encode_text(&families, format);
        prop_assert_eq!(error, None);
        let parsed = parse::openmetrics(text.as_bytes());
        assert_same_families(&parsed.unwrap_or_else(|error| panic!("{error}\n{text}")), &families);
    }

    #[test]
    fn the_text_format_round_trips(families in strategy::families()) {
        let format = Format::Text100 { escaping: Escaping::AllowUtf8 };
        let (text, error) = encode_text(&families, format);
        prop_assert_eq!(error, None);
        let parsed = parse::text(text.as_bytes());
        let expected: Vec<_> = families.iter().flat_map(as_text_format).collect();
        assert_same_families(&parsed.unwrap_or_else(|error| panic!("{error}\n{text}")), &expected);
    }

    #[test]
    fn any_bytes_give_families_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for (_, parse) in PARSERS {
            let _ = parse(&bytes);
        }
    }

    #[test]
    fn any_line_of_the_format_s_characters_gives_families_or_an_error(
        text in "(# (HELP|TYPE|UNIT|EOF) |[ab_{}=\",\\\\# 01.e+-]|_bucket|le=\"|\n|é){0,40}",
    ) {
        for (_, parse) in PARSERS {
            if let Err(error) = parse(text.as_bytes()) {
                prop_assert!(error.line() <= text.lines().count() + 1);
            }
        }
    }

    #[test]
    fn a_cut_off_exposition_is_never_accepted(families in strategy::families(), cut in any::<prop::sample::Index>()) {
        let format = Format::OpenMetrics100 { escaping: Escaping::AllowUtf8 };
        let (text, _) = encode_text(&families, format);
        // The last newline may be missing.
        let end = cut.index(text.len() - 1);
        prop_assert!(parse::openmetrics(&text.as_bytes()[..end]).is_err());
    }

    #[test]
    fn label_order_does_not_matter(pairs in proptest::collection::btree_map("[a-z]{1,3}", "[ab\"\\\\]{0,4}", 1..5)) {
        let quoted = |value: &str| value.replace('\\', r"\\").replace('"', "\\\"");
        let mut written: Vec<_> =
            pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", quoted(value))).collect();
        let forward = parse::text(format!("a{{{}}} 1", written.join(",")).as_bytes()).unwrap();
        written.reverse();
        let backward = parse::text(format!("a{{{}}} 1", written.join(",")).as_bytes()).unwrap();
        prop_assert_eq!(&forward, &backward);
        prop_assert_eq!(&forward[0].samples[0].labels, &LabelSet::from_pairs(pairs));
    }
}
