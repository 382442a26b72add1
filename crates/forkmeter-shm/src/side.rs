//! The records of the side files, `docs/format.md` sections 3, 5 and 6: bytes in, structs out, and back.
//!
//! The writer appends what these functions encode; the reader decodes it from hostile bytes. Nothing here
//! touches a file.

pub mod exemplars;
pub mod fold;
pub mod meta;
pub mod published;

use std::fmt;

use forkmeter_core::LabelSet;
use serde_json::{Map, Value};

/// The size of every side file's header in bytes.
pub const HEADER_SIZE: usize = 64;

/// Says why bytes of a side file make no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SideError {
    /// The file does not begin with the magic and the version that this reader knows.
    Header,
    /// The record at this offset runs over the end of what is there.
    Truncated {
        /// Where the record starts.
        offset: usize,
    },
    /// The checksum of the record at this offset does not fit.
    Checksum {
        /// Where the record starts.
        offset: usize,
    },
    /// A JSON document misses something or holds something of the wrong kind.
    Document {
        /// Which part of it.
        field: &'static str,
    },
}

impl fmt::Display for SideError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("unknown magic or version"),
            Self::Truncated { offset } => write!(f, "record at byte {offset} is cut off"),
            Self::Checksum { offset } => write!(f, "record at byte {offset} has a wrong checksum"),
            Self::Document { field } => write!(f, "document has no usable {field:?}"),
        }
    }
}

impl std::error::Error for SideError {}

/// Writes the head that all side files share: magic, version and one more word; the rest is zeros.
fn header(magic: [u8; 8], version: u32, word: u32) -> [u8; HEADER_SIZE] {
    let mut bytes = [0; HEADER_SIZE];
    bytes[..8].copy_from_slice(&magic);
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    bytes[12..16].copy_from_slice(&word.to_le_bytes());
    bytes
}

fn check_header(bytes: &[u8], magic: [u8; 8], version: u32, word: u32) -> Result<(), SideError> {
    let expected = header(magic, version, word);
    if bytes.len() >= HEADER_SIZE && bytes.starts_with(&expected[..16]) {
        return Ok(());
    }
    Err(SideError::Header)
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(
        bytes.get(offset..offset + 8)?.try_into().ok()?,
    ))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(
        bytes.get(offset..offset + 4)?.try_into().ok()?,
    ))
}

fn labels_to_json(labels: &LabelSet) -> Value {
    let pairs = labels
        .iter()
        .map(|(name, value)| (name.to_owned(), Value::from(value)));
    Value::Object(pairs.collect::<Map<_, _>>())
}

fn labels_from_json(value: &Value) -> Option<LabelSet> {
    let pairs = value
        .as_object()?
        .iter()
        .map(|(name, value)| Some((name.as_str(), value.as_str()?)));
    pairs.collect::<Option<Vec<_>>>().map(LabelSet::from_pairs)
}
