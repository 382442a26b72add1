//! What can end a command, and how it is said.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::escape::Terminal;

/// Says why a command failed.
#[derive(Debug)]
pub(crate) enum Error {
    /// The command line makes no sense; exit code 2.
    Usage {
        command: &'static str,
        message: String,
    },
    /// A directory cannot be read as a whole.
    Directory { path: PathBuf, source: io::Error },
    /// Standard output cannot be written.
    Output(io::Error),
    /// The samples cannot be written in this format.
    Encode(Box<dyn std::error::Error + Send + Sync>),
    /// An address cannot be listened on.
    Listen { address: String, source: io::Error },
    /// The operating system refuses something that a server needs.
    System {
        what: &'static str,
        source: io::Error,
    },
    /// Reading the directories ended without a result.
    Read,
    /// Left-over files of a directory cannot be folded.
    Fold { path: PathBuf, source: io::Error },
    /// A directory cannot be made.
    MakeDirectory { path: PathBuf, source: io::Error },
    /// There is no place for a private directory.
    NoPlace { tried: String },
    /// A command cannot be started.
    Start {
        program: OsString,
        source: io::Error,
    },
}

impl Error {
    /// Tells whether whoever reads the output has gone, which is no failure.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(source) if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl Error {
    /// Returns the exit code of a command that ends with this error.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } => 2,
            // As shells have it.
            Self::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::Start { .. } => 126,
            _ => 1,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage { message, .. } => f.write_str(message),
            Self::Directory { path, source } => {
                write!(f, "cannot read the directory {}: ", path.display())?;
                match source.kind() {
                    io::ErrorKind::NotFound => f.write_str(
                        "it does not exist (give the value that PROMETHEUS_MULTIPROC_DIR has in the \
                         application)",
                    ),
                    io::ErrorKind::NotADirectory => {
                        f.write_str("it is not a directory (give the directory that holds the file)")
                    }
                    io::ErrorKind::PermissionDenied => {
                        f.write_str("permission denied (run as the application's user or group)")
                    }
                    _ => source.fmt(f),
                }
            }
            Self::Fold { path, source } => {
                write!(
                    f,
                    "cannot fold the left-over files of {}: {source}",
                    path.display()
                )?;
                match source.kind() {
                    io::ErrorKind::PermissionDenied => {
                        f.write_str(" (run as the application's user)")
                    }
                    io::ErrorKind::TimedOut => f.write_str(" (is it stopped? try again)"),
                    _ => Ok(()),
                }
            }
            Self::Output(source) => write!(f, "cannot write to standard output: {source}"),
            Self::Encode(source) => write!(f, "cannot write the metrics: {source}"),
            Self::Listen { address, source } => {
                write!(f, "cannot listen on {address}: ")?;
                match source.kind() {
                    io::ErrorKind::AddrInUse => {
                        f.write_str("another program does already (choose another address)")
                    }
                    io::ErrorKind::PermissionDenied => {
                        f.write_str("permission denied (ports below 1024 need a privilege)")
                    }
                    _ => source.fmt(f),
                }
            }
            Self::System { what, source } => write!(f, "cannot {what}: {source}"),
            Self::Read => f.write_str("reading the directories ended without a result"),
            Self::MakeDirectory { path, source } => {
                write!(f, "cannot make the directory {}: {source}", path.display())
            }
            Self::NoPlace { tried } => write!(
                f,
                "cannot make a private directory: {tried} (set TMPDIR to a directory that can be written)"
            ),
            Self::Start { program, source } => {
                let program = program.display();
                write!(f, "cannot start {program}: ")?;
                match source.kind() {
                    io::ErrorKind::NotFound => f.write_str("there is no such command"),
                    _ => source.fmt(f),
                }
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Directory { source, .. }
            | Self::Output(source)
            | Self::Listen { source, .. }
            | Self::System { source, .. }
            | Self::Fold { source, .. }
            | Self::MakeDirectory { source, .. }
            | Self::Start { source, .. } => Some(source),
            Self::Encode(source) => Some(&**source),
            Self::Usage { .. } | Self::Read | Self::NoPlace { .. } => None,
        }
    }
}

/// Checks that `path` is a directory that can be listed.
///
/// # Errors
///
/// [`Error::Directory`] with the cause.
pub(crate) fn check_directory(path: &Path) -> Result<(), Error> {
    match std::fs::read_dir(path) {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::Directory {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Writes `error` to standard error as one line.
pub(crate) fn print(error: &Error) {
    let text = error.to_string();
    // Nobody is left to tell when standard error cannot be written.
    let _ = writeln!(io::stderr().lock(), "forkmeter: error: {}", Terminal(&text));
}

/// Writes a warning to standard error as one line.
pub(crate) fn warn(text: &str) {
    // As above.
    let _ = writeln!(
        io::stderr().lock(),
        "forkmeter: warning: {}",
        Terminal(text)
    );
}
