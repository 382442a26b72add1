//! One segment as it was read last: where its entries stand, and what their values are now.

mod extend;
mod places;
mod runs;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) use self::places::Located;
use self::places::Places;
use super::FileState;
use super::keys::{KeyTable, Keys};
use super::name::Role;
use super::source::{Identity, Opened, Refusal, Source, Stamp, read_fully, refusal};
use super::wanted::Names;
use crate::guard::GuardedMap;
use crate::layout::{self, EntryError, HEADER_SIZE, Header, Mark, value_position};

/// How much is read at once, in bytes: enough to make calls rare, little enough to stay in the cache.
const WINDOW_SIZE: usize = 128 << 10;
/// From what size on a map is worth its keep, in bytes.
const MIN_MAPPED_SIZE: u64 = 32 << 10;

/// Holds what is known of one segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) role: Role,
    pub(super) tag: Arc<str>,
    pub(super) mark: Mark,
    pub(super) identity: Identity,
    /// How the last read went.
    pub(super) state: FileState,
    pub(super) cause: String,
    /// The entries in file order, those with a key that is none included.
    pub(super) located: Places,
    /// Their values.
    pub(super) values: Vec<f64>,
    /// Their timestamps; empty where they mean nothing.
    pub(super) timestamps: Vec<f64>,
    /// The merged cells that they go to; the plan writes it.
    pub(super) route: Arc<Vec<u32>>,
    /// Whether the plan counts the segment.
    pub(super) counted: bool,
    /// How many entries are of families that nobody asked for; their keys were not looked at any further.
    pub(super) passed_over: usize,
    /// How many bytes the last read took by calls.
    pub(super) read_bytes: u64,
    map: Option<GuardedMap>,
    /// The stamp of the file when its keys were compared last, or looked through for names.
    compared: Option<Stamp>,
    /// Where the entries that were parsed end.
    parsed: u64,
    bad_keys: usize,
    first_bad_key: String,
}

/// Says how the values of known entries are read again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Access<'a> {
    /// By calls.
    Read,
    /// Through a map of the file.
    Mapped(&'a Opened),
    /// By calls, those that somebody asked for.
    Named(&'a Opened),
}

/// Says how far a segment was read by [`Segment::begin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begun {
    /// How many bytes are in use, where there may be entries.
    used: Option<u64>,
    changed: bool,
}

impl Segment {
    /// Makes a segment that nothing was read of yet.
    pub(super) fn new(role: Role, tag: Arc<str>, identity: Identity) -> Self {
        Self {
            role,
            tag,
            mark: Mark::Official,
            identity,
            state: FileState::Empty,
            cause: String::new(),
            located: Places::default(),
            values: Vec::new(),
            timestamps: Vec::new(),
            route: Arc::default(),
            counted: false,
            passed_over: 0,
            read_bytes: 0,
            map: None,
            compared: None,
            parsed: HEADER_SIZE as u64,
            bad_keys: 0,
            first_bad_key: String::new(),
        }
    }

    /// Reads the header and the values of known entries again.
    ///
    /// `access` says how.
    pub(super) fn begin(
        &mut self,
        source: &impl Source,
        access: Access<'_>,
        keys: &KeyTable,
        window: &mut Vec<u8>,
    ) -> Result<Begun, Refusal> {
        self.read_bytes = 0;
        self.try_begin(source, access, keys, window)
            .map_err(|error| refusal(&error))
    }

    fn try_begin(
        &mut self,
        source: &impl Source,
        access: Access<'_>,
        keys: &KeyTable,
        window: &mut Vec<u8>,
    ) -> io::Result<Begun> {
        let mut bytes = [0; HEADER_SIZE];
        let filled = read_fully(source, &mut bytes, 0)?;
        self.read_bytes += filled as u64;
        let mut header = Header::from_bytes(bytes);
        let used = match self.check_header(header, filled) {
            Ok(used) => used,
            Err((state, cause)) => {
                let had_entries = !self.located.is_empty();
                self.forget();
                (self.state, self.cause) = (state, cause);
                return Ok(Begun {
                    used: None,
                    changed: had_entries,
                });
            }
        };
        if header.mark == Mark::Sealed {
            // The same entries, before and after.
            header.mark = Mark::Shared;
        }
        let known =
            self.is_looked_through(access) && header.mark == self.mark && used >= self.parsed;
        let changed = !known
            || !match access {
                Access::Mapped(opened) if self.parsed >= MIN_MAPPED_SIZE => {
                    self.collect_mapped(opened, keys, window)?
                }
                _ => self.collect(source, keys, window)?,
            };
        if changed {
            self.forget();
            self.mark = header.mark;
        }
        Ok(Begun {
            used: Some(used),
            changed,
        })
    }

    /// Reads the entries that are new. Returns whether the entries are others than before [`Segment::begin`].
    ///
    /// Refuses a file with a key that has no number among `keys`.
    pub(super) fn finish(
        &mut self,
        begun: Begun,
        source: &impl Source,
        keys: &mut impl Keys,
        names: Option<&Names>,
        window: &mut Vec<u8>,
    ) -> Result<bool, Refusal> {
        let Some(used) = begun.used else {
            self.located.clear();
            return Ok(begun.changed);
        };
        let before = self.values.len();
        let error = self
            .extend(source, keys, names, window, used)
            .map_err(|error| refusal(&error))?;
        if self.values.len() < self.located.len() {
            // It has fewer entries than the one that it follows.
            self.located.truncate(self.values.len());
            self.values.shrink_to_fit();
        }
        self.conclude(source, used, error);
        Ok(begun.changed || self.located.len() != before)
    }

    fn check_header(&self, header: Header, filled: usize) -> Result<u64, Refusal> {
        if filled == 0 {
            return Err((FileState::Empty, "no byte in it".into()));
        }
        if filled < HEADER_SIZE {
            return Err((
                FileState::Truncated,
                format!("ends after {filled} bytes, inside its header"),
            ));
        }
        if !self.role.takes(header.mark) {
            let mark = header.mark.to_bytes().escape_ascii().to_string();
            return Err((
                FileState::Foreign,
                format!("not a segment of this kind: marked \"{mark}\""),
            ));
        }
        match u64::try_from(header.used) {
            Ok(0) => Err((FileState::Empty, "no entry in it".into())),
            Ok(used) if used >= HEADER_SIZE as u64 => Ok(used),
            _ => Err((
                FileState::Corrupt,
                format!("says that {} bytes are in use", header.used),
            )),
        }
    }

    fn forget(&mut self) {
        self.located.clear();
        self.values.clear();
        self.timestamps.clear();
        self.passed_over = 0;
        self.parsed = HEADER_SIZE as u64;
        self.bad_keys = 0;
        self.first_bad_key.clear();
    }

    fn conclude(&mut self, source: &impl Source, used: u64, error: Option<EntryError>) {
        (self.state, self.cause) = match error {
            Some(EntryError::Truncated { offset }) => {
                let size = source.size().unwrap_or(0);
                let cause =
                    format!("ends at byte {size} of {used}, inside the entry at byte {offset}");
                (FileState::Truncated, cause)
            }
            Some(error) => (FileState::Corrupt, error.to_string()),
            None if self.bad_keys > 0 => (FileState::Corrupt, self.first_bad_key.clone()),
            None if self.entries() == 0 => (FileState::Empty, "no entry in it".into()),
            None => (FileState::Ok, String::new()),
        };
    }

    /// Returns how many entries there are whose keys make sense, as far as they were looked at.
    pub(super) fn entries(&self) -> usize {
        self.located.len() + self.passed_over - self.bad_keys
    }

    /// Tells whether the file's worker put another in its place while it was read.
    pub(super) fn was_moved(&self) -> bool {
        let is_moved = |value: &f64| layout::is_moved_gauge(*value);
        matches!(self.mark, Mark::Worker(_) | Mark::States) && self.values.iter().any(is_moved)
    }

    /// Returns the merged cell of the entry whose value stands at an offset.
    pub(super) fn cell_at(&self, value_offset: u64) -> Option<u32> {
        let offset = u32::try_from(value_offset).ok()?;
        let index = self
            .located
            .binary_search_by_key(&offset, |located| located.value_offset)
            .ok()?;
        self.route.get(index).copied()
    }

    /// Tells whether timestamps say anything: in our own segments, and in gauges.
    fn has_timestamps(&self) -> bool {
        self.mark != Mark::Official || matches!(self.role, Role::Gauge(_))
    }

    /// Reads the values of all known entries again. Returns false when the file is no longer the one whose
    /// keys were parsed, which every byte of every key is checked for.
    fn collect(
        &mut self,
        source: &impl Source,
        keys: &KeyTable,
        window: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let has_timestamps = self.has_timestamps();
        let mut index = 0;
        while let Some(first) = self.located.get(index) {
            let first_position = value_position(keys.bytes(first.key).len());
            let start = u64::from(first.value_offset) - first_position as u64;
            let left = usize::try_from(self.parsed - start).unwrap_or(usize::MAX);
            let mut length = left.min(WINDOW_SIZE.max(first_position + 16));
            if self.passed_over > 0 {
                length = runs::length(&self.located[index..], start, length);
            }
            if window.len() < length {
                window.resize(length, 0);
            }
            let bytes = &mut window[..length];
            if read_fully(source, bytes, start)? < length {
                return Ok(false);
            }
            self.read_bytes += length as u64;
            let known = self.located[index..].iter().zip(&mut self.values[index..]);
            let mut seen = 0;
            for (located, value) in known {
                let Ok(at) = usize::try_from(u64::from(located.value_offset) - start) else {
                    break;
                };
                let Some(cell) = bytes.get(at..at + 16) else {
                    break;
                };
                let key = keys.bytes(located.key);
                let position = value_position(key.len());
                let Some((length, rest)) = at
                    .checked_sub(position)
                    .and_then(|from| bytes[from..at].split_first_chunk())
                else {
                    return Ok(false);
                };
                if u32::from_le_bytes(*length) as usize != key.len() || !rest.starts_with(key) {
                    return Ok(false);
                }
                *value = float_at(cell, 0);
                if has_timestamps {
                    self.timestamps[index + seen] = float_at(cell, 8);
                }
                seen += 1;
            }
            index += seen;
        }
        Ok(true)
    }

    /// Reads the values of all known entries again through a map of the file, and otherwise as
    /// [`Segment::collect`] does.
    ///
    /// Where the stamp says that nothing was written by calls since the keys were compared last, they are not
    /// compared again: writers that map the file change values and append, but do not rewrite keys.
    fn collect_mapped(
        &mut self,
        opened: &Opened,
        keys: &KeyTable,
        window: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let compared = self.compared.take();
        let mut map = self
            .map
            .take()
            .filter(|map| map.size_bytes() as u64 >= self.parsed);
        if opened.size < self.parsed {
            map = None;
        } else if map.is_none() {
            let size = opened.size.min(u64::from(u32::MAX / 2));
            map = usize::try_from(size)
                .ok()
                .and_then(|size| GuardedMap::new(&opened.file, size).ok());
        }
        let Some(map) = map else {
            return self.collect(&opened.file, keys, window);
        };
        let collected = if compared.is_some() && compared == opened.stamp {
            self.collect_words(&map)
        } else {
            self.collect(&map, keys, window).ok()
        };
        // Where the map failed, the calls say what is left.
        let Some(same) = collected else {
            return self.collect(&opened.file, keys, window);
        };
        if same {
            self.map = Some(map);
            self.compared = opened.stamp;
        }
        Ok(same)
    }

    /// Reads values and timestamps only. Returns nothing where the file was cut off meanwhile.
    fn collect_words(&mut self, map: &GuardedMap) -> Option<bool> {
        let (located, values, timestamps) = (&self.located, &mut self.values, &mut self.timestamps);
        map.read(|words| {
            let word = |index: usize| {
                // ORDERING: pairs with the stores of writers to one cell each; none is needed between cells.
                words
                    .get(index)
                    .map(|word| f64::from_bits(word.load(Ordering::Relaxed)))
            };
            let cells = located
                .iter()
                .map(|located| located.value_offset as usize / 8);
            for (cell, value) in cells.clone().zip(values) {
                *value = word(cell)?;
            }
            for (cell, timestamp) in cells.zip(timestamps) {
                *timestamp = word(cell + 1)?;
            }
            Some(true)
        })?
    }
}

#[inline]
fn float_at(cell: &[u8], at: usize) -> f64 {
    let bytes = cell.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    f64::from_le_bytes(bytes.expect("invariant: a cell has 16 bytes"))
}
