//! What both formats are made of: quoted text, label sets, numbers, names.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use super::LineResult;
use super::error::{Cause, ParseErrorKind as Kind};
use crate::model::{LabelSet, is_legacy_label_name, is_legacy_metric_name};

/// Keeps each name once, so that samples share it.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: HashSet<Arc<str>>,
}

impl Names {
    pub(super) fn shared(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.known.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.known.insert(Arc::clone(&name));
        name
    }
}

/// What stands in braces.
#[derive(Debug, Default)]
pub(super) struct Braces {
    pub(super) labels: LabelSet,
    /// A metric name in quotes, or the value of a `__name__` label.
    pub(super) metric_name: Option<Arc<str>>,
}

/// Says how strictly commas are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Commas {
    /// As the text format: one may follow the last label, or stand before the first.
    Lenient,
    /// As OpenMetrics: only between labels.
    Strict,
}

/// Parses labels; `rest` starts after the opening brace, and what is returned starts after the closing one.
pub(super) fn braces<'a>(
    rest: &'a str,
    commas: Commas,
    names: &mut Names,
) -> LineResult<'a, (Braces, &'a str)> {
    let mut pairs: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    let mut metric_name = None;
    let start = rest;
    let mut rest = skip_blanks(rest);
    if commas == Commas::Lenient
        && let Some(after) = rest.strip_prefix(',')
    {
        rest = skip_blanks(after);
    }
    while !rest.starts_with('}') {
        let term = label_term(rest, names)?;
        match term.value {
            Some(value) if &*term.name != "__name__" => {
                if term.name.is_empty() || term.name.starts_with("__") {
                    return Err(Cause::new(Kind::InvalidLabelName, rest));
                }
                pairs.push((term.name, value));
            }
            value => {
                if metric_name.is_some() {
                    return Err(Cause::new(Kind::RepeatedMetricName, rest));
                }
                let name = value.unwrap_or(term.name);
                if name.is_empty() {
                    return Err(Cause::new(Kind::InvalidMetricName, rest));
                }
                metric_name = Some(names.shared(&name));
            }
        }
        rest = skip_blanks(term.rest);
        if let Some(after) = rest.strip_prefix(',') {
            rest = skip_blanks(after);
            if commas == Commas::Strict && rest.starts_with('}') {
                return Err(Cause::new(Kind::ExtraComma, rest));
            }
        } else if rest.is_empty() {
            return Err(Cause::new(Kind::Unterminated, start));
        } else if !rest.starts_with('}') {
            return Err(Cause::new(Kind::UnexpectedText, rest));
        }
    }
    let count = pairs.len();
    let labels = LabelSet::from_pairs(pairs);
    if labels.len() < count {
        return Err(Cause::new(Kind::DuplicateLabel, start));
    }
    Ok((
        Braces {
            labels,
            metric_name,
        },
        &rest[1..],
    ))
}

/// One `name="value"`, or a metric name in quotes, which has no value.
struct LabelTerm<'a> {
    name: Arc<str>,
    value: Option<Arc<str>>,
    rest: &'a str,
}

fn label_term<'a>(text: &'a str, names: &mut Names) -> LineResult<'a, LabelTerm<'a>> {
    let (name, rest) = if let Some(after) = text.strip_prefix('"') {
        let (name, rest) = quoted(after)?;
        let rest = skip_blanks(rest);
        if !rest.starts_with('=') {
            return Ok(LabelTerm {
                name: name.into(),
                value: None,
                rest,
            });
        }
        (name, rest)
    } else {
        let end = text
            .find(|c: char| is_blank(c) || "=,}\"".contains(c))
            .unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        if !is_legacy_label_name(name) {
            return Err(Cause::new(
                match (name, rest.chars().next()) {
                    ("", None) => Kind::Unterminated,
                    ("", Some(',')) => Kind::ExtraComma,
                    _ => Kind::InvalidLabelName,
                },
                text,
            ));
        }
        (Cow::Borrowed(name), skip_blanks(rest))
    };
    let Some(value) = rest.strip_prefix('=') else {
        return Err(Cause::new(Kind::MissingLabelValue, text));
    };
    let value = skip_blanks(value);
    let Some(value) = value.strip_prefix('"') else {
        return Err(Cause::new(Kind::MissingLabelValue, value));
    };
    let (value, rest) = quoted(value)?;
    Ok(LabelTerm {
        name: names.shared(&name),
        value: Some(value.into()),
        rest,
    })
}

/// Parses quoted text; `text` starts after the opening quote, and what is returned starts after the closing one.
pub(super) fn quoted(text: &str) -> LineResult<'_, (Cow<'_, str>, &str)> {
    let unterminated = || Cause::new(Kind::Unterminated, text);
    let bytes = text.as_bytes();
    let mut has_escapes = false;
    let mut index = 0;
    loop {
        match bytes.get(index).ok_or_else(unterminated)? {
            b'"' => break,
            b'\\' => {
                has_escapes = true;
                index += 2;
            }
            _ => index += 1,
        }
    }
    let content = &text[..index];
    let content = if has_escapes {
        Cow::Owned(unescape(content, Quotes::Escaped))
    } else {
        content.into()
    };
    Ok((content, &text[index + 1..]))
}

/// Says whether a backslash before a quote is an escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quotes {
    Escaped,
    Plain,
}

/// Replaces `\\` and `\n`, and `\"` if asked to. Other backslashes stay, as in the official client.
pub(super) fn unescape(text: &str, quotes: Quotes) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('\\') | None => out.push('\\'),
            Some('n') => out.push('\n'),
            Some('"') if quotes == Quotes::Escaped => out.push('"'),
            Some(other) => out.extend(['\\', other]),
        }
    }
    out
}

/// Parses the name in a metadata line: in quotes, or of the legacy set up to a blank.
pub(super) fn metadata_name<'a>(
    text: &'a str,
    names: &mut Names,
) -> LineResult<'a, (Arc<str>, &'a str)> {
    if let Some(after) = text.strip_prefix('"') {
        let (name, rest) = quoted(after)?;
        if name.is_empty() {
            return Err(Cause::new(Kind::InvalidMetricName, text));
        }
        if !rest.is_empty() && !rest.starts_with(is_blank) {
            return Err(Cause::new(Kind::UnexpectedText, rest));
        }
        return Ok((names.shared(&name), rest));
    }
    let (name, rest) = text.split_at(text.find(is_blank).unwrap_or(text.len()));
    if !is_legacy_metric_name(name) {
        return Err(Cause::new(Kind::InvalidMetricName, name));
    }
    Ok((names.shared(name), rest))
}

/// Parses a number as Python's `float` does, but for underscores, blanks and digits that are not ASCII.
pub(super) fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

pub(super) fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\x0b' | '\x0c')
}

pub(super) fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches(is_blank)
}
