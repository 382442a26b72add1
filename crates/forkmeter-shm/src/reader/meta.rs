//! What programs declared, as it stands in `forkmeter.meta`; read on as the file grows.

use std::path::Path;
use std::sync::Arc;

use forkmeter_core::{Descriptor, LabelSet};
use hashbrown::HashMap;

use super::FileState;
use super::source::{Identity, Refusal, open, read_fully, refusal};
use crate::side::HEADER_SIZE;
use crate::side::meta::{InfoRecord, Record, Records, committed_len};

/// Holds the declared families and the infos, each as it was written last.
#[derive(Debug, Default)]
pub(super) struct Meta {
    identity: Option<Identity>,
    parsed: u64,
    /// The declared families, in the order in which they were declared first.
    pub(super) descriptors: Vec<Descriptor>,
    by_name: HashMap<Arc<str>, usize>,
    /// The infos, in the order in which they were made first.
    pub(super) infos: Vec<InfoRecord>,
    by_series: HashMap<(Arc<str>, LabelSet), usize>,
    records: usize,
    /// Why the first unusable document is none.
    bad_document: String,
    /// Why nothing was read beyond `parsed`.
    bad_frame: String,
}

/// Says how reading the file went.
pub(super) struct Outcome {
    pub(super) changed: bool,
    pub(super) state: FileState,
    pub(super) cause: String,
    pub(super) entries: usize,
    pub(super) bytes: u64,
}

impl Meta {
    /// Returns the descriptor of a family.
    pub(super) fn descriptor(&self, family: &str) -> Option<&Descriptor> {
        self.by_name
            .get(family)
            .map(|index| &self.descriptors[*index])
    }

    /// Reads what was appended since the last time.
    pub(super) fn update(&mut self, path: &Path) -> Outcome {
        let had_records = self.records > 0;
        match self.try_update(path) {
            Ok(outcome) => outcome,
            Err((state, cause)) => {
                *self = Self::default();
                Outcome {
                    changed: had_records,
                    state,
                    cause,
                    entries: 0,
                    bytes: 0,
                }
            }
        }
    }

    fn try_update(&mut self, path: &Path) -> Result<Outcome, Refusal> {
        let opened = open(path)?;
        let mut header = [0; HEADER_SIZE];
        let filled = read_fully(&opened.file, &mut header, 0).map_err(|error| refusal(&error))?;
        if filled == 0 {
            return Err((FileState::Empty, "no byte in it".into()));
        }
        let committed = committed_len(&header[..filled])
            .map_err(|error| (FileState::Foreign, error.to_string()))?;
        let mut changed = false;
        if self.identity != Some(opened.identity) || committed < self.parsed {
            changed = self.records > 0;
            *self = Self {
                identity: Some(opened.identity),
                parsed: HEADER_SIZE as u64,
                ..Self::default()
            };
        }
        let size = opened
            .file
            .metadata()
            .map_err(|error| refusal(&error))?
            .len();
        let end = committed.min(size);
        let length = usize::try_from(end.saturating_sub(self.parsed)).unwrap_or(0);
        let mut bytes = vec![0; length];
        let filled =
            read_fully(&opened.file, &mut bytes, self.parsed).map_err(|error| refusal(&error))?;
        changed |= self.append(&bytes[..filled]);
        let problem = if self.bad_frame.is_empty() {
            &self.bad_document
        } else {
            &self.bad_frame
        };
        let (state, cause) = if !problem.is_empty() {
            (FileState::Corrupt, problem.clone())
        } else if committed > size {
            (
                FileState::Truncated,
                format!("ends at byte {size} of {committed}"),
            )
        } else {
            (FileState::Ok, String::new())
        };
        Ok(Outcome {
            changed,
            state,
            cause,
            entries: self.records,
            bytes: opened.bytes,
        })
    }

    fn append(&mut self, bytes: &[u8]) -> bool {
        let before = self.records;
        let start = usize::try_from(self.parsed).unwrap_or(usize::MAX);
        let mut records = Records::new(bytes).starting_at(start);
        self.bad_frame.clear();
        loop {
            let start = records.offset();
            match records.next() {
                Some(Ok(record)) => self.insert(record),
                // What follows a broken frame cannot be found; it is looked at again next time.
                Some(Err(error)) if records.offset() == start => self.bad_frame = error.to_string(),
                Some(Err(error)) if self.bad_document.is_empty() => {
                    self.bad_document = error.to_string();
                }
                Some(Err(_)) => {}
                None => break,
            }
        }
        self.parsed += records.offset() as u64;
        self.records != before
    }

    fn insert(&mut self, record: Record) {
        self.records += 1;
        match record {
            Record::Descriptor(descriptor) => {
                let name = Arc::clone(&descriptor.name);
                let index = *self.by_name.entry(name).or_insert(self.descriptors.len());
                replace(&mut self.descriptors, index, *descriptor);
            }
            Record::Info(info) => {
                let series = (Arc::clone(&info.family), info.labels.clone());
                let index = *self.by_series.entry(series).or_insert(self.infos.len());
                replace(&mut self.infos, index, info);
            }
            Record::Unknown(_) => {}
        }
    }
}

fn replace<T>(items: &mut Vec<T>, index: usize, item: T) {
    match items.get_mut(index) {
        Some(old) => *old = item,
        None => items.push(item),
    }
}
