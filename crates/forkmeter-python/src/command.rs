//! The command, for `python -m forkmeter` and the script `forkmeter`.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the `forkmeter` command and returns its exit code.
#[pyfunction]
pub(crate) fn command(py: Python<'_>, argv: Vec<OsString>) -> u8 {
    py.detach(|| forkmeter_cli::command(argv))
}
