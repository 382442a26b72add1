//! Where the text of an exposition goes.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// From which length on a text is handed on.
const PART_LEN: usize = 64 * 1024;

/// Takes a part of a text.
pub(super) type HandOn<'o> = dyn FnMut(&[u8]) + 'o;

/// Is the buffer that an exposition is written to; what stands in it may be handed on part by part.
pub(super) struct Out<'o> {
    buffer: &'o mut Vec<u8>,
    hand_on: Option<&'o mut HandOn<'o>>,
    handed_on: usize,
}

impl fmt::Debug for Out<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Out")
            .field("buffered", &self.buffer.len())
            .field("handed_on", &self.handed_on)
            .finish_non_exhaustive()
    }
}

impl<'o> Out<'o> {
    pub(super) fn new(buffer: &'o mut Vec<u8>, hand_on: Option<&'o mut HandOn<'o>>) -> Self {
        Self {
            buffer,
            hand_on,
            handed_on: 0,
        }
    }

    /// Returns how many bytes there are, those that were handed on included.
    pub(super) fn total_len(&self) -> usize {
        self.handed_on + self.buffer.len()
    }

    /// Makes room for so many bytes, unless they are handed on anyway.
    pub(super) fn reserve_for(&mut self, len: usize) {
        if self.hand_on.is_none() {
            self.buffer.reserve(len);
        }
    }

    /// Hands on what is there, if that is much.
    #[inline]
    pub(super) fn part(&mut self) {
        if self.buffer.len() >= PART_LEN {
            self.rest();
        }
    }

    /// Hands on what is there.
    pub(super) fn rest(&mut self) {
        if let Some(hand_on) = &mut self.hand_on {
            hand_on(self.buffer);
            self.handed_on += self.buffer.len();
            self.buffer.clear();
        }
    }
}

impl Deref for Out<'_> {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        self.buffer
    }
}

impl DerefMut for Out<'_> {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        self.buffer
    }
}
