//! Gives Python what a directory holds.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use forkmeter_core::store::Store;
use forkmeter_core::{MetricFamily, fork};
use forkmeter_shm::reader::DirectoryReader;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::{exemplar, shared};

/// How many directories are kept in mind between reads.
const MAX_READERS: usize = 8;

type Reader = Arc<Mutex<DirectoryReader>>;

/// The readers of directories, the last used one last.
static READERS: Mutex<Vec<(PathBuf, Reader)>> = Mutex::new(Vec::new());

/// Reads what the process's own directory holds, and what of this process is not in it yet.
#[pyfunction]
pub(crate) fn collect_store(py: Python<'_>) -> PyResult<(Py<PyList>, Vec<String>)> {
    shared::publish_waiting(py);
    let collected = py.detach(|| shared::store().collect());
    Ok((to_python(py, &collected.families)?, collected.errors))
}

/// Reads any directory.
#[pyfunction]
pub(crate) fn collect_directory(py: Python<'_>, path: PathBuf) -> PyResult<Py<PyList>> {
    shared::publish_waiting(py);
    let families = py.detach(|| {
        let own = shared::store().directory();
        if own.as_ref().is_some_and(|own| is_same(own, &path)) {
            return shared::store().collect().families;
        }
        let _section = fork::enter();
        let reader = reader(path);
        let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.read().families
    });
    to_python(py, &families)
}

fn is_same(own: &std::path::Path, other: &std::path::Path) -> bool {
    own == other
        || matches!((own.canonicalize(), other.canonicalize()), (Ok(own), Ok(other)) if own == other)
}

/// Returns the reader of a directory; the caller is inside a fork section.
fn reader(path: PathBuf) -> Reader {
    let mut readers = READERS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = readers.iter().position(|(other, _)| *other == path);
    let entry = match known {
        Some(index) => readers.remove(index),
        None => (
            path.clone(),
            Arc::new(Mutex::new(DirectoryReader::new(path))),
        ),
    };
    let reader = Arc::clone(&entry.1);
    if readers.len() >= MAX_READERS {
        readers.remove(0);
    }
    readers.push(entry);
    reader
}

/// Makes `(name, help, type, unit, samples)` of each family, with samples as
/// `(name, labels, value, timestamp, exemplar)`.
fn to_python(py: Python<'_>, families: &[MetricFamily]) -> PyResult<Py<PyList>> {
    let list = PyList::empty(py);
    for family in families {
        let samples = PyList::empty(py);
        for sample in &family.samples {
            let labels = PyDict::new(py);
            for (name, value) in sample.labels.iter() {
                labels.set_item(name, value)?;
            }
            let timestamp = sample.timestamp.map(forkmeter_core::Timestamp::as_seconds);
            let exemplar = sample.exemplar.as_ref();
            let exemplar = exemplar
                .map(|core| exemplar::to_python(py, core))
                .transpose()?;
            samples.append((&*sample.name, labels, sample.value, timestamp, exemplar))?;
        }
        let kind = family.kind.as_str();
        list.append((&*family.name, &*family.help, kind, &*family.unit, samples))?;
    }
    Ok(list.unbind())
}
