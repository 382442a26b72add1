//! Numbers as the official Python client writes them.
//!
//! Used by every encoder, and by the model for `le` labels. Knows nothing about samples.

/// How long the text of a float can get: sign, `0.000`, 17 digits.
const MAX_LEN: usize = 32;

/// How much room [`write_number`] takes.
pub(super) const NUMBER_ROOM: usize = MAX_LEN + 2;

/// Floats below this that are whole have their exact digits as shortest digits.
const EXACT_INTEGER_LIMIT: f64 = 9_007_199_254_740_992.0;

const DIGIT_PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// Returns `value` as text; see [`write_value`].
pub fn format_value(value: f64) -> String {
    let mut text = String::with_capacity(MAX_LEN);
    write_value(value, &mut text);
    text
}

/// Appends `value` to `out` as `prometheus_client.utils.floatToGoString` does.
///
/// That is Python's `repr` (`0.25`, `17.0`, `1e-05`), except that positive values from a million on have an
/// exponent (`1e+06`), as Go writes them. Infinities are `+Inf` and `-Inf`, every NaN is `NaN`.
///
/// # Examples
///
/// ```
/// use forkmeter_core::encode::format_value;
///
/// assert_eq!(format_value(17.0), "17.0");
/// assert_eq!(format_value(1_234_567.0), "1.234567e+06");
/// assert_eq!(format_value(-1_234_567.0), "-1234567.0");
/// ```
pub fn write_value(value: f64, out: &mut String) {
    let mut text = Text::new();
    text.value(value, Style::Exposition);
    out.extend(text.as_bytes().iter().copied().map(char::from));
}

/// Appends `value` to `out` as [`write_value`] does, for callers that write bytes.
pub fn push_value(value: f64, out: &mut Vec<u8>) {
    let mut room = [0; NUMBER_ROOM];
    let len = write_number(value, &mut room);
    out.extend_from_slice(&room[..len]);
}

/// Writes `value` to the front of `room` as [`write_value`] does, and returns the length; what stands behind it in
/// `room` is lost.
#[inline]
pub(super) fn write_number(value: f64, room: &mut [u8; NUMBER_ROOM]) -> usize {
    // Whole numbers below a million, which most values are, have neither exponent nor shortest digits to look for.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and the comparison below finds what it changed"
    )]
    let whole = value as u32;
    // By bits, since `-0.0` has a sign.
    if whole < 1_000_000 && f64::from(whole).to_bits() == value.to_bits() {
        let (digits, len) = eight_digits(whole);
        room[..8].copy_from_slice(&digits);
        room[len..len + 2].copy_from_slice(b".0");
        return len + 2;
    }
    write_any_number(value, room)
}

#[inline(never)]
fn write_any_number(value: f64, room: &mut [u8; NUMBER_ROOM]) -> usize {
    let mut text = Text::new();
    text.value(value, Style::Exposition);
    room[..MAX_LEN].copy_from_slice(&text.bytes);
    text.len
}

/// Returns the decimal digits of a number below a hundred million without leading zeros, and how many they are.
///
/// All digits are found at once, in the bytes of one word: the halves of four digits are split into pairs and the pairs
/// into digits, each by a multiplication that stands for a division.
#[inline]
fn eight_digits(value: u32) -> ([u8; 8], usize) {
    let halves = u64::from(value / 10_000) | u64::from(value % 10_000) << 32;
    // 10,486 / 2^20 is 1 / 100 as far as four digits go, and 103 / 2^10 is 1 / 10 as far as two go.
    let hundreds = ((halves * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | (halves - 100 * hundreds) << 16;
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    let digits = tens | (pairs - 10 * tens) << 8;
    // The first digit is the lowest byte. A zero has one digit.
    let zeros = (digits.trailing_zeros() / 8).min(7);
    let text = (digits | 0x3030_3030_3030_3030) >> (8 * zeros);
    (text.to_le_bytes(), 8 - zeros as usize)
}

/// Appends `value` to `out` as Python's `repr` does; infinities are `inf` and `-inf`, NaN is `nan`.
pub(super) fn push_python_repr(value: f64, out: &mut Vec<u8>) {
    let mut text = Text::new();
    text.value(value, Style::PythonRepr);
    out.extend_from_slice(text.as_bytes());
}

/// Appends a whole number in decimal.
pub(super) fn push_integer(value: i64, out: &mut Vec<u8>) {
    let mut text = Text::new();
    if value < 0 {
        text.push(b'-');
    }
    let mut digits = [0; 20];
    text.extend(decimal(value.unsigned_abs(), &mut digits));
    out.extend_from_slice(text.as_bytes());
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Exposition,
    PythonRepr,
}

/// A text buffer on the stack.
struct Text {
    bytes: [u8; MAX_LEN],
    len: usize,
}

impl Text {
    fn new() -> Self {
        Self {
            bytes: [0; MAX_LEN],
            len: 0,
        }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn zeros(&mut self, count: usize) {
        self.bytes[self.len..self.len + count].fill(b'0');
        self.len += count;
    }

    fn value(&mut self, value: f64, style: Style) {
        if !value.is_finite() {
            self.extend(match (style, value.is_nan(), value > 0.0) {
                (Style::Exposition, true, _) => b"NaN",
                (Style::Exposition, _, true) => b"+Inf",
                (Style::Exposition, ..) => b"-Inf",
                (Style::PythonRepr, true, _) => b"nan",
                (Style::PythonRepr, _, true) => b"inf",
                (Style::PythonRepr, ..) => b"-inf",
            });
            return;
        }
        if value.is_sign_negative() {
            self.push(b'-');
        }
        let early_exponent = style == Style::Exposition && value > 0.0;
        let magnitude = value.abs();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "guarded by the limit"
        )]
        let whole = if magnitude < EXACT_INTEGER_LIMIT {
            magnitude as u64
        } else {
            0
        };
        #[expect(
            clippy::cast_precision_loss,
            clippy::float_cmp,
            reason = "whole is exact as a float"
        )]
        let is_whole = whole as f64 == magnitude;
        if is_whole {
            let mut buffer = [0; 20];
            let digits = decimal(whole, &mut buffer);
            if early_exponent && digits.len() > 6 {
                let exponent = digits.len() - 1;
                self.scientific(trim_zeros(digits), '+', exponent);
            } else {
                self.extend(digits);
                self.extend(b".0");
            }
            return;
        }
        let mut buffer = ryu::Buffer::new();
        let shortest = Shortest::read(buffer.format_finite(magnitude));
        self.shortest(&shortest, early_exponent);
    }

    fn shortest(&mut self, shortest: &Shortest, early_exponent: bool) {
        let digits = &shortest.digits[..shortest.len];
        let exponent = shortest.exponent.unsigned_abs() as usize;
        match shortest.exponent {
            ..-4 => self.scientific(digits, '-', exponent),
            -4..0 => {
                self.extend(b"0.");
                self.zeros(exponent - 1);
                self.extend(digits);
            }
            6.. if early_exponent => self.scientific(digits, '+', exponent),
            16.. => self.scientific(digits, '+', exponent),
            _ if digits.len() <= exponent + 1 => {
                self.extend(digits);
                self.zeros(exponent + 1 - digits.len());
                self.extend(b".0");
            }
            _ => {
                self.extend(&digits[..=exponent]);
                self.push(b'.');
                self.extend(&digits[exponent + 1..]);
            }
        }
    }

    fn scientific(&mut self, digits: &[u8], sign: char, exponent: usize) {
        self.push(digits[0]);
        if digits.len() > 1 {
            self.push(b'.');
            self.extend(&digits[1..]);
        }
        self.push(b'e');
        self.push(if sign == '-' { b'-' } else { b'+' });
        if exponent < 10 {
            self.push(b'0');
        }
        let mut buffer = [0; 20];
        self.extend(decimal(exponent as u64, &mut buffer));
    }
}

/// The shortest digits that read back as the same float, as `d.ddd * 10^exponent`.
struct Shortest {
    digits: [u8; 24],
    len: usize,
    exponent: i32,
}

impl Shortest {
    /// Takes ryu's text of a positive number apart; its choice between notations is not Python's.
    fn read(text: &str) -> Self {
        let (mantissa, mut exponent) = match text.split_once('e') {
            Some((mantissa, exponent)) => (
                mantissa,
                exponent
                    .parse()
                    .expect("invariant: ryu writes a whole exponent"),
            ),
            None => (text, 0),
        };
        let mut digits = [0; 24];
        let mut len = 0;
        let mut before_point = true;
        let mut exponent_of_first = -1;
        for byte in mantissa.bytes() {
            if byte == b'.' {
                before_point = false;
                continue;
            }
            if len == 0 && byte == b'0' {
                if !before_point {
                    exponent_of_first -= 1;
                }
                continue;
            }
            digits[len] = byte;
            len += 1;
            if before_point {
                exponent_of_first += 1;
            }
        }
        exponent += exponent_of_first;
        let len = trim_zeros(&digits[..len]).len();
        Self {
            digits,
            len,
            exponent,
        }
    }
}

fn trim_zeros(digits: &[u8]) -> &[u8] {
    let kept = digits
        .iter()
        .rposition(|digit| *digit != b'0')
        .map_or(0, |last| last + 1);
    &digits[..kept]
}

/// Writes `value` at the end of `buffer` and returns that part.
fn decimal(mut value: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut start = buffer.len();
    while value >= 100 {
        let pair = 2 * usize::try_from(value % 100).expect("invariant: below 100");
        value /= 100;
        start -= 2;
        buffer[start..start + 2].copy_from_slice(&DIGIT_PAIRS[pair..pair + 2]);
    }
    let pair = 2 * usize::try_from(value).expect("invariant: below 100");
    if value >= 10 {
        start -= 1;
        buffer[start] = DIGIT_PAIRS[pair + 1];
    }
    start -= 1;
    buffer[start] = if value >= 10 {
        DIGIT_PAIRS[pair]
    } else {
        DIGIT_PAIRS[pair + 1]
    };
    &buffer[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notation_changes_where_the_official_client_changes_it() {
        let cases: [(f64, &str); 18] = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (999_999.0, "999999.0"),
            (1e6, "1e+06"),
            (-1e6, "-1000000.0"),
            (1_234_567.5, "1.2345675e+06"),
            (-1_234_567.5, "-1234567.5"),
            (123_456.75, "123456.75"),
            (1e15, "1e+15"),
            (-1e15, "-1000000000000000.0"),
            (-1e16, "-1e+16"),
            (1e100, "1e+100"),
            (0.0001, "0.0001"),
            (0.000_012_5, "1.25e-05"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (value, expected) in cases {
            assert_eq!(format_value(value), expected);
        }
        assert_eq!(format_value(-f64::NAN), "NaN");
    }

    #[test]
    fn whole_numbers_have_all_their_digits() {
        let all = (0..20_000).chain((0..1_000_100).step_by(97));
        for whole in all.chain([99_999, 100_000, 999_999, 1_000_000, 1_000_001]) {
            let mut text = Text::new();
            text.value(f64::from(whole), Style::Exposition);
            let mut out = Vec::new();
            push_value(f64::from(whole), &mut out);
            assert_eq!(out, text.as_bytes());
            let (digits, len) = eight_digits(whole * 99);
            assert_eq!(digits[..len], *(whole * 99).to_string().as_bytes());
        }
    }

    #[test]
    fn integers_have_all_their_digits() {
        for value in [0, 9, 10, 99, 100, 101, -1, -123_456, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            push_integer(value, &mut out);
            assert_eq!(out, value.to_string().into_bytes());
        }
    }
}
