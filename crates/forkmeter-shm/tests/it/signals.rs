//! A signal handler counts on series that exist, whatever it interrupts.
#![expect(unsafe_code, reason = "tests handle signals")]

use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::thread;
use std::time::Duration;

use forkmeter_core::fork::in_signal_handler;
use forkmeter_core::store::{Slots, Store};
use forkmeter_core::{MetricType, MultiprocessMode};
use forkmeter_shm::{Directory, Options, ShmStore, process};

use crate::children::{Child, descriptor, end_after_seconds, fork, gauge, store_in, value};

const SIGNALS: u32 = 1000;
/// Longer than anything takes on a busy machine: who is stopped by it hangs.
const PATIENCE_SECONDS: u32 = 60;

/// What the handler counts on; null until there is something.
static HANDLES: AtomicPtr<Handles> = AtomicPtr::new(ptr::null_mut());
static HANDLED: AtomicU32 = AtomicU32::new(0);

#[derive(Debug)]
struct Handles {
    counter: Arc<dyn Slots>,
    level: Arc<dyn Slots>,
    recent: Arc<dyn Slots>,
}

impl Handles {
    /// Makes the series, and leaves them to the handler. They live as long as the process.
    fn give(store: &ShmStore) -> &'static Self {
        let recent = gauge(MetricType::Gauge, "recent", MultiprocessMode::MostRecent);
        let level = gauge(MetricType::Gauge, "level", MultiprocessMode::Sum);
        let handles = Box::leak(Box::new(Self {
            counter: store.intern(&descriptor(MetricType::Counter, "c"), &["a"]),
            level: store.intern(&level, &["a"]),
            recent: store.intern(&recent, &["a"]),
        }));
        HANDLES.store(ptr::from_mut(handles), Ordering::Release);
        handles
    }

    /// Stops the handler from counting, and returns how often it did.
    fn take() -> f64 {
        HANDLES.store(ptr::null_mut(), Ordering::Release);
        f64::from(HANDLED.load(Ordering::Relaxed))
    }
}

extern "C" fn count(_: libc::c_int) {
    let handles = HANDLES.load(Ordering::Acquire);
    // SAFETY: it is null or was leaked.
    let Some(handles) = (unsafe { handles.as_ref() }) else {
        return;
    };
    in_signal_handler(|| {
        handles.counter.add(0, 1.0);
        handles.level.add(0, 1.0);
        handles.recent.set(0, 7.0);
    });
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

fn handle_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: plain data for which all-zero bytes are a valid value.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = count as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: the handler does only what the library says that it may; nobody else uses this signal here.
        let failed = unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut()) };
        assert_eq!(failed, 0);
    });
}

/// Has this process interrupted, before it does anything else.
fn interrupt() {
    // SAFETY: sends a signal that is handled to this thread.
    assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
}

/// Interrupts a child at random moments until it ends; that it hangs is found out by an alarm.
fn interrupt_until_it_ends(child: &Child) {
    loop {
        if let Some(status) = child.try_wait() {
            assert_eq!(status, 0, "failed, or hung until its alarm");
            return;
        }
        child.signal(libc::SIGUSR1);
        thread::sleep(Duration::from_micros(30));
    }
}

fn is_interrupted_enough() -> bool {
    HANDLED.load(Ordering::Relaxed) >= SIGNALS
}

#[test]
fn a_signal_handler_counts_while_its_thread_interns_collects_removes_and_forks() {
    handle_signals();
    let directory = tempfile::tempdir().unwrap();
    let child = fork(|| {
        end_after_seconds(PATIENCE_SECONDS);
        let store = store_in(directory.path());
        let others = descriptor(MetricType::Counter, "others");
        Handles::give(&store);
        for turn in 0_u32.. {
            if is_interrupted_enough() {
                break;
            }
            store
                .intern(&others, &[&(turn % 50).to_string()])
                .add(0, 1.0);
            match turn % 8 {
                0 => drop(store.collect()),
                1 => assert!(store.remove(&others, &[&(turn % 50).to_string()])),
                // While the gate is closed as well.
                2 => assert_eq!(fork(|| ()).wait(), 0),
                _ => {}
            }
        }
        let handled = Handles::take();
        assert_eq!(value(&store, "c_total", "a"), Some(handled));
        assert_eq!(value(&store, "level", "a"), Some(handled));
    });
    interrupt_until_it_ends(&child);
}

#[test]
fn a_signal_handler_counts_in_children_before_anything_else_does() {
    handle_signals();
    let directory = tempfile::tempdir().unwrap();
    let child = fork(|| {
        let store = store_in(directory.path());
        let handles = Handles::give(&store);
        for turn in 0..SIGNALS {
            let grandchild = fork(|| {
                end_after_seconds(PATIENCE_SECONDS);
                interrupt();
                assert_eq!(value_now(&handles.level), 1.0);
                match turn % 4 {
                    // The next count outside of a handler, or a collection, brings the gauge to its place.
                    0 => handles.level.add(0, 0.0),
                    1 => drop(store.collect()),
                    2 => {
                        handles.level.add(0, 1.0);
                        interrupt();
                        handles.level.add(0, -2.0);
                    }
                    // Nothing but the handler: what all workers share is counted all the same.
                    _ => return,
                }
                interrupt();
                assert_eq!(value_now(&handles.level), 2.0);
            });
            assert_eq!(
                grandchild.wait(),
                0,
                "turn {turn}: failed, or hung until its alarm"
            );
        }
        // Of four grandchildren, two are interrupted twice, one thrice, and one once.
        assert_eq!(
            value(&store, "c_total", "a"),
            Some(f64::from(SIGNALS) * 8.0 / 4.0)
        );
        assert_eq!(
            value(&store, "level", "a"),
            Some(f64::from(SIGNALS) * 6.0 / 4.0)
        );
        assert_eq!(value(&store, "recent", "a"), Some(7.0));
    });
    assert_eq!(child.wait(), 0);
}

/// Returns a gauge's value as a handler sees it, which looks for nothing.
fn value_now(gauge: &Arc<dyn Slots>) -> f64 {
    in_signal_handler(|| gauge.get(0))
}

static WHERE: Mutex<Option<PathBuf>> = Mutex::new(None);

fn move_to(directory: &Path) {
    *WHERE.lock().unwrap() = Some(directory.to_owned());
    process::next_epoch();
}

#[test]
fn a_signal_handler_counts_while_the_directory_changes() {
    handle_signals();
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let child = fork(|| {
        end_after_seconds(PATIENCE_SECONDS);
        move_to(directories[0].path());
        let options = Options::new(Directory::Follow(|| {
            // The store asks with its lock held.
            interrupt();
            WHERE.lock().unwrap().clone()
        }));
        let store = ShmStore::new(options);
        let handles = Handles::give(&store);
        for turn in 0.. {
            if is_interrupted_enough() {
                break;
            }
            move_to(directories[turn % 2].path());
            if turn % 4 < 2 {
                interrupt();
            }
            match turn % 3 {
                0 => handles.counter.add(0, 0.0),
                1 => drop(store.collect()),
                // Moves on before anybody has looked.
                _ => {}
            }
            // Not faster than signals come.
            thread::sleep(Duration::from_micros(20));
        }
        let handled = Handles::take();
        store.refresh();
        let counted = directories.each_ref().map(|directory| {
            let store = store_in(directory.path());
            value(&store, "c_total", "a").unwrap_or(0.0)
        });
        assert_eq!(counted.iter().sum::<f64>(), handled, "{counted:?}");
        assert!(counted.iter().all(|count| *count > 0.0), "{counted:?}");
    });
    interrupt_until_it_ends(&child);
}
