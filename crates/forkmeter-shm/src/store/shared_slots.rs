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
    /// Returns how many series the stores of this process have forgotten so far, because other workers removed them. Only after
    /// it has changed is there another one of which [`Slots::is_forgotten`] says so.
    pub fn forgotten_so_far() -> u64 {
        super::series::forgotten_so_far()
    }
}

impl Deref for SharedSlots {
    type Target = dyn Slots;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}
