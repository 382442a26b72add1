//! A mapping, and what keeps others from taking its file away.

use std::ops::Deref;
use std::sync::{Mutex, PoisonError};

use forkmeter_core::fork;

use crate::map::Mapping;
use crate::workers::Attachment;

/// Keeps cells showing their file. Everybody who counts in a cell holds it.
#[derive(Debug)]
pub(crate) struct Held {
    mapping: Mapping,
    inode: u64,
    /// Of segments of shared slots.
    attachment: Mutex<Option<Attachment>>,
}

impl Held {
    pub(super) fn new(mapping: Mapping, inode: u64) -> Self {
        Self {
            mapping,
            inode,
            attachment: Mutex::default(),
        }
    }

    /// Returns the file's inode number.
    pub(crate) fn inode(&self) -> u64 {
        self.inode
    }

    /// Keeps the file from being taken away for as long as this lives.
    pub(crate) fn attach(&self, attachment: Attachment) {
        let _section = fork::enter();
        let before = self
            .attachment
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(attachment);
        drop(before);
    }
}

impl Deref for Held {
    type Target = Mapping;

    fn deref(&self) -> &Mapping {
        &self.mapping
    }
}
