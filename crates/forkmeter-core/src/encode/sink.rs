//! Sample lines whose starts are kept: copied in blocks into a buffer, the number behind them.

use super::number::{NUMBER_ROOM, write_number};
use super::out::Out;

/// How many bytes are gathered before they are appended to the exposition.
const BUFFER_LEN: usize = 16 * 1024;

/// How many bytes are copied at a time: a fixed number takes no call and no branch for each byte.
const BLOCK_LEN: usize = 32;

/// What follows a kept text, so that its last block can be read in full.
pub(super) const PADDING: [u8; BLOCK_LEN] = [0; BLOCK_LEN];

/// Longer starts of lines are appended without the buffer.
const MAX_BUFFERED_LEN: usize = BUFFER_LEN / 4;

/// Appends sample lines to an exposition.
#[derive(Debug)]
pub(super) struct LineSink<'a, 'o> {
    out: &'a mut Out<'o>,
    buffer: Box<[u8]>,
    len: usize,
}

impl<'a, 'o> LineSink<'a, 'o> {
    pub(super) fn new(out: &'a mut Out<'o>) -> Self {
        Self {
            out,
            buffer: vec![0; BUFFER_LEN].into(),
            len: 0,
        }
    }

    /// Appends `len` bytes of `text` from `at`, which at least [`PADDING`] follows, and the number.
    #[inline]
    pub(super) fn push(&mut self, text: &[u8], at: usize, len: usize, value: f64) {
        if self.len + len + BLOCK_LEN + NUMBER_ROOM > BUFFER_LEN {
            self.flush();
            if len > MAX_BUFFERED_LEN {
                self.out.extend_from_slice(&text[at..at + len]);
                self.push(text, at, 0, value);
                return;
            }
        }
        let (mut from, mut to) = (at, self.len);
        self.len += len;
        while to < self.len {
            self.buffer[to..to + BLOCK_LEN].copy_from_slice(&text[from..from + BLOCK_LEN]);
            from += BLOCK_LEN;
            to += BLOCK_LEN;
        }
        if let Some(room) = self.buffer[self.len..].first_chunk_mut() {
            self.len += write_number(value, room);
        }
    }

    /// Ends the line.
    #[inline]
    pub(super) fn end(&mut self) {
        self.buffer[self.len] = b'\n';
        self.len += 1;
    }

    /// Returns the exposition, for what is not a kept line.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        self.flush();
        self.out
    }

    fn flush(&mut self) {
        self.out.extend_from_slice(&self.buffer[..self.len]);
        self.len = 0;
        self.out.part();
    }
}

impl Drop for LineSink<'_, '_> {
    fn drop(&mut self) {
        self.flush();
    }
}
