//! The one store of the process, and the families that wait for it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use forkmeter_core::store::Store;
use forkmeter_core::{Descriptor, LabelSet, fork};
use forkmeter_shm::{Directory, Options, SharedSlots, ShmStore};
use pyo3::prelude::*;

use crate::metric::NativeMetric;
use crate::mode;
use crate::series::Family;

/// The least number of waiting families at which the dead ones are looked for.
const MIN_PRUNE: usize = 1024;

static WAITING: Mutex<Waiting> = Mutex::new(Waiting {
    families: Vec::new(),
    prune_at: MIN_PRUNE,
});

/// Is what was made while there was no directory, and moves there once there is one.
#[derive(Debug)]
struct Waiting {
    families: Vec<Weak<Family>>,
    prune_at: usize,
}

fn waiting() -> MutexGuard<'static, Waiting> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the store that all metrics of this process share.
///
/// The module's initialization calls it first: were it made later, a fork could copy it half made.
pub(crate) fn store() -> &'static ShmStore {
    static STORE: OnceLock<ShmStore> = OnceLock::new();
    STORE.get_or_init(|| ShmStore::new(Options::new(Directory::Follow(mode::resolve))))
}

/// Makes a family known in the directory.
pub(crate) fn declare(py: Python<'_>, descriptor: &Arc<Descriptor>) {
    py.detach(|| store().declare(descriptor));
}

/// Remembers a family whose series have their values to themselves.
pub(crate) fn wait(family: &Arc<Family>) {
    let _section = fork::enter();
    let mut waiting = waiting();
    if waiting.families.len() >= waiting.prune_at {
        waiting.families.retain(|other| other.strong_count() > 0);
        waiting.prune_at = MIN_PRUNE.max(waiting.families.len() * 2);
    }
    waiting.families.push(Arc::downgrade(family));
}

/// Moves what waits into the directory, if there is one now.
pub(crate) fn move_waiting(py: Python<'_>) {
    if !mode::is_shared() {
        return;
    }
    let families = {
        let _section = fork::enter();
        std::mem::take(&mut waiting().families)
    };
    for family in families.iter().filter_map(Weak::upgrade) {
        family.move_values(py);
    }
}

/// Looks up or makes the shared slots of a series. A new one is made now by the store's clock, whatever the program's says.
pub(crate) fn intern(
    py: Python<'_>,
    descriptor: &Arc<Descriptor>,
    label_values: &[&str],
) -> SharedSlots {
    // Most take less time than to let other threads run.
    let at_once = store().intern_at_once(descriptor, label_values);
    at_once.unwrap_or_else(|| py.detach(|| store().intern_shared(descriptor, label_values)))
}

/// Returns the series of these label values, if the store knows it.
pub(crate) fn find(
    py: Python<'_>,
    descriptor: &Arc<Descriptor>,
    label_values: &[&str],
) -> Option<SharedSlots> {
    py.detach(|| store().find_shared(descriptor, label_values))
}

/// Returns the series of a family that the store knows, in creation order.
pub(crate) fn all(py: Python<'_>, descriptor: &Arc<Descriptor>) -> Vec<SharedSlots> {
    py.detach(|| store().all_shared(descriptor))
}

/// Brings the directory and this process's values together now.
#[pyfunction]
pub(crate) fn refresh(py: Python<'_>) {
    if !mode::is_shared() {
        return;
    }
    move_waiting(py);
    py.detach(|| store().refresh());
}

/// As `refresh`, for the last time; returns how many series are lost with this process, and why.
#[pyfunction]
pub(crate) fn refresh_at_exit(py: Python<'_>) -> (u64, Option<String>) {
    if !mode::is_shared() {
        return (0, None);
    }
    move_waiting(py);
    py.detach(|| {
        store().refresh_at_last();
        store().kept_series()
    })
}

/// Removes a series of a metric from the directory, for all workers.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "the signature is PyO3's")]
pub(crate) fn remove_series(metric: &Bound<'_, NativeMetric>, label_values: Vec<String>) {
    take_out(metric, &label_values, |descriptor, values| {
        store().remove(descriptor, values)
    });
}

/// As `remove_series`, until somebody counts in the series, in whatever worker.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "the signature is PyO3's")]
pub(crate) fn expire_series(metric: &Bound<'_, NativeMetric>, label_values: Vec<String>) {
    take_out(metric, &label_values, |descriptor, values| {
        store().expire(descriptor, values)
    });
}

fn take_out(
    metric: &Bound<'_, NativeMetric>,
    label_values: &[String],
    from_store: impl FnOnce(&Arc<Descriptor>, &[&str]) -> bool + Send,
) {
    let Some(descriptor) = metric.get().descriptor().cloned() else {
        return;
    };
    if mode::is_shared() {
        metric.py().detach(|| {
            let values: Vec<&str> = label_values.iter().map(String::as_str).collect();
            from_store(&descriptor, &values);
        });
    }
}

/// Publishes the facts of an info series.
pub(crate) fn set_info(
    py: Python<'_>,
    descriptor: &Arc<Descriptor>,
    label_values: &[&str],
    facts: LabelSet,
) {
    py.detach(|| store().set_info(descriptor, label_values, facts));
}

/// Returns the open directory, the number of series kept in memory although there is one, and why.
#[pyfunction]
pub(crate) fn status(py: Python<'_>) -> (Option<std::ffi::OsString>, u64, Option<String>) {
    py.detach(|| {
        let (kept, why) = store().kept_series();
        let directory = store().directory().map(PathBuf::into_os_string);
        (directory, kept, why)
    })
}

/// Is a worker: pid, tag, whether it lives, when it came, and the series it keeps in memory.
type WorkerRow = (u32, String, bool, f64, u64);

/// Returns the workers that a directory knows; none where it cannot be read.
#[pyfunction]
pub(crate) fn workers(py: Python<'_>, path: PathBuf) -> Vec<WorkerRow> {
    let observed = py.detach(move || forkmeter_shm::workers::observe(&path));
    let records = observed
        .map(|observed| observed.records)
        .unwrap_or_default();
    records
        .into_iter()
        .map(|worker| {
            (
                worker.pid,
                worker.tag,
                worker.alive,
                worker.started_seconds,
                worker.kept_series,
            )
        })
        .collect()
}
