//! `forkmeter.published.<tag>`: the families that only one worker can compute, as it published them last.

use std::ops::Range;
use std::sync::Arc;

use forkmeter_core::encode::format_value;
use forkmeter_core::{Exemplar, LabelSet, MetricFamily, MultiprocessMode, Sample, Timestamp};
use serde_json::{Map, Value, json};

use super::{HEADER_SIZE, SideError, header, labels_from_json, labels_to_json, u32_at, u64_at};

const MAGIC: [u8; 8] = *b"FORKMTRP";
const VERSION: u32 = 1;
/// The longest payload that is written and believed, in bytes.
pub const MAX_PAYLOAD_SIZE: usize = 16 << 20;
/// Where a document may begin at most.
const MAX_OFFSET: usize = 3 * MAX_PAYLOAD_SIZE;
/// The longest file that is read, in bytes.
pub(crate) const MAX_FILE_SIZE: usize = MAX_OFFSET + MAX_PAYLOAD_SIZE;
/// Where the header's own checksum stands, at its end.
const CHECKSUM_OFFSET: usize = HEADER_SIZE - 4;

/// Holds what one worker publishes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Published {
    /// The number of the worker's record in `forkmeter.workers`.
    pub record: u16,
    /// When the families were collected, as Unix time in seconds.
    pub time_seconds: f64,
    /// The families, each with the mode by which those of several workers become one.
    pub families: Vec<(MetricFamily, MultiprocessMode)>,
}

impl Published {
    /// Returns the bytes of a new file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let payload = self.payload();
        let mut bytes = self.header(HEADER_SIZE, &payload).to_vec();
        bytes.extend_from_slice(&payload);
        bytes
    }

    /// Returns the document that stands behind a header.
    pub(crate) fn payload(&self) -> Vec<u8> {
        let families = self.families.iter().map(family_to_json);
        Value::Array(families.collect()).to_string().into_bytes()
    }

    /// Returns the header of a file whose document stands at `offset`.
    pub(crate) fn header(&self, offset: usize, payload: &[u8]) -> [u8; HEADER_SIZE] {
        let mut bytes = header(MAGIC, VERSION, u32::from(self.record));
        bytes[16..24].copy_from_slice(&(payload.len() as u64).to_le_bytes());
        bytes[24..28].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
        bytes[32..40].copy_from_slice(&self.time_seconds.to_le_bytes());
        bytes[40..48].copy_from_slice(&(offset as u64).to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..CHECKSUM_OFFSET]);
        bytes[CHECKSUM_OFFSET..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Fails where the header, a checksum or any part of the document is not what [`Published::to_bytes`] writes;
    /// fields that it does not know are skipped.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SideError> {
        Self::from_bytes_if(bytes, |_| true)
    }

    /// As [`Published::from_bytes`], but without families where `is_wanted` refuses the document.
    pub(crate) fn from_bytes_if(
        bytes: &[u8],
        is_wanted: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Self, SideError> {
        let Start {
            record,
            payload,
            checksum,
            time_seconds,
        } = Start::from_bytes(bytes)?;
        let offset = payload.start;
        let payload = bytes.get(payload).ok_or(SideError::Truncated { offset })?;
        if crc32fast::hash(payload) != checksum {
            return Err(SideError::Checksum { offset });
        }
        let time_seconds = if time_seconds.is_finite() {
            time_seconds
        } else {
            0.0
        };
        if !is_wanted(payload) {
            return Ok(Self {
                record,
                time_seconds,
                families: Vec::new(),
            });
        }
        let document: Value =
            serde_json::from_slice(payload).map_err(|_| SideError::Document { field: "json" })?;
        let families = document.as_array().ok_or(wrong("families"))?;
        Ok(Self {
            record,
            time_seconds,
            families: families
                .iter()
                .map(family_from_json)
                .collect::<Result<_, _>>()?,
        })
    }
}

/// What the header of a file says.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) record: u16,
    /// Where the document stands.
    payload: Range<usize>,
    checksum: u32,
    time_seconds: f64,
}

impl Start {
    /// Reads a header.
    ///
    /// # Errors
    ///
    /// Fails where it is none, or being written.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, SideError> {
        let start = header(MAGIC, VERSION, 0);
        if bytes.len() < HEADER_SIZE || bytes[..12] != start[..12] {
            return Err(SideError::Header);
        }
        let offset = CHECKSUM_OFFSET;
        if u32_at(bytes, offset) != Some(crc32fast::hash(&bytes[..offset])) {
            return Err(SideError::Checksum { offset });
        }
        let number = |offset| u64_at(bytes, offset).and_then(|number| usize::try_from(number).ok());
        let size = number(16).filter(|size| *size <= MAX_PAYLOAD_SIZE);
        let offset = number(40).filter(|offset| (HEADER_SIZE..=MAX_OFFSET).contains(offset));
        let record = u32_at(bytes, 12).and_then(|word| u16::try_from(word).ok());
        let (Some(size), Some(offset), Some(record)) = (size, offset, record) else {
            return Err(SideError::Header);
        };
        Ok(Self {
            record,
            payload: offset..offset + size,
            checksum: u32_at(bytes, 24).unwrap_or_default(),
            time_seconds: u64_at(bytes, 32).map_or(0.0, f64::from_bits),
        })
    }

    /// Returns where another document of this size can stand while this one stays readable, near the start of the file.
    pub(crate) fn offset_beside(&self, size: usize) -> usize {
        if HEADER_SIZE + size <= self.payload.start {
            return HEADER_SIZE;
        }
        // Numbers get longer: the next ones are to fit before this one.
        let room = HEADER_SIZE + size + size / 4;
        self.payload.end.max(room).next_multiple_of(8)
    }
}

fn family_to_json((family, mode): &(MetricFamily, MultiprocessMode)) -> Value {
    let samples: Vec<Value> = family.samples.iter().map(sample_to_json).collect();
    json!({
        "name": &*family.name,
        "help": &*family.help,
        "type": family.kind.as_str(),
        "unit": &*family.unit,
        "mode": mode.to_string(),
        "samples": samples,
    })
}

fn sample_to_json(sample: &Sample) -> Value {
    let mut fields = Map::new();
    fields.insert("name".into(), (*sample.name).into());
    fields.insert("labels".into(), labels_to_json(&sample.labels));
    fields.insert("value".into(), format_value(sample.value).into());
    if let Some(time) = sample.timestamp {
        fields.insert("time".into(), time_to_json(time));
    }
    if let Some(exemplar) = &sample.exemplar {
        let mut link = Map::new();
        link.insert("labels".into(), labels_to_json(&exemplar.labels));
        link.insert("value".into(), format_value(exemplar.value).into());
        if let Some(time) = exemplar.timestamp {
            link.insert("time".into(), time_to_json(time));
        }
        fields.insert("exemplar".into(), Value::Object(link));
    }
    Value::Object(fields)
}

/// Writes float seconds as text, since JSON has no NaN, and exact ones as two whole numbers.
fn time_to_json(time: Timestamp) -> Value {
    match time {
        Timestamp::Seconds(seconds) => format_value(seconds).into(),
        Timestamp::Exact {
            seconds,
            nanoseconds,
        } => json!([seconds, nanoseconds]),
    }
}

fn wrong(field: &'static str) -> SideError {
    SideError::Document { field }
}

fn family_from_json(value: &Value) -> Result<(MetricFamily, MultiprocessMode), SideError> {
    let text = |field: &'static str| {
        let text = value.get(field).and_then(Value::as_str);
        text.ok_or(wrong(field))
    };
    let kind = text("type")?.parse().map_err(|_| wrong("type"))?;
    let mode = text("mode")?.parse().map_err(|_| wrong("mode"))?;
    let mut family = MetricFamily::new(text("name")?, text("help")?, kind);
    family.unit = Arc::from(text("unit")?);
    let samples = value.get("samples").and_then(Value::as_array);
    for sample in samples.ok_or(wrong("samples"))? {
        family.samples.push(sample_from_json(sample)?);
    }
    Ok((family, mode))
}

fn sample_from_json(value: &Value) -> Result<Sample, SideError> {
    let name = value.get("name").and_then(Value::as_str);
    let (labels, number, timestamp) = parts_from_json(value)?;
    let mut sample = Sample::new(name.ok_or(wrong("name"))?, labels, number);
    sample.timestamp = timestamp;
    if let Some(link) = value.get("exemplar") {
        let (labels, value, timestamp) = parts_from_json(link)?;
        sample.exemplar = Some(Exemplar {
            labels,
            value,
            timestamp,
        });
    }
    Ok(sample)
}

/// Reads what a sample and an exemplar have in common.
fn parts_from_json(value: &Value) -> Result<(LabelSet, f64, Option<Timestamp>), SideError> {
    let labels = value.get("labels").and_then(labels_from_json);
    let number = value.get("value").and_then(number_from_json);
    let time = match value.get("time") {
        None => None,
        Some(time) => Some(time_from_json(time).ok_or(wrong("time"))?),
    };
    Ok((
        labels.ok_or(wrong("labels"))?,
        number.ok_or(wrong("value"))?,
        time,
    ))
}

fn number_from_json(value: &Value) -> Option<f64> {
    value.as_str()?.parse().ok()
}

fn time_from_json(value: &Value) -> Option<Timestamp> {
    if let Some(seconds) = number_from_json(value) {
        return Some(Timestamp::Seconds(seconds));
    }
    let [seconds, nanoseconds] = value.as_array()?.as_slice() else {
        return None;
    };
    Some(Timestamp::Exact {
        seconds: seconds.as_i64()?,
        nanoseconds: i32::try_from(nanoseconds.as_i64()?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use forkmeter_core::MetricType;

    fn published() -> Published {
        let mut samples = vec![
            Sample::new("jobs_total", LabelSet::from_pairs([("a", "é\n")]), 1e300),
            Sample::new("jobs_total", LabelSet::empty(), f64::NEG_INFINITY),
        ];
        samples[0].timestamp = Some(Timestamp::Seconds(12.25));
        samples[1].timestamp = Some(Timestamp::Exact {
            seconds: -5,
            nanoseconds: -7,
        });
        samples[0].exemplar = Some(Exemplar {
            labels: LabelSet::from_pairs([("trace_id", "1")]),
            value: 0.1,
            timestamp: None,
        });
        let family = MetricFamily {
            samples,
            unit: "bytes".into(),
            ..MetricFamily::new("jobs", "help \"text\"", MetricType::Counter)
        };
        Published {
            record: 7,
            time_seconds: 1.5,
            families: vec![(family, MultiprocessMode::LiveAll)],
        }
    }

    #[test]
    fn what_is_published_round_trips() {
        assert_eq!(
            Published::from_bytes(&published().to_bytes()),
            Ok(published())
        );
        let nan = Published {
            families: vec![(
                MetricFamily {
                    samples: vec![Sample::new("g", LabelSet::empty(), f64::NAN)],
                    ..MetricFamily::new("g", "", MetricType::Gauge)
                },
                MultiprocessMode::LiveSum,
            )],
            ..Published::default()
        };
        let read = Published::from_bytes(&nan.to_bytes()).unwrap();
        assert!(read.families[0].0.samples[0].value.is_nan());
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_noticed() {
        let bytes = published().to_bytes();
        for end in 0..bytes.len() {
            assert!(
                Published::from_bytes(&bytes[..end]).is_err(),
                "cut at {end}"
            );
        }
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 0x41;
            assert!(Published::from_bytes(&changed).is_err(), "byte {index}");
        }
    }

    #[test]
    fn two_documents_never_overlap_and_stay_near_the_start() {
        let mut start = Start::from_bytes(&published().to_bytes()).unwrap();
        let mut seed = 7_usize;
        for _ in 0..10_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let size = seed % (1_usize << ((seed >> 40) % 25)).min(MAX_PAYLOAD_SIZE);
            let offset = start.offset_beside(size);
            let next = offset..offset + size;
            assert!(next.end <= start.payload.start || next.start >= start.payload.end);
            assert!((HEADER_SIZE..=MAX_OFFSET).contains(&offset), "{offset}");
            start.payload = next;
        }
    }

    #[test]
    fn documents_of_another_shape_are_refused() {
        let family = r#"{"name":"g","help":"","type":"gauge","unit":"","mode":"liveall","samples":[SAMPLE]}"#;
        let sample = |sample: &str| format!("[{}]", family.replace("SAMPLE", sample));
        for (payload, field) in [
            ("{}".to_owned(), "families"),
            ("[".to_owned(), "json"),
            ("[".repeat(100_000), "json"),
            ("[1]".to_owned(), "type"),
            (sample("1"), "labels"),
            (
                sample(r#"{"name":"g","labels":{"a":1},"value":"1"}"#),
                "labels",
            ),
            (sample(r#"{"name":"g","labels":{},"value":1}"#), "value"),
            (sample(r#"{"name":"g","labels":{},"value":"x"}"#), "value"),
            (sample(r#"{"name":1,"labels":{},"value":"1"}"#), "name"),
            (
                sample(r#"{"name":"g","labels":{},"value":"1","time":[1]}"#),
                "time",
            ),
            (sample("").replace("gauge", "thing"), "type"),
            (sample("").replace("liveall", "best"), "mode"),
        ] {
            let mut bytes = published().header(HEADER_SIZE, payload.as_bytes()).to_vec();
            bytes.extend_from_slice(payload.as_bytes());
            let shown: String = payload.chars().take(80).collect();
            assert_eq!(
                Published::from_bytes(&bytes),
                Err(SideError::Document { field }),
                "{shown}"
            );
        }
    }
}
