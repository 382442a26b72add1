//! The gate between forks and the collectors of others: a child made in the middle of one would have its locks, held
//! for ever.
//!
//! Neither side waits where the other one is not there, and a fork waits only for a moment.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// How long a fork waits for somebody's collector.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);
pub(super) const LOOK: Duration = Duration::from_micros(50);

/// How many threads are forking.
static FORKING: AtomicUsize = AtomicUsize::new(0);
/// The number of the run that is inside somebody's collectors; 0 for none.
static COLLECTING: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The number of the run that this thread is; 0 for threads of the program.
    static RUN: Cell<u64> = const { Cell::new(0) };
}

fn run() -> u64 {
    RUN.try_with(Cell::get).unwrap_or(0)
}

/// Says that this thread is a run of ours.
pub(super) fn set_run(number: u64) {
    let _ = RUN.try_with(|run| run.set(number));
}

/// Says that the thread that publishes calls what is not forkmeter's; returns whether it may do so now.
#[pyfunction]
pub(crate) fn enter_collectors() -> bool {
    let run = run();
    if run == 0 {
        return true;
    }
    // ORDERING: sequentially consistent with `close`: either it sees us inside, or we see that it forks.
    COLLECTING.store(run, Ordering::SeqCst);
    let may_enter = FORKING.load(Ordering::SeqCst) == 0;
    if !may_enter {
        leave_collectors();
    }
    may_enter
}

/// Says that it came back from there.
#[pyfunction]
pub(crate) fn leave_collectors() {
    let run = run();
    if run != 0 {
        // ORDERING: pairs with the load in `close`: who forks sees what collectors did. Only this run's own mark is
        // taken away: in a child the thread that forked is none any more.
        let _ = COLLECTING.compare_exchange(run, 0, Ordering::SeqCst, Ordering::Relaxed);
    }
}

/// Keeps the thread that publishes out of collectors until [`open`]; waits a moment where it is inside one.
pub(super) fn close(py: Python<'_>) {
    // ORDERING: see `enter_collectors`.
    FORKING.fetch_add(1, Ordering::SeqCst);
    let is_inside = || COLLECTING.load(Ordering::SeqCst) != 0;
    // A collector that forks itself would wait for itself.
    if is_inside() && run() == 0 {
        py.detach(|| wait_until(|| !is_inside(), PATIENCE));
    }
}

/// Lets it in again, in the parent.
pub(super) fn open() {
    // ORDERING: a lone number. The hooks that call this may be there without those that call `close`.
    let less = |forking: usize| forking.checked_sub(1);
    let _ = FORKING.fetch_update(Ordering::SeqCst, Ordering::Relaxed, less);
}

/// Forgets the threads of the parent, in a child.
pub(super) fn renew() {
    set_run(0);
    // ORDERING: the child has one thread.
    FORKING.store(0, Ordering::Relaxed);
    COLLECTING.store(0, Ordering::Relaxed);
}

/// Looks again and again until something holds, or it took too long; tells whether it holds. Not for threads that hold
/// anything.
pub(super) fn wait_until(mut holds: impl FnMut() -> bool, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(LOOK);
    }
}
