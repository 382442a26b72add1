//! The thread that publishes what only this process can compute, so that others can show it.
//!
//! There is none in a lone process. Where values are shared, the first use of a metric starts it, once, also in a forked
//! child. It is a thread of the system that takes the interpreter's lock only to publish, so starting and ending it
//! needs neither that lock nor Python code, a signal handler's for one, which must not run in the middle of a count.
//! Where threads are greenlets, as under gevent, Python starts one of those instead.
//!
//! A fork goes on beside it, as beside any other thread, but not in the middle of somebody's collector (see `gate`).
//! Pythons that warn of a fork with several threads, and are right to do so where the program has others, are to see
//! none of ours: where it is the only one, it is ended before the fork and started again after it.

mod gate;
mod run;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use forkmeter_core::fork;
use forkmeter_shm::process::epoch;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyTuple};

pub(crate) use self::gate::{enter_collectors, leave_collectors};
use self::run::Run;
use crate::{call, mode};

/// A process that ends sooner than this never touches the directory for it.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const EXIT_PATIENCE: Duration = Duration::from_secs(1);
/// How long the kernel may take to forget a thread that has ended.
const FORGETTING_PATIENCE: Duration = Duration::from_millis(100);
/// The first Python that warns of a fork with several threads.
const WARNING_VERSION: (u8, u8) = (3, 12);
/// The one that forks, and ours.
const THREADS_WITH_OURS: u64 = 2;

/// The process in which a thread was started; 0 for none.
static STARTED_IN: AtomicU32 = AtomicU32::new(0);
/// The epoch in which a thread was seen to be started; 0 for none. To ask for the process is a system call.
static STARTED_IN_EPOCH: AtomicU64 = AtomicU64::new(0);
/// What Python gives. Set when the package is imported, with the interpreter's lock held.
static FUNCTIONS: OnceLock<Functions> = OnceLock::new();
static STATE: Mutex<State> = Mutex::new(State {
    run: None,
    resume: None,
    is_over: false,
});

/// What Python does for this module.
#[derive(Debug)]
struct Functions {
    /// Publishes once, and returns how many seconds to wait then.
    publish: Py<PyAny>,
    /// Publishes again and again, in a greenlet.
    work: Py<PyAny>,
    /// Whether this Python warns of a fork with several threads.
    warns: bool,
}

#[derive(Debug)]
struct State {
    run: Option<Run>,
    /// When the next publication is due, where a run was ended for a fork.
    resume: Option<Instant>,
    /// Whether the interpreter ends.
    is_over: bool,
}

/// Locks the state. The caller is inside a fork section.
fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says what publishes: once, and what does so again and again where threads are greenlets.
#[pyfunction]
pub(crate) fn set_keeper(py: Python<'_>, publish: Py<PyAny>, work: Py<PyAny>) {
    // Set already: the module is being loaded again.
    let _ = FUNCTIONS.set(Functions {
        publish,
        work,
        warns: py.version_info() >= WARNING_VERSION,
    });
}

/// Starts a thread where values are shared and there is none yet.
#[pyfunction]
#[inline]
pub(crate) fn start_keeper(py: Python<'_>) {
    // ORDERING: a hint; `start` asks again.
    if mode::is_shared() && STARTED_IN_EPOCH.load(Ordering::Relaxed) != epoch() {
        start(py);
    }
}

#[cold]
fn start(py: Python<'_>) {
    let Some(functions) = FUNCTIONS.get() else {
        return;
    };
    // ORDERING: a hint, as below; before, since whoever wants another thread takes it back.
    STARTED_IN_EPOCH.store(epoch(), Ordering::Relaxed);
    // ORDERING: only one thread of several gets on; what it does then is under the lock.
    if STARTED_IN.swap(process::id(), Ordering::Relaxed) == process::id() {
        return;
    }
    // By name, at the time: gevent and its like put their own in its place.
    let starter = py
        .import("_thread")
        .and_then(|module| module.getattr("start_new_thread"));
    let Ok(starter) = starter else {
        return;
    };
    if starter.is_instance_of::<PyCFunction>() {
        start_thread(Instant::now() + FIRST_PAUSE);
    } else {
        // Where it cannot be had, counting goes on.
        let _ = (functions.work.bind(py), PyTuple::empty(py))
            .into_pyobject(py)
            .and_then(|args| call::call(&starter, &args, None));
    }
}

/// Starts a thread that publishes when that is `due`; where there is none to be had, counting goes on.
fn start_thread(due: Instant) {
    let Some(functions) = FUNCTIONS.get() else {
        return;
    };
    let _section = fork::enter();
    let mut state = state();
    if !state.is_over && state.run.is_none() {
        state.run = Run::start(&functions.publish, due).ok();
    }
}

/// Has the next use of a metric start a thread, since there is none any more.
#[pyfunction]
pub(crate) fn want_keeper() {
    // ORDERING: a hint.
    STARTED_IN.store(0, Ordering::Relaxed);
    STARTED_IN_EPOCH.store(0, Ordering::Relaxed);
}

/// Lets the thread end where values are no longer shared; another one is started once they are again.
fn ends_unshared() -> bool {
    let _section = fork::enter();
    let mut state = state();
    if mode::is_shared() {
        return false;
    }
    state.run = None;
    want_keeper();
    true
}

/// Waits for somebody's collector that the thread is in, and ends it where a warning would be about it alone.
#[pyfunction]
pub(crate) fn keeper_before_fork(py: Python<'_>) {
    gate::close(py);
    // ORDERING: a hint.
    let was_started = STARTED_IN.load(Ordering::Relaxed) != 0;
    let warns = FUNCTIONS.get().is_some_and(|functions| functions.warns);
    if !was_started || !warns || count_threads() != THREADS_WITH_OURS {
        return;
    }
    let run = {
        let _section = fork::enter();
        state().run.take()
    };
    let Some(run) = run else {
        return;
    };
    let ended = run.end(py, gate::PATIENCE);
    if ended.is_ok() {
        gate::wait_until(|| count_threads() < THREADS_WITH_OURS, FORGETTING_PATIENCE);
    }
    let _section = fork::enter();
    let mut state = state();
    match ended {
        Ok(due) => state.resume = Some(due),
        Err(run) if run.go_on() => state.run = Some(run),
        Err(_) => state.resume = Some(Instant::now()),
    }
}

/// Returns the number of threads of this process, as the kernel counts them; 0 where it does not say.
fn count_threads() -> u64 {
    // A folder has two links, and one for each folder in it.
    fs::metadata("/proc/self/task").map_or(0, |folder| folder.nlink().saturating_sub(2))
}

/// Goes on as before the fork.
#[pyfunction]
pub(crate) fn keeper_after_fork_in_parent() {
    gate::open();
    let due = {
        let _section = fork::enter();
        state().resume.take()
    };
    if let Some(due) = due {
        start_thread(due);
    }
}

/// Forgets the parent's thread; starts one where the parent had one, as a child has the same collectors.
#[pyfunction]
pub(crate) fn keeper_after_fork_in_child(py: Python<'_>) {
    gate::renew();
    // ORDERING: the child has one thread.
    if STARTED_IN.swap(0, Ordering::Relaxed) == 0 {
        return;
    }
    STARTED_IN_EPOCH.store(0, Ordering::Relaxed);
    {
        let _section = fork::enter();
        let mut state = state();
        state.resume = None;
        if let Some(run) = state.run.take() {
            run.forget();
        }
    }
    start_keeper(py);
}

/// Ends the thread for good, before the interpreter takes itself apart.
#[pyfunction]
pub(crate) fn end_keeper(py: Python<'_>) {
    let run = {
        let _section = fork::enter();
        let mut state = state();
        state.is_over = true;
        state.run.take()
    };
    // One that is stuck in a collector stays there.
    let _ = run.map(|run| run.end(py, EXIT_PATIENCE));
}
