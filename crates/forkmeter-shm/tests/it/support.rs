//! Makes segments and looks at what a reader made of them.

use std::borrow::Borrow;
use std::fs;
use std::path::Path;

use forkmeter_core::MetricFamily;
use forkmeter_shm::key;
use forkmeter_shm::layout::{HEADER_SIZE, Header, Mark, append_entry};
use forkmeter_shm::reader::{FileState, Report};

/// Builds the bytes of one segment.
#[derive(Clone, Debug)]
pub(crate) struct SegmentBytes {
    mark: Mark,
    bytes: Vec<u8>,
}

impl SegmentBytes {
    pub(crate) fn new(mark: Mark) -> Self {
        Self {
            mark,
            bytes: vec![0; HEADER_SIZE],
        }
    }

    pub(crate) fn official() -> Self {
        Self::new(Mark::Official)
    }

    /// Appends an entry whose key has the help `h`.
    pub(crate) fn with(
        self,
        family: &str,
        sample: &str,
        labels: &[(&str, &str)],
        value: f64,
        timestamp: f64,
    ) -> Self {
        let mut bytes = Vec::new();
        key::write(&mut bytes, family, sample, labels.iter().copied(), "h");
        self.with_key(&bytes, value, timestamp)
    }

    pub(crate) fn with_key(mut self, key: &[u8], value: f64, timestamp: f64) -> Self {
        append_entry(&mut self.bytes, key, value, timestamp);
        self
    }

    pub(crate) fn counter(self, name: &str, value: f64) -> Self {
        self.with(name, &format!("{name}_total"), &[], value, 0.0)
    }

    pub(crate) fn gauge(self, name: &str, value: f64, timestamp: f64) -> Self {
        self.with(name, name, &[], value, timestamp)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let used = i32::try_from(bytes.len()).unwrap();
        bytes[..HEADER_SIZE].copy_from_slice(
            &Header {
                used,
                mark: self.mark,
            }
            .to_bytes(),
        );
        bytes
    }

    pub(crate) fn write(&self, path: impl AsRef<Path>) {
        let mut bytes = self.bytes();
        // As writers do, the file is larger than what it uses.
        bytes.resize(bytes.len() + 100, 0);
        fs::write(path, bytes).unwrap();
    }
}

/// Returns every sample as `name{labels} value`, in order.
pub(crate) fn samples(families: &[impl Borrow<MetricFamily>]) -> Vec<String> {
    let samples = families.iter().flat_map(|family| &family.borrow().samples);
    let line = |sample: &forkmeter_core::Sample| {
        let labels = sample
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let labels = labels.collect::<Vec<_>>().join(",");
        format!("{}{{{labels}}} {:?}", sample.name, sample.value)
    };
    samples.map(line).collect()
}

/// Returns the state of a file of the report.
pub(crate) fn state_of(report: &Report, name: &str) -> Option<FileState> {
    let file = report.files.iter().find(|file| file.path.ends_with(name));
    file.map(|file| {
        assert_eq!(
            file.cause.is_empty(),
            file.state == FileState::Ok,
            "{name}: {:?}",
            file.cause
        );
        file.state
    })
}
