//! A worker that counts with forkmeter, one JSON object a line on its standard input.
//!
//! The tests in `tests/` start several of them on one directory. `support/official_worker.py` does the same with
//! the official client; what only forkmeter has is here in addition.

mod operation;
mod worker;

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use crate::operation::Operation;
use crate::worker::Worker;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::var_os("PROMETHEUS_MULTIPROC_DIR")
        .filter(|path| !path.is_empty())
        .ok_or("PROMETHEUS_MULTIPROC_DIR names no directory")?;
    let mut worker = Worker::new(PathBuf::from(directory));
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let operation: Operation =
            serde_json::from_str(&line).map_err(|error| format!("{line}: {error}"))?;
        let answer = worker
            .act(operation)
            .map_err(|error| format!("{line}: {error}"))?;
        if let Some(answer) = answer {
            writeln!(out, "{answer}")?;
            out.flush()?;
        }
    }
    Ok(())
}
