//! Reads all directories for everybody who asks, once for all who wait.

use std::collections::HashSet;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use axum::body::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use forkmeter_core::MetricFamily;
use forkmeter_core::encode::Format;
use tokio::sync::oneshot;

use super::directory::{Directory, DirectoryRead};
use super::union::{Conflict, Source, union};
use super::{Target, self_metrics};
use crate::error::Error;
use crate::exposition;
use crate::log::Logger;

/// How long those wait who leave the directories to reads, and how often.
const WAIT: Duration = Duration::from_millis(10);
const MAX_WAITS: usize = 500;

/// Holds what one read of all directories gave.
#[derive(Debug)]
pub(crate) struct Scrape {
    /// The directories, in the order of the command line; their families have moved to `families`.
    pub(crate) directories: Vec<DirectoryRead>,
    /// The families of all directories, then the exporter's own.
    pub(crate) families: Vec<Arc<MetricFamily>>,
    /// How many of `families` come from directories.
    pub(crate) merged_families: usize,
    /// What was left out because directories contradict each other.
    pub(crate) conflicts: Vec<Conflict>,
    /// When it was finished.
    pub(crate) time: SystemTime,
    /// How long it took.
    pub(crate) took: Duration,
    log: Logger,
    left_out: Arc<Mutex<Option<String>>>,
    rendered: Mutex<Vec<Rendered>>,
}

#[derive(Debug)]
struct Rendered {
    format: Format,
    gzip: bool,
    body: Bytes,
}

impl Scrape {
    /// Returns the exposition in `format`; several callers get the same bytes, which are made once.
    pub(crate) fn render(&self, format: Format, gzip: bool) -> Result<Bytes, Error> {
        // Held while encoding: others who want the same had better wait than do it again.
        let mut rendered = lock(&self.rendered);
        let known = |gzip| move |r: &&Rendered| r.format == format && r.gzip == gzip;
        if let Some(rendered) = rendered.iter().find(known(gzip)) {
            return Ok(rendered.body.clone());
        }
        let plain = match rendered.iter().find(known(false)) {
            Some(rendered) => rendered.body.clone(),
            None => self.encode(format),
        };
        let body = if gzip {
            Bytes::from(compress(&plain)?)
        } else {
            plain
        };
        rendered.push(Rendered {
            format,
            gzip,
            body: body.clone(),
        });
        Ok(body)
    }

    /// Encodes, and logs what the format has no place for unless that was the last thing logged.
    fn encode(&self, format: Format) -> Bytes {
        let exposition = exposition::encode(&self.families, format);
        if let Some(error) = exposition.left_out {
            let cause = error.to_string();
            let mut logged = lock(&self.left_out);
            if logged.as_deref() != Some(&*cause) {
                self.log
                    .warn("part of an exposition is left out", &[("cause", &cause)]);
                *logged = Some(cause);
            }
        }
        Bytes::from(exposition.bytes)
    }
}

fn compress(plain: &[u8]) -> Result<Vec<u8>, Error> {
    let failed = |source: io::Error| Error::System {
        what: "compress the answer",
        source,
    };
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 8), Compression::fast());
    encoder.write_all(plain).map_err(failed)?;
    encoder.finish().map_err(failed)
}

/// Coalesces requests: one read serves everybody who asked before it started.
#[derive(Clone, Debug)]
pub(crate) struct Scraper {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    log: Logger,
    queue: Mutex<Queue>,
    directories: Mutex<Directories>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<oneshot::Sender<Arc<Scrape>>>,
    running: bool,
}

#[derive(Debug)]
struct Directories {
    list: Vec<Directory>,
    /// The conflicts that were logged.
    logged: HashSet<Conflict>,
    /// What an encoder left out and was logged.
    left_out: Arc<Mutex<Option<String>>>,
}

impl Scraper {
    pub(crate) fn new(targets: Vec<Target>, log: Logger) -> Self {
        let list = targets.into_iter().map(Directory::new).collect();
        let directories = Mutex::new(Directories {
            list,
            logged: HashSet::new(),
            left_out: Arc::default(),
        });
        Self {
            shared: Arc::new(Shared {
                log,
                queue: Mutex::default(),
                directories,
            }),
        }
    }

    /// Reads all directories as they are at some moment after the call.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] where reading came to no end, which is a defect.
    pub(crate) async fn scrape(&self) -> Result<Arc<Scrape>, Error> {
        let (sender, receiver) = oneshot::channel();
        let start = {
            let mut queue = lock(&self.shared.queue);
            queue.waiting.push(sender);
            !std::mem::replace(&mut queue.running, true)
        };
        if start {
            let shared = Arc::clone(&self.shared);
            tokio::task::spawn_blocking(move || shared.work());
        }
        receiver.await.map_err(|_| Error::Read)
    }

    /// Waits while the directories are read, though not for long where reads follow each other without a break.
    pub(crate) fn leave_to_reads(&self) {
        for _ in 0..MAX_WAITS {
            if !matches!(
                self.shared.directories.try_lock(),
                Err(TryLockError::WouldBlock)
            ) {
                break;
            }
            thread::sleep(WAIT);
        }
    }
}

impl Shared {
    /// Reads as long as somebody waits.
    fn work(&self) {
        loop {
            let waiting = {
                let mut queue = lock(&self.queue);
                queue.waiting.retain(|waiter| !waiter.is_closed());
                queue.running = !queue.waiting.is_empty();
                std::mem::take(&mut queue.waiting)
            };
            if waiting.is_empty() {
                return;
            }
            let mut directories = lock(&self.directories);
            let read = catch_unwind(AssertUnwindSafe(|| directories.read(self.log)));
            if let Ok(scrape) = read {
                let scrape = Arc::new(scrape);
                for waiter in waiting {
                    // Who gave up meanwhile does not matter.
                    let _ = waiter.send(Arc::clone(&scrape));
                }
            } else {
                // A defect: the waiters get an error, and the next read starts from nothing.
                self.log.error("reading panicked; please report this", &[]);
                directories.list.iter_mut().for_each(Directory::reset);
            }
        }
    }
}

impl Directories {
    fn read(&mut self, log: Logger) -> Scrape {
        let started = Instant::now();
        let mut directories: Vec<DirectoryRead> = self
            .list
            .iter_mut()
            .map(|directory| directory.read(log))
            .collect();
        let sources = directories.iter_mut().map(|directory| Source {
            labels: directory.labels.clone(),
            families: std::mem::take(&mut directory.snapshot.families),
        });
        let (mut families, conflicts) = union(sources.collect(), self_metrics::is_reserved);
        let merged_families = families.len();
        self.log_conflicts(&directories, &conflicts, log);
        self_metrics::append(&mut families, &directories, &conflicts);
        Scrape {
            directories,
            families,
            merged_families,
            conflicts,
            time: SystemTime::now(),
            took: started.elapsed(),
            log,
            left_out: Arc::clone(&self.left_out),
            rendered: Mutex::default(),
        }
    }

    /// Logs every conflict that the last read did not have.
    fn log_conflicts(
        &mut self,
        directories: &[DirectoryRead],
        conflicts: &[Conflict],
        log: Logger,
    ) {
        // How many samples are concerned changes with every new series.
        let key = |conflict: &Conflict| Conflict {
            samples: 0,
            ..conflict.clone()
        };
        for conflict in conflicts
            .iter()
            .filter(|conflict| !self.logged.contains(&key(conflict)))
        {
            log.warn(
                "part of a family is left out",
                &[
                    ("directory", &directories[conflict.source].name),
                    ("family", &conflict.family),
                    ("reason", &conflict.reason.as_str()),
                    ("samples", &conflict.samples),
                ],
            );
        }
        self.logged = conflicts.iter().map(key).collect();
    }
}

/// Locks; what a panic left is fine, since no panic can happen halfway through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log;

    #[test]
    fn whoever_leaves_the_directories_to_a_read_waits_for_its_end() {
        let scraper = Scraper::new(Vec::new(), Logger::new(log::Format::Text));
        scraper.leave_to_reads();
        let taken = lock(&scraper.shared.directories);
        let waiting = thread::spawn({
            let scraper = scraper.clone();
            move || scraper.leave_to_reads()
        });
        thread::sleep(10 * WAIT);
        assert!(!waiting.is_finished());
        drop(taken);
        waiting.join().unwrap();
    }

    #[test]
    fn whoever_asks_during_a_read_shares_the_next_one() {
        let scraper = Scraper::new(Vec::new(), Logger::new(log::Format::Text));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let ask = || {
            let scraper = scraper.clone();
            runtime.spawn(async move { scraper.scrape().await.unwrap() })
        };
        let until_waiting = |count| {
            while lock(&scraper.shared.queue).waiting.len() != count {
                runtime.block_on(tokio::task::yield_now());
            }
        };
        // While the directories are taken, no read can end.
        let taken = lock(&scraper.shared.directories);
        let first = ask();
        while !lock(&scraper.shared.queue).running {
            runtime.block_on(tokio::task::yield_now());
        }
        until_waiting(0);
        let later: Vec<_> = (0..9).map(|_| ask()).collect();
        until_waiting(9);
        drop(taken);
        let first = runtime.block_on(first).unwrap();
        let later: Vec<_> = later
            .into_iter()
            .map(|ask| runtime.block_on(ask).unwrap())
            .collect();
        assert!(later.iter().all(|scrape| Arc::ptr_eq(scrape, &later[0])));
        assert!(!Arc::ptr_eq(&first, &later[0]));
        // What was asked for after a read started is never served by it.
        let after = runtime.block_on(ask()).unwrap();
        assert!(!Arc::ptr_eq(&after, &later[0]));
    }

    #[test]
    fn an_exposition_is_made_once_per_format() {
        let scraper = Scraper::new(Vec::new(), Logger::new(log::Format::Text));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let scrape = runtime.block_on(scraper.scrape()).unwrap();
        let plain = scrape.render(Format::Text004, false).unwrap();
        let gzip = scrape.render(Format::Text004, true).unwrap();
        assert_eq!(gzip[..2], [0x1f, 0x8b]);
        let again = scrape.render(Format::Text004, false).unwrap();
        assert_eq!(plain.as_ptr(), again.as_ptr());
    }
}
