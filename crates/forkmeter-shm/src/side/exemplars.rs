//! `forkmeter.exemplars`: the last exemplar of each slot that has one, in records of a fixed size.

#[cfg(test)]
mod tests;

use forkmeter_core::{Exemplar, Timestamp};
use serde_json::Value;

use super::{HEADER_SIZE, SideError, check_header, labels_from_json, labels_to_json, u64_at};

/// The size of a record in bytes.
pub const RECORD_SIZE: usize = 1024;
/// The longest JSON text of an exemplar's labels, in bytes.
pub const MAX_LABELS_SIZE: usize = 984;
/// Where in the header the number of records stands.
pub const COUNT_OFFSET: usize = 16;
/// Where in the header the counter segment's inode stands; the histogram segment's follows 8 bytes later.
pub const INODES_OFFSET: usize = 24;

const MAGIC: [u8; 8] = *b"FORKMTRX";
const VERSION: u32 = 1;
const LABELS_OFFSET: usize = 32;

/// Names the segment that a record's offset belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// `counter_shared.db`.
    Counter,
    /// `histogram_shared.db`.
    Histogram,
}

impl Segment {
    const fn number(self) -> u16 {
        match self {
            Self::Counter => 0,
            Self::Histogram => 1,
        }
    }

    const fn from_number(number: u16) -> Option<Self> {
        match number {
            0 => Some(Self::Counter),
            1 => Some(Self::Histogram),
            _ => None,
        }
    }
}

/// Holds what the header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// How many records count.
    pub count: u64,
    /// The inode of the counter segment that offsets belong to; 0 where there is none yet.
    pub counter_inode: u64,
    /// The inode of the histogram segment that offsets belong to; 0 where there is none yet.
    pub histogram_inode: u64,
}

impl Header {
    /// Returns the header's bytes.
    pub fn to_bytes(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = super::header(MAGIC, VERSION, 1024);
        for (index, word) in [self.count, self.counter_inode, self.histogram_inode]
            .iter()
            .enumerate()
        {
            let at = COUNT_OFFSET + 8 * index;
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    ///
    /// Fails when it is no header of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SideError> {
        check_header(bytes, MAGIC, VERSION, 1024)?;
        let word = |index: usize| u64_at(bytes, COUNT_OFFSET + 8 * index).ok_or(SideError::Header);
        Ok(Self {
            count: word(0)?,
            counter_inode: word(1)?,
            histogram_inode: word(2)?,
        })
    }
}

/// Holds one record: an exemplar and the slot that it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The segment that holds the slot.
    pub segment: Segment,
    /// Where in that segment the slot's value stands.
    pub value_offset: u64,
    /// The exemplar.
    pub exemplar: Exemplar,
}

/// Returns the bytes of a record, or nothing when the labels are too long for one.
///
/// A missing time is written as 0.
pub fn encode(record: &Record) -> Option<[u8; RECORD_SIZE]> {
    let labels = labels_to_json(&record.exemplar.labels).to_string();
    let length = Some(labels.len()).filter(|length| *length <= MAX_LABELS_SIZE)?;
    let seconds = record.exemplar.timestamp.map_or(0.0, Timestamp::as_seconds);
    let mut bytes = [0; RECORD_SIZE];
    bytes[4..6].copy_from_slice(&u16::try_from(length).ok()?.to_le_bytes());
    bytes[6..8].copy_from_slice(&record.segment.number().to_le_bytes());
    bytes[8..16].copy_from_slice(&record.value_offset.to_le_bytes());
    bytes[16..24].copy_from_slice(&record.exemplar.value.to_le_bytes());
    bytes[24..32].copy_from_slice(&seconds.to_le_bytes());
    bytes[LABELS_OFFSET..LABELS_OFFSET + length].copy_from_slice(labels.as_bytes());
    let checksum = crc32fast::hash(&bytes[4..]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    Some(bytes)
}

/// Returns the bytes of a slot's record that holds no exemplar: its checksum does not fit.
pub fn vacant(segment: Segment, value_offset: u64) -> [u8; RECORD_SIZE] {
    let mut bytes = [0; RECORD_SIZE];
    bytes[6..8].copy_from_slice(&segment.number().to_le_bytes());
    bytes[8..16].copy_from_slice(&value_offset.to_le_bytes());
    let checksum = !crc32fast::hash(&bytes[4..]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Reads a record; nothing where the checksum or the content does not fit, as while it is being written.
pub fn decode(bytes: &[u8; RECORD_SIZE]) -> Option<Record> {
    let (checksum, rest) = bytes.split_first_chunk::<4>()?;
    if crc32fast::hash(rest) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let half = |offset: usize| {
        Some(u16::from_le_bytes(
            bytes.get(offset..offset + 2)?.try_into().ok()?,
        ))
    };
    let length = usize::from(half(4)?);
    let labels: Value =
        serde_json::from_slice(bytes.get(LABELS_OFFSET..LABELS_OFFSET + length)?).ok()?;
    let seconds = f64::from_bits(u64_at(bytes, 24)?);
    Some(Record {
        segment: Segment::from_number(half(6)?)?,
        value_offset: u64_at(bytes, 8)?,
        exemplar: Exemplar {
            labels: labels_from_json(&labels)?,
            value: f64::from_bits(u64_at(bytes, 16)?),
            timestamp: (seconds != 0.0).then_some(Timestamp::Seconds(seconds)),
        },
    })
}

/// Reads which slot a record belongs to, also where its checksum does not fit.
pub fn slot_of(bytes: &[u8; RECORD_SIZE]) -> Option<(Segment, u64)> {
    let number = u16::from_le_bytes([bytes[6], bytes[7]]);
    Some((Segment::from_number(number)?, u64_at(bytes, 8)?))
}
