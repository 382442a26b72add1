//! What each thread looked up last, so that looking it up again takes no lock.
//!
//! Called by families only. A thread keeps a fixed number of slot handles, also of series that were removed since;
//! these are not handed out, because removing changes the family's generation.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::held::{Held, HeldSeries};

/// How many series a thread remembers; each has one place where it can stand.
const PLACES: u8 = 128;

thread_local! {
    // Empty until the thread first looks a series up, so that other threads do not pay for it.
    static RECENT: RefCell<Vec<Option<Line>>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug)]
struct Line {
    stamp: Stamp,
    /// Of the label values, in their order.
    words: Box<[Words]>,
    label_values: Box<[Box<str>]>,
    /// Keeps the series alive and names it.
    own: Arc<HeldSeries>,
    /// What the next lookup gets, where the handle of the last one was dropped.
    spare: Option<Arc<HeldSeries>>,
}

/// Shows the length of a text and its first and last bytes: all of it where it has at most 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Words {
    len: usize,
    first: u64,
    last: u64,
}

impl Words {
    /// Up to this length nothing else of a text needs to be compared.
    const MAX_WHOLE: usize = 16;

    #[inline]
    fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let (first, last) = if let Some(first) = bytes.first_chunk::<8>() {
            let last = bytes.last_chunk::<8>().unwrap_or(first);
            (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
        } else if let Some(first) = bytes.first_chunk::<4>() {
            let last = bytes.last_chunk::<4>().unwrap_or(first);
            let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
            (u64::from(first), u64::from(last))
        } else {
            let word = |word: u64, byte: &u8| word << 8 | u64::from(*byte);
            (bytes.iter().fold(0, word), 0)
        };
        let len = bytes.len();
        Self { len, first, last }
    }

    /// Mixes a text into the number that decides where a lookup is remembered.
    #[inline]
    fn mix(self, number: u64) -> u64 {
        const ODD: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];
        let one = (self.first ^ number).wrapping_mul(ODD[0]);
        let other = (self.last ^ self.len as u64).wrapping_mul(ODD[1]);
        (one ^ other.rotate_left(32)).wrapping_mul(ODD[0])
    }
}

/// Says of which family a lookup was, and after which of its removals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    family: u64,
    generation: u64,
}

/// Gives a family its stamps.
#[derive(Debug)]
pub(super) struct Generation {
    family: u64,
    generation: AtomicU64,
}

impl Generation {
    /// Makes the generation of a new family.
    pub(super) fn new() -> Self {
        static FAMILIES: AtomicU64 = AtomicU64::new(0);
        // ORDERING: a ticket; any order will do.
        let family = FAMILIES.fetch_add(1, Ordering::Relaxed);
        Self {
            family,
            generation: AtomicU64::new(0),
        }
    }

    /// Returns the stamp of now.
    #[inline]
    pub(super) fn stamp(&self) -> Stamp {
        // ORDERING: a thread that was told of a removal sees its generation too; for one that was not, the
        // lookup came before the removal. What the stamp guards is read from this thread's own memory.
        Stamp {
            family: self.family,
            generation: self.generation.load(Ordering::Relaxed),
        }
    }

    /// Makes all threads forget the family's series. The caller holds the lock under which lookups are remembered.
    pub(super) fn advance(&self) {
        // ORDERING: as in `stamp`.
        self.generation.fetch_add(1, Ordering::Relaxed);
    }
}

/// Says where a thread remembers a series, if it does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(u8);

impl Place {
    /// Returns the place of a lookup.
    #[inline]
    pub(super) fn of(stamp: Stamp, label_values: &[&str]) -> Self {
        let mut number = stamp.family;
        for value in label_values {
            number = Words::of(value).mix(number);
        }
        // The highest bits depend on all others.
        Self(number.to_be_bytes()[0] % PLACES)
    }
}

/// Returns the series that this thread looked up under the same stamp, if it remembers.
#[inline]
pub(super) fn find(stamp: Stamp, label_values: &[&str]) -> Option<Held> {
    let place = Place::of(stamp, label_values);
    let found = RECENT.try_with(|recent| {
        let mut recent = recent.try_borrow_mut().ok()?;
        let line = recent.get_mut(usize::from(place.0))?.as_mut()?;
        if line.stamp != stamp || !line.is_of(label_values) {
            return None;
        }
        let spare = line.spare.take();
        Some(spare.unwrap_or_else(|| Arc::clone(&line.own)))
    });
    Some(Held::new(found.ok()??, place))
}

/// Takes back what a dropped handle held, where this thread remembers the series and has no spare of it. Returns what it
/// does not take.
#[inline]
pub(super) fn give_back(series: Arc<HeldSeries>, place: Place) -> Option<Arc<HeldSeries>> {
    let mut series = Some(series);
    let _ = RECENT.try_with(|recent| {
        let mut recent = recent.try_borrow_mut().ok()?;
        let line = recent.get_mut(usize::from(place.0))?.as_mut()?;
        let is_it = series
            .as_ref()
            .is_some_and(|series| Arc::ptr_eq(series, &line.own));
        if is_it && line.spare.is_none() {
            line.spare = series.take();
        }
        Some(())
    });
    series
}

/// Remembers a lookup in place of another one, and returns a handle of it.
pub(super) fn remember(stamp: Stamp, label_values: &[&str], series: &Arc<HeldSeries>) -> Held {
    let place = Place::of(stamp, label_values);
    let line = Line {
        stamp,
        words: label_values.iter().map(|value| Words::of(value)).collect(),
        label_values: label_values.iter().map(|value| Box::from(*value)).collect(),
        own: Arc::clone(series),
        spare: None,
    };
    let replaced = RECENT.try_with(|recent| {
        let mut recent = recent.try_borrow_mut().ok()?;
        if recent.is_empty() {
            recent.resize_with(PLACES.into(), || None);
        }
        recent[usize::from(place.0)].replace(line)
    });
    // Not before here, since dropping slots runs the code of a store.
    drop(replaced);
    Held::new(Arc::clone(series), place)
}

impl Line {
    #[inline]
    fn is_of(&self, label_values: &[&str]) -> bool {
        let own = self.words.iter().zip(&self.label_values);
        self.words.len() == label_values.len()
            && own.zip(label_values).all(|((words, own), other)| {
                *words == Words::of(other) && (other.len() <= Words::MAX_WHOLE || **own == **other)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_are_told_apart_by_their_words() {
        let mut texts: Vec<String> = vec![String::new()];
        for len in 1..=Words::MAX_WHOLE {
            for at in 0..len {
                for byte in ["a", "b", "\0"] {
                    let mut text = "x".repeat(len);
                    text.replace_range(at..=at, byte);
                    texts.push(text);
                }
            }
            texts.push("\0".repeat(len));
        }
        texts.sort();
        texts.dedup();
        for (at, one) in texts.iter().enumerate() {
            for other in &texts[..at] {
                assert_ne!(Words::of(one), Words::of(other), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn similar_label_values_have_places_of_their_own() {
        let stamp = Generation::new().stamp();
        let mut places = std::collections::HashSet::new();
        for number in 0..32 {
            for method in ["GET", "POST"] {
                places.insert(Place::of(stamp, &[method, &format!("/items/{number}")]).0);
            }
        }
        // 64 balls in 128 boxes leave about 50 boxes with any.
        assert!(places.len() > 42, "{}", places.len());
    }
}
