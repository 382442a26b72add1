//! Collects what the directory holds, and what only this process knows.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use forkmeter_core::model::{MergeRule, SeriesView};
use forkmeter_core::store::Collected;
use forkmeter_core::{Descriptor, LabelSet, MetricFamily, MetricType, Sample};

use super::Shared;
use super::self_metrics::{self, KEPT_SERIES, LastRead};
use super::series::{InMemory, Series};
use crate::reader::{DirectoryReader, FileState, Names, Report};

/// Holds what was collected, as [`Collected`](forkmeter_core::store::Collected) does, without a copy of it.
///
/// The families are also those of the store, which copies at its next collection what somebody still holds.
#[derive(Clone, Debug, Default)]
pub struct CollectedShared {
    /// The families.
    pub families: Vec<Arc<MetricFamily>>,
    /// What could not be read, in words for a log.
    pub errors: Vec<String>,
}

impl From<CollectedShared> for Collected {
    fn from(collected: CollectedShared) -> Self {
        let families = collected.families.into_iter();
        Self {
            families: families.map(Arc::unwrap_or_clone).collect(),
            errors: collected.errors,
        }
    }
}

/// How long others may take to make deleted files again.
const REMAKING: Duration = Duration::from_secs(5);
/// How often a collection begins anew.
const MAX_TRIES: u32 = 10;
/// How many sets of names are kept in mind between collections, with what was found out for them.
const MAX_NAMED_READERS: usize = 4;

impl Shared {
    /// Collects; the caller is inside a fork section.
    ///
    /// Begins anew where values moved between memory and files meanwhile, which would show them twice or not
    /// at all.
    pub(super) fn collect(&self, created_samples: bool) -> CollectedShared {
        self.collect_for(None, created_samples)
    }

    /// As [`Shared::collect`], for samples of some names: families that cannot have any are left out.
    pub(super) fn collect_named(&self, names: &Names, created_samples: bool) -> CollectedShared {
        // What is said of the directory is what a read of all of it finds.
        let names = (!self_metrics::are_named(names)).then_some(names);
        self.collect_for(names, created_samples)
    }

    fn collect_for(&self, names: Option<&Names>, created_samples: bool) -> CollectedShared {
        let mut tries = 1..=MAX_TRIES;
        loop {
            let (mut collected, moves) = self.try_collect(names, created_samples);
            let mut state = self.lock();
            state.repair();
            if state.moves() == moves || tries.next().is_none() {
                collected.errors.extend(state.take_news());
                return collected;
            }
        }
    }

    /// Returns what was collected, and the number of moves before.
    fn try_collect(&self, names: Option<&Names>, created_samples: bool) -> (CollectedShared, u64) {
        let is_wanted = |name: &str| names.is_none_or(|names| names.may_be_of(name));
        let (path, descriptors, in_memory, is_held_up, error, moves) = {
            let mut state = self.lock();
            state.refresh(&self.options);
            let descriptors = state.descriptors().filter(|family| is_wanted(&family.name));
            let descriptors: Vec<Arc<Descriptor>> = descriptors.cloned().collect();
            let in_memory: Vec<Arc<Series>> = state.in_memory().cloned().collect();
            let error = state
                .last_error()
                .filter(|_| state.wants_directory() && !in_memory.is_empty());
            // Said once in a log: it does not change with how many they are.
            let error = error.map(|error| {
                format!("some series are kept in memory: {error}; only this process shows them")
            });
            // Who may not write there shows what others wrote all the same.
            let path = state.directory_path().or_else(|| state.readable_place());
            let is_held_up = state.is_held_up();
            (
                path,
                descriptors,
                in_memory,
                is_held_up,
                error,
                state.moves(),
            )
        };
        let mut collected = CollectedShared::default();
        if let Some(path) = path {
            let report = match names {
                Some(names) => self.read_named(path, names, created_samples, &mut collected),
                None => self.read(path, created_samples, &mut collected),
            };
            collected.errors.extend(problems(&report));
        }
        if error.is_some() {
            collected
                .families
                .push(Arc::new(kept_series(in_memory.len())));
        }
        collected.errors.extend(error);
        add_in_memory(
            &mut collected.families,
            &descriptors,
            &in_memory,
            is_held_up,
            created_samples,
        );
        (collected, moves)
    }

    /// Reads the directory, and remembers what its report says.
    fn read(&self, path: PathBuf, created_samples: bool, into: &mut CollectedShared) -> Report {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = match reader.as_mut() {
            Some(reader) if reader.path() == path => reader,
            _ => reader.insert(DirectoryReader::new(path)),
        };
        reader.set_created_samples(created_samples);
        let started = Instant::now();
        let snapshot = reader.read();
        let took = started.elapsed();
        into.families = snapshot.families;
        let mut last_read = self
            .last_read
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *last_read = Some(LastRead {
            path: reader.path().to_owned(),
            report: snapshot.report.clone(),
            took,
        });
        snapshot.report
    }

    /// Reads what the names need.
    fn read_named(
        &self,
        path: PathBuf,
        names: &Names,
        created_samples: bool,
        into: &mut CollectedShared,
    ) -> Report {
        let mut readers = self
            .named_readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        readers.retain(|reader| reader.path() == path);
        let known = readers
            .iter()
            .position(|reader| reader.names() == Some(names));
        let mut reader = match known {
            Some(index) => readers.remove(index),
            None => DirectoryReader::new(path).with_names(names.clone()),
        };
        reader.set_created_samples(created_samples);
        let snapshot = reader.read();
        if readers.len() >= MAX_NAMED_READERS {
            readers.remove(0);
        }
        readers.push(reader);
        into.families = snapshot.families;
        snapshot.report
    }
}

/// Says in words for a log what could not be read.
fn problems(report: &Report) -> impl Iterator<Item = String> {
    let bad = report.files.iter().filter(|file| {
        !matches!(
            file.state,
            FileState::Ok | FileState::Empty | FileState::Vanished
        )
    });
    bad.map(|file| {
        let (path, state) = (file.path.display(), file.state);
        format!("left out of a scrape: {path}: {state:?}: {}", file.cause)
    })
}

/// Makes the self-metric that stands in an exposition while the directory cannot be written.
fn kept_series(count: usize) -> MetricFamily {
    let name = KEPT_SERIES;
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
///
/// What a deleted file held may be on its way to another one while this process is held up: until that file is there,
/// what is left would be a counter that went down, and is left out.
fn add_in_memory(
    families: &mut Vec<Arc<MetricFamily>>,
    descriptors: &[Arc<Descriptor>],
    in_memory: &[Arc<Series>],
    is_held_up: bool,
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
                families.push(Arc::new(descriptor.family()));
                families.len() - 1
            });
    }
    let mut positions: HashMap<usize, Positions> = HashMap::new();
    for series in in_memory {
        let Some(index) = by_name.get(&series.descriptor.name) else {
            continue;
        };
        let family = Arc::make_mut(&mut families[*index]);
        let created = created_samples.then(|| series.kept_created_seconds());
        let view = SeriesView {
            labels: series.labels(),
            info: series.info(),
            created_seconds: created,
            slots: &InMemory(series),
        };
        let is_on_its_way = is_held_up && series.is_withdrawn_since(REMAKING);
        let mut samples = Vec::new();
        series.descriptor.expose(&view, &mut samples);
        let positions = positions
            .entry(*index)
            .or_insert_with(|| positions_of(&family.samples));
        for sample in samples {
            match positions.entry((Arc::clone(&sample.name), sample.labels.clone())) {
                Entry::Vacant(_) if is_on_its_way => {}
                Entry::Vacant(vacant) => {
                    vacant.insert(family.samples.len());
                    family.samples.push(sample);
                }
                Entry::Occupied(known) => {
                    let other = &mut family.samples[*known.get()];
                    merge_sample(other, &series.descriptor, &sample);
                }
            }
        }
    }
}

/// Says where in a family each sample stands.
type Positions = HashMap<(Arc<str>, LabelSet), usize>;

fn positions_of(samples: &[Sample]) -> Positions {
    let keys = samples
        .iter()
        .map(|sample| (Arc::clone(&sample.name), sample.labels.clone()));
    keys.zip(0..).collect()
}

/// Merges one sample of this process into what was read, as one more worker's.
fn merge_sample(other: &mut Sample, descriptor: &Descriptor, sample: &Sample) {
    other.value = match descriptor.kind {
        MetricType::Gauge | MetricType::Unknown => match descriptor.mode.rule() {
            MergeRule::Sum => other.value + sample.value,
            MergeRule::Min => other.value.min(sample.value),
            MergeRule::Max => other.value.max(sample.value),
            MergeRule::MostRecent | MergeRule::PerWorker => sample.value,
        },
        _ if sample.name.ends_with("_created") => other.value.min(sample.value),
        MetricType::Info | MetricType::StateSet => sample.value,
        _ => other.value + sample.value,
    };
}
