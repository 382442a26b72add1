//! Which entry of which segment goes to which cell, and which cell to which sample.
//!
//! A plan holds until the entries, the workers or the declarations change. Until then a read only moves
//! numbers. It is always made anew as a whole, in the order of the file names, so that what is exposed does
//! not depend on what was read before.

mod declared;
mod recent;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::mem;
use std::path::Path;
use std::sync::Arc;

use forkmeter_core::merge::Merged;
use forkmeter_core::{Descriptor, LabelSet, MergeRule, MetricType, MultiprocessMode};
use hashbrown::HashMap;

use self::recent::Recent;
use super::Conflict;
use super::keys::{KeyTable, NO_SLOT, Part};
use super::meta::Meta;
use super::segment::Segment;
use crate::layout::Mark;

/// The cell that takes what is left out.
pub(super) const SKIPPED: u32 = 0;
const UNKNOWN: u32 = u32::MAX;

pub(super) type Segments = BTreeMap<OsString, Segment>;

/// Holds one family that has entries.
#[derive(Debug)]
pub(super) struct PlannedFamily {
    pub(super) name: Arc<str>,
    pub(super) help: Arc<str>,
    pub(super) unit: Arc<str>,
    pub(super) kind: MetricType,
    /// The mode; of gauges and untyped families only.
    pub(super) mode: Option<MultiprocessMode>,
    /// Its series, in the order in which they are exposed.
    pub(super) series: Vec<u32>,
}

/// Holds one label set of a family.
#[derive(Debug)]
pub(super) struct PlannedSeries {
    pub(super) family: u32,
    pub(super) labels: LabelSet,
    /// Whether it is exposed whatever its values are.
    pub(super) always: bool,
    pub(super) plain: Vec<PlannedCell>,
    pub(super) buckets: Vec<(f64, PlannedCell)>,
    /// The order in which plain entries were met; the official client exposes series without one last.
    first_plain: u32,
}

/// Holds one cell and the sample that shows it.
#[derive(Debug)]
pub(super) struct PlannedCell {
    pub(super) cell: u32,
    /// The sample's name; of buckets that of the family, whose suffix is added when it is shown.
    pub(super) name: Arc<str>,
    pub(super) labels: LabelSet,
}

/// Holds the result of planning.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) families: Vec<PlannedFamily>,
    pub(super) series: Vec<PlannedSeries>,
    /// What each cell holds before values are added.
    pub(super) empty_cells: Vec<Merged>,
    pub(super) rules: Vec<MergeRule>,
    /// The series of each cell.
    pub(super) series_of_cell: Vec<u32>,
    pub(super) conflicts: Vec<Conflict>,
    /// How many of the known keys are in use.
    pub(super) keys_in_use: usize,
}

/// Makes a plan for the segments that count, and writes their routes.
pub(super) fn make(
    directory: &Path,
    segments: &mut Segments,
    keys: &KeyTable,
    meta: &Meta,
) -> Plan {
    let mut planner = Planner {
        keys,
        meta,
        plan: Plan::default(),
        declared: vec![None; keys.family_count()],
        modes: vec![None; keys.family_count()],
        family_of: vec![UNKNOWN; keys.family_count()],
        series_of: vec![UNKNOWN; keys.series_count()],
        worker_series: HashMap::new(),
        cell_of: vec![SharedCell::default(); keys.slot_count()],
        plain_seen: 0,
    };
    // The cell of what is left out belongs to a series that is in no family.
    planner.add_series(UNKNOWN, LabelSet::empty());
    planner.add_cell(0, MergeRule::Sum);
    planner.find_declared(directory, segments);
    for (name, segment) in segments.iter().filter(|(_, segment)| segment.counted) {
        planner.find_modes(&directory.join(name), segment);
    }
    let mut used = vec![false; keys.len()];
    let mut recent = Recent::default();
    for (name, segment) in segments.iter_mut() {
        if let Some(before) = recent.find(segment) {
            segment.route = Arc::clone(&before.route);
        } else {
            for located in &*segment.located {
                used[located.key as usize] = true;
            }
            let mut route = Arc::try_unwrap(mem::take(&mut segment.route)).unwrap_or_default();
            route.clear();
            if segment.counted {
                planner.route(directory, name, segment, &mut route);
            }
            segment.route = Arc::new(route);
            recent.add(segment);
        }
    }
    planner.plan.keys_in_use = used.into_iter().filter(|used| *used).count();
    planner.finish()
}

struct Planner<'a> {
    keys: &'a KeyTable,
    meta: &'a Meta,
    plan: Plan,
    /// The declarations that hold.
    declared: Vec<Option<&'a Descriptor>>,
    modes: Vec<Option<MultiprocessMode>>,
    family_of: Vec<u32>,
    series_of: Vec<u32>,
    worker_series: HashMap<(u32, Arc<str>), u32>,
    /// The cell of each slot whose values merge over all workers.
    cell_of: Vec<SharedCell>,
    plain_seen: u32,
}

/// Holds the cell of a slot, found for segments of one type.
#[derive(Clone, Copy, Debug)]
struct SharedCell {
    cell: u32,
    kind: MetricType,
    /// Whether an official segment was seen to hold it.
    official: bool,
}

impl Default for SharedCell {
    fn default() -> Self {
        Self {
            cell: UNKNOWN,
            kind: MetricType::Unknown,
            official: false,
        }
    }
}

impl Planner<'_> {
    fn conflict(&mut self, family: u32, path: &Path, cause: impl FnOnce() -> String) {
        let family = self.keys.family(family);
        if !self
            .plan
            .conflicts
            .iter()
            .any(|conflict| *conflict.family == **family)
        {
            let family = family.to_string();
            self.plan.conflicts.push(Conflict {
                family,
                path: path.into(),
                cause: cause(),
            });
        }
    }

    fn route(
        &mut self,
        directory: &Path,
        name: &OsString,
        segment: &Segment,
        route: &mut Vec<u32>,
    ) {
        let kind = segment.role.kind();
        let official = segment.mark == Mark::Official;
        route.reserve_exact(segment.located.len());
        for located in &*segment.located {
            let slot = self.keys.slot_id(located.key);
            if slot == NO_SLOT {
                route.push(SKIPPED);
                continue;
            }
            let known = self.cell_of[slot as usize];
            let settled = known.official || !official;
            route.push(if known.cell != UNKNOWN && known.kind == kind && settled {
                known.cell
            } else {
                self.find_cell(directory, name, segment, located.key)
            });
        }
    }

    fn find_cell(&mut self, directory: &Path, name: &OsString, segment: &Segment, key: u32) -> u32 {
        let slot_id = self.keys.slot_id(key);
        let slot = self.keys.slot(slot_id);
        let kind = segment.role.kind();
        let family_id = self.keys.series(slot.series).family;
        let Some(family) = self.find_family(family_id, key, segment) else {
            self.conflict(family_id, &directory.join(name), || {
                format!("family is no {kind} elsewhere; the values of this file are left out")
            });
            return SKIPPED;
        };
        let rule = match self.plan.families[family as usize].mode {
            Some(mode) => mode.rule(),
            None if kind == MetricType::StateSet => MergeRule::PerWorker,
            None => MergeRule::Sum,
        };
        let per_worker = rule == MergeRule::PerWorker && kind != MetricType::StateSet;
        let series = self.find_series(slot.series, family, per_worker.then_some(&segment.tag));
        let official = segment.mark == Mark::Official;
        self.plan.series[series as usize].always |= official && rule != MergeRule::MostRecent;
        let known = self.cell_of[slot_id as usize];
        let cell = if known.cell != UNKNOWN && known.kind == kind {
            known.cell
        } else {
            self.find_cell_of_series(series, rule, &slot.part, per_worker, &slot.labels)
        };
        if !per_worker {
            self.cell_of[slot_id as usize] = SharedCell {
                cell,
                kind,
                official,
            };
        }
        cell
    }

    fn find_cell_of_series(
        &mut self,
        series: u32,
        rule: MergeRule,
        part: &Part,
        per_worker: bool,
        labels: &LabelSet,
    ) -> u32 {
        let planned = &self.plan.series[series as usize];
        let known = planned
            .plain
            .iter()
            .find(|known| matches!(part, Part::Plain(name) if known.name == *name));
        if let Some(known) = known {
            return known.cell;
        }
        let labels = if per_worker {
            planned.labels.clone()
        } else {
            labels.clone()
        };
        let family = &self.plan.families[planned.family as usize];
        let family_name = Arc::clone(&family.name);
        let cell = self.add_cell(series, rule);
        let planned = &mut self.plan.series[series as usize];
        match part {
            Part::Plain(name) => {
                if planned.plain.is_empty() {
                    self.plain_seen += 1;
                    planned.first_plain = self.plain_seen;
                }
                planned.plain.push(PlannedCell {
                    cell,
                    name: Arc::clone(name),
                    labels,
                });
            }
            Part::Bucket(bound) => {
                planned.buckets.push((
                    *bound,
                    PlannedCell {
                        cell,
                        name: family_name,
                        labels,
                    },
                ));
            }
        }
        cell
    }

    /// Returns the family of a key, or nothing where it has another type than the segment.
    fn find_family(&mut self, id: u32, key: u32, segment: &Segment) -> Option<u32> {
        let kind = segment.role.kind();
        let planned = self.family_of[id as usize];
        if let Some(family) = self.plan.families.get(planned as usize) {
            return fits(family.kind, kind).then_some(planned);
        }
        let name = self.keys.family(id);
        let declared = self.declared[id as usize];
        if declared.map_or(kind == MetricType::StateSet, |declared| {
            !fits(declared.kind, kind)
        }) {
            return None;
        }
        let family = PlannedFamily {
            name: Arc::clone(name),
            help: declared
                .map_or_else(|| self.keys.help(key), |declared| &declared.help)
                .clone(),
            unit: declared.map_or_else(Arc::default, |declared| Arc::clone(&declared.unit)),
            kind: declared.map_or(kind, |declared| declared.kind),
            mode: self.modes[id as usize].filter(|_| kind == MetricType::Gauge),
            series: Vec::new(),
        };
        self.plan.families.push(family);
        self.family_of[id as usize] = number(self.plan.families.len() - 1);
        Some(self.family_of[id as usize])
    }

    fn find_series(&mut self, id: u32, family: u32, worker: Option<&Arc<str>>) -> u32 {
        let known = match worker {
            Some(tag) => self
                .worker_series
                .get(&(id, Arc::clone(tag)))
                .copied()
                .unwrap_or(UNKNOWN),
            None => self.series_of[id as usize],
        };
        if known != UNKNOWN {
            return known;
        }
        let labels = &self.keys.series(id).labels;
        let labels = worker.map_or_else(|| labels.clone(), |tag| of_worker(labels, tag));
        let series = self.add_series(family, labels);
        match worker {
            Some(tag) => {
                self.worker_series.insert((id, Arc::clone(tag)), series);
            }
            None => self.series_of[id as usize] = series,
        }
        self.plan.families[family as usize].series.push(series);
        series
    }

    fn add_series(&mut self, family: u32, labels: LabelSet) -> u32 {
        self.plan.series.push(PlannedSeries {
            family,
            labels,
            always: false,
            plain: Vec::new(),
            buckets: Vec::new(),
            first_plain: UNKNOWN,
        });
        number(self.plan.series.len() - 1)
    }

    fn add_cell(&mut self, series: u32, rule: MergeRule) -> u32 {
        self.plan.empty_cells.push(Merged::empty(rule));
        self.plan.rules.push(rule);
        self.plan.series_of_cell.push(series);
        number(self.plan.rules.len() - 1)
    }

    fn finish(mut self) -> Plan {
        let series = &mut self.plan.series;
        for values in series.iter_mut() {
            values.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        for family in &mut self.plan.families {
            family
                .series
                .sort_by_key(|index| series[*index as usize].first_plain);
        }
        self.plan
    }
}

/// Returns the labels of a worker's own series. A label of the application stays as it is; then that of the worker has
/// a longer name.
pub(crate) fn of_worker(labels: &LabelSet, tag: &Arc<str>) -> LabelSet {
    let mut name = String::from("pid");
    while labels.get(&name).is_some() {
        name.insert_str(0, "worker_");
    }
    labels.with(name, Arc::clone(tag))
}

/// Tells whether a family of type `declared` may keep its values in segments of type `stored`.
fn fits(declared: MetricType, stored: MetricType) -> bool {
    declared == stored || (declared, stored) == (MetricType::Unknown, MetricType::Gauge)
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("invariant: fewer than 2^32 series fit in memory")
}
