//! The fork gate: keeps `fork` from copying a lock that is held.
//!
//! A thread that forks copies the memory of all threads but continues only itself, so a lock that another
//! thread holds at that moment is held for ever in the child. Every section that takes a lock in this
//! workspace stands inside [`enter`]; before a fork, the crate that owns the process hooks calls [`close`],
//! which waits until no other thread is inside, and after it [`open_in_parent`] or [`open_in_child`].
//!
//! Sections are short: they never run code of the application and never wait for an interpreter's lock.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const STRIPES: usize = 16;

/// A counter on its own cache line, so that threads do not slow each other down.
#[derive(Debug)]
#[repr(align(64))]
struct Stripe(AtomicUsize);

static INSIDE: [Stripe; STRIPES] = [const { Stripe(AtomicUsize::new(0)) }; STRIPES];
static CLOSED: AtomicBool = AtomicBool::new(false);
static NEXT_STRIPE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    // ORDERING: a ticket; any order will do.
    static STRIPE: usize = NEXT_STRIPE.fetch_add(1, Ordering::Relaxed) % STRIPES;
}

/// Marks that this thread is inside a section; leaving is dropping it.
#[derive(Debug)]
#[must_use = "the section ends when this is dropped"]
pub struct Section {
    stripe: Option<usize>,
    // A section must end on the thread that began it.
    _not_send: std::marker::PhantomData<*const ()>,
}

/// Enters a section in which locks may be held; waits while another thread forks. Sections nest.
pub fn enter() -> Section {
    // A thread whose locals are gone is ending; it cannot be forking, and counts on the first stripe.
    let depth = DEPTH
        .try_with(|depth| depth.replace(depth.get() + 1))
        .unwrap_or(0);
    let stripe = (depth == 0).then(|| {
        let stripe = STRIPE.try_with(|stripe| *stripe).unwrap_or(0);
        loop {
            // ORDERING: sequentially consistent with `close`: either it sees us inside, or we see it closed.
            INSIDE[stripe].0.fetch_add(1, Ordering::SeqCst);
            if !CLOSED.load(Ordering::SeqCst) {
                break stripe;
            }
            // ORDERING: as above.
            INSIDE[stripe].0.fetch_sub(1, Ordering::SeqCst);
            pause();
        }
    });
    Section {
        stripe,
        _not_send: std::marker::PhantomData,
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        let _ = DEPTH.try_with(|depth| depth.set(depth.get().saturating_sub(1)));
        if let Some(stripe) = self.stripe {
            // ORDERING: pairs with the loads in `close`: what the section wrote is seen by whoever forks.
            INSIDE[stripe].0.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Stops other threads from entering and waits until they have left. Called by the thread that forks.
pub fn close() {
    // ORDERING: see `enter`. Only one thread may close; others that fork at the same time wait here.
    while CLOSED.swap(true, Ordering::SeqCst) {
        pause();
    }
    let own = usize::from(DEPTH.try_with(Cell::get).unwrap_or(0) > 0);
    // ORDERING: see `enter`.
    while INSIDE
        .iter()
        .map(|stripe| stripe.0.load(Ordering::SeqCst))
        .sum::<usize>()
        > own
    {
        pause();
    }
}

/// Lets threads enter again after a fork, in the process that forked.
pub fn open_in_parent() {
    // ORDERING: see `enter`.
    CLOSED.store(false, Ordering::SeqCst);
}

/// Lets threads enter in a new child. Threads that were entering in the parent are not here and are forgotten.
pub fn open_in_child() {
    let own = DEPTH.try_with(Cell::get).unwrap_or(0) > 0;
    let own_stripe = STRIPE.try_with(|stripe| *stripe).unwrap_or(0);
    for (index, stripe) in INSIDE.iter().enumerate() {
        // ORDERING: no other thread exists yet.
        stripe
            .0
            .store(usize::from(own && index == own_stripe), Ordering::SeqCst);
    }
    open_in_parent();
}

fn pause() {
    thread::sleep(Duration::from_micros(20));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn closing_waits_for_sections_and_holds_others_off() {
        let inside = enter();
        let nested = enter();
        let entered = Arc::new(AtomicBool::new(false));
        let closer = thread::spawn(close);
        thread::sleep(Duration::from_millis(20));
        assert!(!closer.is_finished(), "closed over a section that was open");
        drop(nested);
        drop(inside);
        closer.join().unwrap();
        let flag = Arc::clone(&entered);
        let late = thread::spawn(move || {
            let _section = enter();
            flag.store(true, Ordering::SeqCst);
        });
        thread::sleep(Duration::from_millis(20));
        assert!(!entered.load(Ordering::SeqCst), "entered a closed gate");
        open_in_parent();
        late.join().unwrap();
        assert!(entered.load(Ordering::SeqCst));
    }
}
