//! What holds a series of a table.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Row, SeriesId, SeriesTable};
use crate::model::{Exemplar, LabelSet};

/// Holds one series of a [`SeriesTable`]: its cells stay its own for as long as this lives.
///
/// A value of 40 bytes without an allocation of its own. Adding, setting and reading take no lock and allocate nothing,
/// so they may be called in signal handlers. After the series was removed they go on working but nothing is exposed;
/// the cells are given to another series once nobody holds them. Cloning and dropping change a count, and the last drop
/// of a removed series takes a short lock.
#[derive(Debug)]
pub struct SeriesHandle {
    table: Arc<SeriesTable>,
    /// The cells of this series and its neighbours; they never move.
    cells: Arc<[AtomicU64]>,
    row: Row,
    id: SeriesId,
}

impl SeriesHandle {
    /// Makes a handle whose count the caller has raised.
    pub(super) fn new(
        table: &Arc<SeriesTable>,
        cells: &Arc<[AtomicU64]>,
        row: Row,
        id: u32,
    ) -> Self {
        Self {
            table: Arc::clone(table),
            cells: Arc::clone(cells),
            row,
            id: SeriesId(id),
        }
    }

    /// Returns the series' number in its table, which no other series has while this lives.
    pub fn id(&self) -> SeriesId {
        self.id
    }

    /// Returns the table.
    pub fn table(&self) -> &Arc<SeriesTable> {
        &self.table
    }

    /// Tells whether the series was removed from its table.
    pub fn is_removed(&self) -> bool {
        self.row.is_removed(&self.cells)
    }

    /// Returns the cell of a slot: the bits of a float. It stays where it is for as long as the table lives.
    ///
    /// # Panics
    ///
    /// Panics when there is no such slot.
    #[inline]
    pub fn cell(&self, index: usize) -> &AtomicU64 {
        self.row.slot(&self.cells, index)
    }

    /// Returns the cells of all slots; see [`SeriesHandle::cell`].
    #[inline]
    pub fn cells(&self) -> &[AtomicU64] {
        self.row.slots(&self.cells)
    }

    /// Returns the number of slots.
    pub fn len(&self) -> usize {
        self.row.slot_count()
    }

    /// Tells whether there is no slot, as in an info family.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds to a slot.
    ///
    /// # Panics
    ///
    /// Panics when there is no such slot.
    #[inline]
    pub fn add(&self, index: usize, delta: f64) {
        crate::store::add_to_cell(self.cell(index), delta);
    }

    /// Replaces a slot's value.
    ///
    /// # Panics
    ///
    /// Panics when there is no such slot.
    #[inline]
    pub fn set(&self, index: usize, value: f64) {
        // ORDERING: each cell stands alone; readers need no order between cells.
        self.cell(index).store(value.to_bits(), Ordering::Relaxed);
    }

    /// Returns a slot's value.
    ///
    /// # Panics
    ///
    /// Panics when there is no such slot.
    #[inline]
    pub fn get(&self, index: usize) -> f64 {
        // ORDERING: as in `set`.
        f64::from_bits(self.cell(index).load(Ordering::Relaxed))
    }

    /// Returns when the series was made, as Unix time in seconds.
    pub fn created_seconds(&self) -> f64 {
        self.row.created_seconds(&self.cells)
    }

    /// Replaces when the series was made.
    pub fn set_created_seconds(&self, seconds: f64) {
        self.row.set_created_seconds(&self.cells, seconds);
    }

    /// Sets every slot to zero, forgets the exemplars and replaces the created time.
    pub fn reset(&self, created_seconds: f64) {
        for cell in self.cells() {
            // ORDERING: as in `set`.
            cell.store(0, Ordering::Relaxed);
        }
        self.set_created_seconds(created_seconds);
        self.table
            .extras
            .change_known(self.id.0, |extras| extras.exemplars.clear());
    }

    /// Remembers the last exemplar of a slot, as it is. Takes a short lock.
    pub fn set_exemplar(&self, index: usize, exemplar: Exemplar) {
        let len = self.len();
        self.table.extras.change(self.id.0, |extras| {
            extras.exemplars.resize(len, None);
            if let Some(kept) = extras.exemplars.get_mut(index) {
                *kept = Some(exemplar);
            }
        });
    }

    /// Returns the exemplar of a slot.
    pub fn exemplar(&self, index: usize) -> Option<Exemplar> {
        self.table.extras.exemplar(self.id.0, index)
    }

    /// Replaces the facts of an info series. Takes a short lock.
    pub fn set_facts(&self, facts: LabelSet) {
        self.table
            .extras
            .change(self.id.0, |extras| extras.info = Some(facts));
    }

    /// Returns the facts of an info series; empty where none were set.
    pub fn facts(&self) -> LabelSet {
        self.table.extras.facts(self.id.0)
    }

    /// Returns the label values, also of a removed series. Takes a short lock.
    pub fn label_values(&self) -> Vec<Arc<str>> {
        self.table.label_values_of(self.id.0)
    }
}

impl Clone for SeriesHandle {
    fn clone(&self) -> Self {
        self.row.hold(&self.cells);
        Self::new(&self.table, &self.cells, self.row, self.id.0)
    }
}

impl Drop for SeriesHandle {
    fn drop(&mut self) {
        if self.row.release(&self.cells) {
            self.table.free(self.id.0);
        }
    }
}
