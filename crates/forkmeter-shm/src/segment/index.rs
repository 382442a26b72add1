//! Where in a segment each key stands: found by a part of its hash, compared in the mapping itself.

use std::hash::BuildHasher;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{Found, Segment, Wanted};
use crate::layout;

/// Hashes keys. One for all segments, so that a key is hashed once; made with a store's lock held, so no fork copies it
/// half made.
static HASHER: LazyLock<DefaultHashBuilder> = LazyLock::new(DefaultHashBuilder::default);

/// Finds the values of keys.
#[derive(Debug, Default)]
pub(super) struct Index(HashTable<Indexed>);

/// Is where one key's value stands, in units of 8 bytes, and enough of the key's hash to find it.
#[derive(Clone, Copy, Debug)]
struct Indexed {
    hash: u32,
    value_at: u32,
}

impl Index {
    /// Adds the value of a key with this hash.
    pub(super) fn remember(&mut self, hash: u32, value_offset: u64) {
        let value_at =
            u32::try_from(value_offset / 8).expect("invariant: segments end below 2 GiB");
        let indexed = Indexed { hash, value_at };
        self.0
            .insert_unique(spread(hash), indexed, |indexed| spread(indexed.hash));
    }
}

impl Segment {
    /// Looks up keys among what is known already; `None` unless all are. Needs no lock.
    pub(crate) fn find_all(&self, wanted: &[Wanted<'_>]) -> Option<Vec<Found>> {
        wanted.iter().map(|one| self.find(one)).collect()
    }

    pub(super) fn find(&self, wanted: &Wanted<'_>) -> Option<Found> {
        let (key, hash) = (wanted.key, wanted.hash);
        let candidate = self.index.0.find(spread(hash), |indexed| {
            indexed.hash == hash && self.has_key(u64::from(indexed.value_at) * 8, key)
        })?;
        self.found(u64::from(candidate.value_at) * 8, false)
    }

    /// Tells whether a key is known. Needs no lock.
    pub(crate) fn knows(&self, wanted: &Wanted<'_>) -> bool {
        self.find(wanted).is_some()
    }

    pub(super) fn found(&self, value_offset: u64, is_new: bool) -> Option<Found> {
        let cell = self.mapping.cell(value_offset)?;
        Some(Found {
            cell,
            value_offset,
            segment_inode: self.file.inode(),
            is_new,
        })
    }

    /// Compares the key of a value with one, in the mapping, which shows nothing where the file was cut off.
    fn has_key(&self, value_offset: u64, key: &[u8]) -> bool {
        let Some(entry_at) = value_offset.checked_sub(layout::value_position(key.len()) as u64)
        else {
            return false;
        };
        let length = i32::try_from(key.len()).unwrap_or(i32::MAX).to_le_bytes();
        let padding = [b' '; 8];
        let size = layout::value_position(key.len());
        let padding = &padding[..size - length.len() - key.len()];
        let mut expected = length.iter().chain(key).chain(padding);
        (0..size as u64).step_by(8).all(|at| {
            let word = [(); 8].map(|()| expected.next().copied().unwrap_or_default());
            let cell = self.mapping.cell(entry_at + at);
            // ORDERING: the acquire of `used` made the entry visible.
            cell.is_some_and(|cell| cell.load(Ordering::Relaxed) == u64::from_le_bytes(word))
        })
    }
}

/// Returns the half of a key's hash that is remembered, so that the table can grow without the keys.
pub(super) fn short_hash(key: &[u8]) -> u32 {
    let half = HASHER.hash_one(key) >> 32;
    u32::try_from(half).expect("invariant: 32 bits are left")
}

/// Returns the hash that the table works with for a remembered half.
fn spread(short: u32) -> u64 {
    u64::from(short).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
