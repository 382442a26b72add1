use super::*;

const fn openmetrics(escaping: Escaping) -> Format {
    Format::OpenMetrics100 { escaping }
}

#[test]
fn the_accept_header_decides() {
    use Escaping::{AllowUtf8, Dots, Underscores, Values};
    let cases: &[(&str, Format)] = &[
        ("", Format::Text004),
        ("*/*", Format::Text004),
        (
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            Format::Text004,
        ),
        ("text/plain", Format::Text004),
        ("text/plain;version=0.0.4", Format::Text004),
        (
            "text/plain; version=1.0.0",
            Format::Text100 {
                escaping: Underscores,
            },
        ),
        (
            "text/plain; version=1.0.0; escaping=dots",
            Format::Text100 { escaping: Dots },
        ),
        (
            "text/plain; version=1.0.0; escaping=rot13",
            Format::Text100 {
                escaping: Underscores,
            },
        ),
        (
            "TEXT/PLAIN; VERSION=\"1.0.0\"",
            Format::Text100 {
                escaping: Underscores,
            },
        ),
        ("application/openmetrics-text", openmetrics(Underscores)),
        (
            "application/openmetrics-text; version=1.0.0; escaping=values",
            openmetrics(Values),
        ),
        (
            "application/openmetrics-text;version=2.0.0",
            Format::Text004,
        ),
        (
            "application/openmetrics-text;version=9.9.9, text/plain;version=1.0.0;q=0.2",
            Format::Text100 {
                escaping: Underscores,
            },
        ),
        (
            "application/openmetrics-text;version=0.0.1",
            Format::Text004,
        ),
        (
            "application/openmetrics-text;version=2.0.0,application/openmetrics-text;version=1.0.0;q=0.1",
            openmetrics(Underscores),
        ),
        // The headers of Prometheus 2 and 3.
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
          text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            openmetrics(Underscores),
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
          application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
          text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            openmetrics(AllowUtf8),
        ),
        // Order does not beat q, nor do wildcards beat names of the same q.
        (
            "text/plain;q=0.3, application/openmetrics-text;q=0.7",
            openmetrics(Underscores),
        ),
        (
            "*/*, application/openmetrics-text",
            openmetrics(Underscores),
        ),
        ("text/plain, application/openmetrics-text", Format::Text004),
        // A refusal holds against wildcards, and the last resort is still the text format.
        (
            "application/openmetrics-text;q=0, text/plain;q=0.1",
            Format::Text004,
        ),
        ("application/openmetrics-text;q=0", Format::Text004),
        ("text/plain;q=0, */*;q=0.5", openmetrics(Underscores)),
        ("text/*;q=0, */*;q=0.5", openmetrics(Underscores)),
        ("text/plain;q=0.1, */*;q=0.5", openmetrics(Underscores)),
        ("application/*", openmetrics(Underscores)),
        ("text/*;q=0.5, application/*;q=0.4", Format::Text004),
        ("*/*;q=0", Format::Text004),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
            Format::Text004,
        ),
        // Nonsense does no harm.
        (";;;,,,=,q=;q", Format::Text004),
        (
            "application/openmetrics-text;q=high",
            openmetrics(Underscores),
        ),
        (
            "application/openmetrics-text;q=NaN",
            openmetrics(Underscores),
        ),
        (
            "text/plain;q=0.5;note=\"a,b;q=1\", application/openmetrics-text;q=0.4",
            Format::Text004,
        ),
    ];
    for (header, expected) in cases {
        assert_eq!(negotiate(Some(header)), *expected, "{header}");
    }
    assert_eq!(negotiate(None), Format::Text004);
}

#[test]
fn gzip_is_used_only_where_it_is_accepted() {
    let cases = [
        ("gzip", true),
        ("GZip, deflate", true),
        ("deflate, gzip;q=0.5", true),
        ("x-gzip", true),
        ("gzip;q=0", false),
        ("gzip; q=0.000, *", false),
        ("*", true),
        ("*;q=0", false),
        ("*;q=0, gzip", true),
        ("identity, zstd", false),
        ("", false),
        ("gzippy", false),
    ];
    for (header, expected) in cases {
        assert_eq!(accepts_gzip(Some(header)), expected, "{header}");
    }
    assert!(!accepts_gzip(None));
}

#[test]
fn the_content_type_of_every_format_negotiates_the_same_format() {
    let mut formats = vec![Format::Text004];
    for escaping in Escaping::ALL {
        formats.extend([Format::Text100 { escaping }, openmetrics(escaping)]);
    }
    for format in formats {
        assert_eq!(negotiate(Some(format.content_type())), format);
    }
}
