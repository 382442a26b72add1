//! What a command prints on standard output.

use std::io::{self, Write};

use serde::Serialize;

use crate::error::Error;

/// Prints all of it, and makes sure that it went out.
///
/// # Errors
///
/// [`Error::Output`] where nobody takes it.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(Error::Output)
}

/// Returns a report as JSON that a person can read.
///
/// # Errors
///
/// [`Error::Encode`] where it has no JSON.
pub(crate) fn json(report: &impl Serialize) -> Result<String, Error> {
    let json = serde_json::to_string_pretty(report);
    Ok(json.map_err(|error| Error::Encode(error.into()))? + "\n")
}
