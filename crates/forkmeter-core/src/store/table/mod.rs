//! The series of one family in the memory of this process, packed.
//!
//! Used by the heap store and by bindings that keep a family's values themselves. Knows label values, cells and created
//! times, and nothing of names and types: those are the caller's descriptor.

mod expired;
mod exposed;
mod extras;
mod handle;
mod order;
mod row;
mod text;

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::HashTable;

pub use handle::SeriesHandle;
pub use text::LabelValues;

use self::exposed::Rendered;
use self::extras::ExtrasMap;
use self::order::Order;
use self::row::{Row, Rows};
use self::text::LabelText;
use crate::fork;
use crate::model::{Exemplar, LabelSet, SlotValues};

/// Keeps the series of one family, in the order in which they were made.
///
/// A series takes 16 bytes and 8 for each slot, the text of its label values and 4 bytes for each of them, and about 24
/// bytes to be found and ordered. Cells stand in slabs that never move. What a removed series took is used again once
/// nobody holds it, so that label values that are never the same take no more room than those that are there at once.
///
/// All methods may be called from any thread and again after a fork. Those that look series up take a short lock.
///
/// # Examples
///
/// ```
/// use forkmeter_core::store::SeriesTable;
///
/// let table = SeriesTable::new(1, 1);
/// let get = table.intern(&["GET"], 1_700_000_000.0);
/// get.add(0, 2.0);
/// assert_eq!(table.find(&["GET"]).map(|series| series.get(0)), Some(2.0));
/// assert!(table.remove(&["GET"]));
/// assert_eq!(table.len(), 0);
/// get.add(0, 1.0);
/// assert_eq!(table.intern(&["GET"], 1_700_000_001.0).get(0), 0.0);
/// ```
#[derive(Debug)]
pub struct SeriesTable {
    label_count: usize,
    slot_count: usize,
    hasher: foldhash::fast::RandomState,
    series: RwLock<Series>,
    /// Rows that nobody holds, of removed series. Taken after `series`.
    free: Mutex<Vec<u32>>,
    /// Its lock is taken after `series`.
    extras: ExtrasMap,
    /// Taken after `series`.
    rendered: Mutex<Option<Box<Rendered>>>,
}

/// Is the number of a series in its table: small, and given again once the series was removed and nobody holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(u32);

impl SeriesId {
    /// Returns the number, for arrays with an entry for each series.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What the lock guards.
#[derive(Debug)]
struct Series {
    rows: Rows,
    text: LabelText,
    by_label_values: HashTable<u32>,
    order: Order,
    /// Series that expired while somebody held them: to be found by their label values, and not in the order.
    expired: Vec<u32>,
}

impl SeriesTable {
    /// Makes an empty table of series with so many label values and slots.
    pub fn new(label_count: usize, slot_count: usize) -> Arc<Self> {
        Arc::new(Self {
            label_count,
            slot_count,
            hasher: foldhash::fast::RandomState::default(),
            series: RwLock::new(Series {
                rows: Rows::new(slot_count),
                text: LabelText::new(label_count),
                by_label_values: HashTable::new(),
                order: Order::default(),
                expired: Vec::new(),
            }),
            free: Mutex::default(),
            extras: ExtrasMap::default(),
            rendered: Mutex::default(),
        })
    }

    /// Returns the number of label values of a series.
    pub const fn label_count(&self) -> usize {
        self.label_count
    }

    /// Returns the number of slots of a series.
    pub const fn slot_count(&self) -> usize {
        self.slot_count
    }

    /// Returns the number of series.
    pub fn len(&self) -> usize {
        let _section = fork::enter();
        self.read_current().order.len()
    }

    /// Tells whether there is no series.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the series of these label values, made at zero and with this created time the first time.
    ///
    /// Callers pass [`SeriesTable::label_count`] values. The text is copied; a value above 4 GiB is cut.
    pub fn intern(self: &Arc<Self>, label_values: &[&str], created_seconds: f64) -> SeriesHandle {
        let hash = self.hash(label_values.iter().copied());
        let _section = fork::enter();
        let mut series = self.write();
        if let Some(id) = series.find(hash, label_values) {
            series.bring_back(id);
            return self.hold(&series, id);
        }
        let id = self.free_row().unwrap_or_else(|| series.rows.grow());
        self.extras.forget(id);
        let (cells, row) = series.rows.row(id);
        row.begin(cells, created_seconds);
        let handle = self.hold(&series, id);
        series.text.set(id, label_values);
        series.order.push(id);
        let Series {
            text,
            by_label_values,
            ..
        } = &mut *series;
        by_label_values.insert_unique(hash, id, |id| self.hash(text.values(*id)));
        handle
    }

    /// Returns the series of these label values, if there is one.
    pub fn find(self: &Arc<Self>, label_values: &[&str]) -> Option<SeriesHandle> {
        let hash = self.hash(label_values.iter().copied());
        let _section = fork::enter();
        let series = self.read_current();
        let id = series.find(hash, label_values)?;
        (!series.is_expired(id)).then(|| self.hold(&series, id))
    }

    /// Returns the series of a number, if it is in the table.
    pub fn handle(self: &Arc<Self>, id: SeriesId) -> Option<SeriesHandle> {
        let _section = fork::enter();
        let series = self.read();
        let is_there = series.rows.len() > id.index() && {
            let (cells, row) = series.rows.row(id.0);
            !row.is_removed(cells)
        };
        is_there.then(|| self.hold(&series, id.0))
    }

    /// Removes a series and returns whether it was there. Whoever holds it counts on, for nobody.
    pub fn remove(&self, label_values: &[&str]) -> bool {
        let hash = self.hash(label_values.iter().copied());
        let _section = fork::enter();
        let mut series = self.write();
        let Series {
            text,
            by_label_values,
            ..
        } = &mut *series;
        let found = by_label_values.find_entry(hash, |id| text.is(*id, label_values));
        let Ok(entry) = found else {
            return false;
        };
        let (id, _) = entry.remove();
        let was_there = !series.take_expired(id);
        self.remove_row(&mut series, id, was_there);
        was_there
    }

    /// Removes the series for which `is_removed` says so, and returns how many; in the time that one walk takes.
    ///
    /// `is_removed` is called with the table's lock held: it may not use the table.
    pub fn remove_where(
        &self,
        mut is_removed: impl FnMut(SeriesId, LabelValues<'_>) -> bool,
    ) -> usize {
        let _section = fork::enter();
        let mut series = self.write();
        self.look_at_expired(&mut series);
        let ids = series.order.iter();
        let removed: Vec<u32> = ids
            .filter(|id| is_removed(SeriesId(*id), series.text.values(*id)))
            .collect();
        for id in &removed {
            let Series {
                text,
                by_label_values,
                ..
            } = &mut *series;
            let hash = self.hash(text.values(*id));
            if let Ok(entry) = by_label_values.find_entry(hash, |other| other == id) {
                entry.remove();
            }
            self.remove_row(&mut series, *id, true);
        }
        removed.len()
    }

    /// Calls `f` for all series, in the order in which they were made.
    ///
    /// `f` is called with the table's lock held: it may read and count on handles that exist, but not make, find or
    /// remove series or ask a handle for its label values, and must not wait.
    pub fn for_each(&self, mut f: impl FnMut(SeriesEntry<'_>)) {
        let _section = fork::enter();
        let series = self.read_current();
        for id in series.order.iter() {
            f(self.entry(&series, id));
        }
    }

    fn entry<'a>(&'a self, series: &'a Series, id: u32) -> SeriesEntry<'a> {
        let (cells, row) = series.rows.row(id);
        SeriesEntry {
            table: self,
            text: &series.text,
            cells,
            row,
            id,
        }
    }

    /// Lets go of the row of a series that is not found by its label values any more.
    fn remove_row(&self, series: &mut Series, id: u32, is_in_order: bool) {
        if is_in_order {
            series.order.remove(id);
        }
        self.extras.forget(id);
        let (cells, row) = series.rows.row(id);
        if row.remove(cells) {
            self.free(id);
        }
    }

    /// Returns a handle of a series that is in the table, whose lock the caller holds.
    fn hold(self: &Arc<Self>, series: &Series, id: u32) -> SeriesHandle {
        let (cells, row) = series.rows.row(id);
        row.hold(cells);
        SeriesHandle::new(self, cells, row, id)
    }

    fn free_row(&self) -> Option<u32> {
        self.free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
    }

    /// Takes back a row of a removed series that nobody holds.
    fn free(&self, id: u32) {
        let _section = fork::enter();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(id);
    }

    fn label_values_of(&self, id: u32) -> Vec<Arc<str>> {
        let _section = fork::enter();
        self.read().text.values(id).map(Arc::from).collect()
    }

    fn hash<'a>(&self, label_values: impl Iterator<Item = &'a str>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        label_values.for_each(|value| value.hash(&mut hasher));
        hasher.finish()
    }

    fn read(&self) -> RwLockReadGuard<'_, Series> {
        self.series.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Series> {
        self.series.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Series {
    fn find(&self, hash: u64, label_values: &[&str]) -> Option<u32> {
        let is_it = |id: &u32| self.text.is(*id, label_values);
        self.by_label_values.find(hash, is_it).copied()
    }
}

/// Shows a series to [`SeriesTable::for_each`].
#[derive(Clone, Debug)]
pub struct SeriesEntry<'a> {
    table: &'a SeriesTable,
    text: &'a LabelText,
    cells: &'a [AtomicU64],
    row: Row,
    id: u32,
}

impl<'a> SeriesEntry<'a> {
    /// Returns the series' number.
    pub fn id(&self) -> SeriesId {
        SeriesId(self.id)
    }

    /// Returns the label values.
    pub fn label_values(&self) -> LabelValues<'a> {
        self.text.values(self.id)
    }

    /// Returns when the series was made, as Unix time in seconds.
    pub fn created_seconds(&self) -> f64 {
        self.row.created_seconds(self.cells)
    }

    /// Returns the facts of an info series.
    pub fn facts(&self) -> LabelSet {
        self.table.extras.facts(self.id)
    }
}

impl SlotValues for SeriesEntry<'_> {
    fn value(&self, index: usize) -> f64 {
        // ORDERING: each cell stands alone; readers need no order between cells.
        let cell = &self.row.slots(self.cells)[index];
        f64::from_bits(cell.load(Ordering::Relaxed))
    }

    fn exemplar(&self, index: usize) -> Option<Exemplar> {
        self.table.extras.exemplar(self.id, index)
    }
}
