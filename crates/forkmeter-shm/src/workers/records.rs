//! The records of workers: taking one, saying what stands in it, and asking who lives.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::PoisonError;

use forkmeter_core::fork;

use super::lock::DirectoryLock;
use super::{HEADER_BYTES, WorkersFile};
use crate::process;
use crate::reader::WorkerReport;
use crate::sys;

pub(crate) const RECORD_BYTES: u64 = 64;
const MAX_RECORDS: u16 = u16::MAX;
const TAG_BYTES: usize = 32;
const LOST_SERIES_AT: u64 = 24;
/// Where in a record its flags are.
const FLAGS_AT: usize = 24;

/// Says which record this process holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The record's number.
    pub(crate) index: u16,
    /// The name in this worker's file names.
    pub(crate) tag: String,
    generation: u64,
}

impl Claim {
    /// Tells whether it is this process that holds the record, and not a parent.
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.generation == process::generation()
    }
}

impl WorkersFile {
    /// Returns the record of this process, taking one if it has none yet.
    ///
    /// `tag_is_free` says whether a tag's file names are free; `retire` clears away a dead worker's gauges and
    /// must succeed before its record or tag is used again. The caller holds the directory lock.
    pub(crate) fn claim(
        &self,
        lock: &DirectoryLock<'_>,
        tag_is_free: &dyn Fn(&str) -> bool,
        retire: &mut dyn FnMut(&WorkerReport) -> io::Result<()>,
    ) -> io::Result<Claim> {
        let mut claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = process::generation();
        if let Some(held) = claim.as_ref().filter(|held| held.generation == generation) {
            return Ok(held.clone());
        }
        let mut taken = Vec::new();
        let mut lost = 0;
        // This process holds no record now, so no record is alive because it is our own.
        for record in self.records_besides(None)? {
            if record.alive {
                taken.push(record);
            } else if retire(&record).is_ok() {
                lost += record.kept_series;
                self.write_record(record.index, 0, &WorkerReport::default())?;
            } else {
                taken.push(record);
            }
        }
        if lost > 0 {
            self.add_lost_series(lock, lost)?;
        }
        let index = (0..MAX_RECORDS)
            .find(|index| taken.iter().all(|record| record.index != *index))
            .ok_or_else(|| io::Error::other(format!("{} is full", self.path.display())))?;
        let pid = std::process::id();
        let tag = (0..=u32::MAX)
            .map(|turn| match turn {
                0 => pid.to_string(),
                turn => format!("{pid}-{turn}"),
            })
            .find(|tag| taken.iter().all(|record| record.tag != *tag) && tag_is_free(tag))
            .ok_or_else(|| io::Error::other("every name for this worker is taken"))?;
        if !sys::try_lock_range(&self.file, record_at(index), RECORD_BYTES)? {
            return Err(io::Error::other("a free worker record is locked"));
        }
        let record = WorkerReport {
            index,
            tag: tag.clone(),
            pid,
            alive: true,
            started_seconds: process::unix_seconds(),
            kept_series: 0,
        };
        self.write_record(index, 1, &record)?;
        let new = Claim {
            index,
            tag,
            generation,
        };
        *claim = Some(new.clone());
        Ok(new)
    }

    /// Tells whether a record is there that this process took; `true` where that cannot be known.
    pub(crate) fn has(&self, claim: &Claim) -> bool {
        let mut record = [0; 8];
        match self.file.read_exact_at(&mut record, record_at(claim.index)) {
            Ok(()) => u32_at(&record, 4) == 1 && self.check_header().is_ok(),
            Err(error) => error.kind() != io::ErrorKind::UnexpectedEof,
        }
    }

    /// Writes down how many series this worker keeps in memory.
    pub(crate) fn report_kept(&self, claim: &Claim, kept_series: u64) -> io::Result<()> {
        sys::write_all_at(
            &self.file,
            &kept_series.to_ne_bytes(),
            record_at(claim.index) + 16,
        )
    }

    /// Writes down whether a deletion of files is a reset to this worker.
    pub(crate) fn report_resets(&self, claim: &Claim, resets: bool) -> io::Result<()> {
        let flags = u64::from(resets);
        sys::write_all_at(
            &self.file,
            &flags.to_ne_bytes(),
            record_at(claim.index) + FLAGS_AT as u64,
        )
    }

    /// Reads all records that are taken, and asks the kernel who lives.
    pub(crate) fn records(&self) -> io::Result<Vec<WorkerReport>> {
        self.records_besides(self.own_index())
    }

    fn records_besides(&self, own: Option<u16>) -> io::Result<Vec<WorkerReport>> {
        let bytes = self.read_all()?;
        let mut records = Vec::new();
        let records_part = bytes.get(64..).unwrap_or_default();
        for (index, record) in (0..MAX_RECORDS).zip(records_part.chunks_exact(64)) {
            if u32_at(record, 4) != 1 {
                continue;
            }
            let tag = &record[32..32 + TAG_BYTES];
            let tag = tag.split(|byte| *byte == 0).next().unwrap_or_default();
            // One's own locks are invisible to the question.
            let alive = own == Some(index)
                || sys::is_range_locked(&self.file, record_at(index), RECORD_BYTES)?;
            records.push(WorkerReport {
                index,
                tag: String::from_utf8_lossy(tag).into_owned(),
                pid: u32_at(record, 0),
                alive,
                started_seconds: f64::from_bits(u64_at(record, 8)),
                kept_series: u64_at(record, 16),
            });
        }
        Ok(records)
    }

    /// Tells whether another process holds a record, whatever stands in it.
    pub(super) fn is_locked(&self, index: u64) -> io::Result<bool> {
        sys::is_range_locked(
            &self.file,
            HEADER_BYTES + RECORD_BYTES * index,
            RECORD_BYTES,
        )
    }

    fn own_index(&self) -> Option<u16> {
        let _section = fork::enter();
        let claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        claim
            .as_ref()
            .filter(|held| held.generation == process::generation())
            .map(|held| held.index)
    }

    fn read_all(&self) -> io::Result<Vec<u8>> {
        let limit = HEADER_BYTES + RECORD_BYTES * u64::from(MAX_RECORDS);
        let len =
            usize::try_from(self.file.metadata()?.len().min(limit)).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match self.file.read_at(&mut bytes[filled..], filled as u64)? {
                0 => break,
                count => filled += count,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    pub(super) fn write_record(
        &self,
        index: u16,
        state: u32,
        record: &WorkerReport,
    ) -> io::Result<()> {
        let mut bytes = [0; 64];
        bytes[..4].copy_from_slice(&record.pid.to_ne_bytes());
        bytes[4..8].copy_from_slice(&state.to_ne_bytes());
        bytes[8..16].copy_from_slice(&record.started_seconds.to_ne_bytes());
        bytes[16..24].copy_from_slice(&record.kept_series.to_ne_bytes());
        let tag = record.tag.as_bytes();
        bytes[32..32 + tag.len()].copy_from_slice(tag);
        sys::write_all_at(&self.file, &bytes, record_at(index))
    }

    /// Counts series whose values are lost.
    pub(crate) fn add_lost_series(&self, _lock: &DirectoryLock<'_>, lost: u64) -> io::Result<()> {
        let sum = self.read_lost_series()?.saturating_add(lost);
        sys::write_all_at(&self.file, &sum.to_ne_bytes(), LOST_SERIES_AT)
    }

    pub(super) fn read_lost_series(&self) -> io::Result<u64> {
        let mut lost = [0; 8];
        self.file.read_exact_at(&mut lost, LOST_SERIES_AT)?;
        Ok(u64::from_ne_bytes(lost))
    }
}

fn record_at(index: u16) -> u64 {
    HEADER_BYTES + RECORD_BYTES * u64::from(index)
}

/// Tells whether a deletion of files is a reset to the worker of a record.
pub(super) fn resets(record: &[u8]) -> bool {
    u32_at(record, 4) == 1 && u64_at(record, FLAGS_AT) & 1 == 1
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("invariant: four bytes"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(
        bytes[at..at + 8]
            .try_into()
            .expect("invariant: eight bytes"),
    )
}
