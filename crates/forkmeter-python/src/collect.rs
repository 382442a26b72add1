//! Gives Python what directories hold.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use forkmeter_core::{MetricFamily, fork};
use forkmeter_shm::ShmStore;
use forkmeter_shm::reader::{DirectoryReader, Names};
use pyo3::prelude::*;

use crate::family::NativeFamily;
use crate::{mode, shared};

/// How many directories are kept in mind between reads.
const MAX_READERS: usize = 8;

type Reader = Arc<Mutex<DirectoryReader>>;

/// The readers of directories, the last used one last.
static READERS: Mutex<Vec<KnownReader>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct KnownReader {
    path: PathBuf,
    names: Option<Names>,
    reader: Reader,
}

/// Reads what the process's own directory holds, and what of this process is not in it yet: with `names`, what samples
/// of these need, and at least the families that have some.
#[pyfunction]
#[pyo3(signature = (created_samples, names = None))]
pub(crate) fn collect_store(
    py: Python<'_>,
    created_samples: bool,
    names: Option<Vec<String>>,
) -> (Vec<NativeFamily>, Vec<String>) {
    shared::move_waiting(py);
    let collected = py.detach(|| match names {
        Some(names) => {
            shared::store().collect_named_shared(&Names::from_iter(names), created_samples)
        }
        None => shared::store().collect_shared(created_samples),
    });
    (
        collected.families.into_iter().map(Into::into).collect(),
        collected.errors,
    )
}

/// Returns what is said of the process's own directory, or the families that may be said.
#[pyfunction]
#[pyo3(signature = (*, describe = false))]
pub(crate) fn self_metrics(py: Python<'_>, describe: bool) -> Vec<NativeFamily> {
    let families = if describe {
        ShmStore::describe_self_metrics()
    } else {
        py.detach(|| shared::store().self_metrics())
    };
    families.into_iter().map(Into::into).collect()
}

/// Reads any directory, and what of this process is not in it yet, if it is its own; `names` as for `collect_store`.
#[pyfunction]
#[pyo3(signature = (path, names = None))]
pub(crate) fn collect_directory(
    py: Python<'_>,
    path: PathBuf,
    names: Option<Vec<String>>,
) -> Vec<NativeFamily> {
    // Not the one that the store has open: it may not have followed yet.
    let is_own = py.detach(|| mode::resolve().is_some_and(|own| is_same(&own, &path)));
    if is_own {
        collect_store(py, false, names).0
    } else {
        read_directory(py, path, names)
    }
}

/// Reads what the files of a directory hold; `names` as for `collect_store`.
#[pyfunction]
#[pyo3(signature = (path, names = None))]
pub(crate) fn read_directory(
    py: Python<'_>,
    path: PathBuf,
    names: Option<Vec<String>>,
) -> Vec<NativeFamily> {
    let names = names.map(Names::from_iter);
    let families: Vec<Arc<MetricFamily>> = py.detach(|| {
        let _section = fork::enter();
        let reader = reader(path, names);
        let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.read().families
    });
    families.into_iter().map(Into::into).collect()
}

fn is_same(own: &std::path::Path, other: &std::path::Path) -> bool {
    own == other
        || matches!((own.canonicalize(), other.canonicalize()), (Ok(own), Ok(other)) if own == other)
}

/// Returns the reader of a directory for samples of some names, or of all; the caller is inside a fork section.
fn reader(path: PathBuf, names: Option<Names>) -> Reader {
    let mut readers = READERS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = readers
        .iter()
        .position(|known| known.path == path && known.names == names);
    let entry = if let Some(index) = known {
        readers.remove(index)
    } else {
        let reader = DirectoryReader::new(path.clone());
        let reader = match names.clone() {
            Some(names) => reader.with_names(names),
            None => reader,
        };
        KnownReader {
            path,
            names,
            reader: Arc::new(Mutex::new(reader)),
        }
    };
    let reader = Arc::clone(&entry.reader);
    if readers.len() >= MAX_READERS {
        readers.remove(0);
    }
    readers.push(entry);
    reader
}
