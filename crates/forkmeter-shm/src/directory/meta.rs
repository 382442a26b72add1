//! Writes `forkmeter.meta`: descriptors and infos, appended under the directory lock.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forkmeter_core::{Descriptor, LabelSet};

use crate::layout::META_FILE;
use crate::side::{HEADER_SIZE, meta};
use crate::sys::{self, OwnFile};
use crate::workers::DirectoryLock;

/// Above this much, records that later ones replaced are left behind in a rewrite.
const COMPACT_BYTES: u64 = 1 << 20;

/// Is the file of what has no room in keys, opened when it is first written.
#[derive(Debug)]
pub(super) struct MetaFile {
    path: PathBuf,
    open: Option<Open>,
    known: HashMap<Identity, u64>,
    /// At which length a rewrite may be worth it.
    compact_above: u64,
}

#[derive(Debug)]
struct Open {
    file: OwnFile,
    scanned: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Identity {
    Descriptor(Arc<str>),
    Info(Arc<str>, LabelSet),
}

impl MetaFile {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            path: directory.join(META_FILE),
            open: None,
            known: HashMap::new(),
            compact_above: COMPACT_BYTES,
        }
    }

    /// Tells whether the file is still what its path names, and whole; an unopened one is.
    pub(super) fn is_current(&self) -> bool {
        let is_at = |open: &Open| open.file.is_at(&self.path);
        self.open.as_ref().is_none_or(is_at) && !self.is_cut_off()
    }

    /// Tells whether somebody cut off the file since it was opened.
    pub(super) fn is_cut_off(&self) -> bool {
        let is_short = |open: &Open| open.file.len().is_some_and(|len| len < open.scanned);
        self.open.as_ref().is_some_and(is_short)
    }

    /// Takes the file away if it is what its path names.
    pub(super) fn discard(&self, _lock: &DirectoryLock<'_>) -> io::Result<()> {
        match &self.open {
            Some(open) if open.file.is_at(&self.path) => fs::remove_file(&self.path),
            _ => Ok(()),
        }
    }

    /// Tells whether this descriptor was seen in the file, as of the last look.
    pub(super) fn knows_descriptor(&self, descriptor: &Descriptor) -> bool {
        let identity = Identity::Descriptor(Arc::clone(&descriptor.name));
        self.known.get(&identity) == Some(&fingerprint_of(descriptor))
    }

    /// Appends a descriptor, unless the last one of its name is equal.
    pub(super) fn declare(
        &mut self,
        lock: &DirectoryLock<'_>,
        descriptor: &Descriptor,
    ) -> io::Result<()> {
        let mut record = Vec::new();
        meta::append_descriptor(&mut record, descriptor);
        let identity = Identity::Descriptor(Arc::clone(&descriptor.name));
        self.append(lock, identity, fingerprint_of(descriptor), &record)
    }

    /// Appends the facts of an info series, unless they are what the file says already.
    pub(super) fn set_info(
        &mut self,
        lock: &DirectoryLock<'_>,
        record: &meta::InfoRecord,
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        meta::append_info(&mut bytes, record);
        let identity = Identity::Info(Arc::clone(&record.family), record.labels.clone());
        self.append(lock, identity, fingerprint(&record.info), &bytes)
    }

    fn append(
        &mut self,
        _lock: &DirectoryLock<'_>,
        identity: Identity,
        fingerprint: u64,
        record: &[u8],
    ) -> io::Result<()> {
        self.catch_up()?;
        if self.known.get(&identity) == Some(&fingerprint) {
            return Ok(());
        }
        let open = self.open.as_mut().ok_or(io::ErrorKind::NotFound)?;
        let end = open.scanned + record.len() as u64;
        sys::write_all_at(&open.file, record, open.scanned)?;
        sys::write_all_at(
            &open.file,
            &end.to_le_bytes(),
            meta::COMMITTED_OFFSET as u64,
        )?;
        open.scanned = end;
        self.known.insert(identity, fingerprint);
        if end > self.compact_above {
            // What was asked for is written; a file that stays long is none the worse.
            let _ = self.compact();
        }
        Ok(())
    }

    /// Opens or makes the file, and reads what others appended since the last look.
    fn catch_up(&mut self) -> io::Result<()> {
        let is_open = |open: &Open| open.file.is_open();
        if !self.is_current() || !self.open.as_ref().is_none_or(is_open) {
            self.open = None;
            self.known.clear();
        }
        if self.open.is_none() {
            self.open = Some(Open::at(&self.path)?);
        }
        let open = self.open.as_mut().ok_or(io::ErrorKind::NotFound)?;
        let committed = open.committed()?;
        let len =
            usize::try_from(committed.saturating_sub(open.scanned)).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        open.file.read_exact_at(&mut bytes, open.scanned)?;
        // What cannot be read is left alone: later records replace it.
        for record in meta::Records::new(&bytes).flatten() {
            match record {
                meta::Record::Descriptor(descriptor) => {
                    let identity = Identity::Descriptor(Arc::clone(&descriptor.name));
                    self.known.insert(identity, fingerprint_of(&descriptor));
                }
                meta::Record::Info(info) => {
                    let identity = Identity::Info(info.family, info.labels);
                    self.known.insert(identity, fingerprint(&info.info));
                }
                meta::Record::Unknown(_) => {}
            }
        }
        open.scanned = committed.max(open.scanned);
        Ok(())
    }

    /// Rewrites the file with the last record of each identity, if that makes it much smaller.
    fn compact(&mut self) -> io::Result<()> {
        let open = self.open.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let len = usize::try_from(open.scanned).map_err(io::Error::other)?;
        let mut bytes = vec![0; len - HEADER_SIZE];
        open.file.read_exact_at(&mut bytes, HEADER_SIZE as u64)?;
        let mut last: HashMap<Identity, Option<(usize, Vec<u8>)>> = HashMap::new();
        for (order, record) in meta::Records::new(&bytes).flatten().enumerate() {
            let mut record_bytes = Vec::new();
            let mut is_removed = false;
            let identity = match record {
                meta::Record::Descriptor(descriptor) => {
                    meta::append_descriptor(&mut record_bytes, &descriptor);
                    Identity::Descriptor(Arc::clone(&descriptor.name))
                }
                meta::Record::Info(info) => {
                    meta::append_info(&mut record_bytes, &info);
                    is_removed = info.info.is_none();
                    Identity::Info(info.family, info.labels)
                }
                meta::Record::Unknown(_) => continue,
            };
            last.insert(identity, (!is_removed).then_some((order, record_bytes)));
        }
        let mut kept: Vec<_> = last.into_values().flatten().collect();
        kept.sort();
        let size: usize = kept.iter().map(|(_, record)| record.len()).sum();
        // Each rewrite is paid for by as many bytes of new records.
        self.compact_above = COMPACT_BYTES.max(2 * (HEADER_SIZE + size) as u64);
        if size * 2 > bytes.len() {
            return Ok(());
        }
        let mut new = meta::header((HEADER_SIZE + size) as u64).to_vec();
        new.extend(kept.into_iter().flat_map(|(_, record)| record));
        let temporary = self.path.with_extension("meta.new");
        let written =
            sys::write_file(&temporary, &new).and_then(|()| fs::rename(&temporary, &self.path));
        if written.is_err() {
            // A full disk wants its blocks back.
            let _ = fs::remove_file(&temporary);
        }
        // What was removed is forgotten; the rest is read again.
        self.known.clear();
        self.open = None;
        written
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
        let file = options.open(path)?;
        let metadata = file.metadata()?;
        let new = Self {
            file: OwnFile::new(file)?,
            scanned: HEADER_SIZE as u64,
        };
        if metadata.len() < HEADER_SIZE as u64 {
            sys::write_all_at(&new.file, &meta::header(HEADER_SIZE as u64), 0)?;
        }
        new.committed()?;
        Ok(new)
    }

    fn committed(&self) -> io::Result<u64> {
        let mut header = [0; HEADER_SIZE];
        self.file.read_exact_at(&mut header, 0)?;
        let wrong = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let committed = meta::committed_len(&header).map_err(wrong)?;
        // A crash between the record and the length leaves bytes behind the length, which are written over.
        if committed > self.file.metadata()?.len() || committed < HEADER_SIZE as u64 {
            let text = format!("{META_FILE} is shorter than the length it gives");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(committed)
    }
}

fn fingerprint_of(descriptor: &Descriptor) -> u64 {
    let bounds: Vec<u64> = descriptor
        .upper_bounds
        .iter()
        .map(|bound| bound.to_bits())
        .collect();
    fingerprint(&(
        (
            &descriptor.help,
            &descriptor.unit,
            descriptor.kind,
            descriptor.mode,
        ),
        (&descriptor.label_names, bounds, &descriptor.states),
    ))
}

fn fingerprint(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
