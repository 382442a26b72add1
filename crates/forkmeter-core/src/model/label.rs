//! Label sets: what tells the series of one family apart.

use std::sync::Arc;

/// The value of every label of the series in which a family that may have no more series counts what has none.
pub const OVERFLOW_LABEL_VALUE: &str = "__overflow__";

/// Holds the labels of one series, sorted by name, each name once.
///
/// Equality, order and hash are those of the sorted pairs, so two sets that were given in different
/// orders are equal. Cloning copies pointers, not text.
///
/// # Examples
///
/// ```
/// use forkmeter_core::LabelSet;
///
/// let labels = LabelSet::from_pairs([("path", "/"), ("method", "GET")]);
/// assert_eq!(labels.get("method"), Some("GET"));
/// assert_eq!(labels.iter().next(), Some(("method", "GET")));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LabelSet {
    pairs: Option<Arc<[Pair]>>,
}

/// A label name and its value.
type Pair = (Arc<str>, Arc<str>);

impl LabelSet {
    /// Returns the set without labels.
    pub const fn empty() -> Self {
        Self { pairs: None }
    }

    /// Makes a set from pairs in any order; of pairs with the same name the last one stays.
    pub fn from_pairs<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<Arc<str>>,
        V: Into<Arc<str>>,
    {
        let mut sorted: Vec<(Arc<str>, Arc<str>)> = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        // The sort is stable, so the last of equal names is the last of its run.
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        sorted.reverse();
        sorted.dedup_by(|later, kept| later.0 == kept.0);
        sorted.reverse();
        if sorted.is_empty() {
            Self::empty()
        } else {
            Self {
                pairs: Some(sorted.into()),
            }
        }
    }

    fn pairs(&self) -> &[(Arc<str>, Arc<str>)] {
        self.pairs.as_deref().unwrap_or(&[])
    }

    /// Returns the value of the label `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let pairs = self.pairs();
        let index = pairs.binary_search_by(|(n, _)| (**n).cmp(name)).ok()?;
        Some(&pairs[index].1)
    }

    /// Returns the number of labels.
    pub fn len(&self) -> usize {
        self.pairs().len()
    }

    /// Tells whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_none()
    }

    /// Yields name and value, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        self.pairs().iter().map(|(name, value)| (&**name, &**value))
    }

    /// Yields name and value as shared text, by name, for callers that keep them.
    pub fn iter_shared(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Arc<str>)> + Clone {
        self.pairs().iter().map(|(name, value)| (name, value))
    }

    /// Returns this set with one label added or replaced.
    #[must_use]
    pub fn with(&self, name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        let added = std::iter::once((name.into(), value.into()));
        Self::from_pairs(self.pairs().iter().cloned().chain(added))
    }

    /// Returns this set without the label `name`.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        Self::from_pairs(self.pairs().iter().filter(|(n, _)| **n != *name).cloned())
    }
}

impl<N: Into<Arc<str>>, V: Into<Arc<str>>> FromIterator<(N, V)> for LabelSet {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self::from_pairs(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_and_the_last_of_a_name_stays() {
        let a = LabelSet::from_pairs([("b", "1"), ("a", "2"), ("b", "3")]);
        let b = LabelSet::from_pairs([("a", "2"), ("b", "3")]);
        assert_eq!(a, b);
        assert_eq!(a.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
    }

    #[test]
    fn with_and_without_are_inverse() {
        let base = LabelSet::from_pairs([("a", "1")]);
        let more = base.with("le", "+Inf");
        assert_eq!(more.get("le"), Some("+Inf"));
        assert_eq!(more.without("le"), base);
        assert!(base.without("a").is_empty());
        assert_eq!(base.without("a"), LabelSet::empty());
    }
}
