//! Folds what dead workers of the official client leave, again and again, where that was asked for.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use forkmeter_shm::leftovers::{self, Options};

use super::Config;
use super::scrape::Scraper;
use crate::error::Error;
use crate::log::Logger;

/// Starts a thread that folds the left-over files of all directories, now and in every interval.
///
/// It ends with the process: a fold may be cut off at any moment. No batch of files is begun while `scraper` reads,
/// which would have to begin anew.
///
/// # Errors
///
/// Fails when there is no thread to be had.
pub(crate) fn start(config: &Config, scraper: &Scraper, log: Logger) -> Result<(), Error> {
    let Some(interval) = config.gc_interval else {
        return Ok(());
    };
    let options = Options {
        min_age: config.gc_min_age,
        ..Options::default()
    };
    let targets = config.targets.iter().map(|target| target.path.clone());
    let mut directories: Vec<Directory> = targets.map(Directory::new).collect();
    let scraper = scraper.clone();
    let work = move || {
        loop {
            for directory in &mut directories {
                directory.fold(&options, &scraper, log);
            }
            thread::sleep(interval);
        }
    };
    let spawned = thread::Builder::new().name("gc".to_owned()).spawn(work);
    spawned.map(drop).map_err(|source| Error::System {
        what: "start folding left-over files",
        source,
    })
}

/// Remembers what was logged, so that each trouble is said once until it changes.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    trouble: Option<String>,
}

impl Directory {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            trouble: None,
        }
    }

    fn fold(&mut self, options: &Options, scraper: &Scraper, log: Logger) {
        let trouble = match fold(&self.path, options, scraper, log) {
            // It need not exist yet.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Some(error.to_string()),
            _ => None,
        };
        if let Some(cause) = trouble.as_ref().filter(|_| trouble != self.trouble) {
            log.warn(
                "left-over files cannot be folded",
                &[("directory", &self.path.display()), ("cause", cause)],
            );
        }
        self.trouble = trouble;
    }
}

fn fold(path: &Path, options: &Options, scraper: &Scraper, log: Logger) -> io::Result<()> {
    let outcome = leftovers::fold(path, options, &mut |_| scraper.leave_to_reads())?;
    if outcome.folded + outcome.removed > 0 {
        let freed = outcome.bytes_before.saturating_sub(outcome.bytes_after);
        log.info(
            "folded the files of dead processes",
            &[
                ("directory", &path.display()),
                ("processes", &outcome.processes),
                ("folded", &outcome.folded),
                ("removed", &outcome.removed),
                ("freed_bytes", &freed),
            ],
        );
    }
    Ok(())
}
