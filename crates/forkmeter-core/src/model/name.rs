//! Which metric and label names are valid.
//!
//! Called by everything that lets a name in. The naming scheme is an argument: there is no global setting.

use std::fmt;

use super::{LabelSet, MetricType};

/// How many characters the names and values of an exemplar's labels may have together.
///
/// # Sources
///
/// OpenMetrics 1.0, section "Exemplars".
pub const EXEMPLAR_MAX_CHARACTERS: usize = 128;

/// Names the rules for metric and label names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NameScheme {
    /// ASCII letters, digits (not first) and `_`; metric names also `:`.
    Legacy,
    /// Any text that is not empty.
    #[default]
    Utf8,
}

/// Tells whether `name` can be written as a metric name without quotes.
pub fn is_legacy_metric_name(name: &str) -> bool {
    first_outside_legacy(name, true).is_none() && !name.is_empty()
}

/// Tells whether `name` can be written as a label name without quotes.
///
/// Names starting with `__` are among them, though [`validate_label_name`] refuses those.
pub fn is_legacy_label_name(name: &str) -> bool {
    first_outside_legacy(name, false).is_none() && !name.is_empty()
}

fn first_outside_legacy(name: &str, colon: bool) -> Option<(usize, char)> {
    let is_outside = |&(index, byte): &(usize, u8)| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'_' => false,
        b'0'..=b'9' => index == 0,
        b':' => !colon,
        _ => true,
    };
    // Bytes before the first hit are ASCII, so the hit is on a character boundary.
    let (index, _) = name.bytes().enumerate().find(is_outside)?;
    Some((index, name[index..].chars().next()?))
}

/// Checks a metric name.
///
/// # Errors
///
/// Fails on an empty name, and under [`NameScheme::Legacy`] on a character outside the legacy set.
///
/// # Examples
///
/// ```
/// use forkmeter_core::model::{NameScheme, validate_metric_name};
///
/// assert!(validate_metric_name("http.requests", NameScheme::Utf8).is_ok());
/// let error = validate_metric_name("http.requests", NameScheme::Legacy).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "invalid metric name \"http.requests\": '.' at byte 4 is not a letter, a digit, '_' or ':'",
/// );
/// ```
pub fn validate_metric_name(name: &str, scheme: NameScheme) -> Result<(), NameError> {
    validate(name, scheme, NameSubject::Metric)
}

/// Checks a label name that a user chose.
///
/// # Errors
///
/// Fails as [`validate_metric_name`] does (`:` is not allowed here), and on a name that starts with `__`.
pub fn validate_label_name(name: &str, scheme: NameScheme) -> Result<(), NameError> {
    validate(name, scheme, NameSubject::Label)?;
    if name.starts_with("__") {
        return Err(NameError::label(name, NameErrorKind::ReservedPrefix));
    }
    Ok(())
}

fn validate(name: &str, scheme: NameScheme, subject: NameSubject) -> Result<(), NameError> {
    let kind = if name.is_empty() {
        NameErrorKind::Empty
    } else if scheme == NameScheme::Utf8 {
        return Ok(());
    } else if let Some((index, character)) =
        first_outside_legacy(name, subject == NameSubject::Metric)
    {
        NameErrorKind::InvalidCharacter { index, character }
    } else {
        return Ok(());
    };
    Err(NameError {
        subject,
        name: name.into(),
        kind,
    })
}

/// Checks all label names of a family that is about to be declared.
///
/// # Errors
///
/// Fails on a name that [`validate_label_name`] refuses, on a name that the family's type uses itself (`le` of
/// histograms, `quantile` of summaries, the family's own name of state sets), and on a name given twice.
pub fn validate_label_names<'a>(
    label_names: impl IntoIterator<Item = &'a str>,
    family_name: &str,
    kind: MetricType,
    scheme: NameScheme,
) -> Result<(), NameError> {
    let reserved = match kind {
        MetricType::Histogram | MetricType::GaugeHistogram => Some("le"),
        MetricType::Summary => Some("quantile"),
        MetricType::StateSet => Some(family_name),
        _ => None,
    };
    let mut seen = std::collections::HashSet::new();
    for name in label_names {
        validate_label_name(name, scheme)?;
        if reserved == Some(name) {
            return Err(NameError::label(name, NameErrorKind::ReservedForType(kind)));
        }
        if !seen.insert(name) {
            return Err(NameError::label(name, NameErrorKind::Duplicate));
        }
    }
    Ok(())
}

/// Checks the labels of an exemplar.
///
/// # Errors
///
/// Fails on a name that [`validate_label_name`] refuses, and where names and values together have more than
/// [`EXEMPLAR_MAX_CHARACTERS`] characters (code points).
pub fn validate_exemplar_labels(labels: &LabelSet, scheme: NameScheme) -> Result<(), NameError> {
    for (name, _) in labels.iter() {
        validate_label_name(name, scheme)?;
    }
    let characters = exemplar_characters(labels);
    if characters > EXEMPLAR_MAX_CHARACTERS {
        let name = labels.iter().next().map_or("", |(name, _)| name);
        return Err(NameError::label(
            name,
            NameErrorKind::ExemplarTooLong { characters },
        ));
    }
    Ok(())
}

/// Returns how many characters count against [`EXEMPLAR_MAX_CHARACTERS`].
pub(crate) fn exemplar_characters(labels: &LabelSet) -> usize {
    labels
        .iter()
        .map(|(name, value)| name.chars().count() + value.chars().count())
        .sum()
}

/// Reports a name that cannot be used, with the name and the cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    subject: NameSubject,
    name: Box<str>,
    kind: NameErrorKind,
}

/// Says what a name would have named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameSubject {
    /// A metric family or sample.
    Metric,
    /// A label.
    Label,
}

/// Says why a name cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameErrorKind {
    /// The name has no characters.
    Empty,
    /// A character is outside the legacy set.
    InvalidCharacter {
        /// Where it stands, in bytes.
        index: usize,
        /// The character.
        character: char,
    },
    /// The name starts with `__`.
    ReservedPrefix,
    /// Families of this type use the label themselves.
    ReservedForType(MetricType),
    /// The label name is there already.
    Duplicate,
    /// Names and values of an exemplar's labels are too long together; the error's name is the first of them.
    ExemplarTooLong {
        /// How long they are.
        characters: usize,
    },
}

impl NameError {
    fn label(name: &str, kind: NameErrorKind) -> Self {
        Self {
            subject: NameSubject::Label,
            name: name.into(),
            kind,
        }
    }

    /// Returns the cause.
    pub const fn kind(&self) -> NameErrorKind {
        self.kind
    }

    /// Returns what the name would have named.
    pub const fn subject(&self) -> NameSubject {
        self.subject
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, also) = match self.subject {
            NameSubject::Metric => ("metric", ", a digit, '_' or ':'"),
            NameSubject::Label => ("label", ", a digit or '_'"),
        };
        let name = &self.name;
        match self.kind {
            NameErrorKind::Empty => write!(f, "invalid {what} name: it is empty"),
            NameErrorKind::InvalidCharacter {
                index: 0,
                character: digit @ '0'..='9',
            } => {
                write!(
                    f,
                    "invalid {what} name {name:?}: it starts with the digit {digit}"
                )
            }
            NameErrorKind::InvalidCharacter { index, character } => write!(
                f,
                "invalid {what} name {name:?}: {character:?} at byte {index} is not a letter{also}"
            ),
            NameErrorKind::ReservedPrefix => {
                write!(
                    f,
                    "reserved {what} name {name:?}: names starting with \"__\" are internal"
                )
            }
            NameErrorKind::ReservedForType(kind) => {
                write!(f, "reserved {what} name {name:?}: a {kind} uses it itself")
            }
            NameErrorKind::Duplicate => write!(f, "duplicate {what} name {name:?}"),
            NameErrorKind::ExemplarTooLong { characters } => write!(
                f,
                "exemplar labels have {characters} characters, the limit is {EXEMPLAR_MAX_CHARACTERS}"
            ),
        }
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(result: Result<(), NameError>) -> Option<NameErrorKind> {
        result.err().map(|error| error.kind())
    }

    #[test]
    fn legacy_names_are_ascii_words() {
        for name in ["a", "_a", "a_1", ":a:b", "A9"] {
            assert!(is_legacy_metric_name(name), "{name}");
        }
        for name in ["", "1a", "a.b", "a-b", "é", "a\n", "a b", "aé"] {
            assert!(!is_legacy_metric_name(name), "{name}");
            assert!(!is_legacy_label_name(name), "{name}");
        }
        assert!(!is_legacy_label_name("a:b"));
        assert_eq!(
            kind(validate_metric_name("aé", NameScheme::Legacy)),
            Some(NameErrorKind::InvalidCharacter {
                index: 1,
                character: 'é'
            })
        );
        assert_eq!(
            kind(validate_metric_name("", NameScheme::Utf8)),
            Some(NameErrorKind::Empty)
        );
    }

    #[test]
    fn label_names_of_the_type_are_reserved() {
        let check = |names: &[&str], kind| {
            validate_label_names(names.iter().copied(), "state", kind, NameScheme::Utf8)
        };
        let reserved = |kind| Some(NameErrorKind::ReservedForType(kind));
        assert_eq!(
            kind(check(&["le"], MetricType::Histogram)),
            reserved(MetricType::Histogram)
        );
        assert_eq!(
            kind(check(&["quantile"], MetricType::Summary)),
            reserved(MetricType::Summary)
        );
        assert_eq!(
            kind(check(&["state"], MetricType::StateSet)),
            reserved(MetricType::StateSet)
        );
        assert_eq!(
            kind(check(&["le", "quantile", "state"], MetricType::Counter)),
            None
        );
        assert_eq!(
            kind(check(&["a", "b", "a"], MetricType::Counter)),
            Some(NameErrorKind::Duplicate)
        );
        assert_eq!(
            kind(check(&["__a"], MetricType::Counter)),
            Some(NameErrorKind::ReservedPrefix)
        );
    }

    #[test]
    fn exemplar_labels_are_counted_in_characters() {
        let labels = |value: String| LabelSet::from_pairs([("trace_id", value)]);
        let check = |labels| validate_exemplar_labels(&labels, NameScheme::Utf8);
        assert_eq!(check(labels("é".repeat(120))), Ok(()));
        let error = check(labels("é".repeat(121))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "exemplar labels have 129 characters, the limit is 128"
        );
        assert_eq!(
            kind(check(LabelSet::from_pairs([("__x", "1")]))),
            Some(NameErrorKind::ReservedPrefix)
        );
    }
}
