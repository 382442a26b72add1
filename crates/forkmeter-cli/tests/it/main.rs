//! Runs the built command.
#![allow(
    clippy::unwrap_used,
    reason = "what does not unwrap here is a failed test"
)]
#![allow(clippy::print_stderr, reason = "a test says so where it is skipped")]

mod connections;
mod directories;
mod dump;
mod gc;
mod inspect;
mod run;
mod serve;
mod support;
mod usage;
