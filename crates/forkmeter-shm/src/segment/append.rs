//! Appends to a segment: under the directory lock, growing the file where needed, or in memory alone.

use std::io;
use std::sync::atomic::Ordering;

use super::{Found, MAX_GROWTH_BYTES, PAGE, Segment, Wanted, invalid};
use crate::workers::{AppendLock, DirectoryLock};
use crate::{fault, layout, sys};

/// How many bytes of room for entries are kept.
const KEPT_ENTRIES: usize = 16 << 10;
const OUTSIDE: &str = "has an entry outside of its mapping";

impl Segment {
    /// Looks up keys, and appends those that nobody appended yet.
    ///
    /// A new slot starts with what `initial` says for its position in `wanted`; it is asked only once nothing
    /// can fail any more.
    pub(crate) fn find_or_append(
        &mut self,
        _lock: &DirectoryLock<'_>,
        wanted: &[Wanted<'_>],
        initial: &mut dyn FnMut(usize) -> f64,
    ) -> io::Result<Vec<Found>> {
        if self.is_sealed() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let used = self.catch_up()?;
        let mut found: Vec<Option<Found>> = wanted.iter().map(|one| self.find(one)).collect();
        let missing = || {
            (0..)
                .zip(wanted)
                .zip(&found)
                .filter(|(_, found)| found.is_none())
        };
        let size: usize = missing()
            .map(|((_, one), _)| layout::entry_len(one.key.len()))
            .sum();
        if let Some(((_, one), _)) =
            missing().find(|((_, one), _)| one.key.len() > layout::MAX_KEY_SIZE)
        {
            let text = format!("a key of {} bytes is too long", one.key.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        if size > 0 {
            let end = used + size as u64;
            self.grow(end)?;
            let missing: Vec<(usize, &Wanted<'_>)> = missing()
                .map(|((position, one), _)| (position, one))
                .collect();
            let made = self.write(used, missing.iter().copied(), initial)?;
            for ((position, _), made) in missing.iter().zip(made) {
                found[*position] = Some(made);
            }
        }
        found
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| invalid(&self.path, OUTSIDE))
    }

    /// Appends keys of which nobody knows any, in memory alone; nothing where that takes more, and then nothing
    /// happened. `initial` as in [`Segment::find_or_append`].
    pub(crate) fn append_at_once(
        &mut self,
        _lock: &AppendLock<'_>,
        wanted: &[Wanted<'_>],
        initial: &mut dyn FnMut(usize) -> f64,
    ) -> Option<Vec<Found>> {
        fault::point();
        // ORDERING: pairs with the release in `publish`.
        let used = u64::from(self.mapping.word(0)?.load(Ordering::Acquire));
        let is_short = |one: &Wanted<'_>| one.key.len() <= layout::MAX_KEY_SIZE;
        let sizes = wanted.iter().map(|one| layout::entry_len(one.key.len()));
        let end = used + sizes.sum::<usize>() as u64;
        let has_room = end <= self.allocated
            && end < self.limit_bytes
            && end < self.crowded_above
            && self.mapping.covers(end);
        let is_known = used == self.scanned && !self.is_damaged && !self.is_sealed();
        if !has_room || !is_known || !wanted.iter().all(is_short) {
            return None;
        }
        self.write(used, wanted.iter().enumerate(), initial).ok()
    }

    /// Writes entries behind the `used` bytes, for which there is room, publishes them, and returns their slots.
    fn write<'a>(
        &mut self,
        used: u64,
        missing: impl ExactSizeIterator<Item = (usize, &'a Wanted<'a>)> + Clone,
        initial: &mut dyn FnMut(usize) -> f64,
    ) -> io::Result<Vec<Found>> {
        let mut entries = std::mem::take(&mut self.entries);
        for (position, one) in missing.clone() {
            layout::append_entry(&mut entries, one.key, initial(position), one.timestamp);
        }
        let written = self.mapping.write(used, &entries);
        let end = used + entries.len() as u64;
        entries.clear();
        // What one long key took does not stay.
        entries.shrink_to(KEPT_ENTRIES);
        self.entries = entries;
        written?;
        fault::point();
        self.publish(end);
        fault::point();
        self.scanned = end;
        let mut found = Vec::with_capacity(missing.len());
        let mut entry_at = used;
        for (_, one) in missing {
            let value_offset = entry_at + layout::value_position(one.key.len()) as u64;
            self.index.remember(one.hash, value_offset);
            entry_at += layout::entry_len(one.key.len()) as u64;
            let slot = self.found(value_offset, true);
            found.push(slot.ok_or_else(|| invalid(&self.path, OUTSIDE))?);
        }
        Ok(found)
    }

    fn publish(&self, end: u64) {
        let word = self
            .mapping
            .word(0)
            .expect("invariant: the header is mapped");
        let end = u32::try_from(end).expect("invariant: `grow` bounds the size");
        // ORDERING: pairs with the acquire of other writers; readers in other processes use system calls,
        // which see memory in this order too.
        word.store(end, Ordering::Release);
    }

    /// Makes room up to `end`, twice as much as there was if possible.
    fn grow(&mut self, end: u64) -> io::Result<()> {
        if end >= self.limit_bytes {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if end > self.allocated {
            let needed = end.next_multiple_of(PAGE);
            let growth = self.allocated.clamp(PAGE, MAX_GROWTH_BYTES);
            let generous = (self.allocated + growth).next_multiple_of(PAGE).max(needed);
            let generous = generous.min(self.limit_bytes.next_multiple_of(PAGE));
            let allocate = |to| sys::allocate(&self.file, self.allocated, to).map(|()| to);
            self.allocated = allocate(generous).or_else(|_| allocate(needed))?;
        }
        self.mapping.cover(&self.file, end)
    }
}
