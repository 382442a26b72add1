//! The JSON key of an entry: written as the official client writes it, read in any legal spelling.
//!
//! Writers call [`write()`] when they intern a slot; the reader calls [`parse`] once per distinct key. Nothing
//! here knows of files or offsets.

mod scan;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

pub use scan::parse;

/// Holds one parsed key: `[family, sample, {labels}, help]`.
///
/// Text without escapes is borrowed from the key's bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key<'a> {
    /// The family's name without suffix.
    pub family: Cow<'a, str>,
    /// The sample's name with its suffix.
    pub sample: Cow<'a, str>,
    /// The labels, sorted by name, each name once; of a repeated name the last value stays.
    pub labels: Vec<Label<'a>>,
    /// The family's help.
    pub help: Cow<'a, str>,
}

/// Is a label's name and value.
pub type Label<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Says why bytes are no key, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyError {
    /// Where in the key, in bytes.
    offset: usize,
    problem: KeyProblem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyProblem {
    Expected(&'static str),
    Utf8,
    Control,
    Escape,
}

impl KeyError {
    /// Returns where in the key the problem is, in bytes from its start.
    pub const fn offset(&self) -> usize {
        self.offset
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problem {
            KeyProblem::Expected(what) => write!(f, "expected {what}")?,
            KeyProblem::Utf8 => f.write_str("invalid utf-8")?,
            KeyProblem::Control => f.write_str("raw control character in a string")?,
            KeyProblem::Escape => f.write_str("invalid escape in a string")?,
        }
        write!(f, " at byte {} of the key", self.offset)
    }
}

impl std::error::Error for KeyError {}

/// Appends the key of one slot to `out`, byte for byte as
/// `json.dumps([family, sample, labels, help], sort_keys=True)` writes it in Python.
///
/// `labels` come sorted by name, each name once, as [`LabelSet::iter`](forkmeter_core::LabelSet::iter) yields
/// them.
///
/// # Examples
///
/// ```
/// let mut key = Vec::new();
/// let labels = [("method", "GET"), ("path", "/\u{e9}")];
/// forkmeter_shm::key::write(&mut key, "hits", "hits_total", labels.into_iter(), "Hits.");
/// let expected = r#"["hits", "hits_total", {"method": "GET", "path": "/\u00e9"}, "Hits."]"#;
/// assert_eq!(key, expected.as_bytes());
/// ```
pub fn write<'a>(
    out: &mut Vec<u8>,
    family: &str,
    sample: &str,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
    help: &str,
) {
    out.push(b'[');
    write_string(out, family);
    out.extend_from_slice(b", ");
    write_string(out, sample);
    out.extend_from_slice(b", {");
    for (index, (name, value)) in labels.enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        write_string(out, name);
        out.extend_from_slice(b": ");
        write_string(out, value);
    }
    out.extend_from_slice(b"}, ");
    write_string(out, help);
    out.push(b']');
}

/// Appends one JSON string, all ASCII: what is beyond is written as `\uXXXX`, in surrogate pairs where needed.
fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if is_plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    let mut rest = text;
    while let Some(plain) = rest.bytes().position(needs_escape) {
        out.extend_from_slice(&rest.as_bytes()[..plain]);
        let mut tail = rest[plain..].chars();
        if let Some(escaped) = tail.next() {
            write_escape(out, escaped);
        }
        rest = tail.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
    out.push(b'"');
}

/// Tells whether nothing of a text needs an escape, by looking at eight bytes at a time.
fn is_plain(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    let mut words = words.iter().chain(std::iter::once(&last));
    words.all(|word| is_plain_word(u64::from_le_bytes(*word)))
}

/// As [`needs_escape`], of each byte of a word.
const fn is_plain_word(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES << 7;
    const fn with_zero(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word
    }
    let below_space = word.wrapping_sub(ONES * b' ' as u64) & !word;
    let above_tilde = word.wrapping_add(ONES * (0x7f - b'~' as u64)) | word;
    let quote = with_zero(word ^ (ONES * b'"' as u64));
    let backslash = with_zero(word ^ (ONES * b'\\' as u64));
    (below_space | above_tilde | quote | backslash) & HIGH == 0
}

const fn needs_escape(byte: u8) -> bool {
    // Python's plain characters are space to tilde, so DEL is escaped though JSON does not ask for it.
    byte < b' ' || byte > b'~' || byte == b'"' || byte == b'\\'
}

fn write_escape(out: &mut Vec<u8>, escaped: char) {
    let short = match escaped {
        '"' => b'"',
        '\\' => b'\\',
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        '\u{8}' => b'b',
        '\u{c}' => b'f',
        _ => {
            let mut units = [0_u16; 2];
            for unit in escaped.encode_utf16(&mut units) {
                write_unit(out, *unit);
            }
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

fn write_unit(out: &mut Vec<u8>, unit: u16) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.push(DIGITS[usize::from(unit >> shift & 0xf)]);
    }
}
