//! The `forkmeter` command: an exporter for directories of multi-process metrics, tools to look into them, and a
//! launcher that gives a program forkmeter's metrics.
//!
//! It is thin: reading and merging is `forkmeter-shm`, expositions are `forkmeter-core`. It is a library so that
//! the Python package offers the same command; [`command`] is all there is.

mod commands;
mod error;
mod escape;
mod exposition;
mod log;
mod output;
mod overview;
mod run;
mod serve;
mod table;
mod units;

use std::ffi::OsString;

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
    // Not from the first argument, which Python's launcher sets to the path of a module.
    bin_name = "forkmeter",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const SUCCESS: u8 = 0;
const WRONG_USAGE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  forkmeter serve /run/app              Export one directory at http://127.0.0.1:9464/metrics
  forkmeter dump /run/app               Print its metrics once
  forkmeter inspect /run/app            Show its files, workers and biggest families
  forkmeter gc /run/app                 Fold what dead workers of the official client left
  forkmeter run --serve :9464 -- gunicorn --workers 4 app:app
                                        Give a program that nobody edits right metrics, and export them

'forkmeter help COMMAND' shows a command's options and more examples.
Exit codes: 0 success, 1 failure, 2 wrong usage.";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(commands::serve::Args),
    Dump(commands::dump::Args),
    Inspect(commands::inspect::Args),
    Gc(commands::gc::Args),
    Run(commands::run::Args),
}

/// Runs the command and returns its exit code.
///
/// It may start threads, which have ended or do nothing more when it returns.
///
/// `arguments` begin with the name that the command was called by, which is not looked at. What the command has
/// to say goes to standard output and standard error; nothing in here ends the process.
pub fn command(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let parsed = Cli::command()
        .try_get_matches_from(arguments)
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return say(&error),
    };
    let own_matches = matches
        .subcommand()
        .map(|(_, own)| own.clone())
        .unwrap_or_default();
    match run(cli.command, &own_matches) {
        Ok(code) => code,
        Err(Error::Usage { command, message }) => say(&usage_error(command, message)),
        Err(error) if error.is_broken_pipe() => SUCCESS,
        Err(error) => {
            error::print(&error);
            error.exit_code()
        }
    }
}

/// Prints help or a report of wrong usage, and returns the exit code that belongs to it.
fn say(error: &clap::Error) -> u8 {
    // Nobody is left to tell when it cannot be written.
    let _ = error.print();
    if error.use_stderr() {
        WRONG_USAGE
    } else {
        SUCCESS
    }
}

fn run(command: Command, matches: &ArgMatches) -> Result<u8, Error> {
    match command {
        Command::Serve(args) => commands::serve::run(args, matches)?,
        Command::Dump(args) => commands::dump::run(&args)?,
        Command::Inspect(args) => commands::inspect::run(&args)?,
        Command::Gc(args) => commands::gc::run(&args)?,
        Command::Run(args) => return commands::run::run(args),
    }
    Ok(SUCCESS)
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
