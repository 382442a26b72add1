//! What each thread looked up last, so that looking it up again takes no lock.
//!
//! Called by families only. A thread keeps a fixed number of slot handles, also of series that were removed since;
//! these are not handed out, because removing changes the family's generation.

use std::cell::RefCell;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::held::{Held, HeldSeries};

/// How many series a thread remembers; each has one place where it can stand.
const PLACES: u8 = 128;

thread_local! {
    // Nothing until the thread first looks a series up, so that other threads do not pay for it.
    static RECENT: RefCell<Option<Lines>> = const { RefCell::new(None) };
}

type Lines = Box<[Option<Line>; PLACES as usize]>;

#[derive(Debug)]
struct Line {
    ticket: u64,
    /// Of the label values, in their order.
    words: Box<[Words]>,
    /// Whether these are all there is of them.
    is_whole: bool,
    label_values: Box<[Box<str>]>,
    /// Keeps the series alive and names it.
    own: Arc<HeldSeries>,
    /// What the next lookup gets, where the handle of the last one was dropped.
    spare: Option<Arc<HeldSeries>>,
}

const ODD: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];

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
        } else if let [first, .., last] = bytes {
            let middle = bytes[bytes.len() / 2];
            (u64::from(*first) | u64::from(middle) << 8, (*last).into())
        } else {
            (bytes.first().copied().unwrap_or(0).into(), 0)
        };
        let len = bytes.len();
        Self { len, first, last }
    }

    /// Mixes a text into the number that decides where a lookup is remembered.
    #[inline]
    fn mix(self, number: u64) -> u64 {
        let one = (self.first ^ number).wrapping_mul(ODD[0]);
        let other = self.last.wrapping_mul(ODD[1]);
        one.rotate_left(32) ^ other
    }
}

/// Says of which family a lookup was, and after which of its removals.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    family: u64,
    /// No other family, and none after another removal, has it.
    ticket: u64,
}

/// Gives a family its stamps.
#[derive(Debug)]
pub(super) struct Generation {
    family: u64,
    ticket: AtomicU64,
}

impl Generation {
    /// Makes the generation of a new family.
    pub(super) fn new() -> Self {
        let family = next_ticket();
        Self {
            family,
            ticket: AtomicU64::new(family),
        }
    }

    /// Returns the stamp of now.
    #[inline]
    pub(super) fn stamp(&self) -> Stamp {
        // ORDERING: a thread that was told of a removal sees its ticket too; for one that was not, the
        // lookup came before the removal. What the stamp guards is read from this thread's own memory.
        Stamp {
            family: self.family,
            ticket: self.ticket.load(Ordering::Relaxed),
        }
    }

    /// Makes all threads forget the family's series. The caller holds the lock under which lookups are remembered.
    pub(super) fn advance(&self) {
        // ORDERING: as in `stamp`; only one thread at a time comes here.
        self.ticket.store(next_ticket(), Ordering::Relaxed);
    }
}

fn next_ticket() -> u64 {
    static TICKETS: AtomicU64 = AtomicU64::new(0);
    // ORDERING: any order will do.
    TICKETS.fetch_add(1, Ordering::Relaxed)
}

/// Says where a thread remembers a series, if it does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(u8);

impl Place {
    /// Returns the place of a lookup.
    #[inline]
    fn of(stamp: Stamp, words: &[Words]) -> Self {
        let mixed = words
            .iter()
            .fold(stamp.family, |number, words| words.mix(number));
        // The highest bits depend on all others.
        Self(mixed.wrapping_mul(ODD[0]).to_be_bytes()[0])
    }

    #[inline]
    fn index(self) -> usize {
        usize::from(self.0 % PLACES)
    }
}

/// Returns the series that this thread looked up under the same stamp, if it remembers.
#[inline]
pub(super) fn find(stamp: Stamp, label_values: &[&str]) -> Option<Held> {
    // Of few labels the words need no allocation, and there is no loop over them.
    match *label_values {
        [one] => find_words(stamp, label_values, &[one].map(Words::of)),
        [one, two] => find_words(stamp, label_values, &[one, two].map(Words::of)),
        [one, two, three] => find_words(stamp, label_values, &[one, two, three].map(Words::of)),
        [one, two, three, four] => {
            find_words(stamp, label_values, &[one, two, three, four].map(Words::of))
        }
        _ => find_words(stamp, label_values, &all_words(label_values)),
    }
}

fn all_words(label_values: &[&str]) -> Box<[Words]> {
    label_values.iter().map(|value| Words::of(value)).collect()
}

#[inline]
fn find_words(stamp: Stamp, label_values: &[&str], words: &[Words]) -> Option<Held> {
    let place = Place::of(stamp, words);
    let found = RECENT.try_with(|recent| {
        let mut recent = recent.try_borrow_mut().ok()?;
        let line = recent.as_mut()?[place.index()].as_mut()?;
        if line.ticket != stamp.ticket || !line.is_of(label_values, words) {
            return None;
        }
        let spare = line.spare.take();
        Some(spare.unwrap_or_else(|| Arc::clone(&line.own)))
    });
    Some(Held::new(found.ok()??, place))
}

/// Takes from a handle that is dropped what it held, where this thread remembers the series and has no spare of it.
#[inline]
pub(super) fn take_back(held: &mut Option<Arc<HeldSeries>>, place: Place) {
    let _ = RECENT.try_with(|recent| {
        let mut recent = recent.try_borrow_mut().ok()?;
        let line = recent.as_mut()?[place.index()].as_mut()?;
        if line.spare.is_none() && Arc::ptr_eq(held.as_ref()?, &line.own) {
            mem::swap(held, &mut line.spare);
        }
        Some(())
    });
}

/// Remembers a lookup in place of another one, and returns a handle of it.
pub(super) fn remember(stamp: Stamp, label_values: &[&str], series: &Arc<HeldSeries>) -> Held {
    let words = all_words(label_values);
    let place = Place::of(stamp, &words);
    let line = Line {
        ticket: stamp.ticket,
        is_whole: words.iter().all(|words| words.len <= Words::MAX_WHOLE),
        words,
        label_values: label_values.iter().map(|value| Box::from(*value)).collect(),
        own: Arc::clone(series),
        spare: None,
    };
    let replaced = RECENT.try_with(|recent| {
        let mut recent = recent.try_borrow_mut().ok()?;
        let lines = recent.get_or_insert_with(|| Box::new([const { None }; PLACES as usize]));
        lines[place.index()].replace(line)
    });
    // Not before here, since dropping slots runs the code of a store.
    drop(replaced);
    Held::new(Arc::clone(series), place)
}

impl Line {
    #[inline]
    fn is_of(&self, label_values: &[&str], words: &[Words]) -> bool {
        *self.words == *words
            && (self.is_whole
                || self
                    .label_values
                    .iter()
                    .map(|own| &**own)
                    .eq(label_values.iter().copied()))
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
                let words = all_words(&[method, &format!("/items/{number}")]);
                places.insert(Place::of(stamp, &words).index());
            }
        }
        // 64 balls in 128 boxes leave about 50 boxes with any.
        assert!(places.len() > 42, "{}", places.len());
    }
}
