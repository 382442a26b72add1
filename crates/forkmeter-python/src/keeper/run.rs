//! One run of the thread that publishes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fs, io, process};

use forkmeter_shm::{SignalMask, block_signals};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::gate;
use crate::{call, testing};

/// A bit less than what is promised: values are at most a second old.
const INTERVAL: Duration = Duration::from_millis(900);
const MAX_PAUSE: Duration = Duration::from_secs(3600);
/// As threads of Python have: collectors run in it.
const STACK_SIZE: usize = 8 << 20;

static RUNS: AtomicU64 = AtomicU64::new(0);

// What a run is at, and whether it is to end. Whoever wants it to end learns whether it wants the interpreter's lock.
const WAITING: u8 = 0;
const PUBLISHING: u8 = 1;
const TO_END: u8 = 2;
const TO_END_AFTER_PUBLISHING: u8 = 3;
const ENDED: u8 = 4;

/// A run as the rest of the process sees it.
#[derive(Debug)]
pub(super) struct Run {
    stage: Arc<AtomicU8>,
    thread: JoinHandle<Instant>,
}

impl Run {
    /// Starts a thread that publishes for the first time when that is `due`.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub(super) fn start(publish: &'static Py<PyAny>, due: Instant) -> io::Result<Self> {
        let stage = Arc::new(AtomicU8::new(WAITING));
        let builder = thread::Builder::new()
            .name("forkmeter".to_owned())
            .stack_size(STACK_SIZE);
        // What the program wants to be told, it wants to be told in a thread of its own.
        let mask = block_signals();
        let keeper = Keeper {
            stage: Arc::clone(&stage),
            publish,
            mask,
        };
        let thread = builder.spawn(move || keeper.work(due));
        mask.restore();
        let thread = thread?;
        Ok(Self { stage, thread })
    }

    /// Ends the thread; returns when it was to publish next. Where it is inside of a collector for longer than
    /// `patience`, it is to end afterwards, and is returned.
    pub(super) fn end(self, py: Python<'_>, patience: Duration) -> Result<Instant, Self> {
        // ORDERING: pairs with `Keeper`, which takes these steps by exchanges of its own.
        let stage = self.stage.fetch_or(TO_END, Ordering::AcqRel);
        self.thread.thread().unpark();
        if stage == PUBLISHING {
            // It may want the interpreter's lock.
            let has_ended = || self.stage.load(Ordering::Acquire) == ENDED;
            if !py.detach(|| gate::wait_until(has_ended, patience)) {
                return Err(self);
            }
        }
        // From here on it needs nothing of the interpreter.
        Ok(self.thread.join().unwrap_or_else(|_| Instant::now()))
    }

    /// Takes back that it is to end after it has published; tells whether it is not too late for that.
    pub(super) fn go_on(&self) -> bool {
        change(&self.stage, TO_END_AFTER_PUBLISHING, PUBLISHING)
    }

    /// Forgets it in a child, where it is not. What stands for a thread cannot be given back there.
    pub(super) fn forget(self) {
        std::mem::forget(self.thread);
    }
}

/// A run as it sees itself.
struct Keeper {
    stage: Arc<AtomicU8>,
    publish: &'static Py<PyAny>,
    /// What the program blocks. Collectors run with that, since they may start processes, which inherit it.
    mask: SignalMask,
}

impl Keeper {
    fn work(&self, mut due: Instant) -> Instant {
        // ORDERING: a ticket.
        gate::set_run(RUNS.fetch_add(1, Ordering::Relaxed) + 1);
        while self.waits_until(due) {
            if is_process_over()
                || super::ends_unshared()
                || !change(&self.stage, WAITING, PUBLISHING)
            {
                break;
            }
            let Some(pause) = self.publish_once() else {
                break;
            };
            due = Instant::now() + pause;
            if !self.goes_on() {
                break;
            }
        }
        // ORDERING: see `Run::end`.
        self.stage.store(ENDED, Ordering::Release);
        due
    }

    /// Goes back to waiting, unless it is to end.
    fn goes_on(&self) -> bool {
        loop {
            if change(&self.stage, PUBLISHING, WAITING) {
                return true;
            }
            // Whoever wants it to end may take that back meanwhile.
            if change(&self.stage, TO_END_AFTER_PUBLISHING, ENDED) {
                return false;
            }
        }
    }

    /// Waits until it is time; returns whether it is, and not time to end.
    fn waits_until(&self, due: Instant) -> bool {
        loop {
            // ORDERING: see `Run::end`, which wakes this thread afterwards.
            if self.stage.load(Ordering::Acquire) != WAITING {
                return false;
            }
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::park_timeout(left);
        }
    }

    /// Publishes; returns how long to wait then, or nothing where the interpreter has ended.
    ///
    /// While a test runner is at work nothing is published unasked: tests remove directories, which fails where a file
    /// is made meanwhile.
    fn publish_once(&self) -> Option<Duration> {
        if testing::is_on() {
            return Some(INTERVAL);
        }
        Python::try_attach(|py| {
            self.mask.restore();
            let pause = call::call(self.publish.bind(py), &PyTuple::empty(py), None);
            block_signals();
            let pause = pause.and_then(|pause| pause.extract::<f64>());
            pause.map_or(INTERVAL, |seconds| {
                Duration::try_from_secs_f64(seconds).map_or(INTERVAL, |pause| pause.min(MAX_PAUSE))
            })
        })
    }
}

fn change(stage: &AtomicU8, from: u8, to: u8) -> bool {
    // ORDERING: see `Run::end`.
    stage
        .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
        .is_ok()
}

/// Tells whether the process only waits for its threads to end: its first one has ended, as it does in a child of a
/// thread that forks and then returns. A thread of ours must not keep it.
fn is_process_over() -> bool {
    let path = format!("/proc/self/task/{}/stat", process::id());
    let Ok(stat) = fs::read(path) else {
        return false;
    };
    let name_end = stat.iter().rposition(|&byte| byte == b')');
    name_end.is_some_and(|end| stat.get(end + 2) == Some(&b'Z'))
}
