//! One sample line, by itself.

use crate::model::{
    EXEMPLAR_MAX_CHARACTERS, Exemplar, Sample, Timestamp, exemplar_characters,
    is_legacy_metric_name,
};
use crate::parse::LineResult;
use crate::parse::error::{Cause, ParseErrorKind as Kind};
use crate::parse::scan::{Braces, Commas, Names, braces, number};

pub(super) fn parse<'a>(line: &'a str, names: &mut Names) -> LineResult<'a, Sample> {
    let end = line.find(['{', ' ']).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    if !name.is_empty() && !is_legacy_metric_name(name) {
        return Err(Cause::new(Kind::InvalidMetricName, name));
    }
    let (in_braces, rest) = match rest.strip_prefix('{') {
        Some(rest) => braces(rest, Commas::Strict, names)?,
        None => (Braces::default(), rest),
    };
    let name = match in_braces.metric_name {
        Some(_) if !name.is_empty() => return Err(Cause::new(Kind::RepeatedMetricName, line)),
        Some(name) => name,
        None if name.is_empty() => return Err(Cause::new(Kind::InvalidMetricName, line)),
        None => names.shared(name),
    };
    let Some(rest) = rest.strip_prefix(' ') else {
        let kind = if rest.is_empty() {
            Kind::MissingValue
        } else {
            Kind::UnexpectedText
        };
        return Err(Cause::new(kind, if rest.is_empty() { line } else { rest }));
    };
    let (value, rest) = word(rest);
    if value.is_empty() {
        return Err(Cause::new(Kind::MissingValue, line));
    }
    let value = number(value).ok_or(Cause::new(Kind::InvalidValue, value))?;
    let mut sample = Sample::new(name, in_braces.labels, value);
    let Some(mut rest) = rest else {
        return Ok(sample);
    };
    if !rest.starts_with('#') {
        let (time, after) = word(rest);
        sample.timestamp = Some(timestamp(time)?);
        let Some(after) = after else {
            return Ok(sample);
        };
        rest = after;
    }
    sample.exemplar = Some(exemplar(rest, names)?);
    Ok(sample)
}

/// Parses an exemplar; `text` starts with its hash sign.
fn exemplar<'a>(text: &'a str, names: &mut Names) -> LineResult<'a, Exemplar> {
    let rest = text
        .strip_prefix("# {")
        .ok_or(Cause::new(Kind::UnexpectedText, text))?;
    let (in_braces, rest) = braces(rest, Commas::Strict, names)?;
    if in_braces.metric_name.is_some() {
        return Err(Cause::new(Kind::InvalidLabelName, text));
    }
    let labels = in_braces.labels;
    if exemplar_characters(&labels) > EXEMPLAR_MAX_CHARACTERS {
        return Err(Cause::new(Kind::ExemplarTooLong, text));
    }
    let (value, rest) = match rest.strip_prefix(' ') {
        Some(rest) => word(rest),
        None if rest.is_empty() => ("", None),
        None => return Err(Cause::new(Kind::UnexpectedText, rest)),
    };
    if value.is_empty() {
        return Err(Cause::new(Kind::MissingValue, text));
    }
    let value = number(value).ok_or(Cause::new(Kind::InvalidValue, value))?;
    let timestamp = rest.map(timestamp).transpose()?;
    Ok(Exemplar {
        labels,
        value,
        timestamp,
    })
}

/// Splits at the first space; without one there is no rest.
fn word(text: &str) -> (&str, Option<&str>) {
    text.split_once(' ')
        .map_or((text, None), |(word, rest)| (word, Some(rest)))
}

fn timestamp(text: &str) -> LineResult<'_, Timestamp> {
    let float = || {
        let seconds = number(text).filter(|seconds| seconds.is_finite());
        seconds
            .map(Timestamp::Seconds)
            .ok_or(Cause::new(Kind::InvalidTimestamp, text))
    };
    exact(text).map_or_else(float, Ok)
}

/// Parses whole seconds with an optional decimal fraction; of the fraction, nine digits count.
fn exact(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = whole.strip_prefix(['-', '+']).unwrap_or(whole);
    let is_decimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if digits.is_empty() || !is_decimal(digits) || !is_decimal(fraction) {
        return None;
    }
    let seconds = whole.parse().ok()?;
    let mut nanoseconds = 0;
    for position in 0..9 {
        let digit = fraction
            .as_bytes()
            .get(position)
            .map_or(0, |byte| i32::from(byte - b'0'));
        nanoseconds = nanoseconds * 10 + digit;
    }
    if whole.starts_with('-') {
        nanoseconds = -nanoseconds;
    }
    Some(Timestamp::Exact {
        seconds,
        nanoseconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_nanoseconds_and_sign() {
        let exact = |seconds, nanoseconds| {
            Some(Timestamp::Exact {
                seconds,
                nanoseconds,
            })
        };
        let cases = [
            ("0", exact(0, 0)),
            ("-0.5", exact(0, -500_000_000)),
            ("12.000000034999", exact(12, 34)),
            ("7.", exact(7, 0)),
            ("1e3", Some(Timestamp::Seconds(1000.0))),
            (".5", Some(Timestamp::Seconds(0.5))),
            ("99999999999999999999", Some(Timestamp::Seconds(1e20))),
            ("", None),
            ("inf", None),
            ("1_0", None),
            (" 1", None),
            ("1.-5", None),
        ];
        for (text, expected) in cases {
            assert_eq!(timestamp(text).ok(), expected, "{text}");
        }
    }
}
