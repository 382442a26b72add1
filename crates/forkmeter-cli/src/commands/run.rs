//! `forkmeter run`: the command line of the launcher.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::Error;
use crate::log;
use crate::run::{self, Config};
use crate::serve::ListenAddress;

/// Run a command with forkmeter in the place of prometheus_client.
///
/// In CMD and in all Python programs that it starts, 'import prometheus_client' gives forkmeter, and all of
/// them count in one fresh private directory, which is removed at the end; a PROMETHEUS_MULTIPROC_DIR that is
/// set outside counts only as --dir. CMD needs no change; forkmeter has to be installed for the Python that it
/// runs on.
///
/// CMD keeps the terminal and the standard streams. Signals are passed on to it. Python programs that are told
/// to ignore their environment (python -I, -E or -S) stay as they are.
///
/// Exit code: that of CMD; 128 + N where signal N ended it; 127 where there is no such command, 126 where it
/// cannot be started.
#[expect(clippy::doc_markdown, reason = "this is the help text")]
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, override_usage = "forkmeter run [OPTIONS] [--] <CMD>...")]
pub(crate) struct Args {
    /// Count in this directory, which is kept at the end, and not in a private one
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Export the metrics at this address while CMD runs: HOST:PORT, or :PORT for all interfaces
    #[arg(long, value_name = "ADDRESS")]
    serve: Option<ListenAddress>,

    /// The form of the exporter's log lines on standard error
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "text")]
    log_format: log::Format,

    /// The command and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  A service with four workers, its /metrics right in every one of them:
    forkmeter run -- uvicorn --workers 4 app:app

  With the exporter beside it, at http://127.0.0.1:9464/metrics:
    forkmeter run --serve 127.0.0.1:9464 -- gunicorn --workers 4 app:app

  In a directory that outlives the program, so that counts go on after a restart:
    forkmeter run --dir /run/app -- celery -A app worker";

/// Runs the command to its end and returns its exit code.
pub(crate) fn run(args: Args) -> Result<u8, Error> {
    run::run(Config {
        command: args.command,
        directory: args.dir,
        serve: args.serve,
        log_format: args.log_format,
    })
}
