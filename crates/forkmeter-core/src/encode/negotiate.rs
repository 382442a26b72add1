//! Which format and which compression a scraper asked for.

use super::{Escaping, Format};

/// Chooses the format for a scrape from its `Accept` header.
///
/// Of the formats that the header allows, the one with the highest q-value wins; among equal ones a media type
/// that is named wins over a wildcard, then the one that stands first. Types and versions that are not spoken
/// here (OpenMetrics other than 1.0.0, protobuf) are passed over, as is everything with `q=0`. Where nothing is
/// left, and without a header, the answer is [`Format::Text004`]: a scraper that asked for something else can
/// still say what it got from the content type.
///
/// An unknown `escaping`, or none, means [`Escaping::Underscores`].
///
/// # Examples
///
/// ```
/// use forkmeter_core::encode::{Escaping, Format, negotiate};
///
/// let accept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;q=0.4";
/// assert_eq!(
///     negotiate(Some(accept)),
///     Format::OpenMetrics100 { escaping: Escaping::AllowUtf8 },
/// );
/// assert_eq!(negotiate(Some("application/openmetrics-text;version=9.9.9")), Format::Text004);
/// assert_eq!(negotiate(None), Format::Text004);
/// ```
///
/// # Sources
///
/// Prometheus, "Content Negotiation"; RFC 9110, section 12.5.1.
pub fn negotiate(accept_header: Option<&str>) -> Format {
    let ranges: Vec<Range> = split_unquoted(accept_header.unwrap_or(""), ',')
        .filter_map(Range::parse)
        .collect();
    let mut best: Option<(&Range, Format)> = None;
    for range in &ranges {
        // Without an escaping of their own, wildcards offer what a named type without parameters would.
        let escaping = Escaping::Underscores;
        let candidates = match range.kind {
            RangeKind::Exact(Some(format)) => [Some(format), None],
            RangeKind::Exact(None) => [None, None],
            RangeKind::AnyText => [Some(Format::Text004), None],
            RangeKind::AnyApplication => [Some(Format::OpenMetrics100 { escaping }), None],
            RangeKind::Any => [
                Some(Format::Text004),
                Some(Format::OpenMetrics100 { escaping }),
            ],
        };
        // A range says nothing about formats to which a more specific one applies.
        let candidate = candidates.into_iter().flatten().find(|candidate| {
            range.quality > 0.0
                && !ranges.iter().any(|other| {
                    other.specificity() > range.specificity() && other.applies_to(*candidate)
                })
                && !ranges.iter().any(|other| {
                    other.specificity() == range.specificity()
                        && other.quality <= 0.0
                        && other.applies_to(*candidate)
                })
        });
        let Some(format) = candidate else { continue };
        let is_better = best.is_none_or(|(current, _)| {
            (range.quality, range.is_exact()) > (current.quality, current.is_exact())
        });
        if is_better {
            best = Some((range, format));
        }
    }
    best.map_or(Format::Text004, |(_, format)| format)
}

/// Tells whether a response may be compressed with gzip, from the `Accept-Encoding` header.
///
/// `gzip` and its old name `x-gzip` count, and `*` where neither is named; `q=0` refuses.
///
/// # Sources
///
/// RFC 9110, section 12.5.3.
pub fn accepts_gzip(accept_encoding_header: Option<&str>) -> bool {
    let mut by_wildcard = None;
    let mut by_name = None;
    for item in split_unquoted(accept_encoding_header.unwrap_or(""), ',') {
        let mut parts = split_unquoted(item, ';');
        let coding = parts.next().unwrap_or("").trim();
        let slot = match coding {
            "*" => &mut by_wildcard,
            _ if ["gzip", "x-gzip"]
                .iter()
                .any(|name| coding.eq_ignore_ascii_case(name)) =>
            {
                &mut by_name
            }
            _ => continue,
        };
        let quality = parts
            .filter_map(parameter)
            .find(|(name, _)| name.eq_ignore_ascii_case("q"));
        *slot = Some(quality.is_none_or(|(_, value)| parse_quality(value) > 0.0));
    }
    by_name.or(by_wildcard).unwrap_or(false)
}

/// One media range of an `Accept` header.
#[derive(Debug)]
struct Range {
    kind: RangeKind,
    media_type: MediaType,
    has_version: bool,
    quality: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RangeKind {
    /// A named type; the format is missing where its version is not spoken here.
    Exact(Option<Format>),
    AnyText,
    AnyApplication,
    Any,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MediaType {
    Text,
    OpenMetrics,
    Wildcard,
}

impl Range {
    fn parse(item: &str) -> Option<Self> {
        let mut parts = split_unquoted(item, ';');
        let name = parts.next()?.trim().to_ascii_lowercase();
        let mut version = None;
        let mut escaping = Escaping::default();
        let mut quality = 1.0;
        for (name, value) in parts.filter_map(parameter) {
            match &*name.to_ascii_lowercase() {
                "version" => version = Some(value),
                "escaping" => escaping = value.parse().unwrap_or_default(),
                "q" => quality = parse_quality(value),
                _ => {}
            }
        }
        let (media_type, kind) = match &*name {
            "text/plain" => {
                let format = match version {
                    None | Some("0.0.4") => Some(Format::Text004),
                    Some("1.0.0") => Some(Format::Text100 { escaping }),
                    Some(_) => None,
                };
                (MediaType::Text, RangeKind::Exact(format))
            }
            "application/openmetrics-text" => {
                let format = match version {
                    None | Some("1.0.0") => Some(Format::OpenMetrics100 { escaping }),
                    Some(_) => None,
                };
                (MediaType::OpenMetrics, RangeKind::Exact(format))
            }
            "text/*" => (MediaType::Wildcard, RangeKind::AnyText),
            "application/*" => (MediaType::Wildcard, RangeKind::AnyApplication),
            "*/*" | "*" => (MediaType::Wildcard, RangeKind::Any),
            _ => return None,
        };
        Some(Self {
            kind,
            media_type,
            has_version: version.is_some(),
            quality,
        })
    }

    const fn is_exact(&self) -> bool {
        matches!(self.kind, RangeKind::Exact(_))
    }

    const fn specificity(&self) -> u8 {
        match self.kind {
            RangeKind::Any => 0,
            RangeKind::AnyText | RangeKind::AnyApplication => 1,
            RangeKind::Exact(_) => 2 + self.has_version as u8,
        }
    }

    /// Tells whether the range is about `format`, whatever its escaping.
    fn applies_to(&self, format: Format) -> bool {
        let own_type = match format {
            Format::Text004 | Format::Text100 { .. } => MediaType::Text,
            Format::OpenMetrics100 { .. } => MediaType::OpenMetrics,
        };
        match self.kind {
            RangeKind::Any => true,
            RangeKind::AnyText => own_type == MediaType::Text,
            RangeKind::AnyApplication => own_type == MediaType::OpenMetrics,
            RangeKind::Exact(_) if !self.has_version => own_type == self.media_type,
            RangeKind::Exact(own) => own
                .is_some_and(|own| std::mem::discriminant(&own) == std::mem::discriminant(&format)),
        }
    }
}

fn parameter(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let value = value.trim();
    let unquoted = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    Some((name.trim(), unquoted.unwrap_or(value)))
}

/// Reads a q-value; one that cannot be read counts as absent, which is 1.
fn parse_quality(value: &str) -> f64 {
    let quality: f64 = value.parse().unwrap_or(1.0);
    if quality.is_nan() {
        1.0
    } else {
        quality.clamp(0.0, 1.0)
    }
}

/// Splits at a separator that does not stand in quotes.
fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut in_quotes = false;
    text.split(move |character| {
        if character == '"' {
            in_quotes = !in_quotes;
        }
        character == separator && !in_quotes
    })
}

#[cfg(test)]
mod tests;
