//! What only this process can compute, on its way to others and from them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use forkmeter_core::model::ParseKindError;
use forkmeter_core::{LabelSet, MetricFamily, MultiprocessMode, Sample, Timestamp, fork};
use forkmeter_shm::published::{Found, merge};
use forkmeter_shm::reader::{FileState, Names};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::family::NativeFamily;
use crate::{exemplar, shared};

/// Is a sample as Python has it: name, labels, value, timestamp in seconds or in seconds and nanoseconds, exemplar.
type RawSample<'py> = (
    String,
    Vec<(String, String)>,
    f64,
    Option<RawTime>,
    Bound<'py, PyAny>,
);

/// A timestamp in either of its forms.
#[derive(FromPyObject)]
pub(crate) enum RawTime {
    Exact(i64, i32),
    Seconds(f64),
}

/// A family and the mode by which those of several workers become one.
type Given<'py> = (PyRef<'py, NativeFamily>, String);

/// Makes a family of its parts.
///
/// # Errors
///
/// `ValueError` where there is no such type; what an exemplar raises that is none.
#[pyfunction]
pub(crate) fn make_family(
    name: String,
    help: String,
    kind: &str,
    unit: &str,
    samples: Vec<RawSample<'_>>,
) -> PyResult<NativeFamily> {
    let kind = kind
        .parse()
        .map_err(|error: ParseKindError| PyValueError::new_err(error.to_string()))?;
    let mut family = MetricFamily::new(name, help, kind);
    family.unit = Arc::from(unit);
    for (name, labels, value, time, link) in samples {
        let mut sample = Sample::new(name, LabelSet::from_pairs(labels), value);
        sample.timestamp = time.map(|time| match time {
            RawTime::Seconds(seconds) => Timestamp::Seconds(seconds),
            RawTime::Exact(seconds, nanoseconds) => Timestamp::Exact {
                seconds,
                nanoseconds,
            },
        });
        sample.exemplar = exemplar::from_python(&link)?;
        family.samples.push(sample);
    }
    Ok(family.into())
}

/// What this process published last. Whoever collects in it shows that and nothing newer, so that no counter falls back
/// when another worker answers next.
static LAST: Mutex<Last> = Mutex::new(Last {
    tickets: 0,
    ticket: 0,
    tickets_then: 0,
    pid: 0,
    families: Vec::new(),
});

#[derive(Debug)]
struct Last {
    /// How many collections have begun.
    tickets: u64,
    /// The number of the collection that was published last.
    ticket: u64,
    /// How many had begun when it was: they overlap with it, so that some of theirs may be older.
    tickets_then: u64,
    pid: u32,
    families: Vec<Own>,
}

type Own = (Arc<MetricFamily>, MultiprocessMode);

/// Locks what was published last; in a forked child that is nothing. The caller is inside a fork section.
fn last() -> MutexGuard<'static, Last> {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let pid = std::process::id();
    if last.pid != pid {
        last.pid = pid;
        last.families.clear();
    }
    last
}

/// Returns a number for the collection that begins now.
#[pyfunction]
pub(crate) fn begin_publishing() -> u64 {
    let _section = fork::enter();
    let mut last = last();
    last.tickets += 1;
    last.tickets
}

/// Publishes what only this process can compute: all of it, or in place of the families of the same names.
///
/// Does nothing where another collection was published since this one began, as some of that may be newer. Returns
/// whether what is published now was collected since then, and why it cannot be written, if so.
///
/// # Errors
///
/// `ValueError` where there is no such mode.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "the signature is PyO3's")]
pub(crate) fn publish(
    py: Python<'_>,
    ticket: u64,
    families: Vec<Given<'_>>,
    is_all: bool,
) -> PyResult<(bool, Option<String>)> {
    let convert = |(family, mode): &Given<'_>| {
        let mode = mode
            .parse()
            .map_err(|error: ParseKindError| PyValueError::new_err(error.to_string()))?;
        Ok((family.model(), mode))
    };
    let new: Vec<Own> = families.iter().map(convert).collect::<PyResult<_>>()?;
    Ok(py.detach(|| {
        let _section = fork::enter();
        let mut last = last();
        if ticket <= last.tickets_then {
            return (ticket <= last.ticket, None);
        }
        last.ticket = ticket;
        last.tickets_then = last.tickets;
        if is_all {
            last.families = new;
        } else {
            let is_new = |name: &str| new.iter().any(|(family, _)| *family.name == *name);
            last.families.retain(|(family, _)| !is_new(&family.name));
            last.families.extend(new);
        }
        // Written under the lock, so that what is older never comes later.
        let written = shared::store().publish(owned(&last.families));
        (true, written.err().map(|error| error.to_string()))
    }))
}

fn owned(families: &[Own]) -> Vec<(MetricFamily, MultiprocessMode)> {
    let families = families.iter();
    families
        .map(|(family, mode)| ((**family).clone(), *mode))
        .collect()
}

/// Merges what this process published last with what other live workers did; also returns what could not be read.
/// With `names`, what has none of these samples may be left out.
#[pyfunction]
#[pyo3(signature = (names = None))]
pub(crate) fn collect_published(
    py: Python<'_>,
    names: Option<Vec<String>>,
) -> (Vec<NativeFamily>, Vec<String>) {
    let (families, errors) = py.detach(|| {
        let names = names.map(Names::from_iter);
        let own = {
            let _section = fork::enter();
            owned(&last().families)
        };
        let Found { workers, files } = shared::store().published_for(own, names.as_ref());
        let bad = files.iter().filter(|file| file.state != FileState::Ok);
        let errors = bad
            .map(|file| {
                format!(
                    "left out of a scrape: {}: {:?}: {}",
                    file.path.display(),
                    file.state,
                    file.cause
                )
            })
            .collect();
        (merge(workers), errors)
    });
    (families.into_iter().map(Into::into).collect(), errors)
}
