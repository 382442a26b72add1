//! Whole families against a golden text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use forkmeter_core::encode::{Escaping, Format, encode, format_value};
use forkmeter_core::registry::Gather;
use forkmeter_core::{LabelSet, Sample, parse};

use super::gather;
use super::mismatch::{Mismatch, is_same, nearest, series};

/// Stands in a golden text for a value that no test can know, such as a duration.
const ANY: &str = "*";

/// Checks that the families which `golden` names are exposed as it says, and that they have no other series.
///
/// The text has the lines of the text format, which [`text()`](crate::text) prints: samples, and `# HELP` and
/// `# TYPE` where they matter. Order and indentation do not matter, nor does how a number is written; `*` for a value
/// means any. Names outside the legacy character set are written in quotes. Families that the text does not name are
/// not looked at, since in the default registry other parts of a program declare theirs; a `# TYPE` line without
/// samples says that a family has none.
///
/// [`assert_exposition!`](crate::assert_exposition) panics with what this returns.
///
/// # Errors
///
/// With every difference, and for each missing series the nearest one. The text of the error is not stable.
///
/// # Panics
///
/// When a line of `golden` is not of the text format.
#[track_caller]
pub fn check_exposition(from: &(impl Gather + ?Sized), golden: &str) -> Result<(), Mismatch> {
    let expected = match read(golden) {
        Ok(expected) => expected,
        Err((line, text)) => panic!("line {line} of the golden text is no exposition: {text:?}"),
    };
    let mut body = Vec::new();
    let escaping = Escaping::AllowUtf8;
    // What cannot be written as it is are exemplars and timestamps, which are not compared.
    let _ = encode(&gather(from), Format::Text100 { escaping }, &mut body);
    let found = read(&String::from_utf8_lossy(&body)).map_err(|(_, text)| {
        Mismatch::new(format!("what is exposed cannot be read back: {text:?}"))
    })?;
    let named: BTreeSet<usize> = expected
        .names()
        .filter_map(|name| found.families.get(name))
        .copied()
        .collect();
    let mut text = String::new();
    compare_metadata(&expected, &found, &mut text);
    compare_samples(&expected, &found, &mut text);
    for (series_of, family, value) in found.series() {
        if named.contains(&family) && !expected.has(&series_of) {
            let name = series(&series_of.0, &series_of.1);
            let _ = write!(text, "\n  unexpected {name} {}", format_value(value));
        }
    }
    if text.is_empty() {
        return Ok(());
    }
    Err(Mismatch::new(format!(
        "the exposition is not as expected:{text}"
    )))
}

fn compare_metadata(expected: &Text, found: &Text, text: &mut String) {
    for (key, wanted) in &expected.metadata {
        let (word, name) = key;
        match found.metadata.get(key) {
            Some(given) if given == wanted => {}
            Some(given) => {
                let _ = write!(
                    text,
                    "\n  # {word} {name}: expected {wanted:?}, found {given:?}"
                );
            }
            None => {
                let _ = write!(text, "\n  missing    # {word} {name} {wanted}");
            }
        }
    }
}

fn compare_samples(expected: &Text, found: &Text, text: &mut String) {
    for (wanted, is_any) in &expected.samples {
        let name = series(&wanted.name, &wanted.labels);
        let value = if *is_any {
            ANY.into()
        } else {
            format_value(wanted.value)
        };
        let given = found.find(&wanted.name, &wanted.labels);
        match given {
            Some(given) if *is_any || is_same(given.value, wanted.value) => {}
            Some(given) => {
                let given = format_value(given.value);
                let _ = write!(text, "\n  {name}: expected {value}, found {given}");
            }
            None => {
                let all = found.samples.iter().map(|(sample, _)| sample);
                let near = nearest(&wanted.name, &wanted.labels, all, "    ");
                let _ = write!(text, "\n  missing    {name} {value}{near}");
            }
        }
    }
}

type SeriesOf = (String, LabelSet);

/// Is an exposition by lines.
#[derive(Debug, Default)]
struct Text {
    /// `HELP` or `TYPE` and a name, and what is said about it.
    metadata: BTreeMap<(String, String), String>,
    /// Samples, and whether they have any value.
    samples: Vec<(Sample, bool)>,
    /// The number of the family that a sample's name, or one in the metadata, belongs to.
    families: BTreeMap<String, usize>,
}

impl Text {
    fn names(&self) -> impl Iterator<Item = &String> {
        self.families.keys()
    }

    fn find(&self, name: &str, labels: &LabelSet) -> Option<&Sample> {
        let mut samples = self.samples.iter().map(|(sample, _)| sample);
        samples.find(|sample| *sample.name == *name && sample.labels == *labels)
    }

    fn has(&self, (name, labels): &SeriesOf) -> bool {
        self.find(name, labels).is_some()
    }

    /// Yields series, family and value of all samples.
    fn series(&self) -> impl Iterator<Item = (SeriesOf, usize, f64)> {
        self.samples.iter().map(|(sample, _)| {
            let name = sample.name.to_string();
            let family = self.families.get(&name).copied().unwrap_or_default();
            ((name, sample.labels.clone()), family, sample.value)
        })
    }
}

/// Reads a text line by line, or returns number and text of the line that is wrong.
fn read(input: &str) -> Result<Text, (usize, String)> {
    let mut text = Text::default();
    let mut family = 0;
    for (number, line) in (1..).zip(input.lines()) {
        let line = line.trim();
        let wrong = || (number, line.to_string());
        if let Some(comment) = line.strip_prefix('#') {
            let Some((word, rest)) = comment.trim_start().split_once(' ') else {
                continue;
            };
            if !matches!(word, "HELP" | "TYPE") {
                continue;
            }
            let (name, said) = split_name(rest.trim_start());
            let (name, said) = (name.to_string(), said.trim().to_string());
            if !text.families.contains_key(&name) {
                family += 1;
                text.families.insert(name.clone(), family);
            }
            text.metadata.insert((word.to_string(), name), said);
        } else if !line.is_empty() {
            let (line, is_any) = match line.strip_suffix(ANY) {
                Some(rest) => (format!("{rest}0"), true),
                None => (line.to_string(), false),
            };
            let parsed = parse::text(line.as_bytes()).map_err(|_| wrong())?;
            let samples = parsed.into_iter().flat_map(|family| family.samples);
            for sample in samples {
                text.families
                    .entry(sample.name.to_string())
                    .or_insert(family);
                text.samples.push((sample, is_any));
            }
        }
    }
    Ok(text)
}

/// Splits the name, which may be in quotes, from what follows.
fn split_name(rest: &str) -> (&str, &str) {
    if let Some((name, rest)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        return (name, rest);
    }
    rest.split_once(char::is_whitespace).unwrap_or((rest, ""))
}
