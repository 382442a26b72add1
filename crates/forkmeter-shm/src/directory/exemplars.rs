//! Writes `forkmeter.exemplars`: one record per slot that has an exemplar.

use std::collections::{HashMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use forkmeter_core::{Exemplar, Timestamp};

use crate::layout::EXEMPLARS_FILE;
use crate::side::HEADER_SIZE;
use crate::side::exemplars::{self, Header, RECORD_SIZE, Record, SlotId};
use crate::sys::{self, OwnFile};
use crate::workers::{DirectoryLock, WorkersFile};

/// From how many records on unused ones are looked for before the file grows, whenever it has doubled.
const MIN_RECORDS_TO_SWEEP: u64 = 64;

/// Says what became of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is where it was.
    Stayed,
    /// Its values are in this slot now.
    Moved(SlotId),
    /// It is no more, or is empty.
    Gone,
}

/// Is the file of exemplars, opened when it is first written.
#[derive(Debug)]
pub(super) struct ExemplarFile {
    path: PathBuf,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: OwnFile,
    /// What the header said when the records were read.
    header: Header,
    /// Which record a slot had when it was read. Others may have given it to another slot since.
    records: HashMap<SlotId, u64>,
    vacant: Vec<u64>,
}

impl ExemplarFile {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            path: directory.join(EXEMPLARS_FILE),
            open: None,
        }
    }

    /// Writes the record of a slot, in place where it has one. `inodes` says which segments are there.
    ///
    /// An exemplar whose labels are too long for a record is dropped: a caller has bounded them already.
    pub(super) fn set(
        &mut self,
        workers: &WorkersFile,
        record: &Record,
        inodes: &dyn Fn() -> HashSet<u64>,
    ) -> io::Result<()> {
        let Some(bytes) = exemplars::encode(record) else {
            return Ok(());
        };
        if let Some(open) = self.open.as_ref().filter(|open| open.is_current())
            && let Some(index) = open.record_of(record.slot)
        {
            return open.write(index, &bytes);
        }
        let _lock = workers.lock_directory()?;
        workers.check_current()?;
        let open = self.catch_up()?;
        let index = match open.records.get(&record.slot).copied() {
            Some(index) => index,
            None => open.take_record(inodes)?,
        };
        open.write(index, &bytes)?;
        open.records.insert(record.slot, index);
        if index == open.header.count {
            open.header.count += 1;
            sys::write_all_at(&open.file, &open.header.to_bytes(), 0)?;
        }
        Ok(())
    }

    /// Takes the exemplars of slots away, where they have any.
    pub(super) fn clear(&mut self, workers: &WorkersFile, slots: &[SlotId]) -> io::Result<()> {
        if fs::symlink_metadata(&self.path).is_err() {
            return Ok(());
        }
        let lock = workers.lock_directory()?;
        workers.check_current()?;
        let fate = |slot| {
            if slots.contains(&slot) {
                Fate::Gone
            } else {
                Fate::Stayed
            }
        };
        self.move_slots(&lock, &fate)
    }

    /// Gives records to other slots, or to none, as `fate` says. Of several records that come to one slot the latest stays.
    pub(super) fn move_slots(
        &mut self,
        _lock: &DirectoryLock<'_>,
        fate: &dyn Fn(SlotId) -> Fate,
    ) -> io::Result<()> {
        if fs::symlink_metadata(&self.path).is_err() {
            return Ok(());
        }
        let open = self.catch_up()?;
        let moved: Vec<_> = open
            .records
            .iter()
            .map(|(slot, index)| (*slot, *index, fate(*slot)))
            .filter(|(.., fate)| *fate != Fate::Stayed)
            .collect();
        if !moved.is_empty() {
            open.announce_reuse()?;
        }
        for (slot, index, fate) in moved {
            let record = open.read(index)?;
            open.write(index, &exemplars::vacant(slot))?;
            open.records.remove(&slot);
            open.vacant.push(index);
            let (Fate::Moved(target), Some(record)) = (fate, record) else {
                continue;
            };
            let other = match open.records.get(&target) {
                Some(other) => open.read(*other)?.map(|record| (*other, record)),
                None => None,
            };
            let is_later = |other: &Record| seconds_of(&record) >= seconds_of(other);
            let index = match &other {
                Some((_, other)) if !is_later(other) => continue,
                Some((index, _)) => *index,
                None => open.vacant.pop().unwrap_or(index),
            };
            let record = Record {
                slot: target,
                ..record
            };
            if let Some(bytes) = exemplars::encode(&record) {
                open.write(index, &bytes)?;
                open.records.insert(target, index);
            }
        }
        Ok(())
    }

    /// Reads the record of a slot.
    pub(super) fn get(&self, slot: SlotId) -> Option<Exemplar> {
        let open = self.open.as_ref()?;
        let record = open.read(*open.records.get(&slot)?).ok()??;
        // Others may have given it to another slot.
        (record.slot == slot).then_some(record.exemplar)
    }

    /// Opens or makes the file, and reads which slot has which record. The caller holds the directory lock.
    fn catch_up(&mut self) -> io::Result<&mut Open> {
        let known = self.open.take().filter(Open::is_current);
        let mut open = known.map_or_else(|| Open::at(&self.path), Ok)?;
        open.catch_up()?;
        Ok(self.open.insert(open))
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        Ok(Self {
            file: OwnFile::new(options.open(path)?)?,
            header: Header::default(),
            records: HashMap::new(),
            vacant: Vec::new(),
        })
    }

    fn is_current(&self) -> bool {
        self.file.has_a_name()
    }

    /// Returns the record that a slot has still.
    fn record_of(&self, slot: SlotId) -> Option<u64> {
        let index = *self.records.get(&slot)?;
        let mut bytes = [0; RECORD_SIZE];
        self.file.read_exact_at(&mut bytes, record_at(index)).ok()?;
        (exemplars::slot_of(&bytes) == slot && !exemplars::is_vacant(&bytes)).then_some(index)
    }

    fn read(&self, index: u64) -> io::Result<Option<Record>> {
        let mut bytes = [0; RECORD_SIZE];
        self.file.read_exact_at(&mut bytes, record_at(index))?;
        Ok(exemplars::decode(&bytes))
    }

    fn write(&self, index: u64, bytes: &[u8; RECORD_SIZE]) -> io::Result<()> {
        sys::write_all_at(&self.file, bytes, record_at(index))
    }

    /// Reads what others wrote since the last look: new records, or all of them where some have other slots now.
    fn catch_up(&mut self) -> io::Result<()> {
        let mut bytes = [0; HEADER_SIZE];
        let mut written = if self.file.read_exact_at(&mut bytes, 0).is_ok() {
            let wrong = |error| io::Error::new(io::ErrorKind::InvalidData, error);
            Header::from_bytes(&bytes).map_err(wrong)?
        } else {
            sys::write_all_at(&self.file, &Header::default().to_bytes(), 0)?;
            Header::default()
        };
        // Somebody may have cut off the file.
        let len = self.file.metadata()?.len();
        written.count = written
            .count
            .min(len.saturating_sub(HEADER_SIZE as u64) / RECORD_SIZE as u64);
        if written.reuses != self.header.reuses || written.count < self.header.count {
            self.records.clear();
            self.vacant.clear();
            self.header = Header::default();
        }
        for index in self.header.count..written.count {
            let mut bytes = [0; RECORD_SIZE];
            self.file.read_exact_at(&mut bytes, record_at(index))?;
            if exemplars::is_vacant(&bytes) {
                self.vacant.push(index);
            } else {
                // The slot is told apart by bytes that stay the same, so a torn record keeps its place too.
                self.records.insert(exemplars::slot_of(&bytes), index);
            }
        }
        self.header = written;
        Ok(())
    }

    /// Tells other workers to read all records again.
    fn announce_reuse(&mut self) -> io::Result<()> {
        self.header.reuses = self.header.reuses.wrapping_add(1);
        sys::write_all_at(&self.file, &self.header.to_bytes(), 0)
    }

    /// Returns a record that no slot has: a vacant one, one of a segment that is gone, or the next one.
    fn take_record(&mut self, inodes: &dyn Fn() -> HashSet<u64>) -> io::Result<u64> {
        let count = self.header.count;
        let is_due = count >= MIN_RECORDS_TO_SWEEP && count.is_power_of_two();
        if self.vacant.is_empty() && is_due {
            let inodes = inodes();
            let gone = self
                .records
                .extract_if(|slot, _| !inodes.contains(&slot.inode));
            self.vacant.extend(gone.map(|(_, index)| index));
            for index in &self.vacant {
                self.write(*index, &exemplars::vacant(SlotId::default()))?;
            }
        }
        if let Some(index) = self.vacant.pop() {
            self.announce_reuse()?;
            return Ok(index);
        }
        Ok(count)
    }
}

fn seconds_of(record: &Record) -> f64 {
    record.exemplar.timestamp.map_or(0.0, Timestamp::as_seconds)
}

fn record_at(index: u64) -> u64 {
    HEADER_SIZE as u64 + index * RECORD_SIZE as u64
}
