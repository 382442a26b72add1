//! What a store knows: its families and series, and the directory that it writes them to.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use forkmeter_core::store::{Clock, Slots};
use forkmeter_core::{Descriptor, Exemplar, LabelSet, MetricType};

use super::series::{DRAIN, Series};
use super::{Directory, Options, Shared};
use crate::directory::{Deleted, OpenDirectory, is_shared};
use crate::process;

/// How long to leave a directory alone after it could not be written.
const RETRY: Duration = Duration::from_secs(1);
/// The family's index and order, and the caller.
const HANDLES_OF_A_NEW_SERIES: usize = 3;

/// Is everything that a store changes, under one lock.
#[derive(Debug)]
pub(super) struct State {
    generation: u64,
    clock: Clock,
    families: Vec<Family>,
    by_name: HashMap<Arc<str>, usize>,
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
    undeclared: bool,
    is_repairing: bool,
    retry_at: Option<Instant>,
    /// As `retry_at`, for what is not needed to count.
    retry_side_files_at: Option<Instant>,
    last_error: Option<String>,
    reported_kept: u64,
}

#[derive(Debug)]
struct Family {
    descriptor: Arc<Descriptor>,
    is_declared_in: Option<PathBuf>,
    index: HashMap<Box<[Arc<str>]>, Arc<Series>>,
    order: Vec<Arc<Series>>,
}

impl State {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            generation: process::generation(),
            clock,
            families: Vec::new(),
            by_name: HashMap::new(),
            wanted: None,
            place: None,
            open: None,
            deleted: Vec::new(),
            former: Vec::new(),
            unpublished: Vec::new(),
            draining: Vec::new(),
            undeclared: false,
            is_repairing: false,
            retry_at: None,
            retry_side_files_at: None,
            last_error: None,
            reported_kept: 0,
        }
    }

    pub(super) fn directory_path(&self) -> Option<PathBuf> {
        self.open.as_ref().map(|open| open.path().to_owned())
    }

    pub(super) fn kept_series(&self) -> (u64, Option<String>) {
        let count = self.unpublished.len() as u64;
        (count, self.last_error.clone().filter(|_| count > 0))
    }

    pub(super) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
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
            .flat_map(|family| &family.order);
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
        self.follow(&shared.options);
        let key: Box<[Arc<str>]> = label_values.iter().map(|value| Arc::from(*value)).collect();
        let family = self.family(descriptor);
        if let Some(series) = family.index.get(&key).cloned() {
            if !series.is_published() {
                self.publish_or_keep(&series);
            }
            return series;
        }
        let series = Series::new(shared, descriptor, key.clone());
        family.index.insert(key, Arc::clone(&series));
        family.order.push(Arc::clone(&series));
        self.write_declarations();
        self.publish_or_keep(&series);
        series
    }

    pub(super) fn series(&self, descriptor: &Arc<Descriptor>) -> Vec<Box<[Arc<str>]>> {
        let family = self
            .by_name
            .get(&descriptor.name)
            .map(|index| &self.families[*index]);
        let order = family
            .map(|family| family.order.as_slice())
            .unwrap_or_default();
        order
            .iter()
            .map(|series| series.label_values.clone())
            .collect()
    }

    pub(super) fn remove(
        &mut self,
        options: &Options,
        descriptor: &Arc<Descriptor>,
        label_values: &[&str],
    ) -> bool {
        self.follow(options);
        let key: Box<[Arc<str>]> = label_values.iter().map(|value| Arc::from(*value)).collect();
        let labels = descriptor.labels(label_values);
        let family = self.family(descriptor);
        let known = family.index.remove(&key);
        let mut was_there = known.is_some();
        if let Some(series) = &known {
            family.order.retain(|other| !Arc::ptr_eq(other, series));
            self.unpublished.retain(|other| !Arc::ptr_eq(other, series));
            self.draining
                .retain(|(other, _)| !Arc::ptr_eq(other, series));
            series.remove();
        }
        let Some(open) = self.open.as_mut() else {
            return was_there;
        };
        let now = (options.clock)();
        let removed = match descriptor.kind {
            MetricType::Info => open.set_info(&descriptor.name, &labels, None),
            _ if is_shared(descriptor) || descriptor.kind == MetricType::StateSet => {
                // A series that only other workers counted is removed in the file all the same.
                open.find(descriptor, &labels).and_then(|place| {
                    let Some(place) = place else { return Ok(()) };
                    was_there |= super::series::mark_removed(&place, now);
                    let slots = place.slots.iter();
                    let slots = slots.map(|slot| (slot.segment_inode, slot.value_offset));
                    open.clear_exemplars(descriptor, slots)
                })
            }
            _ => open
                .remove_gauge(descriptor, &labels)
                .map(|removed| was_there |= removed),
        };
        self.note(removed);
        was_there
    }

    pub(super) fn set_info(&mut self, series: &Arc<Series>, facts: LabelSet) {
        series.extra().info = Some(facts);
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
            let cleared = open.clear_exemplars(&series.descriptor, slots.into_iter());
            self.note_side_file(cleared);
        }
    }

    pub(super) fn exemplar(&self, series: &Series, index: usize) -> Option<Exemplar> {
        let slot = series.slot_in_file(index)?;
        self.open.as_ref()?.exemplar(&series.descriptor, slot)
    }

    /// Looks up a handle's cells again after a fork or a move; its caller counts right after.
    pub(super) fn look_again(&mut self, options: &Options, series: &Series) {
        let epoch = process::epoch();
        self.follow(options);
        if !series.is_removed()
            && !series.is_published()
            && let Some(known) = series.this()
        {
            self.publish_or_keep(&known);
        }
        series.set_epoch(epoch);
    }

    /// Follows forks and changes of the directory, publishes what is kept, and repairs deleted files.
    pub(super) fn refresh(&mut self, options: &Options) {
        self.follow(options);
        self.repair();
        self.retry();
        self.write_declarations();
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
        let orders = self.families.iter().flat_map(|family| &family.order);
        orders.cloned().chain(former).collect()
    }

    fn family(&mut self, descriptor: &Arc<Descriptor>) -> &mut Family {
        let next = self.families.len();
        let index = *self
            .by_name
            .entry(Arc::clone(&descriptor.name))
            .or_insert(next);
        if index == next {
            self.families.push(Family {
                descriptor: Arc::clone(descriptor),
                is_declared_in: None,
                index: HashMap::new(),
                order: Vec::new(),
            });
            self.undeclared = true;
        } else if !Arc::ptr_eq(&self.families[index].descriptor, descriptor)
            && self.families[index].descriptor != *descriptor
        {
            // Registered anew with other metadata: the old handles keep their own descriptor.
            let before = std::mem::replace(
                &mut self.families[index],
                Family {
                    descriptor: Arc::clone(descriptor),
                    is_declared_in: None,
                    index: HashMap::new(),
                    order: Vec::new(),
                },
            );
            self.former.retain(|series| series.strong_count() > 0);
            self.former.extend(before.order.iter().map(Arc::downgrade));
            self.undeclared = true;
        }
        &mut self.families[index]
    }

    /// Notices that this is a forked child, and that another directory is wanted.
    fn follow(&mut self, options: &Options) {
        let generation = process::generation();
        if self.generation != generation {
            self.generation = generation;
            self.become_child();
        }
        let wanted = match &options.directory {
            Directory::Fixed(path) => Some(path.clone()),
            Directory::Follow(resolve) => resolve(),
        };
        if self.wanted != wanted {
            self.move_to(wanted);
        } else if self.open.is_none() && self.wanted.is_some() {
            self.retry();
        }
    }

    /// Starts this worker's own gauges, and leaves what the parent keeps in memory to the parent.
    fn become_child(&mut self) {
        if self.wanted.is_none() {
            // A lone process that forks: parent and child go on with copies, as memory does.
            return;
        }
        self.retry_at = None;
        self.reported_kept = 0;
        self.forget_lists();
        let all = self.all_series();
        for series in &all {
            series.forget_kept();
            if !is_shared(&series.descriptor) && series.descriptor.kind != MetricType::StateSet {
                series.start_over();
            }
        }
        if let Some(open) = self.open.as_mut() {
            open.forget_own_gauges();
            let taken = open.take_record();
            self.note(taken);
        }
        for series in all.iter().filter(|series| !series.is_published()) {
            self.publish_or_keep(series);
        }
    }

    /// Moves to another directory, or to none. What was counted stays where it is; what only memory holds comes
    /// along into the first directory.
    fn move_to(&mut self, wanted: Option<PathBuf>) {
        let had_one = self.wanted.is_some();
        self.place = wanted
            .as_ref()
            .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        self.wanted = wanted;
        self.open = None;
        self.deleted.clear();
        self.retry_at = None;
        self.retry_side_files_at = None;
        self.forget_lists();
        self.undeclared = true;
        let mut pending = Vec::new();
        for series in self.all_series() {
            if had_one {
                series.start_over();
            }
            // Labelled series appear in another directory once they are used there.
            if !had_one || series.label_values.is_empty() {
                pending.push(series);
            }
        }
        process::next_epoch();
        if self.wanted.is_some() {
            for series in &pending {
                self.keep(series);
            }
            self.retry();
        }
    }

    fn forget_lists(&mut self) {
        for series in self.unpublished.drain(..) {
            series.list_as_kept(false);
        }
        self.draining.clear();
    }

    /// Opens the wanted directory and publishes what is kept, unless that failed a moment ago.
    fn retry(&mut self) {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        let Some(wanted) = self.place.clone() else {
            return;
        };
        if self.open.is_none() {
            match OpenDirectory::open(&wanted, self.clock) {
                Ok(open) => {
                    self.open = Some(open);
                    self.undeclared = true;
                }
                Err(error) => return self.note(Err::<(), _>(error)),
            }
        }
        self.retry_at = None;
        let pending = std::mem::take(&mut self.unpublished);
        for series in &pending {
            series.list_as_kept(false);
        }
        for series in &pending {
            self.publish_or_keep(series);
        }
        self.report_kept();
        self.rescue();
    }

    /// Moves what deleted files hold of series that no handle here is for.
    fn rescue(&mut self) {
        if let Some(open) = self.open.as_mut().filter(|_| !self.deleted.is_empty()) {
            let rescued = open.rescue(&mut self.deleted);
            self.note(rescued);
        }
    }

    /// Publishes a series, or remembers that its values are in memory.
    fn publish_or_keep(&mut self, series: &Arc<Series>) {
        if self.wanted.is_none() {
            return;
        }
        let is_due = self.retry_at.is_none_or(|at| Instant::now() >= at);
        let result = match self.open.as_mut() {
            Some(open) if is_due => publish(open, series),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        };
        match result {
            Ok(()) => {
                if series.list_as_kept(false) {
                    self.unpublished.retain(|other| !Arc::ptr_eq(other, series));
                }
                // Only a handle that others have can be counting in memory.
                if Arc::strong_count(series) > HANDLES_OF_A_NEW_SERIES {
                    self.draining.push((Arc::clone(series), Instant::now()));
                }
                return;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                let is_deleted = error.kind() == io::ErrorKind::NotFound;
                self.note(Err::<(), _>(error));
                if is_deleted && !self.is_repairing {
                    self.keep(series);
                    return self.repair();
                }
            }
        }
        self.keep(series);
    }

    fn keep(&mut self, series: &Arc<Series>) {
        if !series.list_as_kept(true) {
            self.unpublished.push(Arc::clone(series));
        }
        self.report_kept();
    }

    /// Makes deleted files again, with what was counted in them.
    fn repair(&mut self) {
        let Some(open) = self.open.as_mut() else {
            return;
        };
        let is_whole = open.is_current();
        let gone = open.forget_deleted(&mut self.deleted);
        if is_whole && gone.is_empty() {
            return;
        }
        let mut lost = self.all_series();
        let open = self.open.as_ref();
        lost.retain(|series| {
            let stem = open.map(|open| open.stem(&series.descriptor));
            // Another worker file gives another name to this worker's own gauges.
            (!is_whole && is_own(&series.descriptor))
                || stem.is_some_and(|stem| stem.is_ok_and(|stem| gone.contains(&stem)))
        });
        if !is_whole {
            self.open = None;
        }
        for series in &lost {
            series.withdraw();
        }
        self.undeclared = true;
        for family in &mut self.families {
            family.is_declared_in = None;
        }
        self.retry_at = None;
        for series in &lost {
            self.keep(series);
        }
        self.is_repairing = true;
        self.retry();
        self.is_repairing = false;
    }

    fn write_declarations(&mut self) {
        if !self.undeclared || is_later(self.retry_at) || is_later(self.retry_side_files_at) {
            return;
        }
        let Some(open) = self.open.as_mut() else {
            return;
        };
        let mut result = Ok(());
        for family in &mut self.families {
            if family.is_declared_in.as_deref() != Some(open.path()) {
                result = open.declare(&family.descriptor);
                if result.is_err() {
                    break;
                }
                family.is_declared_in = Some(open.path().to_owned());
            }
        }
        self.undeclared = result.is_err();
        self.note_side_file(result);
    }

    /// Remembers why the directory could not be written, and leaves it alone for a while.
    fn note<T>(&mut self, result: io::Result<T>) {
        if let Err(error) = result {
            self.last_error = Some(error.to_string());
            self.retry_at = Some(Instant::now() + RETRY);
        }
    }

    /// As [`State::note`], where counting goes on without the file.
    fn note_side_file<T>(&mut self, result: io::Result<T>) {
        if let Err(error) = result {
            self.last_error = Some(error.to_string());
            self.retry_side_files_at = Some(Instant::now() + RETRY);
        }
    }

    fn report_kept(&mut self) {
        let kept = self.unpublished.len() as u64;
        if kept != self.reported_kept
            && let Some(open) = &self.open
        {
            open.report_kept(kept);
            self.reported_kept = kept;
        }
    }
}

fn is_later(at: Option<Instant>) -> bool {
    at.is_some_and(|at| Instant::now() < at)
}

/// Tells whether the values of a family are this worker's own.
fn is_own(descriptor: &Descriptor) -> bool {
    matches!(descriptor.kind, MetricType::Gauge | MetricType::Unknown)
}

/// Looks up or makes the place of a series and moves its values there.
fn publish(open: &mut OpenDirectory, series: &Arc<Series>) -> io::Result<()> {
    let descriptor = &series.descriptor;
    if descriptor.kind == MetricType::Info {
        let info = series.extra().info.clone().unwrap_or_default();
        return open.set_info(&descriptor.name, &series.labels, Some(info));
    }
    let created = series.kept_created_seconds();
    let place = open.intern(descriptor, &series.labels, created, &mut |index| {
        series.take_kept(index)
    })?;
    series.publish(&place);
    Ok(())
}
