//! What an exemplar's labels may be.

use super::error::{ErrorKind, Result};
use crate::model::LabelSet;

/// The most characters that an exemplar's label names and values may have together.
///
/// # Sources
///
/// OpenMetrics 1.0, section "Exemplars".
pub const MAX_EXEMPLAR_CHARACTERS: usize = 128;

/// Checks the labels of an exemplar.
pub(super) fn check(labels: &LabelSet) -> Result<()> {
    let mut characters = 0;
    for (name, value) in labels.iter() {
        if name.is_empty() || name.starts_with("__") {
            return Err(ErrorKind::InvalidExemplarLabel { label: name.into() }.into());
        }
        characters += name.chars().count() + value.chars().count();
    }
    if characters > MAX_EXEMPLAR_CHARACTERS {
        return Err(ErrorKind::ExemplarTooLong { characters }.into());
    }
    Ok(())
}
