//! The label values of all series of a table, packed.

/// How many bytes that nobody uses any more are worth the walk that takes them out.
const MIN_WASTE: usize = 4096;

/// Holds label values by the number of their series, in one run of text.
#[derive(Debug)]
pub(super) struct LabelText {
    label_count: usize,
    text: String,
    /// Where the values of a series begin.
    starts: Vec<usize>,
    /// The length of each value; those of one series stand together.
    lengths: Vec<u32>,
    wasted: usize,
}

impl LabelText {
    pub(super) fn new(label_count: usize) -> Self {
        Self {
            label_count,
            text: String::new(),
            starts: Vec::new(),
            lengths: Vec::new(),
            wasted: 0,
        }
    }

    /// Replaces the values of a series. A value above 4 GiB is cut.
    pub(super) fn set(&mut self, id: u32, label_values: &[&str]) {
        let at = id as usize;
        if at < self.starts.len() {
            self.wasted += self.len_of(at);
        } else {
            self.starts.resize(at + 1, 0);
            self.lengths.resize((at + 1) * self.label_count, 0);
        }
        self.drop_waste(at);
        self.starts[at] = self.text.len();
        let lengths = &mut self.lengths[at * self.label_count..][..self.label_count];
        for (length, value) in lengths.iter_mut().zip(label_values) {
            let value = cut(value);
            *length = u32::try_from(value.len()).unwrap_or(u32::MAX);
            push(&mut self.text, value);
        }
    }

    pub(super) fn values(&self, id: u32) -> LabelValues<'_> {
        let at = id as usize;
        LabelValues {
            text: self.text.get(self.starts[at]..).unwrap_or_default(),
            lengths: &self.lengths[at * self.label_count..][..self.label_count],
        }
    }

    pub(super) fn is(&self, id: u32, label_values: &[&str]) -> bool {
        let own = self.values(id);
        own.len() == label_values.len() && own.zip(label_values).all(|(a, b)| a == *b)
    }

    fn len_of(&self, at: usize) -> usize {
        let lengths = &self.lengths[at * self.label_count..][..self.label_count];
        lengths.iter().map(|length| *length as usize).sum()
    }

    /// Takes out what nobody uses once it is the greater part, the values of `emptied` included.
    fn drop_waste(&mut self, emptied: usize) {
        if self.wasted < MIN_WASTE || self.wasted < self.text.len() / 2 {
            return;
        }
        let mut kept = String::with_capacity(self.text.len() - self.wasted);
        for at in (0..self.starts.len()).filter(|at| *at != emptied) {
            let (start, len) = (self.starts[at], self.len_of(at));
            self.starts[at] = kept.len();
            kept.push_str(self.text.get(start..start + len).unwrap_or_default());
        }
        self.text = kept;
        self.wasted = 0;
    }
}

/// Appends with less room to spare than a string takes by itself.
fn push(text: &mut String, value: &str) {
    let missing = (text.len() + value.len()).saturating_sub(text.capacity());
    if missing > 0 {
        text.reserve_exact(value.len() + text.len() / 4);
    }
    text.push_str(value);
}

fn cut(value: &str) -> &str {
    let mut end = value.len().min(u32::MAX as usize);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    &value[..end]
}

/// Yields the label values of one series, in the order of the label names.
#[derive(Clone, Debug)]
pub struct LabelValues<'a> {
    text: &'a str,
    lengths: &'a [u32],
}

impl<'a> Iterator for LabelValues<'a> {
    type Item = &'a str;

    #[inline]
    fn next(&mut self) -> Option<&'a str> {
        let (length, rest) = self.lengths.split_first()?;
        let (value, text) = self.text.split_at_checked(*length as usize)?;
        (self.text, self.lengths) = (text, rest);
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.lengths.len(), Some(self.lengths.len()))
    }
}

impl ExactSizeIterator for LabelValues<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_replaced_for_ever_take_no_more_room() {
        let mut text = LabelText::new(2);
        for id in 0..100 {
            text.set(id, &["kept", &id.to_string()]);
        }
        for round in 0..10_000_u32 {
            text.set(50 + round % 50, &["replaced", &round.to_string()]);
        }
        assert!(text.text.capacity() < 16 * 1024, "{}", text.text.capacity());
        for id in 0..50 {
            assert!(text.is(id, &["kept", &id.to_string()]));
        }
        assert!(text.is(50, &["replaced", "9950"]));
        assert!(!text.is(50, &["replaced"]));
        assert_eq!(text.values(99).collect::<Vec<_>>(), ["replaced", "9999"]);
    }
}
