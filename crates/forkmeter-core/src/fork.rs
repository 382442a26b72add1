//! The fork gate: keeps `fork` from copying a lock that is held.
//!
//! A thread that forks copies the memory of all threads but continues only itself, so a lock that another
//! thread holds at that moment is held for ever in the child. Every section that takes a lock in this
//! workspace stands inside [`enter`]; before a fork, the crate that owns the process hooks calls [`close`],
//! which waits until no other thread is inside, and after it [`open_in_parent`] or [`open_in_child`].
//!
//! Sections are short: they never run code of the application and never wait for an interpreter's lock.
//!
//! A signal handler is the exception that nobody can keep out of a section: it may interrupt one at any instruction.
//! So what a handler may call never enters unconditionally but asks [`try_enter`], and goes another way where the
//! thread is inside already, is about to fork, or says by [`in_signal_handler`] that it may neither wait nor allocate.

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
    // Read by signal handlers: a plain cell, made with the thread.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// Whether this thread closes the gate, or has it closed.
    static IS_FORKING: Cell<bool> = const { Cell::new(false) };
    static HANDLERS: Cell<usize> = const { Cell::new(0) };
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
    // A thread that forks would wait for itself.
    let stripe = (depth == 0 && !is_forking()).then(|| {
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

/// Enters a section, unless this thread could not be sure to come out of it: it is inside one already, and may have
/// interrupted it while a lock was held; it forks; or it handles a signal.
pub fn try_enter() -> Option<Section> {
    let is_inside = DEPTH.try_with(Cell::get).unwrap_or(0) > 0;
    let is_handler = HANDLERS.try_with(Cell::get).unwrap_or(0) > 0;
    (!is_inside && !is_handler && !is_forking()).then(enter)
}

/// Enters a section, unless this thread handles a signal and says so; for what handlers may call, but only so.
pub fn enter_unless_handling() -> Option<Section> {
    let is_handler = HANDLERS.try_with(Cell::get).unwrap_or(0) > 0;
    (!is_handler).then(enter)
}

/// Runs `f` as a signal handler may: counting on handles that exist neither waits, allocates nor does I/O, whatever
/// was interrupted.
///
/// Without it that holds for adding and setting as well, but for the first count on a handle after a fork or a change of the directory, which
/// looks for the values' new place. With it, that first look is put off: what `f` counts is kept in memory where it
/// has no place yet, and moves there with the next count on the handle outside of a handler, or the next collection.
///
/// Calls nest. Everything else (making series, exemplars, removing, resetting, collecting) is not for signal handlers.
pub fn in_signal_handler<R>(f: impl FnOnce() -> R) -> R {
    /// Also ends where `f` panics.
    struct Handling;
    impl Drop for Handling {
        fn drop(&mut self) {
            let _ = HANDLERS.try_with(|depth| depth.set(depth.get().saturating_sub(1)));
        }
    }
    let _ = HANDLERS.try_with(|depth| depth.set(depth.get() + 1));
    let _handling = Handling;
    f()
}

fn is_forking() -> bool {
    IS_FORKING.try_with(Cell::get).unwrap_or(false)
}

impl Drop for Section {
    fn drop(&mut self) {
        if let Some(stripe) = self.stripe {
            // ORDERING: pairs with the loads in `close`: what the section wrote is seen by whoever forks.
            INSIDE[stripe].0.fetch_sub(1, Ordering::SeqCst);
        }
        // Last: a signal handler that came in between would enter while the gate still waits for this thread.
        let _ = DEPTH.try_with(|depth| depth.set(depth.get().saturating_sub(1)));
    }
}

/// Stops other threads from entering and waits until they have left. Called by the thread that forks.
pub fn close() {
    // First: a signal handler that interrupts this must not wait for it.
    let _ = IS_FORKING.try_with(|is_forking| is_forking.set(true));
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
    let _ = IS_FORKING.try_with(|is_forking| is_forking.set(false));
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
