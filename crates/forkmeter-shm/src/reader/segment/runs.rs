//! Values that stand apart, because between them are those of families that nobody asked for.

use super::{Access, Located, Segment};

/// How much of no use is read to save a call, in bytes.
const MAX_GAP: u64 = 4 << 10;

/// Returns how many of `limit` bytes from `start` on hold the first of these entries and those that follow closely.
pub(super) fn length(located: &[Located], start: u64, limit: usize) -> usize {
    let mut end = start;
    for (index, next) in located.iter().enumerate() {
        let next_end = u64::from(next.value_offset) + 16;
        let is_near = index == 0 || next_end - end <= MAX_GAP;
        if !is_near || next_end - start > limit as u64 {
            break;
        }
        end = next_end;
    }
    usize::try_from(end - start).unwrap_or(limit)
}

impl Segment {
    /// Tells whether all entries that were passed over are still those of families that nobody asked for; without names
    /// none were.
    ///
    /// Where the stamp says that nothing was written by calls since they were looked through, that is so: writers that
    /// map the file change values and append, but do not rewrite keys.
    pub(super) fn is_looked_through(&mut self, access: Access<'_>) -> bool {
        let Access::Named(opened) = access else {
            return true;
        };
        let before = std::mem::replace(&mut self.compared, opened.stamp);
        before.is_some() && before == opened.stamp
    }
}
