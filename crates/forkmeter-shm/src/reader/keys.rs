//! The keys that were ever seen, each parsed once: from bytes to the slot of a series.
//!
//! Keys of different spelling (another help, other spacing) lead to the same slot. Nothing here is forgotten
//! one by one; the reader drops the whole table when too much of it went out of use.

use std::hash::BuildHasher;
use std::sync::Arc;

use forkmeter_core::LabelSet;
use hashbrown::{DefaultHashBuilder, HashMap, HashSet, HashTable};

use crate::key::{self, Key};

/// Says how a key's `le` label is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Class {
    /// As a label like others.
    Plain,
    /// As the upper bound of a bucket.
    Histogram,
}

/// Stands for the slot of keys that could not be parsed.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// Says which value of a series a slot holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// The sample of this name.
    Plain(Arc<str>),
    /// The bucket up to this bound.
    Bucket(f64),
}

/// Holds one value of a series, whatever the spelling of its key.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) series: u32,
    pub(super) part: Part,
    /// The labels of the sample, `le` included.
    pub(super) labels: LabelSet,
}

/// Holds one label set of a family.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) family: u32,
    /// The labels without a bucket's `le`.
    pub(super) labels: LabelSet,
}

#[derive(Debug)]
struct KeyEntry {
    start: usize,
    len: usize,
    class: Class,
    slot: u32,
    help: Arc<str>,
    /// The key that followed this one last time; entries mostly stand in the same order in every file.
    next: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum PartId {
    Plain(u32),
    Bucket(u64),
}

/// Interns keys and everything they name.
#[derive(Debug, Default)]
pub(super) struct KeyTable {
    hasher: DefaultHashBuilder,
    table: HashTable<u32>,
    bytes: Vec<u8>,
    entries: Vec<KeyEntry>,
    texts: HashSet<Arc<str>>,
    family_ids: HashMap<Arc<str>, u32>,
    families: Vec<Arc<str>>,
    series_ids: HashMap<(u32, LabelSet), u32>,
    series: Vec<Series>,
    sample_ids: HashMap<Arc<str>, u32>,
    slot_ids: HashMap<(u32, PartId), u32>,
    slots: Vec<Slot>,
    first: u32,
    /// How many keys were ever parsed.
    parsed_keys: u64,
}

/// Gives keys their numbers.
pub(super) trait Keys {
    fn table(&self) -> &KeyTable;

    /// Returns the number of a key, if it can have one. `previous` is the key before it in its file.
    fn number(&mut self, previous: Option<u32>, key: &[u8], class: Class) -> Option<u32>;
}

impl Keys for KeyTable {
    fn table(&self) -> &KeyTable {
        self
    }

    #[inline]
    fn number(&mut self, previous: Option<u32>, key: &[u8], class: Class) -> Option<u32> {
        Some(self.intern(previous, key, class))
    }
}

/// Knows the keys that a table has, and no others.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownKeys<'a>(pub(super) &'a KeyTable);

impl Keys for KnownKeys<'_> {
    fn table(&self) -> &KeyTable {
        self.0
    }

    #[inline]
    fn number(&mut self, previous: Option<u32>, key: &[u8], class: Class) -> Option<u32> {
        let (guess, table) = (self.0.guess(previous), self.0);
        let is_it = table.matches(guess, key, class).then_some(guess);
        is_it.or_else(|| table.find(table.hash(key, class), key, class))
    }
}

impl KeyTable {
    /// Returns the number of keys.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns how many keys were ever parsed.
    pub(super) const fn parsed_keys(&self) -> u64 {
        self.parsed_keys
    }

    pub(super) fn family_count(&self) -> usize {
        self.families.len()
    }

    pub(super) fn series_count(&self) -> usize {
        self.series.len()
    }

    pub(super) fn slot_count(&self) -> usize {
        self.slots.len()
    }

    /// Returns the bytes of a key.
    #[inline]
    pub(super) fn bytes(&self, key: u32) -> &[u8] {
        let entry = &self.entries[key as usize];
        &self.bytes[entry.start..entry.start + entry.len]
    }

    /// Returns the slot of a key, or [`NO_SLOT`].
    pub(super) fn slot_id(&self, key: u32) -> u32 {
        self.entries[key as usize].slot
    }

    /// Says why a key has no slot.
    pub(super) fn problem(&self, key: u32) -> String {
        let bytes = self.bytes(key);
        key::parse(bytes).err().map_or_else(
            || {
                "a name is empty, the sample is not the family's, or a bucket's bound is no number"
                    .into()
            },
            |error| error.to_string(),
        )
    }

    /// Returns the help that a key carries.
    pub(super) fn help(&self, key: u32) -> &Arc<str> {
        &self.entries[key as usize].help
    }

    pub(super) fn slot(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    pub(super) fn series(&self, series: u32) -> &Series {
        &self.series[series as usize]
    }

    pub(super) fn family(&self, family: u32) -> &Arc<str> {
        &self.families[family as usize]
    }

    /// Returns the number of a key, parsing it when it is new. `previous` is the key before it in its file.
    pub(super) fn intern(&mut self, previous: Option<u32>, key: &[u8], class: Class) -> u32 {
        let guess = self.guess(previous);
        if self.matches(guess, key, class) {
            return guess;
        }
        let hash = self.hash(key, class);
        let found = self.find(hash, key, class);
        let id = found.unwrap_or_else(|| self.insert(hash, key, class));
        match previous {
            Some(previous) => self.entries[previous as usize].next = id,
            None => self.first = id,
        }
        id
    }

    /// Returns the key that came after another one, or first, the last time.
    #[inline]
    fn guess(&self, previous: Option<u32>) -> u32 {
        previous.map_or(self.first, |previous| self.entries[previous as usize].next)
    }

    fn hash(&self, key: &[u8], class: Class) -> u64 {
        self.hasher.hash_one((key, class))
    }

    fn find(&self, hash: u64, key: &[u8], class: Class) -> Option<u32> {
        let found = self.table.find(hash, |id| self.matches(*id, key, class));
        found.copied()
    }

    #[inline]
    fn matches(&self, id: u32, key: &[u8], class: Class) -> bool {
        let entry = self.entries.get(id as usize);
        entry.is_some_and(|entry| {
            entry.class == class && self.bytes[entry.start..entry.start + entry.len] == *key
        })
    }

    fn insert(&mut self, hash: u64, key: &[u8], class: Class) -> u32 {
        self.parsed_keys += 1;
        let (slot, help) = match key::parse(key) {
            Ok(parsed) => (self.slot_of(&parsed, class), self.text(&parsed.help)),
            Err(_) => (NO_SLOT, Arc::default()),
        };
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let id = number(self.entries.len());
        self.entries.push(KeyEntry {
            start,
            len: key.len(),
            class,
            slot,
            help,
            next: u32::MAX,
        });
        let (entries, bytes, hasher) = (&self.entries, &self.bytes, &self.hasher);
        self.table.insert_unique(hash, id, |id| {
            let entry = &entries[*id as usize];
            hasher.hash_one((&bytes[entry.start..entry.start + entry.len], entry.class))
        });
        id
    }

    /// Returns the slot that a key names, or [`NO_SLOT`] where its names or its bound cannot be.
    ///
    /// A sample's name is its family's with a suffix; any other may be a sample of another family as well, and
    /// stand in the exposition twice.
    fn slot_of(&mut self, key: &Key<'_>, class: Class) -> u32 {
        if key.family.is_empty()
            || !key.sample.starts_with(&*key.family)
            || key.labels.iter().any(|(n, _)| n.is_empty())
        {
            return NO_SLOT;
        }
        let le = key
            .labels
            .iter()
            .find(|(name, _)| class == Class::Histogram && name == "le");
        let bound = match le.map(|(_, value)| value.trim().parse::<f64>()) {
            None => None,
            // Adding zero makes one bucket of the two zeros.
            Some(Ok(bound)) if !bound.is_nan() => Some(bound + 0.0),
            Some(_) => return NO_SLOT,
        };
        let labels = key
            .labels
            .iter()
            .map(|(name, value)| (self.text(name), self.text(value)));
        let labels: LabelSet = labels.collect();
        let of_series = if bound.is_some() {
            labels.without("le")
        } else {
            labels.clone()
        };
        let family = self.family_of(&key.family);
        let series = *self
            .series_ids
            .entry((family, of_series))
            .or_insert_with_key(|(_, labels)| {
                self.series.push(Series {
                    family,
                    labels: labels.clone(),
                });
                number(self.series.len() - 1)
            });
        let (part, part_id) = if let Some(bound) = bound {
            (Part::Bucket(bound), PartId::Bucket(bound.to_bits()))
        } else {
            let sample = self.text(&key.sample);
            let next = number(self.sample_ids.len());
            let id = *self.sample_ids.entry(Arc::clone(&sample)).or_insert(next);
            (Part::Plain(sample), PartId::Plain(id))
        };
        *self.slot_ids.entry((series, part_id)).or_insert_with(|| {
            let labels = match bound {
                Some(bound) => {
                    let text = forkmeter_core::encode::format_value(bound);
                    if labels.get("le") == Some(&text) {
                        labels
                    } else {
                        labels.with("le", text)
                    }
                }
                None => labels,
            };
            self.slots.push(Slot {
                series,
                part,
                labels,
            });
            number(self.slots.len() - 1)
        })
    }

    fn family_of(&mut self, name: &str) -> u32 {
        if let Some(id) = self.family_ids.get(name) {
            return *id;
        }
        let id = number(self.families.len());
        let name = self.text(name);
        self.families.push(Arc::clone(&name));
        self.family_ids.insert(name, id);
        id
    }

    /// Returns shared text: most label values, names and helps occur in many keys.
    pub(super) fn text(&mut self, text: &str) -> Arc<str> {
        Arc::clone(self.texts.get_or_insert_with(text, |text| Arc::from(text)))
    }
}

/// Numbers are 32 bits wide: a table that outgrew them would hold more than 100 GiB of keys.
fn number(index: usize) -> u32 {
    u32::try_from(index).expect("invariant: fewer than 2^32 keys fit in memory")
}
