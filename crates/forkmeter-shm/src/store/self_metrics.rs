//! What a store says of its directory, for whoever wants it in an exposition.

use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Duration;

use forkmeter_core::{LabelSet, MetricFamily, MetricType, Sample};

use super::Shared;
use crate::reader::{FileState, Names, Report};

/// Holds what the last read of the directory gave.
#[derive(Debug)]
pub(super) struct LastRead {
    pub(super) path: PathBuf,
    pub(super) report: Report,
    pub(super) took: Duration,
}

/// Is name, sample name, help, type and unit of a family, and its samples.
type Description = (
    &'static str,
    &'static str,
    &'static str,
    MetricType,
    &'static str,
    fn(&LastRead) -> Vec<(LabelSet, f64)>,
);

/// The families, by name: those that the exporter has for each of its directories.
const FAMILIES: [Description; 7] = [
    (
        "forkmeter_directory_size_bytes",
        "forkmeter_directory_size_bytes",
        "Space that the files in the directory take on disk.",
        MetricType::Gauge,
        "bytes",
        |read| one(read.report.files.iter().map(|file| file.bytes).sum()),
    ),
    (
        "forkmeter_files",
        "forkmeter_files",
        "Files in the directory, by what reading them gave.",
        MetricType::Gauge,
        "",
        |read| {
            let files = |state| {
                read.report
                    .files
                    .iter()
                    .filter(move |file| file.state == state)
            };
            let sample = |state: FileState| {
                let labels = LabelSet::from_pairs([("state", state.as_str())]);
                (labels, float(files(state).count() as u64))
            };
            FileState::ALL.into_iter().map(sample).collect()
        },
    ),
    (
        KEPT_SERIES,
        KEPT_SERIES,
        "Series that live workers keep in memory because they cannot be written.",
        MetricType::Gauge,
        "",
        |read| {
            let live = read.report.workers.iter().filter(|worker| worker.alive);
            one(live.map(|worker| worker.kept_series).sum())
        },
    ),
    (
        "forkmeter_lost_series",
        "forkmeter_lost_series_total",
        "Series whose latest values died in the memory of a worker that could not write them.",
        MetricType::Counter,
        "",
        |read| one(read.report.lost_series),
    ),
    (
        "forkmeter_scrape_duration_seconds",
        "forkmeter_scrape_duration_seconds",
        "How long reading and merging the directory took last.",
        MetricType::Gauge,
        "seconds",
        |read| vec![(LabelSet::empty(), read.took.as_secs_f64())],
    ),
    (
        "forkmeter_series",
        "forkmeter_series",
        "Series in the directory after the merge.",
        MetricType::Gauge,
        "",
        |read| one(read.report.series as u64),
    ),
    (
        "forkmeter_workers",
        "forkmeter_workers",
        "Workers that the directory knows, by whether they live.",
        MetricType::Gauge,
        "",
        |read| {
            let workers = |alive| read.report.workers.iter().filter(move |w| w.alive == alive);
            let sample = |(alive, word)| {
                let labels = LabelSet::from_pairs([("state", word)]);
                (labels, float(workers(alive).count() as u64))
            };
            [(true, "live"), (false, "dead")].map(sample).into()
        },
    ),
];

/// The family that stands in a collection anyway while this process keeps series in memory.
pub(super) const KEPT_SERIES: &str = "forkmeter_kept_series";

fn one(value: u64) -> Vec<(LabelSet, f64)> {
    vec![(LabelSet::empty(), float(value))]
}

#[expect(clippy::cast_precision_loss, reason = "samples are floats")]
fn float(number: u64) -> f64 {
    number as f64
}

impl Shared {
    /// Describes the directory as the last collection found it, or one that is made now; nothing where there is no
    /// directory. The caller is inside a fork section.
    pub(super) fn self_metrics(&self) -> Vec<MetricFamily> {
        let (path, keeps) = {
            let mut state = self.lock();
            state.refresh(&self.options);
            let path = state.directory_path().or_else(|| state.readable_place());
            (path, state.kept_series().0 > 0)
        };
        let lock = || {
            self.last_read
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let is_read = lock().as_ref().map(|read| &read.path) == path.as_ref();
        if !is_read {
            self.collect(false);
        }
        let last_read = lock();
        let Some(read) = last_read.as_ref().filter(|_| path.is_some()) else {
            return Vec::new();
        };
        let families = FAMILIES
            .into_iter()
            .filter(|(name, ..)| !(keeps && *name == KEPT_SERIES));
        let families = families.map(|(name, sample, help, kind, unit, samples)| {
            let samples = samples(read).into_iter();
            MetricFamily {
                unit: unit.into(),
                samples: samples
                    .map(|(labels, value)| Sample::new(sample, labels, value))
                    .collect(),
                ..MetricFamily::new(name, help, kind)
            }
        });
        families.collect()
    }
}

/// Tells whether any of the families has a sample of one of these names.
pub(super) fn are_named(names: &Names) -> bool {
    FAMILIES
        .iter()
        .any(|(_, sample, ..)| names.contains(sample))
}

/// Returns the families without samples.
pub(super) fn describe() -> Vec<MetricFamily> {
    let families = FAMILIES.into_iter();
    let families = families.map(|(name, _, help, kind, unit, _)| MetricFamily {
        unit: unit.into(),
        ..MetricFamily::new(name, help, kind)
    });
    families.collect()
}
