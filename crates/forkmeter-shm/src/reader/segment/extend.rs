//! Parses the entries that are new.

use std::io;
use std::sync::Arc;

use super::places::{Located, Places};
use super::{Segment, WINDOW_SIZE};
use crate::layout::{Entry, EntryError, Step, step};
use crate::reader::keys::{Class, Keys, NO_SLOT};
use crate::reader::name::Role;
use crate::reader::source::{Source, read_fully};
use crate::reader::wanted::Names;

/// After how many keys that are none the rest of a segment is taken for garbage.
const MAX_BAD_KEYS: usize = 64;

impl Segment {
    /// Expects the entries of another segment of the same role, whose keys were all good: where this one has the same, its
    /// places are the other's. For a segment between [`Segment::begin`] and [`Segment::finish`] of which nothing is known.
    pub(in crate::reader) fn follow(&mut self, places: Arc<[Located]>) {
        self.values.reserve_exact(places.len());
        self.located = Places::Shared(places);
    }

    /// Returns the places that another segment may follow, if all its keys are good.
    pub(in crate::reader) fn lead(&mut self) -> Option<Arc<[Located]>> {
        (self.bad_keys == 0).then(|| self.located.share())
    }

    /// Parses the entries that follow the known ones. Returns why they end before `used` does.
    pub(super) fn extend(
        &mut self,
        source: &impl Source,
        keys: &mut impl Keys,
        names: Option<&Names>,
        window: &mut Vec<u8>,
        used: u64,
    ) -> io::Result<Option<EntryError>> {
        let mut wanted = WINDOW_SIZE;
        while self.parsed < used && self.bad_keys < MAX_BAD_KEYS {
            let length = wanted.min(usize::try_from(used - self.parsed).unwrap_or(usize::MAX));
            if window.len() < length {
                window.resize(length, 0);
            }
            let filled = read_fully(source, &mut window[..length], self.parsed)?;
            self.read_bytes += filled as u64;
            let mut rest = &window[..filled];
            loop {
                match step(rest, self.parsed, used) {
                    Ok(Step::Entry(entry, size)) => {
                        if names.is_none_or(|names| names.may_be_key(entry.key)) {
                            self.push(keys, &entry)?;
                        } else {
                            self.passed_over += 1;
                        }
                        self.parsed += size as u64;
                        rest = &rest[size..];
                        if self.bad_keys >= MAX_BAD_KEYS {
                            return Ok(None);
                        }
                    }
                    Ok(Step::End) => return Ok(None),
                    Ok(Step::More(_)) if filled < length => {
                        return Ok(Some(EntryError::Truncated {
                            offset: self.parsed,
                        }));
                    }
                    Ok(Step::More(needed)) => break wanted = WINDOW_SIZE.max(needed),
                    Err(error) => return Ok(Some(error)),
                }
            }
        }
        Ok(None)
    }

    fn push(&mut self, keys: &mut impl Keys, entry: &Entry<'_>) -> io::Result<()> {
        let value_offset =
            u32::try_from(entry.value_offset).expect("invariant: offsets are below an int32");
        let is_expected = |expected: &Located| {
            expected.value_offset == value_offset && keys.table().bytes(expected.key) == entry.key
        };
        let at = self.values.len();
        if !self.located.get(at).is_some_and(is_expected) {
            self.located.truncate(at);
            self.push_place(keys, entry.key, value_offset)?;
        }
        self.values.push(entry.value);
        if self.has_timestamps() {
            self.timestamps.push(entry.timestamp);
        }
        Ok(())
    }

    fn push_place(
        &mut self,
        keys: &mut impl Keys,
        key: &[u8],
        value_offset: u32,
    ) -> io::Result<()> {
        let class = match self.role {
            Role::Histogram => Class::Histogram,
            _ => Class::Plain,
        };
        let previous = self.located.last().map(|located| located.key);
        let key = keys.number(previous, key, class);
        let key = key.ok_or_else(|| io::Error::other("it has a key that is new"))?;
        let keys = keys.table();
        if keys.slot_id(key) == NO_SLOT {
            if self.bad_keys == 0 {
                let reason = keys.problem(key);
                self.first_bad_key =
                    format!("entry with its value at byte {value_offset}: {reason}");
            }
            self.bad_keys += 1;
        }
        self.located.own().push(Located { value_offset, key });
        Ok(())
    }
}
