//! What a person wants to know of a directory: the tables of `inspect` and of the landing page.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use forkmeter_core::{LabelSet, MetricFamily, MetricType};
use forkmeter_shm::reader::{FileReport, FileState, Snapshot, WorkerReport};
use serde::Serialize;

use crate::units;

/// Describes one directory as it was during one read.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Overview {
    /// The directory.
    pub(crate) directory: String,
    /// How long reading took.
    pub(crate) read_seconds: f64,
    /// The sums of the tables below.
    pub(crate) totals: Totals,
    /// The files, those that are not `ok` first, then by name.
    pub(crate) files: Vec<File>,
    /// The workers, live ones first, then by start.
    pub(crate) workers: Vec<Worker>,
    /// The families, those with most series first.
    pub(crate) families: Vec<Family>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Totals {
    pub(crate) files: usize,
    pub(crate) files_by_state: BTreeMap<&'static str, usize>,
    pub(crate) size_bytes: u64,
    pub(crate) families: usize,
    pub(crate) series: usize,
    pub(crate) live_workers: usize,
    pub(crate) dead_workers: usize,
    /// Processes of the official client that wrote files; nobody knows which of them live.
    pub(crate) official_processes: usize,
    pub(crate) kept_series: u64,
    pub(crate) lost_series: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) state: &'static str,
    pub(crate) size_bytes: u64,
    pub(crate) entries: usize,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) cause: String,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Worker {
    pub(crate) tag: String,
    pub(crate) pid: u32,
    pub(crate) state: &'static str,
    pub(crate) started_seconds: f64,
    pub(crate) kept_series: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Family {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) series: usize,
    pub(crate) samples: usize,
    pub(crate) help: String,
}

/// Returns the word for whether a worker lives.
pub(crate) fn worker_state(alive: bool) -> &'static str {
    if alive { "live" } else { "dead" }
}

impl Overview {
    /// Describes `snapshot`, which was read from `directory` in `took`.
    pub(crate) fn new(directory: String, snapshot: &Snapshot, took: Duration) -> Self {
        let report = &snapshot.report;
        let families = Family::biggest_first(&snapshot.families);
        let mut files: Vec<File> = report.files.iter().map(File::new).collect();
        files.sort_by(|a, b| (a.state == "ok", &a.name).cmp(&(b.state == "ok", &b.name)));
        let mut workers: Vec<Worker> = report.workers.iter().map(Worker::new).collect();
        workers.sort_by(|a, b| {
            let by_state = b.state.cmp(a.state);
            by_state
                .then(a.started_seconds.total_cmp(&b.started_seconds))
                .then(a.tag.cmp(&b.tag))
        });
        let live_workers = report.workers.iter().filter(|worker| worker.alive).count();
        let mut files_by_state = BTreeMap::new();
        for file in &files {
            *files_by_state.entry(file.state).or_default() += 1;
        }
        let totals = Totals {
            files: files.len(),
            files_by_state,
            size_bytes: size_bytes(&report.files),
            families: families.len(),
            series: report.series,
            live_workers,
            dead_workers: report.workers.len() - live_workers,
            official_processes: official_processes(&files),
            kept_series: kept_series(&report.workers),
            lost_series: report.lost_series,
        };
        let read_seconds = took.as_secs_f64();
        Self {
            directory,
            read_seconds,
            totals,
            files,
            workers,
            families,
        }
    }
}

/// Counts the processes of the official client by their file names. Gauges say nothing: a file of ours has the
/// same name. Our own files of the other kinds are shared.
fn official_processes(files: &[File]) -> usize {
    let tag = |file: &'_ File| -> Option<String> {
        let (kind, tag) = file.name.strip_suffix(".db")?.split_once('_')?;
        let is_own = tag == "shared" || tag.starts_with("shared-");
        let is_kind = matches!(kind, "counter" | "histogram" | "summary");
        (is_kind && !is_own && file.entries > 0).then(|| tag.to_owned())
    };
    files.iter().filter_map(tag).collect::<HashSet<_>>().len()
}

/// Returns the space that files take on disk.
pub(crate) fn size_bytes(files: &[FileReport]) -> u64 {
    files
        .iter()
        .fold(0, |sum, file| sum.saturating_add(file.bytes))
}

/// Returns how many series the living workers keep in memory.
pub(crate) fn kept_series(workers: &[WorkerReport]) -> u64 {
    let live = workers.iter().filter(|worker| worker.alive);
    live.fold(0, |sum, worker| sum.saturating_add(worker.kept_series))
}

impl Totals {
    /// Adds what another directory has.
    pub(crate) fn add(&mut self, other: &Self) {
        self.files += other.files;
        for (state, files) in &other.files_by_state {
            *self.files_by_state.entry(state).or_default() += files;
        }
        self.size_bytes = self.size_bytes.saturating_add(other.size_bytes);
        self.families += other.families;
        self.series += other.series;
        self.live_workers += other.live_workers;
        self.dead_workers += other.dead_workers;
        self.official_processes += other.official_processes;
        self.kept_series = self.kept_series.saturating_add(other.kept_series);
        self.lost_series = self.lost_series.saturating_add(other.lost_series);
    }

    /// Says how many files are in each state, for example `5 ok, 1 foreign`.
    pub(crate) fn files_by_state_text(&self) -> String {
        let states = FileState::ALL.map(FileState::as_str).into_iter();
        let states = states.filter_map(|state| Some((state, self.files_by_state.get(state)?)));
        let text =
            |(state, files): (&str, &usize)| format!("{} {state}", units::count(*files as u64));
        states.map(text).collect::<Vec<_>>().join(", ")
    }
}

impl File {
    fn new(file: &FileReport) -> Self {
        let name = file.path.file_name().unwrap_or(file.path.as_os_str());
        Self {
            name: name.to_string_lossy().into_owned(),
            state: file.state.as_str(),
            size_bytes: file.bytes,
            entries: file.entries,
            cause: file.cause.clone(),
        }
    }
}

impl Worker {
    fn new(worker: &WorkerReport) -> Self {
        Self {
            tag: worker.tag.clone(),
            pid: worker.pid,
            state: worker_state(worker.alive),
            started_seconds: worker.started_seconds,
            kept_series: worker.kept_series,
        }
    }
}

impl Family {
    /// Describes families, those with most series first.
    pub(crate) fn biggest_first(families: &[Arc<MetricFamily>]) -> Vec<Self> {
        let mut rows: Vec<Self> = families.iter().map(|family| Self::new(family)).collect();
        rows.sort_by(|a, b| (Reverse(a.series), &a.name).cmp(&(Reverse(b.series), &b.name)));
        rows
    }

    fn new(family: &MetricFamily) -> Self {
        Self {
            name: family.name.to_string(),
            kind: family.kind.as_str(),
            series: series_count(family),
            samples: family.samples.len(),
            help: family.help.to_string(),
        }
    }
}

/// Returns the label that tells samples of one series apart, if the family's type has one.
pub(crate) fn inner_label(family: &MetricFamily) -> Option<&str> {
    match family.kind {
        MetricType::Histogram | MetricType::GaugeHistogram => Some("le"),
        MetricType::Summary => Some("quantile"),
        MetricType::StateSet => Some(&family.name),
        _ => None,
    }
}

/// Counts the series of a family, whose samples stand together.
fn series_count(family: &MetricFamily) -> usize {
    let inner = inner_label(family);
    let same = |a: &LabelSet, b: &LabelSet| {
        let outer = |set: &LabelSet| set.iter().filter(|(name, _)| Some(*name) != inner).count();
        outer(a) == outer(b)
            && a.iter()
                .filter(|(name, _)| Some(*name) != inner)
                .all(|(name, value)| b.get(name) == Some(value))
    };
    let joints = family
        .samples
        .windows(2)
        .filter(|two| !same(&two[0].labels, &two[1].labels));
    joints.count() + usize::from(!family.samples.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use forkmeter_core::Sample;

    #[test]
    fn series_are_counted_without_their_inner_label() {
        let mut family = MetricFamily::new("h", "", MetricType::Histogram);
        assert_eq!(series_count(&family), 0);
        for path in ["/a", "/b"] {
            let labels = LabelSet::from_pairs([("path", path)]);
            for bound in ["1.0", "+Inf"] {
                family
                    .samples
                    .push(Sample::new("h_bucket", labels.with("le", bound), 1.0));
            }
            family
                .samples
                .push(Sample::new("h_count", labels.clone(), 1.0));
            family.samples.push(Sample::new("h_sum", labels, 1.0));
        }
        assert_eq!(series_count(&family), 2);
        let mut gauge = MetricFamily::new("g", "", MetricType::Gauge);
        for le in ["1", "2"] {
            gauge
                .samples
                .push(Sample::new("g", LabelSet::from_pairs([("le", le)]), 1.0));
        }
        assert_eq!(series_count(&gauge), 2);
    }
}
