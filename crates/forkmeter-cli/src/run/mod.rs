//! `forkmeter run`: starts a command with forkmeter in the place of the official client, and stays until it ends.
//!
//! The command runs in the process group and on the terminal of this process, with its standard streams, as if
//! nothing stood between. What it needs comes to it through the environment (see [`environment`]).

mod environment;
mod place;
mod signals;

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use forkmeter_core::LabelSet;

use self::place::Place;
use self::signals::Signals;
use crate::error::{self, Error};
use crate::log;
use crate::serve::{self, Beside, ListenAddress, Target};

/// Holds what the command line asks for.
#[derive(Debug)]
pub(crate) struct Config {
    /// The program and its arguments; never empty.
    pub(crate) command: Vec<OsString>,
    /// Where to count; a private directory without it.
    pub(crate) directory: Option<PathBuf>,
    /// Where the exporter listens, where there is one.
    pub(crate) serve: Option<ListenAddress>,
    pub(crate) log_format: log::Format,
}

/// Runs the command to its end and returns the exit code to pass on: 128 + n where signal n ended it.
///
/// # Errors
///
/// Fails, with nothing left behind, when there is no place for the directory, the address cannot be listened on
/// or the command cannot be started.
pub(crate) fn run(config: Config) -> Result<u8, Error> {
    // First, so that whatever arrives from here on reaches the command once it runs; and given back last.
    let signals = Signals::take().map_err(|source| Error::System {
        what: "handle signals",
        source,
    })?;
    place::remove_stale();
    let place = Place::make(config.directory.as_deref())?;
    let exporter = config
        .serve
        .map(|address| Beside::start(&exporter(&place, address, config.log_format)))
        .transpose()?;
    let status = attend(&config.command, &place, &signals);
    drop(exporter);
    if let Some(trouble) = place.leave() {
        error::warn(&trouble);
    }
    Ok(exit_code(status?))
}

fn exporter(place: &Place, address: ListenAddress, log_format: log::Format) -> serve::Config {
    serve::Config {
        targets: vec![Target {
            path: place.metrics().to_owned(),
            labels: LabelSet::empty(),
        }],
        listen_addresses: vec![address],
        telemetry_path: serve::TELEMETRY_PATH.to_owned(),
        max_connections: serve::MAX_CONNECTIONS.into(),
        timeout: serve::TIMEOUT,
        gc_interval: None,
        gc_min_age: Duration::ZERO,
        log_format,
    }
}

/// Starts the command, passes signals on to it and waits for its end.
fn attend(command: &[OsString], place: &Place, signals: &Signals) -> Result<ExitStatus, Error> {
    let (program, arguments) = command
        .split_first()
        .expect("invariant: the command line demands a command");
    let mut prepared = Command::new(program);
    prepared.args(arguments);
    environment::prepare(&mut prepared, place.metrics(), place.python());
    // This thread waits for the end of the command, so only the end of the whole process ends it before.
    forkmeter_shm::end_with_parent(&mut prepared, &signals.held());
    let child = prepared.spawn().map_err(|source| Error::Start {
        program: program.clone(),
        source,
    })?;
    signals.attend(child.id()).map_err(|source| Error::System {
        what: "wait for the command",
        source,
    })
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_passed_on_and_signals_are_told_apart() {
        assert_eq!(exit_code(ExitStatus::from_raw(0)), 0);
        assert_eq!(exit_code(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(exit_code(ExitStatus::from_raw(255 << 8)), 255);
        assert_eq!(exit_code(ExitStatus::from_raw(9)), 137);
    }
}
