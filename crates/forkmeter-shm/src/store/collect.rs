//! Collects what the directory holds, and what only this process knows.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use forkmeter_core::model::{MergeRule, SeriesView};
use forkmeter_core::store::{Collected, Slots};
use forkmeter_core::{Descriptor, LabelSet, MetricFamily, MetricType, Sample};

use super::Shared;
use super::series::Series;
use crate::reader::{DirectoryReader, FileState};

impl Shared {
    /// Collects; the caller is inside a fork section.
    pub(super) fn collect(&self) -> Collected {
        let (path, descriptors, in_memory, error) = {
            let mut state = self.lock();
            state.refresh(&self.options);
            let descriptors: Vec<Arc<Descriptor>> = state.descriptors().cloned().collect();
            let in_memory: Vec<Arc<Series>> = state.in_memory().cloned().collect();
            let error = state
                .last_error()
                .filter(|_| state.wants_directory() && !in_memory.is_empty());
            let error = error
                .map(|error| format!("{} series are kept in memory: {error}", in_memory.len()));
            (state.directory_path(), descriptors, in_memory, error)
        };
        let mut collected = Collected::default();
        if let Some(path) = path {
            let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            let reader = match reader.as_mut() {
                Some(reader) if reader.path() == path => reader,
                _ => reader.insert(DirectoryReader::new(path)),
            };
            let snapshot = reader.read();
            collected.families = snapshot.families;
            let bad = snapshot.report.files.iter().filter(|file| {
                !matches!(
                    file.state,
                    FileState::Ok | FileState::Empty | FileState::Vanished
                )
            });
            collected.errors.extend(
                bad.map(|file| {
                    format!("{}: {:?}: {}", file.path.display(), file.state, file.cause)
                }),
            );
        }
        if error.is_some() {
            collected.families.push(kept_series(in_memory.len()));
        }
        collected.errors.extend(error);
        add_in_memory(
            &mut collected.families,
            &descriptors,
            &in_memory,
            self.options.created_samples,
        );
        collected
    }
}

/// Makes the self-metric that stands in an exposition while the directory cannot be written.
fn kept_series(count: usize) -> MetricFamily {
    let name = "forkmeter_kept_series";
    let help =
        "Series whose values this process keeps in memory because the directory cannot be written.";
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let mut family = MetricFamily::new(name, help, MetricType::Gauge);
    family
        .samples
        .push(Sample::new(name, LabelSet::empty(), f64::from(count)));
    family
}

/// Adds families that the directory lacks, and series whose values are in memory, to what was read.
fn add_in_memory(
    families: &mut Vec<MetricFamily>,
    descriptors: &[Arc<Descriptor>],
    in_memory: &[Arc<Series>],
    created_samples: bool,
) {
    let mut by_name: HashMap<Arc<str>, usize> = families
        .iter()
        .enumerate()
        .map(|(index, family)| (Arc::clone(&family.name), index))
        .collect();
    for descriptor in descriptors {
        by_name
            .entry(Arc::clone(&descriptor.name))
            .or_insert_with(|| {
                families.push(descriptor.family());
                families.len() - 1
            });
    }
    for series in in_memory {
        let Some(index) = by_name.get(&series.descriptor.name) else {
            continue;
        };
        let family = &mut families[*index];
        let created = created_samples.then(|| series.created_seconds());
        let view = SeriesView {
            labels: series.labels.clone(),
            info: series.extra().info.clone(),
            created_seconds: created,
            slots: &**series,
        };
        let mut samples = Vec::new();
        series.descriptor.expose(&view, &mut samples);
        for sample in samples {
            merge_sample(family, &series.descriptor, sample);
        }
    }
}

/// Merges one sample of this process into a family, as one more worker's.
fn merge_sample(family: &mut MetricFamily, descriptor: &Descriptor, sample: Sample) {
    let is_gauge = matches!(descriptor.kind, MetricType::Gauge | MetricType::Unknown);
    let same = |other: &&mut Sample| other.name == sample.name && other.labels == sample.labels;
    match family.samples.iter_mut().find(same) {
        None => family.samples.push(sample),
        Some(other) if is_gauge => {
            other.value = match descriptor.mode.rule() {
                MergeRule::Sum => other.value + sample.value,
                MergeRule::Min => other.value.min(sample.value),
                MergeRule::Max => other.value.max(sample.value),
                MergeRule::MostRecent | MergeRule::PerWorker => sample.value,
            };
        }
        Some(other) if sample.name.ends_with("_created") => {
            other.value = other.value.min(sample.value);
        }
        Some(other) if matches!(descriptor.kind, MetricType::Info | MetricType::StateSet) => {
            other.value = sample.value;
        }
        Some(other) => other.value += sample.value,
    }
}
