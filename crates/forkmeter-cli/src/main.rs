//! The `forkmeter` command: an exporter for directories of multi-process metrics, and tools to look into them.
//!
//! It is thin: reading and merging is `forkmeter-shm`, expositions are `forkmeter-core`.

mod commands;
mod error;
mod escape;
mod exposition;
mod log;
mod overview;
mod serve;
mod table;
mod units;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::error::Error;

/// Prometheus metrics for programs that run as many processes.
///
/// Reads the directory that the workers of a program count in (PROMETHEUS_MULTIPROC_DIR), written by
/// forkmeter or by the official Python client, and merges it into what a Prometheus server can scrape.
#[expect(clippy::doc_markdown, reason = "this is the help text")]
#[derive(Debug, Parser)]
#[command(
    name = "forkmeter",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  forkmeter serve /run/app              Export one directory at http://127.0.0.1:9464/metrics
  forkmeter dump /run/app               Print its metrics once
  forkmeter inspect /run/app            Show its files, workers and biggest families

'forkmeter help COMMAND' shows a command's options and more examples.
Exit codes: 0 success, 1 failure, 2 wrong usage.";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(commands::serve::Args),
    Dump(commands::dump::Args),
    Inspect(commands::inspect::Args),
}

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let own_matches = matches
        .subcommand()
        .map(|(_, own)| own.clone())
        .unwrap_or_default();
    match run(cli.command, &own_matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Usage { command, message }) => usage_error(command, message).exit(),
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            error::print(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, matches: &ArgMatches) -> Result<(), Error> {
    match command {
        Command::Serve(args) => commands::serve::run(args, matches),
        Command::Dump(args) => commands::dump::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
    }
}

/// Makes the same report of wrong usage that clap makes, with the usage line of `command`.
fn usage_error(command: &str, message: String) -> clap::Error {
    let mut root = Cli::command();
    root.build();
    let mut own = root.find_subcommand(command).cloned().unwrap_or(root);
    own.error(clap::error::ErrorKind::ValueValidation, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
