//! What becomes of segments full of removed series: they are sealed, their workers move on, and what they hold is
//! folded into one retired segment per kind, without the removed series.
//!
//! A slot that was removed is never used for another series: other workers may hold its address and count there.
//! So a whole segment is left behind, and taken away once no living process is attached to it.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use forkmeter_core::store::add_to_cell;

use super::exemplars::Fate;
use super::{is_beyond_use, journal};
use crate::layout::{self, Entries, Entry, HEADER_SIZE, Header, Mark, SEGMENT_SUFFIX};
use crate::segment::Segment;
use crate::side::exemplars::SlotId;
use crate::workers::{DirectoryLock, WorkersFile};

/// How many files of one shared kind there can be before new series are kept in memory.
pub(super) const MAX_NUMBER: u32 = 1024;
const KINDS: [&str; 3] = ["counter", "histogram", "summary"];
/// A retired segment is replaced by one of another name.
pub(crate) const RETIRED_NUMBERS: u32 = 3;

/// Returns the stems of the segments that hold shared slots.
pub(super) fn stems() -> impl Iterator<Item = String> {
    KINDS.iter().map(|kind| format!("{kind}_shared"))
}

/// Returns the names that a kind's retired segment may have; it has one at a time.
pub(crate) fn retired_names() -> impl Iterator<Item = String> {
    let numbers = |kind| (0..RETIRED_NUMBERS).map(move |number| retired_name(kind, number));
    KINDS.into_iter().flat_map(numbers)
}

/// Returns those of the names that belong to a stem's kind.
pub(super) fn retired_names_of(stem: &str) -> impl Iterator<Item = String> {
    let kind = stem.strip_suffix("_shared").unwrap_or(stem);
    (0..RETIRED_NUMBERS).map(move |number| retired_name(kind, number))
}

fn retired_name(kind: &str, number: u32) -> String {
    super::file_name(&format!("{kind}_retired"), number)
}

/// Returns the number under which a segment's workers are attached; nothing for other files.
pub(super) fn attachment_place(stem: &str, number: u32) -> Option<u32> {
    let kind = stem.strip_suffix("_shared")?;
    let index = (0..).zip(KINDS).find(|(_, known)| *known == kind)?.0;
    Some(index * MAX_NUMBER + number)
}

/// Returns the numbers of the segments of a stem that are there, in order.
pub(super) fn numbers(directory: &Path, stem: &str) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| number_in(name, stem));
        numbers.extend(number.filter(|number| *number < MAX_NUMBER));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Returns the number in a segment's file name; `stem` is what is before it.
pub(crate) fn number_in(name: &str, stem: &str) -> Option<u32> {
    let rest = name.strip_prefix(stem)?.strip_suffix(SEGMENT_SUFFIX)?;
    let number = match rest.strip_prefix('-') {
        None => rest.is_empty().then_some(0),
        Some(digits) => digits.parse().ok(),
    };
    number.filter(|number| super::file_name(stem, *number) == *name)
}

/// Returns how many bytes the retired segments of a stem take.
pub(super) fn retired_bytes(directory: &Path, stem: &str) -> u64 {
    retired_names_of(stem)
        .filter_map(|name| fs::symlink_metadata(directory.join(name)).ok())
        .map(|meta| meta.len())
        .sum()
}

/// Returns the inodes of the files of a directory.
pub(super) fn inodes(directory: &Path) -> HashSet<u64> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.ino()).collect()
}

/// Says where the slots of folded segments went.
#[derive(Debug)]
pub(super) struct Folded {
    target_inode: u64,
    /// The folded segments, by inode.
    sources: HashMap<u64, Vec<u8>>,
    sums: Sums,
    places: OnceCell<HashMap<SlotId, u64>>,
    /// The segment that holds it all now; nothing where it could not be opened.
    target: Option<Segment>,
}

impl Folded {
    /// Says where a slot's values went.
    pub(super) fn fate(&self, slot: SlotId) -> Fate {
        if !self.sources.contains_key(&slot.inode) {
            return Fate::Stayed;
        }
        let places = self.places.get_or_init(|| self.find_places());
        places.get(&slot).map_or(Fate::Gone, |value_offset| {
            Fate::Moved(SlotId {
                inode: self.target_inode,
                value_offset: *value_offset,
            })
        })
    }

    /// Takes the segment that holds it all now. Until somebody else has looked, this process alone has it open.
    pub(super) fn take_target(&mut self) -> Option<Segment> {
        self.target.take()
    }

    fn find_places(&self) -> HashMap<SlotId, u64> {
        let offsets = self.sums.offsets();
        let mut places = HashMap::new();
        for (inode, source) in &self.sources {
            for entry in Entries::of_segment(source).map_while(Result::ok) {
                if let Some(position) = self.sums.index.get(entry.key) {
                    let slot = SlotId {
                        inode: *inode,
                        value_offset: entry.value_offset,
                    };
                    places.insert(slot, offsets[*position]);
                }
            }
        }
        places
    }
}

/// Folds the sealed segments of a stem that no living process counts in into the retired one.
pub(super) fn fold(
    lock: &DirectoryLock<'_>,
    workers: &Arc<WorkersFile>,
    directory: &Path,
    stem: &str,
) -> io::Result<Option<Folded>> {
    let Some(kind) = stem.strip_suffix("_shared") else {
        return Ok(None);
    };
    journal::finish(lock, directory)?;
    let mut sources = Vec::new();
    let mut segments = Vec::new();
    for number in numbers(directory, stem)? {
        let place = attachment_place(stem, number).unwrap_or(u32::MAX);
        let name = super::file_name(stem, number);
        if let Some(bytes) = read_marked(&directory.join(&name), Mark::Sealed)?
            && !workers.is_attached(lock, place)?
        {
            segments.push(bytes);
            sources.push(name);
        }
    }
    if sources.is_empty() {
        return Ok(None);
    }
    retire(lock, workers, directory, kind, segments, sources).map(Some)
}

/// Folds segments of a kind, by inode and by name, into its retired one.
pub(super) fn retire(
    lock: &DirectoryLock<'_>,
    workers: &WorkersFile,
    directory: &Path,
    kind: &str,
    mut segments: Vec<(u64, Vec<u8>)>,
    mut sources: Vec<String>,
) -> io::Result<Folded> {
    let mut target = None;
    for number in 0..RETIRED_NUMBERS {
        let name = retired_name(kind, number);
        let path = directory.join(&name);
        if fs::symlink_metadata(&path).is_err() {
            target = target.or(Some(name));
        } else if let Some(bytes) = read_marked(&path, Mark::Retired)? {
            // What is older comes first, and keeps its place in the order.
            segments.insert(0, bytes);
            sources.push(name);
        }
    }
    let target =
        target.ok_or_else(|| io::Error::other("every name for a retired file is taken"))?;
    let sums = Sums::of(&segments);
    let bytes = sums.to_bytes()?;
    let mut opened = open_sources(directory, &sources, &segments)?;
    workers.announce_change(lock)?;
    let mut made = None;
    let place = directory.join(&target);
    journal::replace(lock, directory, target, &bytes, sources, &mut |file| {
        let target_inode = file.metadata()?.ino();
        // Where it cannot be mapped the sources are emptied all the same.
        let mut segment = Segment::from_file(file, &place, &|mark| mark == Mark::Retired).ok();
        if let Some(segment) = &mut segment
            && segment.catch_up().is_ok()
        {
            settle(&mut opened, &segments, segment, &sums);
        }
        made = Some((target_inode, segment));
        Ok(())
    })?;
    let (target_inode, target) = made.ok_or(io::ErrorKind::NotFound)?;
    Ok(Folded {
        target_inode,
        sources: segments.into_iter().collect(),
        sums,
        places: OnceCell::new(),
        target,
    })
}

/// Opens those of the files to be folded that workers may have open as well, before they lose their names.
///
/// # Errors
///
/// Where one is no longer what was read: it was deleted since, and what it held comes back another way.
fn open_sources(
    directory: &Path,
    sources: &[String],
    read: &[(u64, Vec<u8>)],
) -> io::Result<Vec<Segment>> {
    let is_ours = |mark| matches!(mark, Mark::Sealed | Mark::Retired);
    let mut opened = Vec::new();
    // Nobody knows a left-over file once it was taken from its place.
    let is_known = |source: &&String| layout::name_before_taken(source).is_none();
    for source in sources.iter().filter(is_known) {
        match Segment::open_existing(&directory.join(source), &is_ours) {
            Ok(segment) if read.iter().any(|(inode, _)| *inode == segment.inode()) => {
                opened.push(segment);
            }
            Ok(_) => return Err(io::ErrorKind::NotFound.into()),
            // Nobody can count in it.
            Err(error) if is_beyond_use(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(opened)
}

/// Takes the values out of what was folded. Who brings back deleted files may have taken some of them since they were
/// read: what is missing is taken out of the target, and what came late is added there.
fn settle(sources: &mut [Segment], folded: &[(u64, Vec<u8>)], target: &Segment, sums: &Sums) {
    let offsets = sums.offsets();
    let targets = target.mapping();
    for source in sources {
        let of_source = |(inode, _): &&(u64, Vec<u8>)| *inode == source.inode();
        let Some((_, bytes)) = folded.iter().find(of_source) else {
            continue;
        };
        if source.catch_up().is_err() {
            continue;
        }
        let cells = source.mapping();
        for entry in Entries::of_segment(bytes).map_while(Result::ok) {
            let Some(cell) = cells.cell(entry.value_offset) else {
                continue;
            };
            // ORDERING: the swap makes sure that of all workers that do this one moves the value.
            let late = f64::from_bits(cell.swap(0, Ordering::AcqRel)) - entry.value;
            // Infinity stays what it is.
            let is_late = late != 0.0 && !late.is_nan();
            let position = sums.index.get(entry.key).filter(|_| is_late);
            if let Some(cell) = position.and_then(|position| targets.cell(offsets[*position])) {
                add_to_cell(cell, late);
            }
        }
    }
}

/// Reads a segment with this mark; nothing where it has another one or is none.
fn read_marked(path: &Path, mark: Mark) -> io::Result<Option<(u64, Vec<u8>)>> {
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_file() {
        return Ok(None);
    }
    let file = File::open(path)?;
    let mut header = [0; HEADER_SIZE];
    // Every worker that starts comes here: only what is to be folded is read as a whole.
    if file.read_exact_at(&mut header, 0).is_err() || Header::from_bytes(header).mark != mark {
        return Ok(None);
    }
    let bytes = journal::read(&file)?;
    let header = bytes.split_first_chunk::<HEADER_SIZE>();
    let is_marked = header.is_some_and(|(header, _)| Header::from_bytes(*header).mark == mark);
    Ok(is_marked.then_some((meta.ino(), bytes)))
}

/// Holds what shared slots came to, by key, in the order in which they came.
#[derive(Debug, Default)]
struct Sums {
    index: HashMap<Box<[u8]>, usize>,
    slots: Vec<(Box<[u8]>, f64, f64)>,
}

impl Sums {
    /// Adds up segments, but for removed series; of a damaged one the part before the damage.
    fn of(segments: &[(u64, Vec<u8>)]) -> Self {
        let entries = || {
            let entries = segments.iter().map(|(_, bytes)| Entries::of_segment(bytes));
            entries.flat_map(|entries| entries.map_while(Result::ok))
        };
        // Who counts on a removed histogram again touches some of its slots; the others are part of it.
        let is_revived =
            |entry: &Entry<'_>| entry.value != 0.0 && entry.timestamp.is_sign_negative();
        let revived: HashSet<SeriesId> = entries()
            .filter(is_revived)
            .filter_map(|entry| series_of(entry.key))
            .collect();
        let mut sums = Self::default();
        for entry in entries() {
            let is_removed = layout::is_removed_slot(entry.value, entry.timestamp)
                && (revived.is_empty()
                    || !series_of(entry.key).is_some_and(|series| revived.contains(&series)));
            if !is_removed {
                sums.add_slot(entry.key, entry.value, entry.timestamp);
            }
        }
        sums
    }

    fn add_slot(&mut self, key: &[u8], value: f64, timestamp: f64) {
        if let Some(position) = self.index.get(key) {
            let (_, sum, created) = &mut self.slots[*position];
            *sum += value;
            let is_removed = created.is_sign_negative() && timestamp.is_sign_negative();
            let earlier = earlier_of(created.abs(), timestamp.abs());
            *created = if is_removed { -earlier } else { earlier };
        } else {
            self.index.insert(key.into(), self.slots.len());
            self.slots.push((key.into(), value, timestamp));
        }
    }

    /// Returns where in the folded segment the values stand.
    fn offsets(&self) -> Vec<u64> {
        let mut entry_at = HEADER_SIZE;
        let slots = self.slots.iter().map(|(key, ..)| {
            let value_at = entry_at + layout::value_position(key.len());
            entry_at += layout::entry_len(key.len());
            value_at as u64
        });
        slots.collect()
    }

    fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; HEADER_SIZE];
        for (key, value, timestamp) in &self.slots {
            layout::append_entry(&mut bytes, key, *value, *timestamp);
        }
        let used = i32::try_from(bytes.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mark = Mark::Retired;
        bytes[..HEADER_SIZE].copy_from_slice(&Header { used, mark }.to_bytes());
        Ok(bytes)
    }
}

/// A family and the labels of a series in it.
type SeriesId = (String, Vec<(String, String)>);

fn series_of(key: &[u8]) -> Option<SeriesId> {
    let key = crate::key::parse(key).ok()?;
    let labels = key.labels.iter().filter(|(name, _)| name != "le");
    let labels = labels.map(|(name, value)| (name.to_string(), value.to_string()));
    Some((key.family.into_owned(), labels.collect()))
}

/// Returns the earlier of two created times, of which 0 says nothing.
fn earlier_of(one: f64, other: f64) -> f64 {
    match (one == 0.0, other == 0.0) {
        (true, _) => other,
        (_, true) => one,
        _ => one.min(other),
    }
}
