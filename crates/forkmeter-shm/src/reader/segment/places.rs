//! Where the entries of a segment stand.

use std::mem;
use std::ops::Deref;
use std::sync::Arc;

/// Holds the place of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::reader) struct Located {
    pub(in crate::reader) value_offset: u32,
    pub(in crate::reader) key: u32,
}

/// Holds the places of a segment's entries in file order; thousands of files with the same series have them once.
#[derive(Debug)]
pub(in crate::reader) enum Places {
    Own(Vec<Located>),
    Shared(Arc<[Located]>),
}

impl Default for Places {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl Deref for Places {
    type Target = [Located];

    #[inline]
    fn deref(&self) -> &[Located] {
        match self {
            Self::Own(places) => places,
            Self::Shared(places) => places,
        }
    }
}

impl Places {
    /// Tells whether both are the same in memory, and not just alike.
    pub(in crate::reader) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Shared(own), Self::Shared(other)) => Arc::ptr_eq(own, other),
            _ => false,
        }
    }

    /// Returns them as what others may share.
    pub(in crate::reader) fn share(&mut self) -> Arc<[Located]> {
        let shared = match mem::take(self) {
            Self::Own(places) => places.into(),
            Self::Shared(places) => places,
        };
        *self = Self::Shared(Arc::clone(&shared));
        shared
    }

    /// Returns them as what can be changed.
    #[inline]
    pub(super) fn own(&mut self) -> &mut Vec<Located> {
        if let Self::Shared(places) = self {
            *self = Self::Own(places.to_vec());
        }
        match self {
            Self::Own(places) => places,
            Self::Shared(_) => unreachable!("they were made its own"),
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Own(places) => places.clear(),
            Self::Shared(_) => *self = Self::default(),
        }
    }

    /// Keeps the first `length` of them.
    #[inline]
    pub(super) fn truncate(&mut self, length: usize) {
        match self {
            Self::Own(places) => places.truncate(length),
            Self::Shared(places) if length < places.len() => {
                *self = Self::Own(places[..length].to_vec());
            }
            Self::Shared(_) => {}
        }
    }
}
