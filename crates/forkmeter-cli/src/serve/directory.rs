//! One directory that is read again and again, and what the log says of it.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use forkmeter_core::LabelSet;
use forkmeter_shm::published;
use forkmeter_shm::reader::{DirectoryReader, FileState, Report, Snapshot};

use super::Target;
use crate::log::{Level, Logger};
use crate::overview::kept_series;

/// Reads one directory and reports what changed since the last read.
#[derive(Debug)]
pub(crate) struct Directory {
    target: Target,
    reader: DirectoryReader,
    watch: Watch,
}

/// Holds what one read of one directory gave.
#[derive(Debug)]
pub(crate) struct DirectoryRead {
    /// The path, as it is shown and as it stands in labels.
    pub(crate) name: String,
    /// The labels that its series get.
    pub(crate) labels: LabelSet,
    /// Why it cannot be listed, where it cannot.
    pub(crate) trouble: Option<String>,
    /// What was read.
    pub(crate) snapshot: Snapshot,
    /// How long that took.
    pub(crate) took: Duration,
}

impl Directory {
    pub(crate) fn new(target: Target) -> Self {
        let reader = DirectoryReader::new(&target.path).with_mapped_files(true);
        Self {
            target,
            reader,
            watch: Watch::default(),
        }
    }

    /// Forgets what the reader kept between reads.
    pub(crate) fn reset(&mut self) {
        self.reader = DirectoryReader::new(&self.target.path).with_mapped_files(true);
    }

    /// Reads the directory as it is now, and logs what is new.
    pub(crate) fn read(&mut self, log: Logger) -> DirectoryRead {
        let started = Instant::now();
        let trouble = std::fs::read_dir(&self.target.path)
            .err()
            .map(|error| match error.kind() {
                ErrorKind::NotFound => "it does not exist yet".to_owned(),
                _ => error.to_string(),
            });
        let mut snapshot = self.reader.read();
        published::add_to(&mut snapshot, &self.target.path);
        let took = started.elapsed();
        self.watch
            .look(&self.target.path, trouble.as_deref(), &snapshot.report, log);
        DirectoryRead {
            name: self.target.path.to_string_lossy().into_owned(),
            labels: self.target.labels.clone(),
            trouble,
            snapshot,
            took,
        }
    }
}

/// Remembers what was logged, so that each thing is said once until it changes.
#[derive(Debug, Default)]
struct Watch {
    trouble: Option<String>,
    bad_files: HashMap<PathBuf, FileState>,
    keeping: bool,
    lost_series: u64,
}

/// The lines on files that one read may log; the others are counted in one more line and come next time.
const MOST_LINES: usize = 100;

impl Watch {
    fn look(&mut self, path: &Path, trouble: Option<&str>, report: &Report, log: Logger) {
        let path = path.display();
        if trouble != self.trouble.as_deref() {
            match trouble {
                Some(cause) => log.warn(
                    "directory cannot be read",
                    &[("directory", &path), ("cause", &cause)],
                ),
                None => log.info("directory can be read again", &[("directory", &path)]),
            }
            self.trouble = trouble.map(str::to_owned);
        }
        self.look_at_files(report, log);
        let kept = kept_series(&report.workers);
        if (kept > 0) != self.keeping {
            self.keeping = kept > 0;
            if self.keeping {
                log.warn(
                    "workers keep series in memory that they cannot write: is the disk full?",
                    &[("directory", &path), ("series", &kept)],
                );
            } else {
                log.info(
                    "workers keep no series in memory any more",
                    &[("directory", &path)],
                );
            }
        }
        if report.lost_series > self.lost_series {
            log.warn(
                "workers died with series that they could not write",
                &[
                    ("directory", &path),
                    ("series", &(report.lost_series - self.lost_series)),
                ],
            );
        }
        self.lost_series = report.lost_series;
    }

    fn look_at_files(&mut self, report: &Report, log: Logger) {
        let mut seen = HashMap::with_capacity(self.bad_files.len());
        let (mut lines, mut left_out) = (0, 0_usize);
        for file in &report.files {
            let known = self.bad_files.get(&file.path).copied();
            let now = Some(file.state).filter(|state| *state != FileState::Ok);
            if now == known {
                seen.extend(now.map(|state| (file.path.clone(), state)));
                continue;
            }
            if lines == MOST_LINES {
                left_out += 1;
                seen.extend(known.map(|state| (file.path.clone(), state)));
                continue;
            }
            lines += 1;
            let path = file.path.display();
            if now.is_none() {
                log.info("file is read in full again", &[("path", &path)]);
                continue;
            }
            // A file that is new or just went away is no fault of anybody.
            let (level, message) = match file.state {
                FileState::Empty => (Level::Info, "file holds nothing yet"),
                FileState::Vanished => (Level::Info, "file went away while it was read"),
                FileState::Truncated | FileState::Corrupt => {
                    (Level::Warn, "file is read in part only")
                }
                _ => (Level::Warn, "file is skipped"),
            };
            let state = file.state.as_str();
            log.write(
                level,
                message,
                &[("path", &path), ("state", &state), ("cause", &file.cause)],
            );
            seen.insert(file.path.clone(), file.state);
        }
        if left_out > 0 {
            log.warn("more files changed their state", &[("files", &left_out)]);
        }
        self.bad_files = seen;
    }
}
