//! The families as they are exposed: made once per plan, filled with numbers on every read.

use std::sync::Arc;

use forkmeter_core::merge::Merged;
use forkmeter_core::model::{SeriesView, SlotValues};
use forkmeter_core::{Descriptor, Exemplar, MergeRule, MetricFamily, MetricType, Sample};

use super::meta::Meta;
use super::name::Role;
use super::plan::{Plan, PlannedFamily, PlannedSeries, SKIPPED, Segments};
use super::segment::Segment;
use super::wanted::Names as Wanted;
use crate::layout::{self, Mark};

/// Says where a sample's number comes from.
#[derive(Clone, Copy, Debug)]
enum Origin {
    /// It was set when the sample was made.
    Fixed,
    Cell(u32),
    /// The cell of a series' first bucket.
    FirstBucket(u32),
    /// The cell of a bucket, to which all before it are added.
    NextBucket(u32),
    /// What the last bucket came to.
    Count,
    /// Whether this state is the one whose number is in the cell.
    State(u32, u32),
    /// When the series was made.
    Created(u32),
}

/// Holds the merged numbers and the families that show them.
#[derive(Debug, Default)]
pub(super) struct Exposed {
    /// Shared with whoever still holds what an earlier read gave, and copied before they change where that is so.
    pub(super) families: Vec<Arc<MetricFamily>>,
    /// The number of series that are exposed.
    pub(super) series: usize,
    origins: Vec<Origin>,
    cells: Vec<Merged>,
    /// Which series have something to show, and had when the families were made.
    shown: Vec<bool>,
    shown_then: Vec<bool>,
    created_seconds: Vec<f64>,
    /// Family and sample of each cell.
    sample_of_cell: Vec<Option<(usize, usize)>>,
    with_exemplar: Vec<(usize, usize)>,
}

impl Exposed {
    /// Merges the values of all segments that count, and brings the families up to date.
    pub(super) fn update(
        &mut self,
        plan: &Plan,
        replanned: bool,
        segments: &Segments,
        meta: &Meta,
        names: Option<&Wanted>,
        created_samples: bool,
    ) {
        self.merge(plan, segments);
        if replanned || self.shown != self.shown_then {
            self.make(plan, meta, names, created_samples);
            self.shown_then.clone_from(&self.shown);
        }
        self.fill();
    }

    fn merge(&mut self, plan: &Plan, segments: &Segments) {
        self.cells.clone_from(&plan.empty_cells);
        self.shown.clear();
        self.shown
            .extend(plan.series.iter().map(|series| series.always));
        self.created_seconds.clear();
        self.created_seconds.resize(plan.series.len(), 0.0);
        for segment in segments.values().filter(|segment| segment.counted) {
            match (segment.mark, segment.role) {
                (Mark::Official, Role::Gauge(_)) => self.merge_gauges(plan, segment),
                (Mark::Official, _) => self.merge_sums(segment),
                _ => self.merge_marked(plan, segment),
            }
        }
        for (series, shown) in plan.series.iter().zip(&mut self.shown) {
            for planned in &series.plain {
                if plan.rules[planned.cell as usize] == MergeRule::MostRecent {
                    *shown = self.cells[planned.cell as usize].timestamp_seconds() > 0.0;
                }
            }
        }
    }

    fn merge_sums(&mut self, segment: &Segment) {
        for (value, cell) in segment.values.iter().zip(&*segment.route) {
            self.cells[*cell as usize].add(MergeRule::Sum, *value, 0.0);
        }
    }

    fn merge_gauges(&mut self, plan: &Plan, segment: &Segment) {
        let values = segment.values.iter().zip(&segment.timestamps);
        for ((value, timestamp), cell) in values.zip(&*segment.route) {
            self.cells[*cell as usize].add(plan.rules[*cell as usize], *value, *timestamp);
        }
    }

    /// Merges a segment of ours, in which a slot counts for nothing while it is marked as removed and zero.
    fn merge_marked(&mut self, plan: &Plan, segment: &Segment) {
        let has_created = !matches!(segment.role, Role::Gauge(_));
        let values = segment.values.iter().zip(&segment.timestamps);
        for ((value, timestamp), cell) in values.zip(&*segment.route) {
            if layout::is_removed_slot(*value, *timestamp) || layout::is_removed_gauge(*value) {
                continue;
            }
            let cell = *cell as usize;
            let series = plan.series_of_cell[cell] as usize;
            self.cells[cell].add(plan.rules[cell], *value, *timestamp);
            self.shown[series] = true;
            let created = &mut self.created_seconds[series];
            if has_created && (*created == 0.0 || timestamp.abs() < *created) {
                *created = timestamp.abs();
            }
        }
    }

    fn make(&mut self, plan: &Plan, meta: &Meta, wanted: Option<&Wanted>, created_samples: bool) {
        self.families.clear();
        self.origins.clear();
        self.series = 0;
        self.with_exemplar.clear();
        self.sample_of_cell.clear();
        self.sample_of_cell.resize(plan.rules.len(), None);
        for planned in &plan.families {
            let mut family = MetricFamily {
                unit: Arc::clone(&planned.unit),
                ..MetricFamily::new(
                    Arc::clone(&planned.name),
                    Arc::clone(&planned.help),
                    planned.kind,
                )
            };
            let names = Names::of(planned);
            for index in &planned.series {
                if !self.shown[*index as usize] {
                    continue;
                }
                let series = &plan.series[*index as usize];
                self.series += 1;
                match meta
                    .descriptor(&planned.name)
                    .filter(|_| planned.kind == MetricType::StateSet)
                {
                    Some(descriptor) => self.make_states(&mut family, descriptor, series),
                    None => self.make_samples(&mut family, &names, series),
                }
                if created_samples
                    && self.created_seconds[*index as usize] > 0.0
                    && names.has_created
                {
                    let created =
                        Sample::new(Arc::clone(&names.created), series.labels.clone(), 0.0);
                    self.push(&mut family, created, Origin::Created(*index));
                }
            }
            self.families.push(Arc::new(family));
        }
        self.make_declared(plan, meta, wanted);
    }

    /// Adds the families that have no entry in a segment: infos, and those without series.
    fn make_declared(&mut self, plan: &Plan, meta: &Meta, wanted: Option<&Wanted>) {
        let with_entries: hashbrown::HashSet<&str> =
            plan.families.iter().map(|f| &*f.name).collect();
        for descriptor in &meta.descriptors {
            let is_wanted = wanted.is_none_or(|names| names.may_be_of(&descriptor.name));
            if !is_wanted || with_entries.contains(&*descriptor.name) {
                continue;
            }
            let mut family = descriptor.family();
            let infos = meta
                .infos
                .iter()
                .filter(|info| info.family == descriptor.name);
            for info in
                infos.filter(|info| info.info.is_some() && descriptor.kind == MetricType::Info)
            {
                let view = SeriesView {
                    labels: info.labels.clone(),
                    info: info.info.clone(),
                    created_seconds: None,
                    slots: &NoSlots,
                };
                descriptor.expose(&view, &mut family.samples);
                self.series += 1;
            }
            self.origins
                .extend(family.samples.iter().map(|_| Origin::Fixed));
            self.families.push(Arc::new(family));
        }
    }

    fn make_states(
        &mut self,
        family: &mut MetricFamily,
        descriptor: &Descriptor,
        series: &PlannedSeries,
    ) {
        let Some(planned) = series.plain.first() else {
            return;
        };
        let view = SeriesView {
            labels: series.labels.clone(),
            info: None,
            created_seconds: None,
            slots: &NoSlots,
        };
        let mut samples = Vec::new();
        descriptor.expose(&view, &mut samples);
        for (state, sample) in (0..).zip(samples) {
            self.push(family, sample, Origin::State(planned.cell, state));
        }
    }

    fn make_samples(&mut self, family: &mut MetricFamily, names: &Names, series: &PlannedSeries) {
        for planned in &series.plain {
            // The count is that of the buckets, whatever else a file says.
            if !series.buckets.is_empty() && planned.name == names.count {
                continue;
            }
            self.sample_of_cell[planned.cell as usize] =
                Some((self.families.len(), family.samples.len()));
            let sample = Sample::new(Arc::clone(&planned.name), planned.labels.clone(), 0.0);
            self.push(family, sample, Origin::Cell(planned.cell));
        }
        let mut origin: fn(u32) -> Origin = Origin::FirstBucket;
        for (_, planned) in &series.buckets {
            self.sample_of_cell[planned.cell as usize] =
                Some((self.families.len(), family.samples.len()));
            let sample = Sample::new(Arc::clone(&names.bucket), planned.labels.clone(), 0.0);
            self.push(family, sample, origin(planned.cell));
            origin = Origin::NextBucket;
        }
        if !series.buckets.is_empty() {
            let count = Sample::new(Arc::clone(&names.count), series.labels.clone(), 0.0);
            self.push(family, count, Origin::Count);
        }
    }

    fn push(&mut self, family: &mut MetricFamily, sample: Sample, origin: Origin) {
        family.samples.push(sample);
        self.origins.push(origin);
    }

    fn fill(&mut self) {
        for (family, sample) in self.with_exemplar.drain(..) {
            Arc::make_mut(&mut self.families[family]).samples[sample].exemplar = None;
        }
        let mut count = 0.0;
        let samples = self
            .families
            .iter_mut()
            .flat_map(|family| &mut Arc::make_mut(family).samples);
        for (sample, origin) in samples.zip(&self.origins) {
            let cell = |cell: u32| self.cells[cell as usize].value();
            sample.value = match *origin {
                Origin::Fixed => continue,
                Origin::Cell(index) => cell(index),
                Origin::FirstBucket(index) => {
                    count = 0.0 + cell(index);
                    count
                }
                Origin::NextBucket(index) => {
                    count += cell(index);
                    count
                }
                Origin::Count => count,
                Origin::State(index, state) => {
                    f64::from(u8::from((cell(index) - f64::from(state)).abs() < 0.5))
                }
                Origin::Created(series) => self.created_seconds[series as usize],
            };
        }
    }

    /// Hangs an exemplar on the sample that shows a cell.
    pub(super) fn attach(&mut self, cell: u32, exemplar: Exemplar) {
        let place = self.sample_of_cell.get(cell as usize).copied().flatten();
        let Some((family, sample)) = place.filter(|_| cell != SKIPPED) else {
            return;
        };
        Arc::make_mut(&mut self.families[family]).samples[sample].exemplar = Some(exemplar);
        self.with_exemplar.push((family, sample));
    }
}

/// Holds the sample names that stand in no key.
struct Names {
    bucket: Arc<str>,
    count: Arc<str>,
    created: Arc<str>,
    has_created: bool,
}

impl Names {
    fn of(family: &PlannedFamily) -> Self {
        let name = |suffix: &str| -> Arc<str> { format!("{}{suffix}", family.name).into() };
        Self {
            bucket: name("_bucket"),
            count: name("_count"),
            created: name("_created"),
            has_created: matches!(
                family.kind,
                MetricType::Counter | MetricType::Histogram | MetricType::Summary
            ),
        }
    }
}

/// Stands in for the slots of series whose samples are made before their values are known.
#[derive(Debug)]
struct NoSlots;

impl SlotValues for NoSlots {
    fn value(&self, _: usize) -> f64 {
        0.0
    }

    fn exemplar(&self, _: usize) -> Option<Exemplar> {
        None
    }
}
