//! What a failed comparison says, and which series is nearest to one that is missing.

use std::fmt::{self, Write as _};

use forkmeter_core::encode::format_value;
use forkmeter_core::{LabelSet, Sample};

/// Says how what is exposed differs from what a test expects; its text is for the person who reads the failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    text: String,
}

impl Mismatch {
    pub(super) fn new(text: String) -> Self {
        Self { text }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Mismatch {}

/// Writes a series as expositions do.
pub(super) fn series(name: &str, labels: &LabelSet) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    if pairs.is_empty() {
        name.to_string()
    } else {
        format!("{name}{{{}}}", pairs.join(","))
    }
}

/// Tells whether two values are the same to a test: equal, or both not a number.
#[expect(clippy::float_cmp, reason = "a test expects exact values")]
pub(super) fn is_same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

/// Describes the sample that is most like one that is missing, in lines that start with `indent`.
pub(super) fn nearest<'a>(
    name: &str,
    labels: &LabelSet,
    all: impl IntoIterator<Item = &'a Sample>,
    indent: &str,
) -> String {
    let distance = |sample: &Sample| {
        let of_labels = differences(labels, sample).len();
        let pairs = labels
            .iter()
            .map(|(name, value)| (value, sample.labels.get(name)));
        let of_values: usize = pairs.map(|(a, b)| edits(a, b.unwrap_or_default())).sum();
        (edits(name, &sample.name), of_labels, of_values)
    };
    let Some(found) = all.into_iter().min_by_key(|sample| distance(sample)) else {
        return format!("\n{indent}nothing is exposed");
    };
    // Names that share next to nothing are no help.
    if edits(name, &found.name) > name.chars().count() / 2 {
        return format!("\n{indent}no series has a name like it");
    }
    let value = format_value(found.value);
    let mut text = format!(
        "\n{indent}nearest is {} {value}",
        series(&found.name, &found.labels)
    );
    if *found.name != *name {
        let _ = write!(
            text,
            "\n{indent}  name: expected {name}, found {}",
            found.name
        );
    }
    for difference in differences(labels, found) {
        let _ = write!(text, "\n{indent}  {difference}");
    }
    text
}

fn differences(expected: &LabelSet, found: &Sample) -> Vec<String> {
    let mut differences = Vec::new();
    for (name, value) in expected.iter() {
        match found.labels.get(name) {
            Some(other) if other == value => {}
            Some(other) => differences.push(format!("{name}: expected {value:?}, found {other:?}")),
            None => differences.push(format!("{name}: expected {value:?}, found no such label")),
        }
    }
    for (name, value) in found.labels.iter() {
        if expected.get(name).is_none() {
            differences.push(format!("{name}: expected no such label, found {value:?}"));
        }
    }
    differences
}

/// Counts the characters to insert, remove or replace to make `b` of `a`.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (a, b, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
            ("jobs", "jobs_total", 6),
        ] {
            assert_eq!(edits(a, b), expected, "{a} {b}");
            assert_eq!(edits(b, a), expected, "{b} {a}");
        }
    }
}
