//! Reads that are for samples of some names only: which keys and declarations they are about.

use std::borrow::Cow;

use crate::key;

/// Holds the names of the samples that somebody asked for.
///
/// A sample's name begins with its family's, so that a family is told by the names without being read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    sorted: Box<[Box<str>]>,
}

impl<T: AsRef<str>> FromIterator<T> for Names {
    fn from_iter<I: IntoIterator<Item = T>>(names: I) -> Self {
        let mut sorted: Vec<Box<str>> = names.into_iter().map(|n| n.as_ref().into()).collect();
        sorted.sort_unstable();
        sorted.dedup();
        Self {
            sorted: sorted.into(),
        }
    }
}

impl Names {
    /// Tells whether a sample of this name was asked for.
    pub fn contains(&self, sample: &str) -> bool {
        self.sorted
            .binary_search_by(|name| (**name).cmp(sample))
            .is_ok()
    }

    /// Tells whether a family of this name may have a sample that was asked for.
    pub fn may_be_of(&self, family: &str) -> bool {
        self.may_begin_with(family.as_bytes())
    }

    /// Returns what a family may be called that has such samples, without the suffixes that types add.
    pub(crate) fn stems(&self) -> impl Iterator<Item = &str> {
        const SUFFIXES: [&str; 8] = [
            "_total", "_created", "_sum", "_count", "_bucket", "_info", "_gsum", "_gcount",
        ];
        self.sorted.iter().map(|name| {
            let mut stems = SUFFIXES
                .iter()
                .filter_map(|suffix| name.strip_suffix(suffix));
            stems.find(|stem| !stem.is_empty()).unwrap_or(name)
        })
    }

    fn may_begin_with(&self, family: &[u8]) -> bool {
        let first = self.sorted.partition_point(|name| name.as_bytes() < family);
        let next = self.sorted.get(first);
        next.is_some_and(|name| name.as_bytes().starts_with(family))
    }

    /// Tells whether a key may be of such a family: what is no key may, and is found out later.
    ///
    /// Nothing is decoded where the family's name needs no decoding, as it mostly does not.
    pub(super) fn may_be_key(&self, key: &[u8]) -> bool {
        match plain_family(key) {
            Some(family) => self.may_begin_with(family),
            None => key::parse(key).map_or(true, |key| {
                let family: Cow<'_, str> = key.family;
                self.may_be_of(&family)
            }),
        }
    }
}

/// Returns the family of a key that is written as all writers do, without decoding anything.
fn plain_family(key: &[u8]) -> Option<&[u8]> {
    let rest = key.strip_prefix(b"[\"")?;
    let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    (rest[end] == b'"').then(|| &rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_told_by_the_names_of_their_samples() {
        let names: Names = ["b_total", "a_bucket", "b_total", "é"]
            .into_iter()
            .collect();
        assert!(names.contains("a_bucket") && !names.contains("a") && !names.contains("b_tot"));
        for (family, expected) in [
            ("a", true),
            ("a_bucket", true),
            ("a_bucket_", false),
            ("b", true),
            ("b_x", false),
            ("c", false),
            ("", true),
            ("é", true),
            ("z", false),
        ] {
            assert_eq!(names.may_be_of(family), expected, "{family}");
        }
        assert!(!Names::default().may_be_of("a"));
        assert_eq!(names.stems().collect::<Vec<_>>(), ["a", "b", "é"]);
    }

    #[test]
    fn keys_are_told_in_any_spelling() {
        let names: Names = ["b_total", "é"].into_iter().collect();
        for (key, expected) in [
            (&br#"["b", "b_total", {}, "h"]"#[..], true),
            (br#" [ "b","b_total",{},""]"#, true),
            (br#"["\u0062", "b_total", {}, ""]"#, true),
            ("[\"é\", \"é\", {}, \"\"]".as_bytes(), true),
            (br#"["\u00e9", "\u00e9", {}, ""]"#, true),
            (br#"["c", "c_total", {}, ""]"#, false),
            (br#"["\u0063", "c_total", {}, ""]"#, false),
            (br#" ["c", "c_total", {}, ""]"#, false),
            (b"no key", true),
            (b"[\"", true),
            (b"", true),
        ] {
            let text = String::from_utf8_lossy(key);
            assert_eq!(names.may_be_key(key), expected, "{text}");
        }
    }
}
