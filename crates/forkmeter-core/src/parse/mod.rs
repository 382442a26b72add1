//! Parsers of text expositions: expositions in, metric families out.
//!
//! Called by tools and tests that read what somebody exposed. Input is hostile: any bytes give families or an
//! error with line and cause, in time that grows linearly with them, without recursion.

mod error;
mod openmetrics;
mod scan;
mod text;

pub use error::{ParseError, ParseErrorKind};
pub use openmetrics::openmetrics;
pub use text::text;

use error::Cause;

type LineResult<'a, T> = Result<T, Cause<'a>>;

/// Checks the encoding, and returns the text or the line of the first invalid byte.
fn decode(input: &[u8]) -> Result<&str, ParseError> {
    std::str::from_utf8(input).map_err(|error| {
        let before = &input[..error.valid_up_to()];
        let line = before.split(|byte| *byte == b'\n').count();
        let start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |index| index + 1);
        let text = String::from_utf8_lossy(&before[start..]);
        Cause::new(ParseErrorKind::InvalidUtf8, &text).at(line)
    })
}

/// Yields lines with their 1-based numbers. A newline at the end does not start another line.
fn lines(input: &str) -> impl Iterator<Item = (usize, &str)> {
    let input = input
        .strip_suffix('\n')
        .map_or((input, input.is_empty()), |rest| (rest, false));
    let (text, is_empty) = input;
    (1..)
        .zip(text.split('\n'))
        .take(if is_empty { 0 } else { usize::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_from_one() {
        let numbered = |text| lines(text).collect::<Vec<_>>();
        assert_eq!(numbered(""), []);
        assert_eq!(numbered("\n"), [(1, "")]);
        assert_eq!(numbered("a"), [(1, "a")]);
        assert_eq!(numbered("a\n\nb\n"), [(1, "a"), (2, ""), (3, "b")]);
    }

    #[test]
    fn invalid_utf8_is_reported_with_its_line() {
        let error = text(b"a 1\nb{c=\"\xff\"} 1\n").unwrap_err();
        assert_eq!(
            (error.line(), error.kind()),
            (2, ParseErrorKind::InvalidUtf8)
        );
        assert_eq!(error.text(), "b{c=\"");
    }
}
