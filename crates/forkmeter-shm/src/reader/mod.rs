//! Reads a directory of segments and merges what all workers counted. Every byte is treated as hostile.
//!
//! A read goes through four steps: `segment` brings the entries of each file up to date (keys are parsed once,
//! values every time), `plan` decides which entry goes to which sample when anything but values changed,
//! `exposed` merges the values into the families, and the report says how it went.

mod crew;
mod exposed;
mod files;
mod keys;
mod listing;
mod meta;
pub(crate) mod name;
mod plan;
mod report;
mod roll;
mod segment;
mod source;
#[cfg(test)]
mod tests;
mod wanted;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use forkmeter_core::MetricFamily;

use self::exposed::Exposed;
use self::keys::KeyTable;
use self::listing::Folding;
use self::meta::Meta;
use self::name::Role;
use self::plan::{Plan, Segments};
use self::roll::Roll;
use self::segment::Segment;
use self::source::{Refusal, open, read_fully, read_small};
use crate::directory::compact;
use crate::layout::{self, Mark};
use crate::side::exemplars;
use crate::side::fold::Fold;
use crate::workers::{Observed, observe};

pub(crate) use self::plan::of_worker;
pub(crate) use self::source::read_side_file;

pub use self::report::{Conflict, Effort, FileReport, FileState, Report, WorkerReport};
pub use self::wanted::Names;

/// How often a read begins anew because files were folded meanwhile.
const MAX_ATTEMPTS: u64 = 16;
/// From how many keys on the table of keys is dropped when more than half of them are out of use.
const MIN_KEYS_TO_DROP: usize = 4096;
/// The longest journal that is believed, in bytes.
const MAX_FOLD_SIZE: u64 = 16 << 20;

/// Reads one directory again and again; keeps parsed keys between reads.
///
/// The first read parses every key; later ones read what was appended since and all values again. A file that
/// was replaced, cut off or written anew is noticed by its inode, its length or any changed byte of a key.
///
/// # Examples
///
/// ```
/// use forkmeter_shm::reader::DirectoryReader;
///
/// let mut reader = DirectoryReader::new("/nonexistent/metrics");
/// let view = reader.refresh();
/// assert!(view.families.is_empty() && view.report.files.is_empty());
/// ```
#[derive(Debug)]
pub struct DirectoryReader {
    path: PathBuf,
    created_samples: bool,
    mapped_files: bool,
    names: Option<Names>,
    observe: fn(&Path) -> io::Result<Observed>,
    keys: KeyTable,
    segments: Segments,
    meta: Meta,
    plan: Plan,
    exposed: Exposed,
    report: Report,
    /// Whether the plan no longer fits what was read.
    stale: bool,
    roll: Roll,
    window: Vec<u8>,
}

/// Shows what one read of a directory gave, without a copy.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The merged families.
    pub families: &'a [Arc<MetricFamily>],
    /// What was found on the way.
    pub report: &'a Report,
}

/// Holds what one read of a directory gave.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The merged families. They are the reader's own, which copies those that somebody holds at its next read.
    pub families: Vec<Arc<MetricFamily>>,
    /// What was found on the way.
    pub report: Report,
}

/// Holds the reports of files while a read goes on, by name.
type Files = BTreeMap<OsString, FileReport>;

impl DirectoryReader {
    /// Makes a reader of `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            created_samples: false,
            mapped_files: false,
            names: None,
            observe,
            keys: KeyTable::default(),
            segments: Segments::new(),
            meta: Meta::default(),
            plan: Plan::default(),
            exposed: Exposed::default(),
            report: Report::default(),
            stale: true,
            roll: Roll::default(),
            window: Vec::new(),
        }
    }

    /// Exposes a `_created` sample for every counter, histogram and summary series whose created time is
    /// known, which is so for those that forkmeter wrote.
    #[must_use]
    pub fn with_created_samples(mut self, enabled: bool) -> Self {
        self.created_samples = enabled;
        self.stale = true;
        self
    }

    /// As [`DirectoryReader::with_created_samples`], from the next read on.
    pub fn set_created_samples(&mut self, enabled: bool) {
        self.stale |= self.created_samples != enabled;
        self.created_samples = enabled;
    }

    /// Reads values through maps of the files instead of by system calls, which is several times faster for
    /// large files.
    ///
    /// For programs that own their process, such as an exporter: it installs a handler for SIGBUS, so that a
    /// file that is cut off during the read costs that file's data only. Where another handler is installed
    /// later, files are read by calls again. Where there are hundreds of new files, a read has threads of its own, which end
    /// with it: nobody may fork meanwhile.
    #[must_use]
    pub fn with_mapped_files(mut self, enabled: bool) -> Self {
        self.mapped_files = enabled;
        self
    }

    /// Reads no more than samples of these names need; the families that may have such samples are shown, with all of
    /// theirs and as without names, and no others.
    ///
    /// Keys of other families are passed over without being decoded, kept or merged, and later reads do not read them
    /// again. So the report counts series and conflicts of the families that are shown only, and does not know of keys
    /// of others that are none.
    #[must_use]
    pub fn with_names(mut self, names: Names) -> Self {
        self.names = Some(names);
        self
    }

    /// Returns the names of [`DirectoryReader::with_names`], if there are any.
    pub fn names(&self) -> Option<&Names> {
        self.names.as_ref()
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the directory as it is now and returns what it found. Never fails as a whole: what cannot be read is
    /// named in the report.
    pub fn read(&mut self) -> Snapshot {
        let view = self.refresh();
        Snapshot {
            families: view.families.to_vec(),
            report: view.report.clone(),
        }
    }

    /// Reads the directory as it is now and shows the result until the next read. Never fails as a whole: what
    /// cannot be read is named in the report.
    ///
    /// The families stand in the order in which they are met when the files are read by name, those that are
    /// only declared after them; within a family, series and samples stand as the official client's
    /// collector puts them.
    pub fn refresh(&mut self) -> View<'_> {
        let mut files = Files::new();
        self.report.effort = Effort::default();
        let parsed_before = self.keys.parsed_keys();
        for attempt in 1..=MAX_ATTEMPTS {
            files.clear();
            let before = self.folding();
            let is_collected = before.last().is_some_and(Option::is_some);
            let listed = listing::list(&self.path, &mut files);
            let names = is_collected.then(|| listed.keys().cloned().collect());
            self.read_files(&listed, &mut files);
            let is_quiet = names.is_none_or(|names| self.is_unmoved(&names, &files));
            let is_whole = self.roll.is_whole(&self.path, &self.segments);
            if (is_quiet && is_whole && before == self.folding()) || attempt == MAX_ATTEMPTS {
                break;
            }
            if is_collected || !is_whole {
                // Whoever folds left-over files pauses in between; whoever deletes files goes on.
                thread::sleep(Duration::from_millis(attempt));
            }
        }
        self.stale |= self.roll.settle(&self.path, &mut self.segments);
        let replanned = std::mem::take(&mut self.stale);
        if replanned {
            self.plan = plan::make(&self.path, &mut self.segments, &self.keys, &self.meta);
        }
        self.exposed.update(
            &self.plan,
            replanned,
            &self.segments,
            &self.meta,
            self.names.as_ref(),
            self.created_samples,
        );
        self.report.effort.parsed_keys = self.keys.parsed_keys() - parsed_before;
        self.attach_exemplars(&mut files);
        self.report.series = self.exposed.series;
        self.report.conflicts.clone_from(&self.plan.conflicts);
        self.report.files = files.into_values().collect();
        self.drop_unused_keys();
        View {
            families: &self.exposed.families,
            report: &self.report,
        }
    }

    /// Says which files stand for what was folded, and at the end whether left-over files are being folded. When it
    /// changed during a read, values may have been met twice or not at all.
    fn folding(&self) -> Vec<Option<Folding>> {
        let gauges = ["max", "min", "mostrecent", "sum"];
        let gauges = gauges.map(|mode| format!("gauge_{mode}_retired.db"));
        let names = gauges.into_iter().chain(compact::retired_names());
        let names = names.chain([layout::FOLD_FILE, layout::GC_FILE].map(str::to_owned));
        names
            .map(|name| listing::folding(&self.path.join(name)))
            .collect()
    }

    /// Tells whether no file was renamed since the files were listed: a listing may miss one that is, or see it twice.
    fn is_unmoved(&self, names: &Vec<OsString>, files: &Files) -> bool {
        let is_gone = |file: &FileReport| file.state == FileState::Vanished;
        let is_same = || {
            listing::list(&self.path, &mut Files::new())
                .keys()
                .eq(names)
        };
        !files.values().any(is_gone) && is_same()
    }

    fn meta_changed(&mut self, files: &mut Files) -> bool {
        let path = self.path.join(layout::META_FILE);
        let outcome = self.meta.update(&path);
        if outcome.state != FileState::Vanished {
            let report = FileReport {
                path,
                state: outcome.state,
                bytes: outcome.bytes,
                entries: outcome.entries,
                cause: outcome.cause,
            };
            files.insert(layout::META_FILE.into(), report);
        }
        outcome.changed
    }

    /// Asks who is alive; nothing where that cannot be known.
    fn observe_workers(&self, files: &mut Files) -> Option<Observed> {
        let observed = (self.observe)(&self.path);
        let path = self.path.join(layout::WORKERS_FILE);
        // The file is never opened here: closing it would drop the locks that this process may hold.
        let Ok(metadata) = path.metadata() else {
            return observed.ok();
        };
        let (state, entries, cause) = match &observed {
            Ok(observed) => (FileState::Ok, observed.records.len(), String::new()),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                (FileState::Foreign, 0, error.to_string())
            }
            Err(error) => (FileState::Unreadable, 0, error.to_string()),
        };
        let bytes = std::os::unix::fs::MetadataExt::blocks(&metadata) * 512;
        files.insert(
            layout::WORKERS_FILE.into(),
            FileReport {
                path,
                state,
                bytes,
                entries,
                cause,
            },
        );
        observed.ok()
    }

    /// Returns the files that no longer count because they were folded into another one.
    fn folded(&self, files: &mut Files) -> Option<Vec<OsString>> {
        let path = self.path.join(layout::FOLD_FILE);
        let (bytes, opened) = match read_small(&path, MAX_FOLD_SIZE) {
            Err((FileState::Vanished, _)) => return None,
            Err((state, cause)) => {
                let report = FileReport {
                    path,
                    state,
                    bytes: 0,
                    entries: 0,
                    cause,
                };
                files.insert(layout::FOLD_FILE.into(), report);
                return None;
            }
            Ok(read) => read,
        };
        let fold = Fold::from_bytes(&bytes);
        let (state, cause) = match &fold {
            Ok(_) => (FileState::Ok, String::new()),
            Err(error) => (FileState::Corrupt, error.to_string()),
        };
        let entries = fold.as_ref().map_or(0, |fold| fold.sources.len());
        let report = FileReport {
            path,
            state,
            bytes: opened.bytes,
            entries,
            cause,
        };
        files.insert(layout::FOLD_FILE.into(), report);
        let fold = fold.ok()?;
        let target = self.segments.get(&OsString::from(&fold.target))?;
        let took_effect =
            target.identity.inode == fold.target_inode && target.mark == Mark::Retired;
        took_effect.then(|| fold.sources.into_iter().map(OsString::from).collect())
    }

    fn attach_exemplars(&mut self, files: &mut Files) {
        let path = self.path.join(layout::EXEMPLARS_FILE);
        match self.try_attach_exemplars(&path) {
            Err((FileState::Vanished, _)) => {}
            Err((state, cause)) => {
                let report = FileReport {
                    path,
                    state,
                    bytes: 0,
                    entries: 0,
                    cause,
                };
                files.insert(layout::EXEMPLARS_FILE.into(), report);
            }
            Ok(report) => {
                files.insert(layout::EXEMPLARS_FILE.into(), report);
            }
        }
    }

    fn try_attach_exemplars(&mut self, path: &Path) -> Result<FileReport, Refusal> {
        let unreadable = |error: io::Error| source::refusal(&error);
        let opened = open(path)?;
        let mut header = [0; crate::side::HEADER_SIZE];
        let filled = read_fully(&opened.file, &mut header, 0).map_err(unreadable)?;
        if filled == 0 {
            return Err((FileState::Empty, "no byte in it".into()));
        }
        let header = exemplars::Header::from_bytes(&header[..filled])
            .map_err(|error| (FileState::Foreign, error.to_string()))?;
        let mut record = [0; exemplars::RECORD_SIZE];
        let mut read = 0;
        let mut offset = crate::side::HEADER_SIZE as u64;
        let mut state = if header.count == 0 {
            FileState::Empty
        } else {
            FileState::Ok
        };
        let counted = self.segments.values().filter(|segment| segment.counted);
        let by_inode: HashMap<u64, &Segment> = counted
            .filter(|segment| matches!(segment.role, Role::Counter | Role::Histogram))
            .filter(|segment| self.names.is_none() || !segment.located.is_empty())
            .map(|segment| (segment.identity.inode, segment))
            .collect();
        let count = if self.names.is_some() && by_inode.is_empty() {
            0
        } else {
            header.count
        };
        for _ in 0..count {
            if read_fully(&opened.file, &mut record, offset).map_err(unreadable)? < record.len() {
                state = FileState::Truncated;
                break;
            }
            offset += record.len() as u64;
            let Some(record) = exemplars::decode(&record) else {
                continue;
            };
            read += 1;
            let segment = by_inode.get(&record.slot.inode);
            if let Some(cell) = segment.and_then(|one| one.cell_at(record.slot.value_offset)) {
                self.exposed.attach(cell, record.exemplar);
            }
        }
        let cause = match state {
            FileState::Empty => "no record in it".into(),
            FileState::Truncated => format!("ends inside the record at byte {offset}"),
            _ => String::new(),
        };
        Ok(FileReport {
            path: path.into(),
            state,
            bytes: opened.bytes,
            entries: read,
            cause,
        })
    }

    /// Starts over when most keys went out of use, so that memory follows what is there.
    fn drop_unused_keys(&mut self) {
        let known = self.keys.len();
        if known >= MIN_KEYS_TO_DROP && self.plan.keys_in_use < known / 2 {
            self.keys = KeyTable::default();
            self.segments.clear();
            self.stale = true;
        }
    }
}
