//! The text format, 0.0.4 and 1.0.0.

use std::sync::Arc;

use super::error::{Cause, ParseErrorKind as Kind};
use super::scan::{
    Braces, Commas, Names, Quotes, braces, is_blank, metadata_name, number, skip_blanks, unescape,
};
use super::{LineResult, ParseError, decode, lines};
use crate::model::{MetricFamily, MetricType, Sample, Timestamp, is_legacy_metric_name};

/// Parses an exposition in the text format, version 0.0.4 or 1.0.0.
///
/// As with the official client, a counter family loses the `_total` of its name, and samples of a counter that
/// lack it get it. A sample without metadata is a family of its own, of unknown type. Timestamps become float
/// seconds. Lines may have blanks around them; comments other than `HELP` and `TYPE` are ignored.
///
/// # Errors
///
/// Fails on the first line that is not of the format. Stricter than the official client, it takes nothing after
/// the timestamp, no label without a value, and no name outside the legacy set that is not in quotes.
///
/// # Examples
///
/// ```
/// use forkmeter_core::{MetricType, parse};
///
/// let families = parse::text(b"# TYPE requests_total counter\nrequests_total{path=\"/\"} 3\n")?;
/// assert_eq!((&*families[0].name, families[0].kind), ("requests", MetricType::Counter));
/// assert_eq!(families[0].samples[0].labels.get("path"), Some("/"));
/// # Ok::<(), parse::ParseError>(())
/// ```
pub fn text(input: &[u8]) -> Result<Vec<MetricFamily>, ParseError> {
    let mut parser = Parser::default();
    for (number, line) in lines(decode(input)?) {
        parser.line = number;
        parser
            .parse_line(trim(line))
            .map_err(|cause| cause.at(number))?;
    }
    parser.finish_family();
    Ok(parser.families)
}

/// Removes what Python's `str.strip` removes, which are some control characters more than Rust's.
fn trim(line: &str) -> &str {
    line.trim_matches(|character: char| {
        character.is_whitespace() || ('\x1c'..='\x1f').contains(&character)
    })
}

#[derive(Debug, Default)]
struct Parser {
    families: Vec<MetricFamily>,
    /// The family to which samples are added.
    current: Option<MetricFamily>,
    names: Names,
    line: usize,
}

impl Parser {
    fn parse_line<'a>(&mut self, line: &'a str) -> LineResult<'a, ()> {
        if let Some(comment) = line.strip_prefix('#') {
            return self.parse_comment(comment);
        }
        if line.is_empty() {
            return Ok(());
        }
        let sample = self.parse_sample(line)?;
        match &mut self.current {
            Some(family) if takes(family, &sample.name) => family.samples.push(sample),
            _ => {
                self.finish_family();
                let mut family =
                    MetricFamily::new(Arc::clone(&sample.name), "", MetricType::Unknown);
                family.samples.push(sample);
                self.families.push(family);
            }
        }
        Ok(())
    }

    fn parse_comment<'a>(&mut self, comment: &'a str) -> LineResult<'a, ()> {
        if !comment.starts_with(is_blank) {
            return Ok(());
        }
        let comment = skip_blanks(comment);
        let (keyword, rest) = comment.split_at(comment.find(is_blank).unwrap_or(comment.len()));
        let rest = skip_blanks(rest);
        match keyword {
            "HELP" if rest.is_empty() => {}
            "HELP" => {
                let (name, help) = metadata_name(rest, &mut self.names)?;
                self.family(name).help = unescape(skip_blanks(help), Quotes::Plain).into();
            }
            "TYPE" => {
                let (name, kind) = metadata_name(rest, &mut self.names)?;
                let kind = skip_blanks(kind);
                if kind.is_empty() {
                    return Err(Cause::new(Kind::InvalidMetadata, comment));
                }
                let kind = kind
                    .parse()
                    .map_err(|_| Cause::new(Kind::InvalidType, kind))?;
                if kind == MetricType::Counter && &*name == "_total" {
                    return Err(Cause::new(Kind::InvalidMetricName, rest));
                }
                self.family(name).kind = kind;
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns the current family if it has that name, and else starts one.
    fn family(&mut self, name: Arc<str>) -> &mut MetricFamily {
        if self
            .current
            .as_ref()
            .is_none_or(|family| family.name != name)
        {
            self.finish_family();
        }
        self.current
            .get_or_insert_with(|| MetricFamily::new(name, "", MetricType::Unknown))
    }

    /// Gives a finished family the form that the model has.
    fn finish_family(&mut self) {
        let Some(mut family) = self.current.take() else {
            return;
        };
        if family.kind == MetricType::Counter {
            if let Some(name) = family.name.strip_suffix("_total") {
                family.name = name.into();
            } else {
                let total = self.names.shared(&format!("{}_total", family.name));
                for sample in &mut family.samples {
                    sample.name = Arc::clone(&total);
                }
            }
        }
        self.families.push(family);
    }

    fn parse_sample<'a>(&mut self, line: &'a str) -> LineResult<'a, Sample> {
        let end = line
            .find(|c: char| c == '{' || is_blank(c))
            .unwrap_or(line.len());
        let (name, rest) = line.split_at(end);
        if !name.is_empty() && !is_legacy_metric_name(name) {
            return Err(Cause::new(Kind::InvalidMetricName, name));
        }
        let rest = skip_blanks(rest);
        let (in_braces, rest) = match rest.strip_prefix('{') {
            Some(rest) => braces(rest, Commas::Lenient, &mut self.names)?,
            None => (Braces::default(), rest),
        };
        let name = match in_braces.metric_name {
            Some(_) if !name.is_empty() => {
                return Err(Cause::new(Kind::RepeatedMetricName, line));
            }
            Some(name) => name,
            None if name.is_empty() => return Err(Cause::new(Kind::InvalidMetricName, line)),
            None => self.names.shared(name),
        };
        let mut words = rest.split(is_blank).filter(|word| !word.is_empty());
        let value = words.next().ok_or(Cause::new(Kind::MissingValue, line))?;
        let value = number(value).ok_or(Cause::new(Kind::InvalidValue, value))?;
        let timestamp = match words.next() {
            None => None,
            Some(word) => {
                let milliseconds = number(word).filter(|number| number.is_finite());
                let milliseconds = milliseconds.ok_or(Cause::new(Kind::InvalidTimestamp, word))?;
                Some(Timestamp::Seconds(milliseconds / 1000.0))
            }
        };
        if let Some(word) = words.next() {
            return Err(Cause::new(Kind::UnexpectedText, word));
        }
        Ok(Sample {
            timestamp,
            ..Sample::new(name, in_braces.labels, value)
        })
    }
}

/// Tells whether a sample belongs to the family.
fn takes(family: &MetricFamily, sample_name: &str) -> bool {
    let Some(suffix) = sample_name.strip_prefix(&*family.name) else {
        return false;
    };
    match family.kind {
        MetricType::Summary => matches!(suffix, "" | "_count" | "_sum"),
        MetricType::Histogram => matches!(suffix, "_bucket" | "_count" | "_sum"),
        _ => suffix.is_empty(),
    }
}
