//! Makes files again that were deleted, or that somebody cut off.

use std::path::Path;

use forkmeter_core::{Descriptor, MetricType};

use super::State;
use crate::directory::Gone;
use crate::store::hints::Hints;
use crate::store::series::Series;
use crate::{map, process};

impl State {
    /// Makes deleted files again, with what was counted in them.
    pub(in crate::store) fn repair(&mut self) {
        let Some(open) = self.open.as_mut() else {
            return;
        };
        // First: its lock is in the file of workers, which may be gone as well.
        let gone = open.forget_deleted(&mut self.deleted, self.resets);
        let is_whole = open.is_current();
        if is_whole && gone.stems.is_empty() {
            return;
        }
        self.moves += 1;
        let mut lost = self.all_series();
        let open = self.open.as_ref();
        lost.retain(|series| {
            let stem = open.map(|open| open.stem(&series.descriptor));
            // Another worker file gives another name to this worker's own gauges.
            (!is_whole && is_own(&series.descriptor))
                || stem.is_some_and(|stem| {
                    stem.is_ok_and(|stem| gone.stems.iter().any(|one| **one == *stem))
                })
        });
        if !is_whole {
            self.open = None;
        }
        self.looks.found();
        let cut = lost.iter().filter(|series| series.is_cut(&gone.cuts, true));
        let lost_series = cut.count() as u64;
        lost.retain(|series| self.withdraw(series, &gone));
        // Handles of what starts over are to ask for a place before they count.
        process::next_epoch();
        self.undeclared = true;
        for family in &mut self.families {
            family.is_declared_in = None;
        }
        self.retry_at = None;
        for series in &lost {
            self.keep(series);
        }
        self.is_repairing = true;
        self.retry();
        self.is_repairing = false;
        self.report_lost(lost_series);
    }

    /// Counts and says how many series begin anew because somebody cut off their file.
    fn report_lost(&mut self, series: u64) {
        if series == 0 {
            return;
        }
        if let Some(open) = &self.open {
            // Best effort, as is that report about memory.
            let _ = open.report_lost(series);
        }
        let directory = self.place.as_deref().unwrap_or(Path::new("")).display();
        self.news.push(format!(
            "{directory}: somebody cut off files under their writers; {series} series begin anew"
        ));
    }

    /// Takes a series back out of a deleted file; tells whether it is to be published again.
    ///
    /// What was removed before, by another worker or by whoever deleted the file, starts over: with labels, once it
    /// is used again.
    fn withdraw(&self, series: &Series, gone: &Gone) -> bool {
        let (is_removed, has_value) = series.is_taken_out();
        // What a gauge was is not known any more; that it was zero would be made up.
        let is_cut = || series.is_cut(&gone.cuts, false);
        let is_unknown = is_own(&series.descriptor) && !has_value && is_cut();
        let is_over = if is_removed { !has_value } else { self.resets } || is_unknown;
        if is_over && series.descriptor.kind != MetricType::Info {
            series.start_anew();
            return series.is_unlabelled();
        }
        series.withdraw(&gone.staying);
        true
    }

    /// Looks for deleted files, where somebody said that there may be some.
    pub(super) fn look_for_deletions(&mut self, hints: &Hints) {
        let cuts = map::cuts();
        let is_cut = std::mem::replace(&mut self.cuts, cuts) != cuts;
        if self.open.is_none() || !(self.looks.is_due(hints) || is_cut) {
            return;
        }
        self.repair();
        if self.looks.go_on(hints) {
            // The next use of any handle is to look as well.
            process::next_epoch();
        }
    }
}

/// Tells whether the values of a family are this worker's own.
fn is_own(descriptor: &Descriptor) -> bool {
    matches!(descriptor.kind, MetricType::Gauge | MetricType::Unknown)
}
