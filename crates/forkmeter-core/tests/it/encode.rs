//! Encoders against golden files of the official client, and what they do with wrong samples.

use std::fs;

use forkmeter_core::encode::{EncodeErrorKind, Escaping, Format};
use forkmeter_core::{Exemplar, LabelSet, MetricFamily, MetricType, Sample, Timestamp};

use crate::support::json::families_from_json;
use crate::support::{encode_text, testdata};

#[test]
fn golden_families_are_written_as_by_the_official_client() {
    let mut compared = 0;
    for entry in fs::read_dir(testdata("encode")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let json = fs::read_to_string(&path).unwrap();
        let families = families_from_json(&serde_json::from_str(&json).unwrap());
        for escaping in Escaping::ALL {
            let cases = [
                ("text", Format::Text100 { escaping }),
                ("openmetrics", Format::OpenMetrics100 { escaping }),
            ];
            for (name, format) in cases {
                let golden = path.with_extension(format!("{name}.{escaping}.txt"));
                let expected = fs::read_to_string(&golden).unwrap();
                let (text, error) = encode_text(&families, format);
                assert_eq!(text, expected, "{}", golden.display());
                assert_eq!(error, None);
                compared += 1;
                if format
                    == (Format::Text100 {
                        escaping: Escaping::Underscores,
                    })
                {
                    assert_eq!(encode_text(&families, Format::Text004).0, text);
                }
            }
        }
    }
    assert!(compared >= 24, "only {compared} golden files");
}

fn exemplar(timestamp: Option<Timestamp>) -> Exemplar {
    Exemplar {
        labels: LabelSet::from_pairs([("trace_id", "x")]),
        value: 1.0,
        timestamp,
    }
}

const OPENMETRICS: Format = Format::OpenMetrics100 {
    escaping: Escaping::AllowUtf8,
};

#[test]
fn an_exemplar_on_a_wrong_sample_is_left_out_and_reported() {
    let mut family = MetricFamily::new("a", "", MetricType::Gauge);
    let sample = Sample::new("a", LabelSet::empty(), 1.0);
    let with_exemplar = Sample {
        exemplar: Some(exemplar(None)),
        ..sample.clone()
    };
    family.samples = vec![with_exemplar.clone(), sample, with_exemplar];
    let (text, error) = encode_text(&[family.clone()], OPENMETRICS);
    assert_eq!(
        text,
        "# HELP a \n# TYPE a gauge\na 1.0\na 1.0\na 1.0\n# EOF\n"
    );
    let error = error.unwrap();
    assert_eq!(
        error.kind(),
        EncodeErrorKind::ExemplarNotAllowed {
            family_type: MetricType::Gauge
        }
    );
    assert_eq!(
        (error.family(), error.sample(), error.others()),
        ("a", "a", 1)
    );
    // The text format has no exemplars, so there is nothing wrong.
    assert_eq!(encode_text(&[family], Format::Text004).1, None);
}

#[test]
fn timestamps_out_of_range_are_left_out_and_reported() {
    let mut family = MetricFamily::new("a", "", MetricType::Counter);
    for seconds in [f64::NAN, f64::INFINITY, 1.5] {
        family.samples.push(Sample {
            timestamp: Some(Timestamp::Seconds(seconds)),
            exemplar: Some(exemplar(Some(Timestamp::Seconds(seconds)))),
            ..Sample::new("a_total", LabelSet::empty(), 1.0)
        });
    }
    let (text, error) = encode_text(&[family.clone()], OPENMETRICS);
    let expected = "# HELP a \n# TYPE a counter\n\
        a_total 1.0 # {trace_id=\"x\"} 1.0\n\
        a_total 1.0 # {trace_id=\"x\"} 1.0\n\
        a_total 1.0 1.5 # {trace_id=\"x\"} 1.0 1.5\n# EOF\n";
    assert_eq!(text, expected);
    let error = error.unwrap();
    assert_eq!(
        (error.kind(), error.others()),
        (EncodeErrorKind::TimestampOutOfRange, 3)
    );
    let (text, error) = encode_text(&[family], Format::Text004);
    assert_eq!(
        text,
        "# HELP a_total \n# TYPE a_total counter\na_total 1.0\na_total 1.0\na_total 1.0 1500\n"
    );
    assert_eq!(error.unwrap().others(), 1);
}

#[test]
fn negative_exact_times_have_one_sign() {
    let mut family = MetricFamily::new("a", "", MetricType::Gauge);
    for (seconds, nanoseconds) in [(-1, -5), (0, -500_000_000), (-2, 0), (0, 0)] {
        family.samples.push(Sample {
            timestamp: Some(Timestamp::Exact {
                seconds,
                nanoseconds,
            }),
            ..Sample::new("a", LabelSet::empty(), 1.0)
        });
    }
    let (text, _) = encode_text(&[family], OPENMETRICS);
    let times: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("a 1.0 "))
        .collect();
    assert_eq!(
        times,
        [
            "-1.000000005",
            "-0.500000000",
            "-2.000000000",
            "0.000000000"
        ]
    );
}

#[test]
fn exemplar_labels_outside_the_legacy_set_are_escaped() {
    let mut family = MetricFamily::new("a", "", MetricType::Counter);
    let labels = LabelSet::from_pairs([("span.id", "1"), ("trace_id", "2")]);
    family.samples.push(Sample {
        exemplar: Some(Exemplar {
            labels,
            value: 1.0,
            timestamp: None,
        }),
        ..Sample::new("a_total", LabelSet::empty(), 1.0)
    });
    let exemplar = |escaping| {
        let (text, _) = encode_text(&[family.clone()], Format::OpenMetrics100 { escaping });
        let line = text.lines().find(|line| line.contains(" # ")).unwrap();
        line.split_once(" # ").unwrap().1.to_owned()
    };
    assert_eq!(
        exemplar(Escaping::AllowUtf8),
        r#"{"span.id"="1",trace_id="2"} 1.0"#
    );
    assert_eq!(
        exemplar(Escaping::Underscores),
        r#"{span_id="1",trace_id="2"} 1.0"#
    );
    assert_eq!(
        exemplar(Escaping::Dots),
        r#"{span_dot_id="1",trace_id="2"} 1.0"#
    );
}

#[test]
fn milliseconds_that_no_scraper_takes_are_left_out() {
    let mut family = MetricFamily::new("a", "", MetricType::Gauge);
    for seconds in [9.1e15, -9.1e15, 9.3e15, -1e300] {
        family.samples.push(Sample {
            timestamp: Some(Timestamp::Seconds(seconds)),
            ..Sample::new("a", LabelSet::empty(), 1.0)
        });
    }
    let (text, error) = encode_text(&[family], Format::Text004);
    let lines: Vec<_> = text.lines().skip(2).collect();
    assert_eq!(
        lines,
        [
            "a 1.0 9100000000000000000",
            "a 1.0 -9100000000000000000",
            "a 1.0",
            "a 1.0"
        ]
    );
    assert_eq!(error.unwrap().others(), 1);
}
