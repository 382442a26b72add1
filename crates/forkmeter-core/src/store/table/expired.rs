//! Series that expired while somebody held them: they are not exposed until somebody counts in them again.

use std::sync::RwLockReadGuard;

use super::{Series, SeriesTable};
use crate::fork;

impl SeriesTable {
    /// Takes a series out of the exposition until somebody counts in it, and returns whether it was there.
    ///
    /// It then begins from zero, and at this time. As [`SeriesTable::remove`] where nobody holds the series; handles that
    /// somebody holds go on counting in what [`SeriesTable::intern`] returns for these label values.
    pub fn expire(&self, label_values: &[&str], now_seconds: f64) -> bool {
        let hash = self.hash(label_values.iter().copied());
        let _section = fork::enter();
        let mut series = self.write();
        let Some(id) = series.find(hash, label_values) else {
            return false;
        };
        let (cells, row) = series.rows.row(id);
        if row.is_expired(cells) {
            return false;
        }
        row.expire(cells);
        row.set_created_seconds(cells, now_seconds);
        self.extras.forget(id);
        series.order.remove(id);
        self.keep_if_held(&mut series, id);
        true
    }

    /// Returns the series as they are now: those that expired and were counted in since are among them.
    pub(super) fn read_current(&self) -> RwLockReadGuard<'_, Series> {
        let series = self.read();
        if series.expired.is_empty() {
            return series;
        }
        drop(series);
        self.look_at_expired(&mut self.write());
        self.read()
    }

    /// Brings expired series back that somebody counted in, and removes those that nobody holds.
    pub(super) fn look_at_expired(&self, series: &mut Series) {
        for id in std::mem::take(&mut series.expired) {
            self.keep_if_held(series, id);
        }
    }

    /// Lists an expired series as such while somebody holds it.
    fn keep_if_held(&self, series: &mut Series, id: u32) {
        let (cells, row) = series.rows.row(id);
        // Looked at first: who counts and then lets go is heard.
        let is_held = row.is_held(cells);
        if row.is_counted(cells) {
            row.bring_back(cells);
            series.order.push(id);
        } else if is_held {
            series.expired.push(id);
        } else {
            let hash = self.hash(series.text.values(id));
            let known = series
                .by_label_values
                .find_entry(hash, |other| *other == id);
            if let Ok(entry) = known {
                entry.remove();
            }
            row.bring_back(cells);
            self.remove_row(series, id, false);
        }
    }
}

impl Series {
    pub(super) fn is_expired(&self, id: u32) -> bool {
        let (cells, row) = self.rows.row(id);
        row.is_expired(cells)
    }

    /// Takes a series from among the expired ones; tells whether it was there.
    pub(super) fn take_expired(&mut self, id: u32) -> bool {
        let (cells, row) = self.rows.row(id);
        if !row.is_expired(cells) {
            return false;
        }
        row.bring_back(cells);
        self.expired.retain(|other| *other != id);
        true
    }

    /// Has a series exposed again if it expired.
    pub(super) fn bring_back(&mut self, id: u32) {
        if self.take_expired(id) {
            self.order.push(id);
        }
    }
}
