//! An open directory as a worker sees it: its segments, its record, and the side files it writes.

pub(crate) mod compact;
mod deleted;
mod exemplars;
mod gauges;
mod generations;
mod intern;
mod journal;
mod keys;
pub mod leftovers;
mod looked;
mod meta;
mod rescue;
mod rest;
mod retire;
mod strays;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forkmeter_core::{Descriptor, Exemplar, LabelSet, MetricType};
use hashbrown::HashMap;

pub(crate) use self::deleted::{Cut, Deleted, Gone};
use self::exemplars::ExemplarFile;
pub(crate) use self::gauges::Rewritten;
pub(crate) use self::generations::DRAIN;
use self::generations::Leaving;
use self::keys::Keys;
use self::looked::Looked;
use self::meta::MetaFile;
use self::rest::Rest;
use self::strays::Holders;
use crate::layout::{self, Mark};
use crate::segment::{Found, Held, Segment, Wanted};
use crate::side::{self, exemplars::SlotId};
use crate::workers::{Claim, WorkersFile};

/// Is a directory that this process writes to.
#[derive(Debug)]
pub(crate) struct OpenDirectory {
    path: PathBuf,
    workers: Arc<WorkersFile>,
    claim: Option<Claim>,
    sets: HashMap<Box<str>, Vec<Segment>>,
    /// Sealed segments in which a handle may still count.
    leaving: Vec<Leaving>,
    /// Segments that hold shared slots and in which no handle of this process counts.
    rest: HashMap<Box<str>, Rest>,
    /// Files of other workers' gauges, by name, as far as series were removed there.
    peers: HashMap<OsString, Segment>,
    /// Counts the stores of this process that use the directory.
    user: Arc<()>,
    looked: Looked,
    /// Those of the last new series; their room is used again.
    keys: Keys,
    /// Whether sealed segments could not be folded: then no others are sealed.
    is_fold_due: bool,
    /// Whether a deletion is a reset.
    resets: bool,
    /// Whether what deleted files held is being brought back.
    is_bringing_back: bool,
    /// Who may have open what deleted files held, as of the last look.
    holders: Option<Holders>,
    meta: MetaFile,
    exemplars: ExemplarFile,
    clock: forkmeter_core::store::Clock,
    #[cfg(test)]
    limit_bytes: u64,
}

/// Is the place of a series: one cell per slot.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The slots, in the descriptor's order.
    pub(crate) slots: Vec<Found>,
    /// Keeps the slots' cells showing the file.
    pub(crate) mapping: Arc<Held>,
}

impl OpenDirectory {
    /// Opens a directory, makes what is missing, and clears away what dead workers left.
    pub(crate) fn open(path: &Path, clock: forkmeter_core::store::Clock) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let workers = WorkersFile::open(path)?;
        let user = workers.user();
        let mut directory = Self {
            path: path.to_owned(),
            workers,
            claim: None,
            sets: HashMap::new(),
            leaving: Vec::new(),
            rest: HashMap::new(),
            peers: HashMap::new(),
            user,
            looked: Looked::default(),
            keys: Keys::default(),
            is_fold_due: false,
            resets: false,
            is_bringing_back: false,
            holders: None,
            meta: MetaFile::new(path),
            exemplars: ExemplarFile::new(path),
            clock,
            #[cfg(test)]
            limit_bytes: crate::map::MAX_FILE_BYTES,
        };
        directory.take_record()?;
        Ok(directory)
    }

    /// Returns the path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes a worker record of its own for this process; called again after a fork.
    pub(crate) fn take_record(&mut self) -> io::Result<()> {
        self.claim = None;
        self.looked = Looked::default();
        let workers = Arc::clone(&self.workers);
        let lock = workers.lock_directory()?;
        workers.check_current()?;
        journal::finish(&lock, &self.path)?;
        let is_free = |tag: &str| !retire::tag_is_used(&self.path, tag);
        let mut retire = |dead: &_| retire::retire(&lock, &self.path, dead);
        self.claim = Some(workers.claim(&lock, &is_free, &mut retire)?);
        // Best effort: what dead workers were attached to counts where it is.
        let _ = self.fold_all(&lock);
        Ok(())
    }

    /// Forgets the files of this worker's own gauges, which belong to the parent after a fork.
    pub(crate) fn forget_own_gauges(&mut self) {
        self.sets.retain(|stem, _| !stem.starts_with("gauge_"));
        self.peers.clear();
        self.claim = None;
    }

    /// Returns the tag and the record number of this worker.
    pub(crate) fn worker(&self) -> Option<(String, u16)> {
        self.claim
            .as_ref()
            .map(|claim| (claim.tag.clone(), claim.index))
    }

    /// Says whether a deletion is a reset, here and in the record that others read.
    pub(crate) fn reset_on_deletion(&mut self, resets: bool) {
        self.resets = resets;
        if let Some(claim) = &self.claim {
            // Best effort: others would bring back what this worker does not want.
            let _ = self.workers.report_resets(claim, resets);
        }
    }

    /// Writes down how many series this worker keeps in memory.
    pub(crate) fn report_kept(&self, kept_series: u64) {
        if let Some(claim) = &self.claim {
            // Best effort: it is a report about storage that does not work.
            let _ = self.workers.report_kept(claim, kept_series);
        }
    }

    /// Returns the name, without number and suffix, of the segments that hold a family's series.
    pub(crate) fn stem(&self, descriptor: &Descriptor) -> io::Result<Cow<'static, str>> {
        let name = match descriptor.kind {
            MetricType::Counter => "counter_shared",
            MetricType::Histogram | MetricType::GaugeHistogram => "histogram_shared",
            MetricType::Summary => "summary_shared",
            MetricType::StateSet => layout::STATES_FILE,
            MetricType::Info => layout::META_FILE,
            MetricType::Gauge | MetricType::Unknown => {
                let claim = self.claim.as_ref();
                let claim =
                    claim.ok_or_else(|| io::Error::other("this worker has no record yet"))?;
                return Ok(format!("gauge_{}_{}", descriptor.mode, claim.tag).into());
            }
        };
        Ok(name.into())
    }

    fn mark(&self, descriptor: &Descriptor) -> Mark {
        match descriptor.kind {
            MetricType::StateSet => Mark::States,
            MetricType::Gauge | MetricType::Unknown | MetricType::Info => {
                Mark::Worker(self.claim.as_ref().map_or(u16::MAX, |claim| claim.index))
            }
            _ => Mark::Shared,
        }
    }

    /// Writes down what has no room in keys.
    pub(crate) fn declare(&mut self, descriptor: &Descriptor) -> io::Result<()> {
        if self.meta.knows_descriptor(descriptor) {
            return Ok(());
        }
        let lock = self.workers.lock_directory()?;
        self.workers.check_current()?;
        self.meta.declare(&lock, descriptor)
    }

    /// Writes down the facts of an info series; nothing for a series that was removed.
    pub(crate) fn set_info(
        &mut self,
        family: &Arc<str>,
        labels: &LabelSet,
        info: Option<LabelSet>,
    ) -> io::Result<()> {
        let lock = self.workers.lock_directory()?;
        self.workers.check_current()?;
        let record = side::meta::InfoRecord {
            family: Arc::clone(family),
            labels: labels.clone(),
            info,
            time_seconds: (self.clock)(),
        };
        self.meta.set_info(&lock, &record)
    }

    /// Writes the exemplar of a slot; `false` where it can have none: only counters and histograms have exemplars.
    pub(crate) fn set_exemplar(
        &mut self,
        descriptor: &Descriptor,
        slot: SlotId,
        exemplar: Exemplar,
    ) -> io::Result<bool> {
        if !has_exemplars(descriptor) {
            return Ok(false);
        }
        let record = side::exemplars::Record { slot, exemplar };
        let path = &self.path;
        self.exemplars
            .set(&self.workers, &record, &|| compact::inodes(path))
            .map(|()| true)
    }

    /// Reads the exemplar of a slot.
    pub(crate) fn exemplar(&self, descriptor: &Descriptor, slot: SlotId) -> Option<Exemplar> {
        self.exemplars
            .get(slot)
            .filter(|_| has_exemplars(descriptor))
    }

    /// Takes the exemplars of slots away.
    pub(crate) fn clear_exemplars(
        &mut self,
        descriptor: &Descriptor,
        slots: &[SlotId],
    ) -> io::Result<()> {
        if slots.is_empty() || !has_exemplars(descriptor) {
            return Ok(());
        }
        self.exemplars.clear(&self.workers, slots)
    }
}

impl Place {
    fn new(slots: Vec<Found>, segment: &Segment) -> Self {
        Self {
            slots,
            mapping: segment.mapping(),
        }
    }
}

fn place_in(segment: &Segment, wanted: &[Wanted<'_>]) -> Option<Place> {
    let slots = segment.find_all(wanted)?;
    Some(Place::new(slots, segment))
}

/// Tells whether all workers share one slot per series of this family.
pub(crate) fn is_shared(descriptor: &Descriptor) -> bool {
    !matches!(
        descriptor.kind,
        MetricType::Gauge | MetricType::Unknown | MetricType::Info | MetricType::StateSet
    )
}

fn has_exemplars(descriptor: &Descriptor) -> bool {
    matches!(descriptor.kind, MetricType::Counter | MetricType::Histogram)
}

fn file_name(stem: &str, number: u32) -> String {
    match number {
        _ if stem.starts_with(layout::SIDE_FILE_PREFIX) => stem.to_owned(),
        0 => format!("{stem}{}", layout::SEGMENT_SUFFIX),
        number => format!("{stem}-{number}{}", layout::SEGMENT_SUFFIX),
    }
}

/// Tells whether an error says that this one file cannot take more, as opposed to the disk.
fn is_beyond_use(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData
            | io::ErrorKind::FileTooLarge
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::PermissionDenied
    )
}
