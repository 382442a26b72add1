//! OpenMetrics 1.0.

mod family;
mod histogram;
mod sample;

use std::collections::HashSet;
use std::sync::Arc;

use super::error::{Cause, ParseErrorKind as Kind};
use super::scan::{Names, Quotes, metadata_name, unescape};
use super::{LineResult, ParseError, decode, lines};
use crate::model::{MetricFamily, MetricType};
use family::Family;

/// Parses an exposition in OpenMetrics 1.0.
///
/// Times with a decimal point or whole seconds become [`Timestamp::Exact`](crate::Timestamp::Exact), others
/// floats. A sample that repeats an earlier one of its series at the same timestamp is dropped, since the
/// timestamps may have been rounded.
///
/// # Errors
///
/// Fails on the first line that is not of the format, and where the families break its rules: the order and
/// grouping of samples, names used twice, units, the values that each type may have, complete histograms, `# EOF`
/// at the end. A rule about a whole family or series is reported at its first or last line. Native histograms,
/// which are not part of OpenMetrics 1.0, are errors.
///
/// # Examples
///
/// ```
/// use forkmeter_core::parse::{self, ParseErrorKind};
///
/// let families = parse::openmetrics(b"# TYPE hits counter\nhits_total 3 1.5\n# EOF\n")?;
/// assert_eq!(&*families[0].samples[0].name, "hits_total");
/// let error = parse::openmetrics(b"# TYPE hits counter\nhits_total 3\n").unwrap_err();
/// assert_eq!((error.line(), error.kind()), (3, ParseErrorKind::MissingEof));
/// # Ok::<(), parse::ParseError>(())
/// ```
///
/// # Sources
///
/// OpenMetrics 1.0; `prometheus_client` 0.26, whose checks these are.
pub fn openmetrics(input: &[u8]) -> Result<Vec<MetricFamily>, ParseError> {
    let mut parser = Parser::default();
    let mut last_line = 0;
    for (number, line) in lines(decode(input)?) {
        last_line = number;
        parser.parse_line(line, number)?;
    }
    if !parser.is_at_eof {
        return Err(Cause::new(Kind::MissingEof, "").at(last_line + 1));
    }
    Ok(parser.families)
}

#[derive(Debug, Default)]
struct Parser {
    families: Vec<MetricFamily>,
    current: Option<Family>,
    /// All sample and family names that families seen so far own.
    owned_names: HashSet<String>,
    names: Names,
    is_at_eof: bool,
}

impl Parser {
    fn parse_line(&mut self, line: &str, number: usize) -> Result<(), ParseError> {
        let at_line = |cause: Cause<'_>| cause.at(number);
        if self.is_at_eof {
            return Err(at_line(Cause::new(Kind::TextAfterEof, line)));
        }
        if line.is_empty() {
            return Err(at_line(Cause::new(Kind::BlankLine, line)));
        }
        if line == "# EOF" {
            self.is_at_eof = true;
            return self.finish_family();
        }
        if line.starts_with('#') {
            let metadata = Metadata::parse(line, &mut self.names).map_err(at_line)?;
            if self
                .current
                .as_ref()
                .is_none_or(|family| family.name != metadata.name)
            {
                self.start_family(Family::new(Arc::clone(&metadata.name), number))?;
            }
            let family = self
                .current
                .as_mut()
                .expect("invariant: a family was just started");
            return family
                .add_metadata(&metadata, line, number)
                .map_err(at_line);
        }
        let sample = sample::parse(line, &mut self.names).map_err(at_line)?;
        if self
            .current
            .as_ref()
            .is_none_or(|family| !family.takes(&sample.name))
        {
            let mut family = Family::new(Arc::clone(&sample.name), number);
            family.kind = Some(MetricType::Unknown);
            self.start_family(family)?;
        }
        let family = self
            .current
            .as_mut()
            .expect("invariant: a family was just started");
        family.add_sample(sample, line, number)
    }

    fn start_family(&mut self, family: Family) -> Result<(), ParseError> {
        self.finish_family()?;
        self.current = Some(family);
        Ok(())
    }

    fn finish_family(&mut self) -> Result<(), ParseError> {
        if let Some(family) = self.current.take() {
            for name in family.owned_names() {
                if self.owned_names.contains(&name) {
                    return Err(Cause::new(Kind::ClashingName, &name).at(family.line));
                }
                self.owned_names.insert(name);
            }
            self.families.push(family.finish()?);
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
enum Keyword {
    Help,
    Type,
    Unit,
}

#[derive(Debug)]
struct Metadata<'a> {
    keyword: Keyword,
    name: Arc<str>,
    text: &'a str,
}

impl<'a> Metadata<'a> {
    fn parse(line: &'a str, names: &mut Names) -> LineResult<'a, Self> {
        let invalid = || Cause::new(Kind::InvalidMetadata, line);
        let (keyword, rest) = match line.get(..7) {
            Some("# HELP ") => (Keyword::Help, &line[7..]),
            Some("# TYPE ") => (Keyword::Type, &line[7..]),
            Some("# UNIT ") => (Keyword::Unit, &line[7..]),
            _ => return Err(invalid()),
        };
        let (name, rest) = metadata_name(rest, names)?;
        let text = rest.strip_prefix(' ').ok_or_else(invalid)?;
        Ok(Self {
            keyword,
            name,
            text,
        })
    }

    fn help(&self) -> Arc<str> {
        unescape(self.text, Quotes::Escaped).into()
    }
}
