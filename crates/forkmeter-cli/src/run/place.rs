//! The directory that a command counts in, and the private directory of a run.
//!
//! A private directory holds `metrics`, in which the command counts unless it was told another place, and
//! `python`, which is on its module path. A lock on it, which the kernel frees however its holder ends, says that
//! its run is alive; the next run of the same user removes what nobody holds.

use std::fmt::Display;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, process};

use forkmeter_shm::workers;
use nix::fcntl::{Flock, FlockArg};
use nix::libc;
use nix::unistd::geteuid;

use super::environment::SITECUSTOMIZE;
use crate::error::Error;

const PREFIX: &str = "forkmeter-run-";
const METRICS: &str = "metrics";
const PYTHON: &str = "python";

/// How long to wait at the end for workers that are still there, and how often to look.
const WORKERS_TIMEOUT: Duration = Duration::from_secs(2);
const WORKERS_PAUSE: Duration = Duration::from_millis(20);
/// How often to try to remove a directory that somebody is writing into.
const REMOVALS: usize = 5;
/// How often another run may remove a directory before it is locked.
const ATTEMPTS: usize = 100;

/// Names the directories of one run; its private directory is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    metrics: PathBuf,
    python: PathBuf,
    private: Option<Private>,
}

/// Is a private directory that this process holds.
#[derive(Debug)]
struct Private {
    root: PathBuf,
    /// Held until the directory is gone.
    _lock: Flock<File>,
}

impl Place {
    /// Makes a private directory. The command counts in it, or in `directory`, which is made where it is missing
    /// and never removed.
    ///
    /// # Errors
    ///
    /// Fails when `directory` is none and cannot be made, or no place for the private directory can be written.
    pub(crate) fn make(directory: Option<&Path>) -> Result<Self, Error> {
        let given = directory.map(absolute_directory).transpose()?;
        let mut failures = Vec::new();
        for base in bases() {
            match Private::make(&base) {
                Ok(private) => {
                    return Ok(Self {
                        metrics: given.unwrap_or_else(|| private.root.join(METRICS)),
                        python: private.root.join(PYTHON),
                        private: Some(private),
                    });
                }
                Err(source) => failures.push(format!("{}: {source}", base.display())),
            }
        }
        Err(Error::NoPlace {
            tried: failures.join("; "),
        })
    }

    /// Returns where the command counts.
    pub(crate) fn metrics(&self) -> &Path {
        &self.metrics
    }

    /// Returns what belongs on the command's Python path.
    pub(crate) fn python(&self) -> &Path {
        &self.python
    }

    /// Removes the private directory, and says what is in the way where it must stay.
    ///
    /// Workers that outlive their command keep it: they count in it, and the next run removes it.
    pub(crate) fn leave(mut self) -> Option<String> {
        let private = self.private.take()?;
        let started = Instant::now();
        while has_live_workers(&private.root) {
            if started.elapsed() > WORKERS_TIMEOUT {
                return Some(format!(
                    "processes of the command are still running, so {} stays (the next 'forkmeter run' removes \
                     it once they have ended)",
                    private.root.display()
                ));
            }
            thread::sleep(WORKERS_PAUSE);
        }
        let failed = remove(&private.root).err()?;
        Some(stays(&private.root, &failed))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(private) = &self.private {
            // An error is on its way that matters more; the next run tries again.
            let _ = remove(&private.root);
        }
    }
}

fn stays(root: &Path, cause: &dyn Display) -> String {
    format!("cannot remove {}: {cause}", root.display())
}

impl Private {
    fn make(base: &Path) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let number = RandomState::new().hash_one(process::id());
            let root = base.join(format!("{PREFIX}{}-{number:016x}", process::id()));
            match DirBuilder::new().mode(0o700).create(&root) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            }
            // Another run may find the directory before it is locked, and remove it.
            if let Some(private) = Self::hold(&root)? {
                return match private.fill() {
                    Ok(()) => Ok(private),
                    Err(error) => {
                        let _ = remove(&private.root);
                        Err(error)
                    }
                };
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Locks a new directory; nothing where it is gone.
    fn hold(root: &Path) -> io::Result<Option<Self>> {
        let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let opened = match open_directory(root) {
            Ok(opened) => opened,
            Err(error) if gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let lock = match Flock::lock(opened, FlockArg::LockExclusive) {
            Ok(lock) => lock,
            Err((_, error)) => {
                let _ = remove(root);
                return Err(error.into());
            }
        };
        match fs::symlink_metadata(root) {
            Ok(found) if found.ino() == lock.metadata()?.ino() => Ok(Some(Self {
                root: root.to_owned(),
                _lock: lock,
            })),
            Ok(_) => Ok(None),
            Err(error) if gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes what the command needs. Metrics are for this user alone; the module is for the users that the command
    /// may turn into as well.
    fn fill(&self) -> io::Result<()> {
        DirBuilder::new()
            .mode(0o700)
            .create(self.root.join(METRICS))?;
        let python = self.root.join(PYTHON);
        DirBuilder::new().mode(0o755).create(&python)?;
        let module = python.join("sitecustomize.py");
        fs::write(&module, SITECUSTOMIZE)?;
        // Whatever the mask of this process takes away.
        fs::set_permissions(&module, Permissions::from_mode(0o644))?;
        fs::set_permissions(&python, Permissions::from_mode(0o755))?;
        fs::set_permissions(&self.root, Permissions::from_mode(0o755))
    }
}

/// Removes the private directories of this user whose run has ended, and whose workers have too.
///
/// Nothing is said of failures: somebody else may be removing the same.
pub(crate) fn remove_stale() {
    for base in bases() {
        for entry in fs::read_dir(base).into_iter().flatten().flatten() {
            if entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(PREFIX.as_bytes())
            {
                let _ = remove_if_stale(&entry.path());
            }
        }
    }
}

fn remove_if_stale(root: &Path) -> io::Result<()> {
    let opened = open_directory(root)?;
    if opened.metadata()?.uid() != geteuid().as_raw() {
        return Ok(());
    }
    let Ok(_lock) = Flock::lock(opened, FlockArg::LockExclusiveNonblock) else {
        return Ok(());
    };
    if has_live_workers(root) {
        return Ok(());
    }
    remove(root)
}

/// Tells whether anybody counts in a private directory. What cannot be known is taken for no.
fn has_live_workers(root: &Path) -> bool {
    workers::observe(&root.join(METRICS))
        .is_ok_and(|observed| observed.records.iter().any(|worker| worker.alive))
}

/// Removes a directory, also where a process that is about to end still writes into it.
fn remove(root: &Path) -> io::Result<()> {
    for _ in 1..REMOVALS {
        match fs::remove_dir_all(root) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                thread::sleep(WORKERS_PAUSE);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            result => return result,
        }
    }
    fs::remove_dir_all(root)
}

/// Opens a directory that is no symbolic link: others may write where ours stands.
fn open_directory(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(path)
}

/// Returns where a private directory may stand, the best place first: in memory, then for this user, then
/// anywhere.
fn bases() -> Vec<PathBuf> {
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let mut bases = vec![PathBuf::from("/dev/shm")];
    bases.extend(runtime.filter(|path| path.is_absolute()));
    bases.push(env::temp_dir());
    bases
}

/// Makes the directory that the user named where it is missing, and returns its absolute path: the command may
/// work elsewhere.
fn absolute_directory(path: &Path) -> Result<PathBuf, Error> {
    let made = fs::create_dir_all(path).and_then(|()| std::path::absolute(path));
    made.map_err(|source| Error::MakeDirectory {
        path: path.to_owned(),
        source: match source.kind() {
            // Something that is no directory.
            io::ErrorKind::AlreadyExists => io::ErrorKind::NotADirectory.into(),
            _ => source,
        },
    })
}
