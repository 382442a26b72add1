//! `forkmeter gc`: folds the files that dead processes of the official client left.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use forkmeter_shm::leftovers::{self, Options, Outcome, Progress, Reason};
use serde::Serialize;

use crate::error::{self, Error, check_directory};
use crate::escape::Terminal;
use crate::{output, units};

/// Fold the files that dead workers of the official Python client left.
///
/// The official client writes files for every process and never removes them. This folds those of processes that are
/// no more into one per kind: counters, histograms and summaries are added up, gauges merged by their mode. Gauges of
/// the live modes are removed, as mark_process_dead() does; of mode all the newest 64 files stay. Files of forkmeter
/// need none of this and stay as they are.
///
/// It can run beside the application and be killed at any moment; the next run goes on where it was. What forkmeter
/// exposes is the same at all times. The official client's collector sees the same before and after: for some
/// milliseconds at a time it misses the files that are being folded, and where gc was killed then, until the next run.
///
/// A file is folded only when its name ends with a process id, no process here has that id, it was not written to for
/// --min-age, it belongs to the user who runs gc, and the kernel says that no process, in this container or another
/// one, has it open for writing. Everything else is left alone.
#[expect(clippy::doc_markdown, reason = "this is the help text")]
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The directories that workers count in (their PROMETHEUS_MULTIPROC_DIR)
    #[arg(value_name = "DIR", required = true)]
    directories: Vec<PathBuf>,

    /// Show what would be folded and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Fold only files that were not written to for this long, for example 10m
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = units::parse_time)]
    min_age: Duration,

    /// Go by process ids and ages alone where the kernel cannot say who uses a file, as on network file systems: only
    /// while no process on another machine or in another container uses the directory
    #[arg(long)]
    force: bool,

    /// Print a summary, or the same data as one JSON object
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  forkmeter gc /run/app                         Fold what dead workers left
  forkmeter gc /run/app --dry-run               Show what would be folded
  forkmeter gc /run/app --output json | jq '.directories[].kept'
  sudo -u www-data forkmeter gc /run/app        As the user that the application runs as
  forkmeter serve /run/app --gc.interval 10m    Fold again and again while exporting";

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// Some lines for a person
    Text,
    /// One JSON object
    Json,
}

/// Folds one directory after the other, and fails in the end where any of them failed.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let options = Options {
        min_age: args.min_age,
        force: args.force,
        dry_run: args.dry_run,
    };
    let mut report = Report {
        dry_run: args.dry_run,
        directories: Vec::new(),
    };
    let mut failed = None;
    for path in &args.directories {
        match fold(path, &options) {
            Ok(outcome) => report.directories.push(Done::new(path, &outcome)),
            Err(error) => {
                if let Some(before) = failed.replace(error) {
                    error::print(&before);
                }
            }
        }
    }
    let text = match args.output {
        Output::Text => report.text(),
        Output::Json => output::json(&report)?,
    };
    output::print(text.as_bytes())?;
    failed.map_or(Ok(()), Err)
}

fn fold(path: &Path, options: &Options) -> Result<Outcome, Error> {
    check_directory(path)?;
    let mut line = Line::new(path);
    let outcome = leftovers::fold(path, options, &mut |progress| line.show(progress));
    line.clear();
    let outcome = outcome.map_err(|source| Error::Fold {
        path: path.to_owned(),
        source,
    })?;
    for kept in outcome.kept.iter().filter(|kept| !kept.cause.is_empty()) {
        error::warn(&format!(
            "{} is left alone: {}",
            kept.path.display(),
            kept.cause
        ));
    }
    Ok(outcome)
}

/// Is the line on a terminal that says how far a fold is.
struct Line {
    directory: String,
    is_shown: bool,
    is_terminal: bool,
    shown_at: Option<Instant>,
}

/// How often the line changes at most.
const LINE_INTERVAL: Duration = Duration::from_millis(100);

impl Line {
    fn new(path: &Path) -> Self {
        Self {
            directory: path.display().to_string(),
            is_shown: false,
            is_terminal: io::stderr().is_terminal(),
            shown_at: None,
        }
    }

    fn show(&mut self, progress: Progress) {
        let is_due = self.shown_at.is_none_or(|at| at.elapsed() >= LINE_INTERVAL);
        if !self.is_terminal || !is_due {
            return;
        }
        let done = units::count(progress.done as u64);
        let files = units::count(progress.files as u64);
        let text = format!(
            "\r\x1b[K{}: {done} of {files} files",
            Terminal(&self.directory)
        );
        // It is for a person who looks; nothing depends on it.
        let _ = io::stderr().lock().write_all(text.as_bytes());
        (self.is_shown, self.shown_at) = (true, Some(Instant::now()));
    }

    fn clear(&mut self) {
        if self.is_shown {
            // As above.
            let _ = io::stderr().lock().write_all(b"\r\x1b[K");
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    dry_run: bool,
    directories: Vec<Done>,
}

/// Says what was done in one directory.
#[derive(Debug, Serialize)]
struct Done {
    directory: String,
    files_before: usize,
    files_after: usize,
    size_before_bytes: u64,
    size_after_bytes: u64,
    processes: usize,
    folded_files: usize,
    removed_files: usize,
    kept: Vec<Kept>,
}

#[derive(Debug, Serialize)]
struct Kept {
    name: String,
    reason: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    cause: String,
}

impl Done {
    fn new(path: &Path, outcome: &Outcome) -> Self {
        let kept = outcome.kept.iter().map(|kept| Kept {
            name: kept
                .path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            reason: kept.reason.as_str(),
            cause: kept.cause.clone(),
        });
        Self {
            directory: path.display().to_string(),
            files_before: outcome.files_before,
            files_after: outcome.files_after,
            size_before_bytes: outcome.bytes_before,
            size_after_bytes: outcome.bytes_after,
            processes: outcome.processes,
            folded_files: outcome.folded,
            removed_files: outcome.removed,
            kept: kept.collect(),
        }
    }
}

impl Report {
    fn text(&self) -> String {
        self.directories
            .iter()
            .map(|one| one.text(self.dry_run))
            .collect()
    }
}

impl Done {
    fn text(&self, is_dry: bool) -> String {
        let count = |number: usize| units::count(number as u64);
        let mut lines = vec![Terminal(&self.directory).to_string()];
        let mut line = |name: &str, value: String| lines.push(format!("  {name:<9} {value}"));
        let size = units::bytes(self.size_before_bytes);
        if is_dry {
            line(
                "files",
                format!("{}, {size} on disk", count(self.files_before)),
            );
        } else {
            let after = units::bytes(self.size_after_bytes);
            let (before_files, files) = (count(self.files_before), count(self.files_after));
            line(
                "files",
                format!("{before_files}, {size} before; {files}, {after} after"),
            );
        }
        let dead = format!("of {} dead processes", count(self.processes));
        let verbs = if is_dry {
            ("to fold", "to remove")
        } else {
            ("folded", "removed")
        };
        line(
            verbs.0,
            format!("{} files {dead}", count(self.folded_files)),
        );
        line(
            verbs.1,
            format!("{} files of their live gauges", count(self.removed_files)),
        );
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for kept in &self.kept {
            *reasons.entry(kept.reason).or_default() += 1;
        }
        let reasons = reasons
            .iter()
            .map(|(reason, files)| format!("{} {}", count(*files), words(reason)));
        let reasons = reasons.collect::<Vec<_>>().join(", ");
        let between = if reasons.is_empty() { "" } else { ": " };
        line(
            "left",
            format!("{} files{between}{reasons}", count(self.kept.len())),
        );
        if !is_dry {
            let freed = self.size_before_bytes.saturating_sub(self.size_after_bytes);
            line("freed", units::bytes(freed));
        }
        lines.join("\n") + "\n"
    }
}

/// Says a reason as a person would.
fn words(reason: &str) -> &'static str {
    const WORDS: [(Reason, &str); 8] = [
        (Reason::Alive, "whose process lives"),
        (Reason::InUse, "in use"),
        (Reason::Recent, "written to lately"),
        (Reason::AllMode, "of the newest gauges of mode all"),
        (Reason::NoProcess, "not named after a process id"),
        (Reason::OtherUser, "of other users"),
        (Reason::Unsure, "that may be in use"),
        (Reason::Bad, "damaged"),
    ];
    let found = WORDS.iter().find(|(known, _)| known.as_str() == reason);
    found.map_or("for other reasons", |(_, words)| words)
}
