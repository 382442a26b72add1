//! What a store knows: its families and series, and the directory that it writes them to.

mod at_once;
mod family;
mod follow;
mod leave;
mod removal;
mod repair;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Instant;

use forkmeter_core::store::{Clock, Slots};
use forkmeter_core::{Descriptor, Exemplar, LabelSet};

use self::family::Family;
use super::hints::Looks;
use super::limit::Shares;
use super::series::{Series, Values};
use super::{Options, Shared};
use crate::directory::{DRAIN, Deleted, OpenDirectory, Rewritten};
use crate::segment::Found;
use crate::{map, process};

/// Is everything that a store changes, under one lock.
#[derive(Debug)]
pub(super) struct State {
    generation: u64,
    clock: Clock,
    has_late_counts: Arc<AtomicBool>,
    families: Vec<Family>,
    by_name: HashMap<Arc<str>, usize>,
    /// The family of the last new series.
    last_family: usize,
    /// The epoch in which this was last brought up to date, so that nothing is to be followed while it lasts.
    followed_in: u64,
    wanted: Option<PathBuf>,
    /// `wanted` from the root: a program may change its working directory.
    place: Option<PathBuf>,
    open: Option<OpenDirectory>,
    /// Segments that were deleted and may hold what other workers counted.
    deleted: Vec<Deleted>,
    /// Series of families that were declared anew with other metadata; their handles count on.
    former: Vec<Weak<Series>>,
    /// Series whose values live in memory although a directory is wanted.
    unpublished: Vec<Arc<Series>>,
    /// Series that were published lately: a handle may still count in memory.
    draining: Vec<(Arc<Series>, Instant)>,
    /// Gauge files that were replaced lately.
    rewritten: Vec<Rewritten>,
    /// What this worker may still make of families with a limit.
    pub(super) shares: Shares,
    undeclared: bool,
    is_repairing: bool,
    /// Whether a deletion is a reset.
    resets: bool,
    looks: Looks,
    retry_at: Option<Instant>,
    /// As `retry_at`, for what is not needed to count.
    retry_side_files_at: Option<Instant>,
    last_error: Option<String>,
    last_error_kind: Option<io::ErrorKind>,
    reported_kept: u64,
    /// How often values that memory held, or a deleted file, went somewhere else.
    moves: u64,
    /// How often files had been found cut off at the last look.
    cuts: u64,
    /// What happened that nobody was told yet.
    news: Vec<String>,
}

impl State {
    pub(super) fn new(clock: Clock, has_late_counts: Arc<AtomicBool>) -> Self {
        Self {
            generation: process::generation(),
            clock,
            has_late_counts,
            families: Vec::new(),
            by_name: HashMap::new(),
            last_family: 0,
            followed_in: 0,
            wanted: None,
            place: None,
            open: None,
            deleted: Vec::new(),
            former: Vec::new(),
            unpublished: Vec::new(),
            draining: Vec::new(),
            rewritten: Vec::new(),
            shares: Shares::default(),
            undeclared: false,
            is_repairing: false,
            resets: false,
            looks: Looks::default(),
            retry_at: None,
            retry_side_files_at: None,
            last_error: None,
            last_error_kind: None,
            reported_kept: 0,
            moves: 0,
            cuts: map::cuts(),
            news: Vec::new(),
        }
    }

    /// Says whether a deletion is a reset.
    pub(super) fn reset_on_deletion(&mut self, is_reset: bool) {
        self.resets = is_reset;
        if let Some(open) = self.open.as_mut() {
            open.reset_on_deletion(is_reset);
        }
    }

    pub(super) fn moves(&self) -> u64 {
        self.moves
    }

    pub(super) fn directory_path(&self) -> Option<PathBuf> {
        self.open.as_ref().map(|open| open.path().to_owned())
    }

    /// Returns the directory that is wanted, if there is one.
    pub(super) fn readable_place(&self) -> Option<PathBuf> {
        self.place.clone().filter(|place| place.is_dir())
    }

    /// Returns the tag and the record number of this worker in the directory that is open.
    pub(super) fn worker(&self) -> Option<(String, u16)> {
        self.open.as_ref()?.worker()
    }

    /// Follows a fork, publishes what is kept, and returns the open directory, tag and record number; nothing where
    /// the directory does not exist.
    pub(super) fn worker_to_publish(
        &mut self,
        options: &Options,
    ) -> Option<(PathBuf, String, u16)> {
        let wanted = match &options.directory {
            super::Directory::Fixed(path) => Some(path.clone()),
            super::Directory::Follow(resolve) => resolve(),
        };
        // Looked for first, since following makes it.
        if !wanted?.is_dir() {
            return None;
        }
        self.follow(options);
        if !self.unpublished.is_empty() {
            self.retry();
        }
        let open = self.open.as_ref().filter(|open| open.is_current())?;
        let (tag, record) = open.worker()?;
        Some((open.path().to_owned(), tag, record))
    }

    pub(super) fn kept_series(&self) -> (u64, Option<String>) {
        let count = self.unpublished.len() as u64;
        (count, self.last_error.clone().filter(|_| count > 0))
    }

    pub(super) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// Tells whether values are in memory since others had the directory lock, who may be making deleted files again.
    pub(super) fn is_held_up(&self) -> bool {
        self.last_error_kind == Some(io::ErrorKind::TimedOut)
    }

    /// Returns what happened that nobody was told yet.
    pub(super) fn take_news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }

    pub(super) fn wants_directory(&self) -> bool {
        self.wanted.is_some()
    }

    /// Yields the series that only this process can expose.
    pub(super) fn in_memory(&self) -> impl Iterator<Item = &Arc<Series>> {
        let all = self.wanted.is_none();
        let orders = self
            .families
            .iter()
            .filter(move |_| all)
            .flat_map(Family::order);
        orders.chain(self.unpublished.iter().filter(move |_| !all))
    }

    /// Returns the families in the order in which they were declared.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = &Arc<Descriptor>> {
        self.families.iter().map(|family| &family.descriptor)
    }

    pub(super) fn declare(&mut self, options: &Options, descriptor: &Arc<Descriptor>) {
        self.follow(options);
        self.family(descriptor);
        self.write_declarations();
    }

    pub(super) fn intern(
        &mut self,
        shared: &Arc<Shared>,
        descriptor: &Arc<Descriptor>,
        label_values: &[&str],
    ) -> Arc<Series> {
        let epoch = process::epoch();
        self.follow(&shared.options);
        self.followed_in = epoch;
        if let Some(series) = self.intern_at_once(shared, descriptor, label_values) {
            return series;
        }
        if let Some(open) = self.open.as_mut()
            && self.looks.is_wary(&shared.hints)
        {
            open.doubt();
        }
        let values = Values::pack(label_values);
        let family = self.family(descriptor);
        let hash = family.hash(&values);
        if let Some(series) = family.get(&values, hash).cloned() {
            if family.bring_back(&series) || !series.is_published() || series.is_left() {
                self.publish_or_keep(&series);
            }
            return series;
        }
        let now = (shared.options.clock)();
        let series = Series::new(family.home(shared), values, now);
        family.add(&series, hash);
        self.write_declarations();
        self.publish_or_keep(&series);
        series
    }

    /// Returns the directory, where it is open.
    pub(super) fn open_directory(&mut self) -> Option<&mut OpenDirectory> {
        self.open.as_mut()
    }

    /// Yields the series of a family, in creation order.
    pub(super) fn all(&mut self, descriptor: &Descriptor) -> impl Iterator<Item = &Arc<Series>> {
        self.look_at_expired();
        let family = self.known_family(descriptor);
        family.into_iter().flat_map(Family::order)
    }

    /// Returns how many series of a family there were at the last look, if it is known.
    pub(super) fn count(&self, descriptor: &Descriptor) -> Option<usize> {
        Some(self.known_family(descriptor)?.len())
    }

    pub(super) fn series(&mut self, descriptor: &Arc<Descriptor>) -> Vec<Box<[Arc<str>]>> {
        let all = self.all(descriptor);
        all.map(|series| series.label_values().map(Arc::from).collect())
            .collect()
    }

    pub(super) fn set_info(&mut self, series: &Arc<Series>, facts: LabelSet) {
        series.set_info(facts);
        self.publish_or_keep(series);
    }

    pub(super) fn set_exemplar(
        &mut self,
        series: &Series,
        index: usize,
        exemplar: Exemplar,
    ) -> bool {
        let Some(slot) = series.slot_in_file(index) else {
            return false;
        };
        if is_later(self.retry_side_files_at) {
            return false;
        }
        let Some(open) = self.open.as_mut() else {
            return false;
        };
        let written = open.set_exemplar(&series.descriptor, slot, exemplar);
        let is_written = matches!(written, Ok(true));
        self.note_side_file(written);
        is_written
    }

    pub(super) fn clear_exemplars(&mut self, series: &Series) {
        let slots: Vec<_> = (0..series.len())
            .filter_map(|index| series.slot_in_file(index))
            .collect();
        if let Some(open) = self.open.as_mut() {
            let cleared = open.clear_exemplars(&series.descriptor, &slots);
            self.note_side_file(cleared);
        }
    }

    pub(super) fn exemplar(&mut self, series: &Series, index: usize) -> Option<Exemplar> {
        let open = self.open.as_mut()?;
        let slot = series.slot_in_file(index);
        let here = slot.and_then(|slot| open.exemplar(&series.descriptor, slot));
        if here.is_some() || open.has_one_place(&series.descriptor) {
            return here;
        }
        let mut slots = Vec::new();
        let visited = open.visit_places(&series.descriptor, &series.labels(), &mut |place| {
            slots.extend(place.slots.get(index).map(Found::id));
        });
        self.note_side_file(visited);
        let open = self.open.as_ref()?;
        let mut found = slots.into_iter();
        found.find_map(|slot| open.exemplar(&series.descriptor, slot))
    }

    /// Looks up a handle's cells again after a fork or a move; its caller counts right after.
    pub(super) fn look_again(&mut self, shared: &Shared, series: &Series) {
        let epoch = process::epoch();
        self.follow(&shared.options);
        self.look_for_deletions(&shared.hints);
        if series.is_published() && !series.is_left() {
            // A signal handler may have counted there before.
            series.move_kept();
        } else if !series.is_removed()
            && let Some(known) = self.find(series)
        {
            self.publish_or_keep(&known);
        }
        series.set_epoch(epoch);
    }

    /// Follows forks and changes of the directory, publishes what is kept, and repairs deleted files.
    pub(super) fn refresh(&mut self, options: &Options) {
        self.follow(options);
        self.look_at_expired();
        self.take_late_counts();
        self.repair();
        self.retry();
        self.write_declarations();
        if let Some(open) = self.open.as_mut() {
            let looked = open.look_at_rest();
            self.note_side_file(looked);
        }
        let now = Instant::now();
        self.draining.retain(|(series, since)| {
            series.move_kept();
            now.duration_since(*since) < DRAIN
        });
    }

    /// Returns all series that somebody may count on.
    fn all_series(&mut self) -> Vec<Arc<Series>> {
        self.former.retain(|series| series.strong_count() > 0);
        let former = self.former.iter().filter_map(Weak::upgrade);
        let former = former.filter(|series| !series.is_removed());
        let families = self.families.iter();
        let known = families.flat_map(Family::with_expired);
        known.cloned().chain(former).collect()
    }

    fn family(&mut self, descriptor: &Arc<Descriptor>) -> &mut Family {
        let next = self.families.len();
        let index = *self
            .by_name
            .entry(Arc::clone(&descriptor.name))
            .or_insert(next);
        if index == next {
            self.families.push(Family::new(descriptor));
            self.undeclared = true;
        } else if !Arc::ptr_eq(&self.families[index].descriptor, descriptor)
            && self.families[index].descriptor != *descriptor
        {
            // Registered anew with other metadata: the old handles keep their own descriptor.
            let before = std::mem::replace(&mut self.families[index], Family::new(descriptor));
            self.former.retain(|series| series.strong_count() > 0);
            let before = before.with_expired().map(Arc::downgrade);
            self.former.extend(before);
            self.undeclared = true;
        }
        &mut self.families[index]
    }
}

fn is_later(at: Option<Instant>) -> bool {
    at.is_some_and(|at| Instant::now() < at)
}
