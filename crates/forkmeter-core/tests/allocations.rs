//! What series take, counted by the allocator; a process of its own, since it counts everything.
#![allow(unsafe_code, reason = "an allocator is unsafe by its trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use forkmeter_core::store::SeriesTable;

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

#[test]
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
