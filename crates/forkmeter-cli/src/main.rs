//! The `forkmeter` command; all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(forkmeter_cli::command(std::env::args_os()))
}
