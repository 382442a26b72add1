//! `forkmeter inspect`: shows what a directory holds.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use forkmeter_shm::reader::DirectoryReader;

use crate::error::{Error, check_directory};
use crate::escape::Terminal;
use crate::overview::{Overview, Totals};
use crate::table::{self, Column};
use crate::{output, units};

/// Show the files, workers and families of a directory.
#[expect(clippy::doc_markdown, reason = "this is the help text")]
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The directory that the workers count in (their PROMETHEUS_MULTIPROC_DIR)
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Print tables, or the same data as one JSON object
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Output,

    /// Rows to print of each table; 0 for all
    #[arg(long, value_name = "ROWS", default_value_t = 20)]
    limit: usize,
}

const EXAMPLES: &str = "\
Examples:
  forkmeter inspect /run/app                    Bad files, live workers and big families first
  forkmeter inspect /run/app --limit 0          Every row
  forkmeter inspect /run/app --output json | jq '.totals'";

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// Tables for a person
    Text,
    /// One JSON object
    Json,
}

/// Reads the directory once and prints what it holds.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    check_directory(&args.directory)?;
    let started = Instant::now();
    let snapshot = DirectoryReader::new(&args.directory).read();
    let took = started.elapsed();
    let overview = Overview::new(args.directory.display().to_string(), &snapshot, took);
    let text = match args.output {
        Output::Text => {
            let limit = if args.limit == 0 {
                usize::MAX
            } else {
                args.limit
            };
            text(&overview, limit, terminal_width(), SystemTime::now())
        }
        Output::Json => output::json(&overview)?,
    };
    output::print(text.as_bytes())
}

/// Returns the width of the terminal that the output goes to; nothing where it goes elsewhere.
fn terminal_width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    terminal_size::terminal_size().map(|(width, _)| usize::from(width.0).max(40))
}

fn text(overview: &Overview, limit: usize, width: Option<usize>, now: SystemTime) -> String {
    let mut text = format!("{}\n", Terminal(&overview.directory));
    let read = Duration::try_from_secs_f64(overview.read_seconds).unwrap_or_default();
    summary(&mut text, &overview.totals, read);
    files(&mut text, overview, limit, width);
    workers(&mut text, overview, limit, width, now);
    families(&mut text, overview, limit, width);
    text
}

fn summary(text: &mut String, totals: &Totals, read: Duration) {
    let states = totals.files_by_state_text();
    let states = if states.is_empty() {
        states
    } else {
        format!(" ({states})")
    };
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<9} {value}");
    };
    let size = units::bytes(totals.size_bytes);
    line(
        "files",
        format!(
            "{}{states}, {size} on disk",
            units::count(totals.files as u64)
        ),
    );
    let mut workers = format!("{} live, {} dead", totals.live_workers, totals.dead_workers);
    if totals.official_processes > 0 {
        let official = units::count(totals.official_processes as u64);
        let _ = write!(
            workers,
            ", {official} of the official client (which does not say who lives)"
        );
    }
    line("workers", workers);
    line("families", units::count(totals.families as u64));
    line("series", units::count(totals.series as u64));
    if totals.kept_series > 0 {
        let kept = units::count(totals.kept_series);
        line(
            "kept",
            format!("{kept} series in the memory of workers: the directory is full"),
        );
    }
    if totals.lost_series > 0 {
        let lost = units::count(totals.lost_series);
        line(
            "lost",
            format!("{lost} series with workers that died while it was full"),
        );
    }
    line("read in", units::duration(read));
}

fn files(text: &mut String, overview: &Overview, limit: usize, width: Option<usize>) {
    if overview.files.is_empty() {
        return;
    }
    let rows: Vec<[String; 5]> = (overview.files.iter().take(limit))
        .map(|file| {
            [
                file.name.clone(),
                file.state.to_owned(),
                units::bytes(file.size_bytes),
                units::count(file.entries as u64),
                file.cause.clone(),
            ]
        })
        .collect();
    let columns = [
        Column::elastic("FILE"),
        Column::text("STATE"),
        Column::number("SIZE"),
        Column::number("ENTRIES"),
        Column::elastic("CAUSE"),
    ];
    section(
        text,
        &table::format(columns, &rows, width),
        overview.files.len() - rows.len(),
    );
}

fn workers(
    text: &mut String,
    overview: &Overview,
    limit: usize,
    width: Option<usize>,
    now: SystemTime,
) {
    if overview.workers.is_empty() {
        return;
    }
    let rows: Vec<[String; 6]> = (overview.workers.iter().take(limit))
        .map(|worker| {
            [
                worker.tag.clone(),
                worker.pid.to_string(),
                worker.state.to_owned(),
                units::timestamp(worker.started_seconds),
                units::age(worker.started_seconds, now),
                units::count(worker.kept_series),
            ]
        })
        .collect();
    let columns = [
        Column::elastic("WORKER"),
        Column::number("PID"),
        Column::text("STATE"),
        Column::text("STARTED"),
        Column::text("AGE"),
        Column::number("KEPT SERIES"),
    ];
    section(
        text,
        &table::format(columns, &rows, width),
        overview.workers.len() - rows.len(),
    );
}

fn families(text: &mut String, overview: &Overview, limit: usize, width: Option<usize>) {
    if overview.families.is_empty() {
        return;
    }
    let rows: Vec<[String; 5]> = (overview.families.iter().take(limit))
        .map(|family| {
            [
                family.name.clone(),
                family.kind.to_owned(),
                units::count(family.series as u64),
                units::count(family.samples as u64),
                family.help.clone(),
            ]
        })
        .collect();
    let columns = [
        Column::elastic("FAMILY"),
        Column::text("TYPE"),
        Column::number("SERIES"),
        Column::number("SAMPLES"),
        Column::elastic("HELP"),
    ];
    section(
        text,
        &table::format(columns, &rows, width),
        overview.families.len() - rows.len(),
    );
}

fn section(text: &mut String, table: &str, left_out: usize) {
    text.push('\n');
    text.push_str(table);
    if left_out > 0 {
        let _ = writeln!(
            text,
            "... and {} more (--limit 0 shows all)",
            units::count(left_out as u64)
        );
    }
}
