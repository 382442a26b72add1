//! Integration tests of forkmeter-core, one module per area.
#![allow(
    clippy::unwrap_used,
    reason = "what does not unwrap here is a failed test"
)]
#![allow(clippy::print_stderr, reason = "a test says so where it is skipped")]

mod encode;
mod number;
mod oracle;
mod support;
