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
const MAGIC: [u8; 8] = *b"FORKMTRX";
const VERSION: u32 = 1;
const LABELS_OFFSET: usize = 32;
const INODE_OFFSET: usize = RECORD_SIZE - 8;
const _: () = assert!(LABELS_OFFSET + MAX_LABELS_SIZE <= INODE_OFFSET);

/// Holds what the header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// How many records there are.
    pub count: u64,
    /// How often a record was given to another slot.
    pub reuses: u64,
}

impl Header {
    /// Returns the header's bytes.
    pub fn to_bytes(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = super::header(MAGIC, VERSION, 1024);
        bytes[16..24].copy_from_slice(&self.count.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.reuses.to_le_bytes());
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    ///
    /// Fails when it is no header of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SideError> {
        check_header(bytes, MAGIC, VERSION, 1024)?;
        let word = |offset| u64_at(bytes, offset).ok_or(SideError::Header);
        Ok(Self {
            count: word(16)?,
            reuses: word(24)?,
        })
    }
}

/// Names a slot: by the inode of the segment, and by where in it the slot's value stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SlotId {
    /// The inode of the segment.
    pub inode: u64,
    /// Where in the segment the value stands.
    pub value_offset: u64,
}

/// Holds one record: an exemplar and the slot that it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The slot.
    pub slot: SlotId,
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
    write_slot(&mut bytes, record.slot);
    bytes[16..24].copy_from_slice(&record.exemplar.value.to_le_bytes());
    bytes[24..32].copy_from_slice(&seconds.to_le_bytes());
    bytes[LABELS_OFFSET..LABELS_OFFSET + length].copy_from_slice(labels.as_bytes());
    let checksum = crc32fast::hash(&bytes[4..]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    Some(bytes)
}

/// Returns the bytes of a record that holds no exemplar: its checksum is the opposite of the right one. It may be
/// used for another slot.
pub fn vacant(slot: SlotId) -> [u8; RECORD_SIZE] {
    let mut bytes = [0; RECORD_SIZE];
    write_slot(&mut bytes, slot);
    let checksum = !crc32fast::hash(&bytes[4..]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Tells whether a record is one that [`vacant`] made.
pub fn is_vacant(bytes: &[u8; RECORD_SIZE]) -> bool {
    *bytes == vacant(slot_of(bytes))
}

fn write_slot(bytes: &mut [u8; RECORD_SIZE], slot: SlotId) {
    bytes[8..16].copy_from_slice(&slot.value_offset.to_le_bytes());
    bytes[INODE_OFFSET..].copy_from_slice(&slot.inode.to_le_bytes());
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
        slot: slot_of(bytes),
        exemplar: Exemplar {
            labels: labels_from_json(&labels)?,
            value: f64::from_bits(u64_at(bytes, 16)?),
            timestamp: (seconds != 0.0).then_some(Timestamp::Seconds(seconds)),
        },
    })
}

/// Reads which slot a record belongs to, also where its checksum does not fit.
pub fn slot_of(bytes: &[u8; RECORD_SIZE]) -> SlotId {
    SlotId {
        inode: u64_at(bytes, INODE_OFFSET).unwrap_or_default(),
        value_offset: u64_at(bytes, 8).unwrap_or_default(),
    }
}
