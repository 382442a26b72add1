//! Registries and directories that belong to one test.

use std::fs::DirBuilder;
use std::io;
use std::ops::Deref;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use forkmeter_core::fork;
use forkmeter_core::registry::{Gather, Registry};
use forkmeter_core::store::Collected;
use forkmeter_shm::process::unix_seconds;

use crate::global::{default_registry, directory, share_isolated, shared_registry};

/// The variable that spawned programs find the directory in.
const VARIABLE: &str = "PROMETHEUS_MULTIPROC_DIR";

/// How often a test that waits for its turn looks.
const LOOK: Duration = Duration::from_millis(1);

/// Is a directory that ends with its owner.
#[derive(Debug)]
struct TemporaryDirectory {
    path: PathBuf,
    /// A forked child has a copy of the owner, and must not end what its parent uses.
    pid: u32,
}

impl TemporaryDirectory {
    fn new() -> io::Result<Self> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let pid = std::process::id();
        loop {
            // ORDERING: a ticket.
            let number = MADE.fetch_add(1, Ordering::Relaxed);
            // The time tells it from what a process of the same id left behind.
            let name = format!("forkmeter-test-{pid}-{number}-{}", unix_seconds());
            let path = std::env::temp_dir().join(name);
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|()| Self { path, pid }),
            }
        }
    }

    fn is_own(&self) -> bool {
        self.pid == std::process::id()
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        if self.is_own() {
            // What cannot be removed lies in the directory for temporary files.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

#[track_caller]
fn temporary_directory() -> TemporaryDirectory {
    TemporaryDirectory::new().unwrap_or_else(|error| {
        let parent = std::env::temp_dir();
        panic!("no directory for a test in {}: {error}", parent.display())
    })
}

/// Is a registry of one test, with a directory of its own that is removed when this is dropped.
///
/// It shares its values like those of a service do: with forked children, and with whoever names its directory.
/// Made by [`registry()`].
#[derive(Debug)]
pub struct TestRegistry {
    registry: Registry,
    directory: TemporaryDirectory,
}

/// Makes a registry of one test. Any number of them live side by side.
///
/// # Panics
///
/// When the directory for temporary files cannot be written.
///
/// # Examples
///
/// ```
/// use forkmeter::{Counter, shared_registry, testing};
///
/// let registry = testing::registry();
/// Counter::builder("jobs", "Jobs done.").register(&registry)?.inc();
/// // As another process sees it:
/// let other = shared_registry(registry.directory());
/// assert_eq!(testing::value(&other, "jobs_total", []), Some(1.0));
/// # Ok::<(), forkmeter::Error>(())
/// ```
#[track_caller]
pub fn registry() -> TestRegistry {
    let directory = temporary_directory();
    let registry = shared_registry(&directory.path);
    TestRegistry {
        registry,
        directory,
    }
}

impl TestRegistry {
    /// Returns the directory in which the values are shared.
    pub fn directory(&self) -> &Path {
        &self.directory.path
    }

    /// Makes a program that the test starts count in this directory, by its environment.
    pub fn share_with<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env(VARIABLE, self.directory())
    }
}

impl Deref for TestRegistry {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        &self.registry
    }
}

impl Gather for TestRegistry {
    fn gather(&self) -> Collected {
        self.registry.gather()
    }
}

/// Says which test has the default registry to itself. Not a lock: a child forked by another thread would inherit it
/// for ever.
static TURN: Mutex<Option<(u32, ThreadId)>> = Mutex::new(None);

fn with_turn<R>(f: impl FnOnce(&mut Option<(u32, ThreadId)>) -> R) -> R {
    let _section = fork::enter();
    f(&mut TURN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Holds the turn of a test.
#[derive(Debug)]
struct Turn {
    pid: u32,
}

impl Turn {
    #[track_caller]
    fn take() -> Self {
        let (pid, thread) = (std::process::id(), thread::current().id());
        loop {
            let holder = with_turn(|turn| {
                // A holder of another process is one that was copied by a fork.
                let holder = turn.filter(|(other, _)| *other == pid);
                if holder.is_none() {
                    *turn = Some((pid, thread));
                }
                holder
            });
            match holder {
                None => return Self { pid },
                Some((_, holder)) if holder == thread => {
                    panic!("this thread has isolated the default registry already")
                }
                Some(_) => thread::sleep(LOOK),
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        with_turn(|turn| {
            if turn.is_some_and(|(pid, _)| pid == self.pid) && self.pid == std::process::id() {
                *turn = None;
            }
        });
    }
}

/// Gives one test the default registry to itself; made by [`isolate()`].
#[derive(Debug)]
#[must_use = "the isolation ends when this is dropped"]
pub struct Isolated {
    // Dropped in this order: the directory goes before the next test has its turn.
    directory: TemporaryDirectory,
    shared: PathBuf,
    _turn: Turn,
}

/// Gives this test the default registry to itself, with all values at zero and a directory of its own, until the
/// guard is dropped.
///
/// The program under test needs no change: statics that hold metrics count in the directory of the test that runs.
/// Tests that isolate run one after the other, whatever their threads; a test that counts in the default registry
/// without isolating disturbs them. What [`configure`](crate::configure) says about sharing, and the environment,
/// hold again afterwards.
///
/// Values that were kept in memory before, because there was no directory, are at zero afterwards; those in a directory
/// stay there. A labelled series shows up in an isolated directory once it is counted there. The facts of infos stay.
///
/// A child that is forked meanwhile counts in the same directory, and so does a program that
/// [`Isolated::share_with`] was called for; children should end before the guard does.
///
/// # Panics
///
/// When the same thread isolates twice, or when the directory for temporary files cannot be written.
///
/// # Examples
///
/// ```
/// use forkmeter::{Counter, Declare, Lazy, assert_sample, testing};
///
/// static VISITS: Lazy<Counter> = Lazy::new(|| Counter::builder("visits", "").declare());
///
/// for _ in 0..3 {
///     let metrics = testing::isolate();
///     VISITS.inc();
///     assert_sample!(metrics, "visits_total", 1.0);
/// }
/// ```
#[track_caller]
pub fn isolate() -> Isolated {
    let turn = Turn::take();
    let root = temporary_directory();
    if directory().is_none() {
        // The first directory is given what memory holds; the next one starts from zero.
        share_isolated(Some(root.path.join("before")));
    }
    let shared = root.path.join("test");
    share_isolated(Some(shared.clone()));
    Isolated {
        directory: root,
        shared,
        _turn: turn,
    }
}

impl Isolated {
    /// Returns the directory in which the default registry shares its values meanwhile.
    pub fn directory(&self) -> &Path {
        &self.shared
    }

    /// Returns the default registry.
    pub fn registry(&self) -> &'static Registry {
        default_registry()
    }

    /// Makes a program that the test starts count in this directory, by its environment.
    pub fn share_with<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env(VARIABLE, self.directory())
    }
}

impl Gather for Isolated {
    fn gather(&self) -> Collected {
        default_registry().gather()
    }
}

impl Drop for Isolated {
    fn drop(&mut self) {
        // A forked child goes on counting where its parent looks.
        if self.directory.is_own() {
            share_isolated(None);
        }
    }
}
