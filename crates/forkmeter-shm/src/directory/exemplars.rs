//! Writes `forkmeter.exemplars`: one record per slot that ever had an exemplar.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use forkmeter_core::Exemplar;

use crate::layout::EXEMPLARS_FILE;
use crate::side::HEADER_SIZE;
use crate::side::exemplars::{self, Header, RECORD_SIZE, Record, Segment};
use crate::workers::WorkersFile;

/// Is the file of exemplars, opened when it is first written.
#[derive(Debug)]
pub(super) struct ExemplarFile {
    path: PathBuf,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    inode: u64,
    segment_inodes: (u64, u64),
    count: u64,
    records: HashMap<(Segment, u64), u64>,
}

impl ExemplarFile {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            path: directory.join(EXEMPLARS_FILE),
            open: None,
        }
    }

    /// Writes the record of a slot, in place where it has one.
    ///
    /// An exemplar whose labels are too long for a record is dropped: a caller has bounded them already.
    pub(super) fn set(
        &mut self,
        workers: &WorkersFile,
        segment_inodes: (u64, u64),
        record: &Record,
    ) -> io::Result<()> {
        let Some(bytes) = exemplars::encode(record) else {
            return Ok(());
        };
        let slot = (record.segment, record.value_offset);
        let is_current = |open: &Open| {
            open.segment_inodes == segment_inodes
                && fs::symlink_metadata(&self.path).is_ok_and(|meta| meta.ino() == open.inode)
        };
        let known = self.open.as_ref().filter(|open| is_current(open));
        if let Some(open) = known
            && let Some(index) = open.records.get(&slot)
        {
            return open.file.write_all_at(&bytes, record_at(*index));
        }
        let _lock = workers.lock_directory()?;
        let mut open = Open::at(&self.path, segment_inodes)?;
        let index = *open.records.entry(slot).or_insert(open.count);
        open.file.write_all_at(&bytes, record_at(index))?;
        if index == open.count {
            open.count += 1;
            open.file
                .write_all_at(&open.count.to_le_bytes(), exemplars::COUNT_OFFSET as u64)?;
        }
        self.open = Some(open);
        Ok(())
    }

    /// Reads the record of a slot.
    pub(super) fn get(&self, segment: Segment, value_offset: u64) -> Option<Exemplar> {
        let open = self.open.as_ref()?;
        let index = open.records.get(&(segment, value_offset))?;
        let mut bytes = [0; RECORD_SIZE];
        open.file
            .read_exact_at(&mut bytes, record_at(*index))
            .ok()?;
        exemplars::decode(&bytes).map(|record| record.exemplar)
    }
}

impl Open {
    /// Opens or makes the file and reads which slot has which record. Records that belong to other segments
    /// than those of now (their files were deleted) are dropped. The caller holds the directory lock.
    fn at(path: &Path, segment_inodes: (u64, u64)) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = options.open(path)?;
        let mut bytes = [0; HEADER_SIZE];
        let header = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => Header::from_bytes(&bytes)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?,
            Err(_) => Header::default(),
        };
        let (counter_inode, histogram_inode) = segment_inodes;
        // A segment that was not there when the file was made has no records in it yet.
        let fits = |before, now| before == now || before == 0;
        let is_of_these_segments = fits(header.counter_inode, counter_inode)
            && fits(header.histogram_inode, histogram_inode);
        let count = if is_of_these_segments {
            header.count
        } else {
            0
        };
        let new = Header {
            count,
            counter_inode,
            histogram_inode,
        };
        if new != header {
            file.write_all_at(&new.to_bytes(), 0)?;
        }
        let mut records = HashMap::new();
        for index in 0..count {
            let mut record = [0; RECORD_SIZE];
            file.read_exact_at(&mut record, record_at(index))?;
            // The slot is told apart by bytes that stay the same, so a torn record keeps its place too.
            if let Some(slot) = exemplars::slot_of(&record) {
                records.insert(slot, index);
            }
        }
        let inode = file.metadata()?.ino();
        Ok(Self {
            file,
            inode,
            segment_inodes,
            count,
            records,
        })
    }
}

fn record_at(index: u64) -> u64 {
    HEADER_SIZE as u64 + index * RECORD_SIZE as u64
}
