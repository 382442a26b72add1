//! Segments whose entries stand in the same places.

use std::collections::VecDeque;

use crate::reader::crew;
use crate::reader::segment::Segment;

/// Holds some segments with entries in different places, those that were met last.
#[derive(Default)]
pub(super) struct Recent<'a> {
    segments: VecDeque<&'a Segment>,
}

impl<'a> Recent<'a> {
    /// As many as there may be at once among files that a crew read.
    const MAX: usize = crew::MAX_THREADS;

    /// Returns one whose entries go where those of another segment go: they have the same keys, whose values come together
    /// over all workers.
    pub(super) fn find(&self, segment: &Segment) -> Option<&'a Segment> {
        let of = |segment: &Segment| (segment.role, segment.mark, segment.counted);
        let is_like =
            |known: &&&Segment| segment.located.is(&known.located) && of(known) == of(segment);
        let mut segments = self.segments.iter().filter(|_| segment.role.is_shared());
        segments.find(is_like).copied()
    }

    pub(super) fn add(&mut self, segment: &'a Segment) {
        if self.segments.len() == Self::MAX {
            self.segments.pop_back();
        }
        self.segments.push_front(segment);
    }
}
