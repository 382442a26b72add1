//! What an [`ShmStore`](super::ShmStore) interns, as itself.

use std::ops::Deref;
use std::sync::Arc;

use forkmeter_core::store::Slots;

use super::series::Series;

/// Holds the slots of one series, as the `dyn Slots` of [`Store::intern`](forkmeter_core::store::Store::intern) in half of its
/// size. Clones hold the same slots.
#[derive(Clone, Debug)]
pub struct SharedSlots(pub(super) Arc<Series>);

impl SharedSlots {
    /// Returns the label values, in the order of the label names.
    pub fn label_values(&self) -> impl Iterator<Item = &str> {
        self.0.label_values()
    }

    /// Tells whether the series was removed: by this process, so that what is counted here counts nowhere, or by another
    /// worker, and the store has forgotten it.
    pub fn is_removed(&self) -> bool {
        self.0.is_removed() || self.is_forgotten()
    }

    /// Tells whether facts of an info series were set.
    pub fn has_facts(&self) -> bool {
        self.0.info().is_some()
    }
}

impl Deref for SharedSlots {
    type Target = dyn Slots;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}
