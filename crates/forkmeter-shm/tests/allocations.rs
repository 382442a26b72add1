//! What series of one process and their expositions take, counted by the allocator.
//!
//! A process of its own, since it counts everything; in this crate, since it has the unsafe code.
#![allow(unsafe_code, reason = "an allocator is unsafe by its trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use forkmeter_core::encode::Format;
use forkmeter_core::metric::Counter;
use forkmeter_core::registry::{Gather, Registry};
use forkmeter_core::store::{HeapStore, SeriesTable};

/// Counts what is allocated now, and all that ever was.
struct Counting;

static PRESENT: AtomicUsize = AtomicUsize::new(0);
static EVER: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all calls go to the system's allocator, unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // ORDERING: counts that one thread reads.
        PRESENT.fetch_add(layout.size(), Ordering::Relaxed);
        EVER.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // ORDERING: as in `alloc`.
        PRESENT.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as in `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SERIES: usize = 100_000;

fn present_bytes() -> usize {
    // ORDERING: as in `Counting`.
    PRESENT.load(Ordering::Relaxed)
}

// One test, since the counts are of all threads.
#[test]
fn series_and_scrapes_take_what_they_should() {
    a_labelled_counter_takes_at_most_a_hundred_bytes();
    a_repeated_scrape_allocates_at_most_twice_its_length();
}

fn a_labelled_counter_takes_at_most_a_hundred_bytes() {
    let before = present_bytes();
    let table = SeriesTable::new(1, 1);
    for number in 0..SERIES {
        table.intern(&[&format!("/api/v1/items/{number}")], 0.0);
    }
    let each = (present_bytes() - before) / SERIES;
    assert_eq!(table.len(), SERIES);
    assert!(each <= 100, "{each} bytes");
}

fn a_repeated_scrape_allocates_at_most_twice_its_length() {
    let registry = Registry::new(Arc::new(HeapStore::new(|| 0.0)));
    let requests = Counter::builder("requests", "").labels(["path"]);
    let requests = requests.register(&registry).expect("the name is free");
    let paths: Vec<String> = (0..SERIES).map(|n| format!("/api/v1/items/{n}")).collect();
    let count = |amount| {
        for path in &paths {
            requests.with_label_values([path]).inc_by(amount);
        }
    };
    count(1.0);
    let before = present_bytes();
    let first = registry.expose(Format::Text004).body.len();
    let kept = present_bytes() - before;
    assert!(
        kept <= first + first / 4,
        "{kept} bytes are kept for {first}"
    );
    count(99.0);
    // ORDERING: as in `Counting`.
    let before = EVER.load(Ordering::Relaxed);
    let exposition = registry.expose(Format::Text004);
    // ORDERING: as in `Counting`.
    let allocated = EVER.load(Ordering::Relaxed) - before;
    let len = exposition.body.len();
    assert_eq!(len, first + 2 * SERIES, "each value has two digits more");
    assert!(allocated <= 2 * len, "{allocated} bytes for {len}");
}
