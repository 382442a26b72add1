//! Writes `forkmeter.exemplars`: one record per slot that ever had an exemplar.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use forkmeter_core::Exemplar;

use crate::layout::EXEMPLARS_FILE;
use crate::side::HEADER_SIZE;
use crate::side::exemplars::{self, Header, RECORD_SIZE, Record, Segment};
use crate::sys::OwnFile;
use crate::workers::WorkersFile;

/// Is the file of exemplars, opened when it is first written.
#[derive(Debug)]
pub(super) struct ExemplarFile {
    path: PathBuf,
    open: Option<Open>,
}

/// The inodes of the counter and the histogram segment; 0 where this process does not use one.
type Inodes = (u64, u64);

#[derive(Debug)]
struct Open {
    file: OwnFile,
    /// What the header said last.
    header: Header,
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
        inodes: Inodes,
        record: &Record,
    ) -> io::Result<()> {
        let Some(bytes) = exemplars::encode(record) else {
            return Ok(());
        };
        let slot = (record.segment, record.value_offset);
        if let Some(open) = self.open.as_ref().filter(|open| open.is_of(inodes))
            && let Some(index) = open.records.get(&slot)
        {
            return open.file.write_all_at(&bytes, record_at(*index));
        }
        let _lock = workers.lock_directory()?;
        workers.check_current()?;
        let open = self.catch_up(inodes)?;
        let index = *open.records.entry(slot).or_insert(open.header.count);
        open.file.write_all_at(&bytes, record_at(index))?;
        if index == open.header.count {
            open.header.count += 1;
            let count = open.header.count.to_le_bytes();
            open.file
                .write_all_at(&count, exemplars::COUNT_OFFSET as u64)?;
        }
        Ok(())
    }

    /// Takes the exemplars of slots away, where they have any.
    pub(super) fn clear(
        &mut self,
        workers: &WorkersFile,
        inodes: Inodes,
        slots: &[(Segment, u64)],
    ) -> io::Result<()> {
        if fs::symlink_metadata(&self.path).is_err() {
            return Ok(());
        }
        let _lock = workers.lock_directory()?;
        workers.check_current()?;
        let open = self.catch_up(inodes)?;
        for slot in slots {
            if let Some(index) = open.records.get(slot) {
                let bytes = exemplars::vacant(slot.0, slot.1);
                open.file.write_all_at(&bytes, record_at(*index))?;
            }
        }
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
        // Others may have begun the file anew.
        exemplars::decode(&bytes)
            .filter(|record| (record.segment, record.value_offset) == (segment, value_offset))
            .map(|record| record.exemplar)
    }

    /// Opens or makes the file, and reads which slot has which record. The caller holds the directory lock.
    fn catch_up(&mut self, inodes: Inodes) -> io::Result<&mut Open> {
        let known = self.open.take().filter(Open::is_current);
        let mut open = known.map_or_else(|| Open::at(&self.path), Ok)?;
        open.catch_up(inodes)?;
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
        })
    }

    fn is_current(&self) -> bool {
        self.file.has_a_name()
    }

    /// Tells whether the file is there and its records belong to the segments that this process uses.
    fn is_of(&self, inodes: Inodes) -> bool {
        let fits = |written, used| used == 0 || written == used;
        self.is_current()
            && self.read_header().is_ok_and(|header| {
                fits(header.counter_inode, inodes.0) && fits(header.histogram_inode, inodes.1)
            })
    }

    fn read_header(&self) -> io::Result<Header> {
        let mut bytes = [0; HEADER_SIZE];
        match self.file.read_exact_at(&mut bytes, 0) {
            Ok(()) => Header::from_bytes(&bytes)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
            Err(_) => Ok(Header::default()),
        }
    }

    /// Reads what others wrote. Records that belong to other segments than those of now (their files were
    /// deleted) are dropped.
    fn catch_up(&mut self, inodes: Inodes) -> io::Result<()> {
        let written = self.read_header()?;
        // A segment that this process does not use, or that was not there when the file was made, says nothing.
        let either = |written: u64, used: u64| if used == 0 { written } else { used };
        let fits = |written, used| written == 0 || written == either(written, used);
        let is_of_these_segments =
            fits(written.counter_inode, inodes.0) && fits(written.histogram_inode, inodes.1);
        let header = Header {
            count: if is_of_these_segments {
                written.count
            } else {
                0
            },
            counter_inode: either(written.counter_inode, inodes.0),
            histogram_inode: either(written.histogram_inode, inodes.1),
        };
        if header != written {
            self.file.write_all_at(&header.to_bytes(), 0)?;
        }
        let inodes_of = |header: &Header| (header.counter_inode, header.histogram_inode);
        let goes_on = inodes_of(&self.header) == inodes_of(&header);
        if !goes_on || self.header.count > header.count {
            self.records.clear();
            self.header.count = 0;
        }
        for index in self.header.count..header.count {
            let mut record = [0; RECORD_SIZE];
            self.file.read_exact_at(&mut record, record_at(index))?;
            // The slot is told apart by bytes that stay the same, so a torn record keeps its place too.
            if let Some(slot) = exemplars::slot_of(&record) {
                self.records.insert(slot, index);
            }
        }
        self.header = header;
        Ok(())
    }
}

fn record_at(index: u64) -> u64 {
    HEADER_SIZE as u64 + index * RECORD_SIZE as u64
}
