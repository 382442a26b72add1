//! The scanner of keys: JSON, but only the shape that a key has.

use std::borrow::Cow;

use super::{Key, KeyError, KeyProblem, Label};

/// Parses the bytes of a key, padding not included.
///
/// Any legal JSON spelling is taken: other spacing, labels in any order, raw UTF-8, escapes of any kind. A
/// lone surrogate, which Python can write, becomes U+FFFD.
///
/// # Errors
///
/// Fails when the bytes are not UTF-8, not JSON, or not an array of two strings, an object of strings and a
/// string.
pub fn parse(key: &[u8]) -> Result<Key<'_>, KeyError> {
    let text = std::str::from_utf8(key).map_err(|error| KeyError {
        offset: error.valid_up_to(),
        problem: KeyProblem::Utf8,
    })?;
    let mut scanner = Scanner { text, at: 0 };
    scanner.expect(b'[', "`[`")?;
    let family = scanner.string()?;
    scanner.expect(b',', "`,`")?;
    let sample = scanner.string()?;
    scanner.expect(b',', "`,`")?;
    let labels = scanner.labels()?;
    scanner.expect(b',', "`,`")?;
    let help = scanner.string()?;
    scanner.expect(b']', "`]`")?;
    scanner.skip_space();
    if scanner.at < text.len() {
        return Err(scanner.error(KeyProblem::Expected("the end")));
    }
    Ok(Key {
        family,
        sample,
        labels,
        help,
    })
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn error(&self, problem: KeyProblem) -> KeyError {
        KeyError {
            offset: self.at,
            problem,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), KeyError> {
        self.skip_space();
        if self.peek() != Some(byte) {
            return Err(self.error(KeyProblem::Expected(what)));
        }
        self.at += 1;
        Ok(())
    }

    fn labels(&mut self) -> Result<Vec<Label<'a>>, KeyError> {
        let mut labels = Vec::new();
        self.expect(b'{', "`{`")?;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(labels);
        }
        loop {
            let name = self.string()?;
            self.expect(b':', "`:`")?;
            labels.push((name, self.string()?));
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break self.at += 1,
                _ => return Err(self.error(KeyProblem::Expected("`,` or `}`"))),
            }
        }
        if !labels.is_sorted_by(|a, b| a.0 < b.0) {
            // The sort is stable, so the last of a repeated name ends its run.
            labels.sort_by(|a, b| a.0.cmp(&b.0));
            labels.reverse();
            labels.dedup_by(|later, kept| later.0 == kept.0);
            labels.reverse();
        }
        Ok(labels)
    }

    fn string(&mut self) -> Result<Cow<'a, str>, KeyError> {
        self.expect(b'"', "a string")?;
        let start = self.at;
        self.skip_plain();
        if self.peek() == Some(b'"') {
            let text = &self.text[start..self.at];
            self.at += 1;
            return Ok(Cow::Borrowed(text));
        }
        let mut owned = String::from(&self.text[start..self.at]);
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(owned));
                }
                Some(b'\\') => owned.push(self.escape()?),
                Some(0..=0x1f) => return Err(self.error(KeyProblem::Control)),
                None => return Err(self.error(KeyProblem::Expected("`\"`"))),
                Some(_) => {
                    let start = self.at;
                    self.skip_plain();
                    owned.push_str(&self.text[start..self.at]);
                }
            }
        }
    }

    /// Moves to the next quote, backslash or control character: all ASCII, so a boundary between characters.
    fn skip_plain(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        let plain = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
        self.at += plain.unwrap_or(rest.len());
    }

    fn escape(&mut self) -> Result<char, KeyError> {
        let start = self.at;
        let invalid = KeyError {
            offset: start,
            problem: KeyProblem::Escape,
        };
        self.at += 1;
        let plain = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'u') => return self.unicode_escape(start).ok_or(invalid),
            _ => return Err(invalid),
        };
        self.at += 1;
        Ok(plain)
    }

    /// Reads `\uXXXX` at `start`, and the second half of a surrogate pair where one follows.
    fn unicode_escape(&mut self, start: usize) -> Option<char> {
        let first = self.unit(start)?;
        self.at = start + 6;
        if (0xd800..0xdc00).contains(&first)
            && let Some(second @ 0xdc00..0xe000) = self.unit(self.at)
        {
            self.at += 6;
            return char::decode_utf16([first, second]).next()?.ok();
        }
        Some(char::from_u32(u32::from(first)).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn unit(&self, at: usize) -> Option<u16> {
        let digits = self.text.as_bytes().get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0_u16, |unit, digit| {
            let digit = char::from(*digit).to_digit(16)?;
            Some(unit << 4 | u16::try_from(digit).ok()?)
        })
    }
}
