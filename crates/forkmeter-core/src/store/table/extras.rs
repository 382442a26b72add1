//! What few series have: exemplars and facts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::fork;
use crate::model::{Exemplar, LabelSet};

/// Keeps exemplars and facts beside the series, so that those without do not pay for them.
#[derive(Debug, Default)]
pub(super) struct ExtrasMap {
    by_id: Mutex<HashMap<u32, Extras>>,
    /// Whether there ever were any.
    is_used: AtomicBool,
}

#[derive(Debug, Default)]
pub(super) struct Extras {
    pub(super) exemplars: Vec<Option<Exemplar>>,
    pub(super) info: Option<LabelSet>,
}

impl ExtrasMap {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Extras>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_used(&self) -> bool {
        // ORDERING: whoever was told of an extra sees the flag; for others a collection may come before it.
        self.is_used.load(Ordering::Relaxed)
    }

    pub(super) fn change(&self, id: u32, f: impl FnOnce(&mut Extras)) {
        let _section = fork::enter();
        let mut by_id = self.lock();
        // ORDERING: as in `is_used`.
        self.is_used.store(true, Ordering::Relaxed);
        f(by_id.entry(id).or_default());
    }

    /// Changes what a series has; nothing where it has nothing.
    pub(super) fn change_known(&self, id: u32, f: impl FnOnce(&mut Extras)) {
        if self.is_used() {
            let _section = fork::enter();
            if let Some(extras) = self.lock().get_mut(&id) {
                f(extras);
            }
        }
    }

    pub(super) fn forget(&self, id: u32) {
        if self.is_used() {
            let _section = fork::enter();
            self.lock().remove(&id);
        }
    }

    pub(super) fn exemplar(&self, id: u32, index: usize) -> Option<Exemplar> {
        if !self.is_used() {
            return None;
        }
        let _section = fork::enter();
        self.lock().get(&id)?.exemplars.get(index).cloned()?
    }

    pub(super) fn facts(&self, id: u32) -> LabelSet {
        if !self.is_used() {
            return LabelSet::empty();
        }
        let _section = fork::enter();
        let facts = self.lock().get(&id).and_then(|extras| extras.info.clone());
        facts.unwrap_or_default()
    }
}
