//! What declarations say of the families that have entries: their type, and the mode of gauges.

use std::ffi::OsString;
use std::path::Path;

use forkmeter_core::MetricType;

use super::recent::Recent;
use super::{Planner, Segments, UNKNOWN, fits};
use crate::reader::keys::NO_SLOT;
use crate::reader::name::Role;
use crate::reader::segment::Segment;

impl Planner<'_> {
    /// Finds which declarations hold: one of a type of which no file has values hides none of another type.
    pub(super) fn find_declared(&mut self, directory: &Path, segments: &Segments) {
        let mut misfits: Vec<Option<(&OsString, MetricType)>> = vec![None; self.declared.len()];
        let mut recent = Recent::default();
        for (name, segment) in segments.iter().filter(|(_, segment)| segment.counted) {
            if recent.find(segment).is_some() {
                continue;
            }
            recent.add(segment);
            let kind = segment.role.kind();
            let mut last = UNKNOWN;
            for located in &*segment.located {
                let slot = self.keys.slot_id(located.key);
                if slot == NO_SLOT {
                    continue;
                }
                let family = self.keys.series(self.keys.slot(slot).series).family;
                if family == last {
                    continue;
                }
                last = family;
                let declared = self.meta.descriptor(self.keys.family(family));
                if declared.is_some_and(|declared| fits(declared.kind, kind)) {
                    self.declared[family as usize] = declared;
                } else if declared.is_some() && kind != MetricType::StateSet {
                    misfits[family as usize].get_or_insert((name, kind));
                }
            }
        }
        for (family, misfit) in (0..).zip(misfits) {
            if let Some((name, kind)) = misfit.filter(|_| self.declared[family as usize].is_none())
            {
                self.conflict(family, &directory.join(name), || {
                    format!("family was declared as another type, of which there are no values: it is shown as {kind}")
                });
            }
        }
    }

    /// Finds under which mode each family's gauges merge: as declared, else as the last file says.
    pub(super) fn find_modes(&mut self, path: &Path, segment: &Segment) {
        let Role::Gauge(mode) = segment.role else {
            return;
        };
        let mut last = UNKNOWN;
        for slot in segment
            .located
            .iter()
            .map(|located| self.keys.slot_id(located.key))
        {
            if slot == NO_SLOT {
                continue;
            }
            let slot = self.keys.slot(slot);
            let family = self.keys.series(slot.series).family;
            if family == last {
                continue;
            }
            last = family;
            let declared = self.declared[family as usize]
                .filter(|d| fits(d.kind, MetricType::Gauge))
                .map(|d| d.mode);
            let before = self.modes[family as usize].or(declared);
            if let Some(other) = before.filter(|before| *before != mode) {
                let merged = declared.unwrap_or(mode);
                self.conflict(family, path, || {
                    format!("gauge mode is {other} and {mode}; all values are merged as {merged}")
                });
            }
            self.modes[family as usize] = Some(declared.unwrap_or(mode));
        }
    }
}
