//! The store of many processes: values in a directory that all workers of a program share.

mod collect;
mod hints;
mod limit;
mod publish;
mod self_metrics;
mod series;
mod shared_slots;
mod state;
mod trouble;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use forkmeter_core::store::{Clock, Collected, Slots, Store};
use forkmeter_core::{Descriptor, LabelSet, MetricFamily, fork};

pub use self::collect::CollectedShared;
use self::hints::Hints;
use self::self_metrics::LastRead;
pub use self::shared_slots::SharedSlots;
use self::state::State;
use crate::process;
use crate::reader::{DirectoryReader, Names};

/// How often a process that ends tries to publish what it keeps in memory.
const LAST_TRIES: u32 = 4;

/// Says which directory a store shares its values in. It is asked whenever a series is made, a fork was noticed
/// or values are collected; when the answer changes, writers and collectors move together.
#[derive(Clone, Debug)]
pub enum Directory {
    /// Always this one.
    Fixed(PathBuf),
    /// The one that the function names at the time; none means that values stay in this process.
    Follow(fn() -> Option<PathBuf>),
}

/// Says how a [`ShmStore`] works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where values are shared.
    pub directory: Directory,
    /// What time it is, as Unix time in seconds.
    pub clock: Clock,
    /// Whether counters, histograms and summaries are exposed with a `_created` sample.
    pub created_samples: bool,
}

impl Options {
    /// Makes options with the system's clock and without `_created` samples.
    pub fn new(directory: Directory) -> Self {
        Self {
            directory,
            clock: process::unix_seconds,
            created_samples: false,
        }
    }
}

/// Keeps values where all workers of a directory see them: counters, histograms and summaries in one shared
/// slot per series, gauges in one per worker.
///
/// Without a directory, and while one cannot be written, values live in this process; they are published when
/// there is a directory with room. After a fork the child's gauges start from zero and its counts go on in the
/// shared slots, without any call. Deleted files are made again with what was counted.
#[derive(Debug)]
pub struct ShmStore {
    shared: Arc<Shared>,
}

/// Is what a store and its handles have in common.
#[derive(Debug)]
struct Shared {
    options: Options,
    hints: Hints,
    state: Mutex<State>,
    reader: Mutex<Option<DirectoryReader>>,
    /// Those for samples of some names, the last used one last.
    named_readers: Mutex<Vec<DirectoryReader>>,
    last_read: Mutex<Option<LastRead>>,
    /// Whether a signal handler counted in memory because it could not look where the values are.
    has_late_counts: Arc<AtomicBool>,
}

impl Shared {
    /// Locks the state. The caller is inside a fork section.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Shared::lock`], unless another thread has it.
    fn try_lock(&self) -> Option<MutexGuard<'_, State>> {
        match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl ShmStore {
    /// Makes a store; nothing is opened before the first series is made.
    pub fn new(options: Options) -> Self {
        // Out of memory is the only cause; forks are then unprotected, and counting goes on.
        let _ = process::install_fork_hooks();
        let has_late_counts = Arc::new(AtomicBool::new(false));
        let state = Mutex::new(State::new(options.clock, Arc::clone(&has_late_counts)));
        let shared = Shared {
            options,
            hints: Hints::default(),
            state,
            reader: Mutex::default(),
            named_readers: Mutex::default(),
            last_read: Mutex::default(),
            has_late_counts,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Looks at the directory now: follows a change of it, publishes what was kept in memory if there is room,
    /// and makes deleted files again. Collecting does the same; a process that only counts may call it.
    pub fn refresh(&self) {
        let _section = fork::enter();
        let mut state = self.shared.lock();
        state.refresh(&self.shared.options);
    }

    /// As [`ShmStore::refresh`], also where that failed a moment ago: for a process that ends, and has no later.
    pub fn refresh_at_last(&self) {
        let _section = fork::enter();
        let mut state = self.shared.lock();
        // Where many processes end at once, the lock may be busy for longer than counting may wait for it.
        for _ in 0..LAST_TRIES {
            state.forget_failures();
            state.refresh(&self.shared.options);
            if state.kept_series().0 == 0 {
                break;
            }
        }
    }

    /// Says whether the deletion of files is a reset, as test runners want it; normally nothing is lost.
    ///
    /// For that each deletion has to be noticed at once: see [`ShmStore::expect_deletion`] and
    /// [`ShmStore::watch_for_deletions`]. Children of `fork` go on with what holds here.
    pub fn reset_on_deletion(&self, is_reset: bool) {
        let _section = fork::enter();
        self.shared.lock().reset_on_deletion(is_reset);
    }

    /// Makes the next use of any handle look for deleted files. Takes no lock; may be called before the deletion,
    /// which is waited for until a second has passed.
    pub fn expect_deletion(&self) {
        self.shared.hints.expect();
        process::next_epoch();
    }

    /// Makes every use of any handle look for deleted files, until it is called again: somebody else may delete
    /// some at any time. Takes no lock.
    pub fn watch_for_deletions(&self, is_watching: bool) {
        self.shared.hints.watch(is_watching);
        process::next_epoch();
    }

    /// As [`Store::intern`], for callers that keep many.
    pub fn intern_shared(
        &self,
        descriptor: &Arc<Descriptor>,
        label_values: &[&str],
    ) -> SharedSlots {
        let _section = fork::enter();
        let mut state = self.shared.lock();
        SharedSlots(state.intern(&self.shared, descriptor, label_values))
    }

    /// As [`ShmStore::intern_shared`], where that needs neither a system call nor another thread or process; nothing where
    /// it does.
    ///
    /// For callers that must not wait. A directory that [`Directory::Follow`] names has to be announced by
    /// [`process::next_epoch`] to be followed here.
    pub fn intern_at_once(
        &self,
        descriptor: &Arc<Descriptor>,
        label_values: &[&str],
    ) -> Option<SharedSlots> {
        let _section = fork::enter();
        let mut state = self.shared.try_lock()?;
        let series = state.intern_at_once(&self.shared, descriptor, label_values);
        series.map(SharedSlots)
    }

    /// Returns the series of these label values, if this process knows it; makes none.
    pub fn find_shared(
        &self,
        descriptor: &Arc<Descriptor>,
        label_values: &[&str],
    ) -> Option<SharedSlots> {
        let _section = fork::enter();
        let mut state = self.shared.lock();
        state.follow(&self.shared.options);
        state.known(descriptor, label_values).map(SharedSlots)
    }

    /// Returns the series of a family that this process knows, in creation order.
    pub fn all_shared(&self, descriptor: &Arc<Descriptor>) -> Vec<SharedSlots> {
        let _section = fork::enter();
        let mut state = self.shared.lock();
        state.follow(&self.shared.options);
        let all = state.all(descriptor).cloned();
        all.map(SharedSlots).collect()
    }

    /// Returns how many series of a family this process knows, as it last looked; nothing where another thread is at
    /// work, which this does not wait for.
    pub fn count_at_once(&self, descriptor: &Arc<Descriptor>) -> Option<usize> {
        let _section = fork::enter();
        self.shared.try_lock()?.count(descriptor)
    }

    /// Returns the directory in which values are shared now, if any.
    pub fn directory(&self) -> Option<PathBuf> {
        let _section = fork::enter();
        self.shared.lock().directory_path()
    }

    /// As [`Store::collect`], with `_created` samples as the caller wants them, and without a copy of the families.
    pub fn collect_shared(&self, created_samples: bool) -> CollectedShared {
        let _section = fork::enter();
        self.shared.collect(created_samples)
    }

    /// As [`ShmStore::collect_shared`], for samples of some names: families that cannot have any are left out, and of
    /// the directory no more is read than the others need.
    pub fn collect_named_shared(&self, names: &Names, created_samples: bool) -> CollectedShared {
        let _section = fork::enter();
        self.shared.collect_named(names, created_samples)
    }

    /// Describes the directory as the last collection found it: files by state, their size, series, workers, what is
    /// kept in memory and what was lost, and how long reading took. Nothing where values are not shared.
    pub fn self_metrics(&self) -> Vec<MetricFamily> {
        let _section = fork::enter();
        self.shared.self_metrics()
    }

    /// Returns the families of [`Self::self_metrics`] without samples.
    pub fn describe_self_metrics() -> Vec<MetricFamily> {
        self_metrics::describe()
    }

    /// Returns how many series are kept in memory although a directory is named, and why, if there are any.
    pub fn kept_series(&self) -> (u64, Option<String>) {
        let _section = fork::enter();
        self.shared.lock().kept_series()
    }
}

impl Store for ShmStore {
    fn declare(&self, descriptor: &Arc<Descriptor>) {
        let _section = fork::enter();
        self.shared.lock().declare(&self.shared.options, descriptor);
    }

    fn intern(&self, descriptor: &Arc<Descriptor>, label_values: &[&str]) -> Arc<dyn Slots> {
        self.intern_shared(descriptor, label_values).0
    }

    fn intern_within(
        &self,
        descriptor: &Arc<Descriptor>,
        label_values: &[&str],
        max_series: usize,
    ) -> Option<Arc<dyn Slots>> {
        let _section = fork::enter();
        self.shared
            .intern_within(descriptor, label_values, max_series)
    }

    fn remove(&self, descriptor: &Arc<Descriptor>, label_values: &[&str]) -> bool {
        let _section = fork::enter();
        self.shared
            .lock()
            .remove(&self.shared.options, descriptor, label_values)
    }

    fn expire(&self, descriptor: &Arc<Descriptor>, label_values: &[&str]) -> bool {
        let _section = fork::enter();
        self.shared
            .lock()
            .expire(&self.shared.options, descriptor, label_values)
    }

    fn series(&self, descriptor: &Arc<Descriptor>) -> Vec<Box<[Arc<str>]>> {
        let _section = fork::enter();
        self.shared.lock().series(descriptor)
    }

    fn set_info(&self, descriptor: &Arc<Descriptor>, label_values: &[&str], facts: LabelSet) {
        let _section = fork::enter();
        let mut state = self.shared.lock();
        let series = state.intern(&self.shared, descriptor, label_values);
        state.set_info(&series, facts);
    }

    fn now_seconds(&self) -> f64 {
        (self.shared.options.clock)()
    }

    fn collect(&self) -> Collected {
        self.collect_shared(self.shared.options.created_samples)
            .into()
    }

    fn collect_named(&self, names: &HashSet<Box<str>>) -> Collected {
        let names: Names = names.iter().collect();
        self.collect_named_shared(&names, self.shared.options.created_samples)
            .into()
    }
}
