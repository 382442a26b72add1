//! What several tests need: descriptors, stores in folders, and real child processes.
#![expect(unsafe_code, reason = "tests fork, as prefork servers do")]

use std::path::Path;
use std::sync::Arc;

use forkmeter_core::store::Store;
use forkmeter_core::{Descriptor, MetricType, MultiprocessMode};
use forkmeter_shm::{Directory, Options, ShmStore};

/// Makes a store in a directory.
pub(crate) fn store_in(directory: &Path) -> ShmStore {
    ShmStore::new(Options::new(Directory::Fixed(directory.to_owned())))
}

/// Makes a descriptor with the label `l`.
pub(crate) fn descriptor(kind: MetricType, name: &str) -> Arc<Descriptor> {
    gauge(kind, name, MultiprocessMode::All)
}

/// Makes a descriptor with a multiprocess mode.
pub(crate) fn gauge(kind: MetricType, name: &str, mode: MultiprocessMode) -> Arc<Descriptor> {
    let is_histogram = kind == MetricType::Histogram;
    Arc::new(Descriptor {
        name: name.into(),
        help: "Help.".into(),
        unit: "".into(),
        kind,
        label_names: Box::new(["l".into()]),
        mode,
        upper_bounds: if is_histogram {
            Box::new([1.0, f64::INFINITY])
        } else {
            Box::new([])
        },
        states: Box::new([]),
    })
}

/// Returns the value of the sample with this name and label value, as a collection shows it.
pub(crate) fn value(store: &ShmStore, sample: &str, label: &str) -> Option<f64> {
    let collected = store.collect();
    assert_eq!(collected.errors, Vec::<String>::new());
    let mut samples = collected.families.iter().flat_map(|family| &family.samples);
    let found = samples.find(|s| &*s.name == sample && s.labels.get("l") == Some(label))?;
    Some(found.value)
}

/// Forks; the child runs `work` and ends without running anything of the parent's.
pub(crate) fn fork(work: impl FnOnce()) -> Child {
    // SAFETY: the child calls only code that is safe after a fork (our own, and an allocator whose C library
    // re-makes its locks), and ends by `_exit`.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            // SAFETY: ends this process only.
            unsafe { libc::_exit(i32::from(done.is_err())) }
        }
        pid => Child(pid),
    }
}

/// Is a forked child.
#[derive(Debug)]
pub(crate) struct Child(libc::pid_t);

impl Child {
    /// Returns the process id.
    pub(crate) fn pid(&self) -> libc::pid_t {
        self.0
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: the child was not waited for yet, so the id is still its own.
        assert_eq!(unsafe { libc::kill(self.0, signal) }, 0);
    }

    /// Waits until the child ends and returns its raw status.
    pub(crate) fn wait(self) -> i32 {
        let mut status = 0;
        // SAFETY: `status` outlives the call.
        assert_eq!(unsafe { libc::waitpid(self.0, &raw mut status, 0) }, self.0);
        status
    }

    /// Returns the raw status of a child that has ended; then it must not be used any more.
    pub(crate) fn try_wait(&self) -> Option<i32> {
        let mut status = 0;
        // SAFETY: `status` outlives the call.
        let ended = unsafe { libc::waitpid(self.0, &raw mut status, libc::WNOHANG) };
        assert!(ended >= 0, "{}", std::io::Error::last_os_error());
        (ended == self.0).then_some(status)
    }

    /// Kills the child and waits until it is gone.
    pub(crate) fn kill(self) {
        self.signal(libc::SIGKILL);
        self.wait();
    }
}

/// Ends this process by a signal unless it ends before.
pub(crate) fn end_after_seconds(seconds: u32) {
    // SAFETY: sets a timer of this process.
    unsafe { libc::alarm(seconds) };
}

/// Closes files behind the back of whoever opened them.
pub(crate) fn close_files(numbers: &[i32]) {
    for number in numbers {
        // SAFETY: a number that is not open is an error and nothing else; tests of this are in a child alone.
        unsafe { libc::close(*number) };
    }
}
