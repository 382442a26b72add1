//! The label values of a series, packed: what a program has a hundred thousand of.

use std::num::NonZeroU8;

const SHORT_BYTES: usize = 23;
/// A length is written seven bits at a time; this one says that more follow.
const MORE: u8 = 0x80;

/// Holds label values: the lengths of all but the last, and then their text. Few bytes take no allocation.
#[derive(Clone, Debug)]
pub(in crate::store) struct Values(Packed);

#[derive(Clone, Debug)]
enum Packed {
    Short {
        /// The number of bytes, and one: leaves a value that says that these are not short.
        len_and_one: NonZeroU8,
        bytes: [u8; SHORT_BYTES],
    },
    Long(Box<[u8]>),
}

impl Values {
    /// Packs values. Equal ones have equal bytes.
    pub(in crate::store) fn pack(values: &[&str]) -> Self {
        let text: usize = values.iter().map(|value| value.len()).sum();
        let lengths = values.split_last().map_or(0, |(_, before)| before.len());
        if text + lengths <= SHORT_BYTES {
            let mut bytes = [0; SHORT_BYTES];
            let mut len = 0;
            let mut push = |part: &[u8]| {
                bytes[len..len + part.len()].copy_from_slice(part);
                len += part.len();
            };
            for value in &values[..lengths] {
                // Shorter than `MORE`, so it is one byte, as in a long one.
                push(&[u8::try_from(value.len()).unwrap_or_default()]);
            }
            for value in values {
                push(value.as_bytes());
            }
            let len_and_one = u8::try_from(len + 1).ok().and_then(NonZeroU8::new);
            let len_and_one = len_and_one.expect("invariant: there are 1 to 24");
            return Self(Packed::Short { len_and_one, bytes });
        }
        let mut bytes = Vec::with_capacity(text + 2 * lengths);
        for value in &values[..lengths] {
            let mut rest = value.len();
            while rest >= usize::from(MORE) {
                bytes.push(u8::try_from(rest % usize::from(MORE)).unwrap_or_default() | MORE);
                rest /= usize::from(MORE);
            }
            bytes.push(u8::try_from(rest).unwrap_or_default());
        }
        for value in values {
            bytes.extend_from_slice(value.as_bytes());
        }
        Self(Packed::Long(bytes.into()))
    }

    /// Returns the bytes, by which values are equal or not.
    pub(in crate::store) fn bytes(&self) -> &[u8] {
        match &self.0 {
            Packed::Short { len_and_one, bytes } => {
                let len = usize::from(len_and_one.get()) - 1;
                &bytes[..len]
            }
            Packed::Long(bytes) => bytes,
        }
    }

    /// Yields the values; `count` is how many there are.
    pub(in crate::store) fn iter(&self, count: usize) -> impl Iterator<Item = &str> {
        let bytes = self.bytes();
        let mut text = bytes;
        for _ in 1..count {
            text = take_length(text).1;
        }
        let mut lengths = bytes;
        (0..count).map(move |index| {
            let len = if index + 1 == count {
                text.len()
            } else {
                let (len, rest) = take_length(lengths);
                lengths = rest;
                len.min(text.len())
            };
            let (value, rest) = text.split_at(len);
            text = rest;
            std::str::from_utf8(value).unwrap_or_default()
        })
    }
}

/// Returns the length that the bytes begin with, and what is behind it.
fn take_length(bytes: &[u8]) -> (usize, &[u8]) {
    let mut len = 0;
    for (index, byte) in bytes.iter().enumerate() {
        len |= usize::from(byte & !MORE) << (7 * index);
        if byte & MORE == 0 {
            return (len, &bytes[index + 1..]);
        }
    }
    (0, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_any_length_come_back() {
        let long = "x".repeat(300);
        let longer = "\u{e9}".repeat(20_000);
        let cases: [&[&str]; 9] = [
            &[],
            &[""],
            &["", "", ""],
            &["GET", "/api/v1/items/12345"],
            &["GET", "/api/v1/items/123456"],
            &["a string of 23 bytes ..."],
            &[&long, ""],
            &["", &longer, &long, "a"],
            &[&longer, &longer],
        ];
        for case in cases {
            let values = Values::pack(case);
            assert_eq!(values.iter(case.len()).collect::<Vec<_>>(), case);
            for other in cases {
                let is_equal = values.bytes() == Values::pack(other).bytes();
                let is_same = case == other
                    || case.concat().is_empty()
                        && case.len() < 2
                        && other.concat().is_empty()
                        && other.len() < 2;
                assert_eq!(is_equal, is_same, "{case:?} {other:?}");
            }
        }
        assert_eq!(size_of::<Values>(), 24);
        assert!(matches!(Values::pack(cases[3]).0, Packed::Short { .. }));
        assert!(matches!(Values::pack(cases[4]).0, Packed::Long(_)));
    }
}
