//! How names that the legacy character set does not allow are written, and how text inside quotes is.

use std::fmt;
use std::str::FromStr;

use crate::model::{is_legacy_label_name, is_legacy_metric_name};

/// Names the way in which metric and label names outside the legacy character set are written.
///
/// # Sources
///
/// Prometheus, "Escaping schemes" (<https://prometheus.io/docs/instrumenting/escaping_schemes/>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Escaping {
    /// Names are written as they are, in quotes where they need them.
    AllowUtf8,
    /// Each character outside the legacy set becomes `_`.
    #[default]
    Underscores,
    /// `.` becomes `_dot_`, `_` becomes `__`, other characters outside the legacy set become `__`.
    Dots,
    /// A name outside the legacy set starts with `U__` and has code points in hexadecimal: `U__a_2e_b`.
    Values,
}

impl Escaping {
    /// All schemes, in declaration order.
    pub const ALL: [Self; 4] = [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values];

    /// Returns the scheme's name as the `escaping` parameter of a content type has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }
}

impl fmt::Display for Escaping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Escaping {
    type Err = UnknownEscapingError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL
            .into_iter()
            .find(|escaping| escaping.as_str() == name);
        found.ok_or_else(|| UnknownEscapingError { got: name.into() })
    }
}

/// Reports a word that names no escaping scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownEscapingError {
    got: Box<str>,
}

impl fmt::Display for UnknownEscapingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown escaping scheme {:?}", self.got)
    }
}

impl std::error::Error for UnknownEscapingError {}

/// Appends a metric name as metadata lines and the samples of the text format have it.
pub(super) fn push_metric_name(name: &str, escaping: Escaping, out: &mut Vec<u8>) {
    push_name(
        name,
        is_legacy_metric_name(name),
        escaping,
        Colon::Keep,
        out,
    );
}

/// Appends a label name.
pub(super) fn push_label_name(name: &str, escaping: Escaping, out: &mut Vec<u8>) {
    // Names that start with two underscores are not for users, and so count as outside the legacy set here.
    let is_legacy = is_legacy_label_name(name) && !name.starts_with("__");
    push_name(name, is_legacy, escaping, Colon::Escape, out);
}

/// Appends a sample name as the official client's OpenMetrics encoder does.
///
/// Unlike in metadata lines it escapes `:`, and under [`Escaping::Values`] legacy names as well.
pub(super) fn push_openmetrics_sample_name(name: &str, escaping: Escaping, out: &mut Vec<u8>) {
    match escaping {
        Escaping::AllowUtf8 => push_metric_name(name, escaping, out),
        _ => push_escaped(name, escaping, Colon::Escape, out),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Colon {
    Keep,
    Escape,
}

fn push_name(name: &str, is_legacy: bool, escaping: Escaping, colon: Colon, out: &mut Vec<u8>) {
    match escaping {
        _ if name.is_empty() => {}
        Escaping::AllowUtf8 if !is_legacy => {
            out.push(b'"');
            push_quoted_text(name, out);
            out.push(b'"');
        }
        Escaping::Dots => push_escaped(name, escaping, colon, out),
        _ if is_legacy => out.extend_from_slice(name.as_bytes()),
        _ => push_escaped(name, escaping, colon, out),
    }
}

fn push_escaped(name: &str, escaping: Escaping, colon: Colon, out: &mut Vec<u8>) {
    use std::io::Write;

    if escaping == Escaping::Values {
        out.extend_from_slice(b"U__");
    }
    for (index, character) in name.chars().enumerate() {
        let is_valid = match character {
            'a'..='z' | 'A'..='Z' | '_' => true,
            '0'..='9' => index > 0,
            ':' => colon == Colon::Keep,
            _ => false,
        };
        match (escaping, character) {
            (Escaping::Dots, '.') => out.extend_from_slice(b"_dot_"),
            (Escaping::Dots | Escaping::Values, '_') => out.extend_from_slice(b"__"),
            _ if is_valid => {
                let mut utf8 = [0; 4];
                out.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
            }
            (Escaping::Dots, _) => out.extend_from_slice(b"__"),
            (Escaping::Values, _) => {
                write!(out, "_{:x}_", u32::from(character))
                    .expect("invariant: writing to a Vec does not fail");
            }
            _ => out.push(b'_'),
        }
    }
}

/// Appends text that stands in quotes: `\`, newline and `"` get a backslash.
pub(super) fn push_quoted_text(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        push_with_backslashes(bytes, true, out);
    }
}

/// Appends a help text of the text format: `\` and newline get a backslash, quotes do not.
pub(super) fn push_help_text(text: &str, out: &mut Vec<u8>) {
    push_with_backslashes(text.as_bytes(), false, out);
}

fn push_with_backslashes(bytes: &[u8], quotes: bool, out: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            b'\\' => out.extend_from_slice(br"\\"),
            b'\n' => out.extend_from_slice(br"\n"),
            b'"' if quotes => out.extend_from_slice(br#"\""#),
            _ => out.push(byte),
        }
    }
}

/// Tells whether none of `\`, newline and `"` occurs; eight bytes at a time.
fn is_plain(bytes: &[u8]) -> bool {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The classic test for a zero byte, applied to the difference with the byte looked for. It may take a
    // 0x01 above a hit for another hit, which does not matter here.
    let has = |word: u64, byte: u8| {
        let difference = word ^ (LOW * u64::from(byte));
        difference.wrapping_sub(LOW) & !difference & HIGH
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let mut found = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        found |= has(word, b'\\') | has(word, b'\n') | has(word, b'"');
    }
    found == 0 && !rest.iter().any(|byte| matches!(byte, b'\\' | b'\n' | b'"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str, escaping: Escaping) -> String {
        let mut out = Vec::new();
        push_metric_name(name, escaping, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_scheme_escapes_as_specified() {
        let name = "http.status:sum_é";
        assert_eq!(metric(name, Escaping::AllowUtf8), "\"http.status:sum_é\"");
        assert_eq!(metric(name, Escaping::Underscores), "http_status:sum__");
        assert_eq!(metric(name, Escaping::Dots), "http_dot_status:sum____");
        assert_eq!(
            metric(name, Escaping::Values),
            "U__http_2e_status:sum___e9_"
        );
        assert_eq!(metric("a_b", Escaping::Dots), "a__b");
        assert_eq!(metric("a_b", Escaping::Values), "a_b");
        assert_eq!(metric("1\"a", Escaping::AllowUtf8), r#""1\"a""#);
    }

    #[test]
    fn the_fast_scan_finds_every_special_byte_at_every_offset() {
        for special in [b'\\', b'\n', b'"'] {
            for len in 1..40 {
                assert!(is_plain(&vec![b'x'; len]));
                for position in 0..len {
                    let mut bytes = vec![b'x'; len];
                    bytes[position] = special;
                    assert!(!is_plain(&bytes), "{special} at {position} of {len}");
                }
            }
        }
        assert!(is_plain("ünïcödé text, with commas".as_bytes()));
    }

    #[test]
    fn names_round_trip() {
        for escaping in Escaping::ALL {
            assert_eq!(escaping.as_str().parse(), Ok(escaping));
        }
        let error = "rot13".parse::<Escaping>().unwrap_err();
        assert_eq!(error.to_string(), "unknown escaping scheme \"rot13\"");
    }
}
