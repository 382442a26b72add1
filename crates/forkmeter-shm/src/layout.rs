//! The segment layout of `docs/format.md` section 1: constants and pure functions over bytes.
//!
//! Writers and the reader both call it; it knows nothing of files, mappings or keys' content.

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

/// The size of a segment's header in bytes: int32 `used` and the mark.
pub const HEADER_SIZE: usize = 8;
/// Where in a segment the mark stands.
pub const MARK_OFFSET: usize = 4;
/// What an entry has beside its padded key: the int32 length before it, value and timestamp after it.
pub const ENTRY_OVERHEAD: usize = 4 + 16;
/// The longest key that is believed, in bytes. Longer ones are taken for damage.
pub const MAX_KEY_SIZE: usize = 1 << 20;
/// What every segment's name ends with.
pub const SEGMENT_SUFFIX: &str = ".db";

/// The name of the file that says who is alive and holds the directory lock.
pub const WORKERS_FILE: &str = "forkmeter.workers";
/// The name of the file of descriptors and infos.
pub const META_FILE: &str = "forkmeter.meta";
/// The name of the segment of state sets.
pub const STATES_FILE: &str = "forkmeter.states";
/// The name of the file of exemplars.
pub const EXEMPLARS_FILE: &str = "forkmeter.exemplars";
/// The name of the journal of an unfinished retirement.
pub const FOLD_FILE: &str = "forkmeter.fold";
/// The name of the file that is there while left-over files are being folded, and after that was interrupted.
pub const GC_FILE: &str = "forkmeter.gc";
/// What stands behind the name of a left-over file that was taken from its place to be folded.
pub const TAKEN_SUFFIX: &str = ".left";
/// What the names of the files begin with in which workers publish what only they can compute.
pub const PUBLISHED_PREFIX: &str = "forkmeter.published.";
/// What the names of all side files begin with.
pub const SIDE_FILE_PREFIX: &str = "forkmeter.";

/// Returns the `number`-th name that a left-over file may have once it was taken from its place.
pub fn taken_name(segment: &str, number: u32) -> String {
    match number {
        0 => format!("{segment}{TAKEN_SUFFIX}"),
        number => format!("{segment}{TAKEN_SUFFIX}-{number}"),
    }
}

/// Returns the name that a left-over file had before it was taken; nothing for other names.
pub fn name_before_taken(name: &str) -> Option<&str> {
    let (segment, number) = name.rsplit_once(TAKEN_SUFFIX)?;
    let is_number = match number.strip_prefix('-') {
        None => number.is_empty(),
        Some(digits) => digits
            .parse::<u32>()
            .is_ok_and(|n| n > 0 && n.to_string() == digits),
    };
    (is_number && segment.ends_with(SEGMENT_SUFFIX)).then_some(segment)
}

/// The bits of a gauge value that stand for "removed": a quiet NaN with a payload of our own, which no
/// computation makes. Other clients see a NaN.
pub const REMOVED_GAUGE_BITS: u64 = 0x7FF8_464D_5244_0001;

/// Tells whether a gauge was removed and not set since.
pub const fn is_removed_gauge(value: f64) -> bool {
    value.to_bits() == REMOVED_GAUGE_BITS
}

/// The bits of a gauge value that its worker moved to a new file: as [`REMOVED_GAUGE_BITS`], and whoever meets it
/// looks for the new file. Other clients see a NaN.
pub const MOVED_GAUGE_BITS: u64 = 0x7FF8_464D_4D56_0001;

/// Tells whether a gauge was moved to a new file.
pub const fn is_moved_gauge(value: f64) -> bool {
    value.to_bits() == MOVED_GAUGE_BITS
}

/// Tells whether a series was removed from shared slots and counted on by nobody since.
pub fn is_removed_slot(value: f64, timestamp: f64) -> bool {
    timestamp.is_sign_negative() && value == 0.0
}

/// Says who wrote a segment and what its slots mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// Written by the official client: one file per process.
    Official,
    /// One slot per series for all workers.
    Shared,
    /// As [`Mark::Shared`], and nothing is appended any more: its workers move on to another segment.
    Sealed,
    /// The gauges of the worker with this record number.
    Worker(u16),
    /// What dead workers' gauges, or sealed segments, came to.
    Retired,
    /// State sets.
    States,
    /// Anything else, a later version of ours included.
    Foreign([u8; 4]),
}

impl Mark {
    /// Reads the four bytes at [`MARK_OFFSET`].
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        match bytes {
            [0, 0, 0, 0] => Self::Official,
            [b'F', b'S', 0, 1] => Self::Shared,
            [b'F', b'S', 1, 1] => Self::Sealed,
            [b'F', b'G', low, high] => Self::Worker(u16::from_le_bytes([low, high])),
            [b'F', b'R', 0, 1] => Self::Retired,
            [b'F', b'T', 0, 1] => Self::States,
            _ => Self::Foreign(bytes),
        }
    }

    /// Returns the four bytes that stand at [`MARK_OFFSET`].
    pub const fn to_bytes(self) -> [u8; 4] {
        match self {
            Self::Official => [0; 4],
            Self::Shared => [b'F', b'S', 0, 1],
            Self::Sealed => [b'F', b'S', 1, 1],
            Self::Worker(record) => {
                let [low, high] = record.to_le_bytes();
                [b'F', b'G', low, high]
            }
            Self::Retired => [b'F', b'R', 0, 1],
            Self::States => [b'F', b'T', 0, 1],
            Self::Foreign(bytes) => bytes,
        }
    }
}

/// Holds a segment's first eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How many bytes of the segment count, this header included; 0 where nothing was written yet.
    pub used: i32,
    /// Who wrote it.
    pub mark: Mark,
}

impl Header {
    /// Reads a header.
    pub const fn from_bytes(bytes: [u8; HEADER_SIZE]) -> Self {
        let [a, b, c, d, mark @ ..] = bytes;
        Self {
            used: i32::from_le_bytes([a, b, c, d]),
            mark: Mark::from_bytes(mark),
        }
    }

    /// Returns the header's bytes.
    pub fn to_bytes(self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        let (used, mark) = bytes.split_at_mut(MARK_OFFSET);
        used.copy_from_slice(&self.used.to_le_bytes());
        mark.copy_from_slice(&self.mark.to_bytes());
        bytes
    }
}

/// Returns how many bytes a key of `key_len` bytes takes with its padding: 1 to 8 spaces, so that what follows
/// the length word and the key stands on a multiple of 8.
pub const fn padded_len(key_len: usize) -> usize {
    key_len + 8 - (key_len + 4) % 8
}

/// Returns how many bytes the entry of a key of `key_len` bytes takes; a multiple of 8.
pub const fn entry_len(key_len: usize) -> usize {
    padded_len(key_len) + ENTRY_OVERHEAD
}

/// Returns where an entry's value stands, counted from the entry's start; the timestamp follows 8 bytes later.
pub const fn value_position(key_len: usize) -> usize {
    4 + padded_len(key_len)
}

/// Appends one entry to `out`, which must end on a multiple of 8 of the segment.
///
/// # Panics
///
/// Panics when the key is longer than [`MAX_KEY_SIZE`].
pub fn append_entry(out: &mut Vec<u8>, key: &[u8], value: f64, timestamp: f64) {
    assert!(
        key.len() <= MAX_KEY_SIZE,
        "a key of {} bytes is too long",
        key.len()
    );
    let length = i32::try_from(key.len()).expect("invariant: the key was just bounded");
    out.reserve(entry_len(key.len()));
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(key);
    let padding = padded_len(key.len()) - key.len();
    out.extend_from_slice(&[b' '; 8][..padding]);
    out.extend_from_slice(&value.to_le_bytes());
    out.extend_from_slice(&timestamp.to_le_bytes());
}

/// Shows one entry of a segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry<'a> {
    /// The key without padding.
    pub key: &'a [u8],
    /// Where the value stands in the segment; the timestamp follows 8 bytes later.
    pub value_offset: u64,
    /// The value.
    pub value: f64,
    /// The timestamp.
    pub timestamp: f64,
}

/// Says why a segment's entries end before its `used` bytes do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryError {
    /// The file ends inside the entry at this offset, though `used` covers it.
    Truncated {
        /// Where the entry starts.
        offset: u64,
    },
    /// The entry at this offset has a length that cannot be.
    Length {
        /// Where the entry starts.
        offset: u64,
        /// The length it gives for its key.
        length: i32,
    },
    /// The entry at this offset does not end within `used`.
    Overrun {
        /// Where the entry starts.
        offset: u64,
        /// The `used` of the header.
        used: u64,
    },
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { offset } => write!(f, "file ends inside the entry at byte {offset}"),
            Self::Length { offset, length } => {
                write!(
                    f,
                    "entry at byte {offset} has an impossible key length of {length}"
                )
            }
            Self::Overrun { offset, used } => {
                write!(
                    f,
                    "entry at byte {offset} runs over the {used} bytes in use"
                )
            }
        }
    }
}

impl std::error::Error for EntryError {}

/// What stands at one place of a window of a segment.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<'a> {
    /// An entry, and how many bytes it takes.
    Entry(Entry<'a>, usize),
    /// The window ends inside the entry; this many bytes from its start show all of it or tell more.
    More(usize),
    /// The end of the used bytes.
    End,
}

/// Looks at the entry that starts at `offset` of a segment with `used` bytes in use; `window` begins there.
///
/// # Errors
///
/// Fails with [`EntryError::Length`] or [`EntryError::Overrun`] when no entry can stand there.
pub fn step(window: &[u8], offset: u64, used: u64) -> Result<Step<'_>, EntryError> {
    if offset >= used {
        return Ok(Step::End);
    }
    let Some(length) = array_at::<4>(window, 0..4) else {
        return if used - offset < 4 {
            Err(EntryError::Overrun { offset, used })
        } else {
            Ok(Step::More(4))
        };
    };
    let length = i32::from_le_bytes(length);
    let impossible = EntryError::Length { offset, length };
    let key_len = usize::try_from(length).map_err(|_| impossible)?;
    if key_len > MAX_KEY_SIZE {
        return Err(impossible);
    }
    let len = entry_len(key_len);
    if used - offset < len as u64 {
        return Err(EntryError::Overrun { offset, used });
    }
    let position = value_position(key_len);
    let (Some(key), Some(value), Some(timestamp)) = (
        window.get(4..4 + key_len),
        array_at::<8>(window, position..position + 8),
        array_at::<8>(window, position + 8..position + 16),
    ) else {
        return Ok(Step::More(len));
    };
    let entry = Entry {
        key,
        value_offset: offset + position as u64,
        value: f64::from_le_bytes(value),
        timestamp: f64::from_le_bytes(timestamp),
    };
    Ok(Step::Entry(entry, len))
}

fn array_at<const N: usize>(bytes: &[u8], range: Range<usize>) -> Option<[u8; N]> {
    bytes.get(range)?.try_into().ok()
}

/// Yields the entries of a segment that is whole in memory, and the error that ends them early, once.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    bytes: &'a [u8],
    offset: usize,
    used: u64,
}

impl<'a> Entries<'a> {
    /// Yields the entries of `segment`, whose first bytes are the header. Its mark is not looked at.
    pub fn of_segment(segment: &'a [u8]) -> Self {
        let used = array_at::<4>(segment, 0..4).map_or(0, i32::from_le_bytes);
        Self {
            bytes: segment,
            offset: HEADER_SIZE,
            used: u64::try_from(used).unwrap_or(0),
        }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, EntryError>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.offset as u64;
        let window = self.bytes.get(self.offset..).unwrap_or(&[]);
        let error = match step(window, offset, self.used) {
            Ok(Step::Entry(entry, len)) => {
                self.offset += len;
                return Some(Ok(entry));
            }
            Ok(Step::End) => return None,
            Ok(Step::More(_)) => EntryError::Truncated { offset },
            Err(error) => error,
        };
        self.used = 0;
        Some(Err(error))
    }
}
