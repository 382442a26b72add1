//! `forkmeter.meta`: descriptors and infos, appended record by record.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use forkmeter_core::{Descriptor, LabelSet, MetricType};
use serde_json::{Value, json};

use super::{
    HEADER_SIZE, SideError, check_header, labels_from_json, labels_to_json, u32_at, u64_at,
};

/// Where in the header the committed length stands.
pub const COMMITTED_OFFSET: usize = 16;

const MAGIC: [u8; 8] = *b"FORKMTRM";
const VERSION: u32 = 1;
const FRAME_SIZE: usize = 16;
const KIND_DESCRIPTOR: u32 = 1;
const KIND_INFO: u32 = 2;

/// Holds the facts of one series of an info family at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct InfoRecord {
    /// The family's name.
    pub family: Arc<str>,
    /// The labels of the series.
    pub labels: LabelSet,
    /// The facts; nothing where the series was removed.
    pub info: Option<LabelSet>,
    /// When it was set, as Unix time in seconds.
    pub time_seconds: f64,
}

/// Holds one record.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A declared family.
    Descriptor(Box<Descriptor>),
    /// The facts of an info series.
    Info(InfoRecord),
    /// A kind that this version does not know.
    Unknown(u32),
}

/// Returns the header of a file that holds `committed` bytes, header included.
pub fn header(committed: u64) -> [u8; HEADER_SIZE] {
    let mut bytes = super::header(MAGIC, VERSION, 0);
    bytes[COMMITTED_OFFSET..COMMITTED_OFFSET + 8].copy_from_slice(&committed.to_le_bytes());
    bytes
}

/// Reads from a header how many bytes of the file count, header included.
///
/// # Errors
///
/// Fails when it is no header of this version.
pub fn committed_len(bytes: &[u8]) -> Result<u64, SideError> {
    check_header(bytes, MAGIC, VERSION, 0)?;
    u64_at(bytes, COMMITTED_OFFSET).ok_or(SideError::Header)
}

/// Appends the record of a declared family to `out`.
pub fn append_descriptor(out: &mut Vec<u8>, descriptor: &Descriptor) {
    let bounds = descriptor
        .upper_bounds
        .iter()
        .map(|bound| forkmeter_core::encode::format_value(*bound));
    let document = json!({
        "name": &*descriptor.name,
        "help": &*descriptor.help,
        "type": descriptor.kind.as_str(),
        "unit": &*descriptor.unit,
        "labels": texts(&descriptor.label_names),
        "mode": descriptor.mode.as_str(),
        "bounds": bounds.collect::<Vec<_>>(),
        "states": texts(&descriptor.states),
    });
    append(out, KIND_DESCRIPTOR, &document);
}

/// Appends the record of an info series to `out`.
pub fn append_info(out: &mut Vec<u8>, record: &InfoRecord) {
    let document = json!({
        "family": &*record.family,
        "labels": labels_to_json(&record.labels),
        "info": record.info.as_ref().map(labels_to_json),
        "time": record.time_seconds,
    });
    append(out, KIND_INFO, &document);
}

fn texts(texts: &[Arc<str>]) -> Vec<&str> {
    texts.iter().map(|text| &**text).collect()
}

fn append(out: &mut Vec<u8>, kind: u32, document: &Value) {
    let payload = document.to_string().into_bytes();
    // A payload beyond 4 GiB cannot be framed; it says nothing that is worth keeping.
    let Ok(length) = u32::try_from(payload.len()) else {
        return;
    };
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&payload);
    out.resize(out.len().next_multiple_of(8), 0);
}

/// Yields the records of the bytes that follow the header, up to the committed length.
///
/// A record whose document cannot be used is yielded as an error and the next one follows; after a broken
/// frame nothing follows.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    offset: usize,
    base: usize,
}

impl<'a> Records<'a> {
    /// Yields the records of `bytes`, which begin right after the header or after an earlier record.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            offset: 0,
            base: 0,
        }
    }

    /// Says where in the file the bytes begin, so that errors name places in the file.
    #[must_use]
    pub fn starting_at(self, base: usize) -> Self {
        Self { base, ..self }
    }

    /// Returns where the next record starts, counted from the first byte given.
    pub fn offset(&self) -> usize {
        self.offset
    }

    fn frame(&self) -> Result<(u32, &'a [u8], usize), SideError> {
        let offset = self.offset;
        let frame = self.bytes.get(offset..).unwrap_or(&[]);
        let place = self.base + offset;
        let cut = SideError::Truncated { offset: place };
        let (Some(length), Some(checksum), Some(kind)) =
            (u32_at(frame, 0), u32_at(frame, 4), u32_at(frame, 8))
        else {
            return Err(cut);
        };
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| FRAME_SIZE.checked_add(length));
        let payload = end.and_then(|end| frame.get(FRAME_SIZE..end)).ok_or(cut)?;
        if crc32fast::hash(payload) != checksum {
            return Err(SideError::Checksum { offset: place });
        }
        Ok((
            kind,
            payload,
            offset + (FRAME_SIZE + payload.len()).next_multiple_of(8),
        ))
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, SideError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.offset >= self.bytes.len() {
            return None;
        }
        let (kind, payload, next) = match self.frame() {
            Ok(frame) => frame,
            Err(error) => {
                self.bytes = &self.bytes[..self.offset];
                return Some(Err(error));
            }
        };
        self.offset = next;
        Some(decode(kind, payload))
    }
}

fn decode(kind: u32, payload: &[u8]) -> Result<Record, SideError> {
    if !matches!(kind, KIND_DESCRIPTOR | KIND_INFO) {
        return Ok(Record::Unknown(kind));
    }
    let document: Value =
        serde_json::from_slice(payload).map_err(|_| SideError::Document { field: "json" })?;
    if kind == KIND_INFO {
        return decode_info(&document).map(Record::Info);
    }
    decode_descriptor(&document).map(|descriptor| Record::Descriptor(Box::new(descriptor)))
}

fn decode_info(document: &Value) -> Result<InfoRecord, SideError> {
    let info = match document.get("info") {
        None | Some(Value::Null) => None,
        Some(facts) => Some(labels_from_json(facts).ok_or(SideError::Document { field: "info" })?),
    };
    let labels = document.get("labels").and_then(labels_from_json);
    Ok(InfoRecord {
        family: text(document, "family")?.into(),
        labels: labels.ok_or(SideError::Document { field: "labels" })?,
        info,
        time_seconds: document.get("time").and_then(Value::as_f64).unwrap_or(0.0),
    })
}

fn decode_descriptor(document: &Value) -> Result<Descriptor, SideError> {
    let kind = text(document, "type")?
        .parse()
        .map_err(|_| SideError::Document { field: "type" })?;
    let name = text(document, "name")?;
    let bounds = list(document, "bounds")?;
    let bounds = bounds
        .iter()
        .map(|bound| bound.parse().ok())
        .collect::<Option<Box<[f64]>>>();
    let upper_bounds = bounds
        .filter(|bounds| bounds.is_sorted_by(|a, b| a < b))
        .filter(|bounds| kind != MetricType::Histogram || bounds.last() == Some(&f64::INFINITY))
        .ok_or(SideError::Document { field: "bounds" })?;
    let mode = match document.get("mode") {
        None => Some(forkmeter_core::MultiprocessMode::default()),
        Some(mode) => mode.as_str().and_then(|mode| mode.parse().ok()),
    };
    Ok(Descriptor {
        name: Some(name)
            .filter(|name| !name.is_empty())
            .ok_or(SideError::Document { field: "name" })?
            .into(),
        help: text(document, "help").unwrap_or_default().into(),
        unit: text(document, "unit").unwrap_or_default().into(),
        kind,
        label_names: list(document, "labels")?,
        mode: mode.ok_or(SideError::Document { field: "mode" })?,
        upper_bounds,
        states: list(document, "states")?,
    })
}

fn text<'a>(document: &'a Value, field: &'static str) -> Result<&'a str, SideError> {
    document
        .get(field)
        .and_then(Value::as_str)
        .ok_or(SideError::Document { field })
}

fn list(document: &Value, field: &'static str) -> Result<Box<[Arc<str>]>, SideError> {
    let Some(value) = document.get(field) else {
        return Ok(Box::default());
    };
    let texts = value
        .as_array()
        .into_iter()
        .flatten()
        .map(|text| text.as_str().map(Arc::from));
    let texts = texts.collect::<Option<_>>().filter(|_| value.is_array());
    texts.ok_or(SideError::Document { field })
}
