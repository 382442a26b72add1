//! Integration tests of the user crate; one binary, so that they link once.

#![allow(clippy::print_stderr, reason = "a test says so where it is skipped")]
#![allow(
    clippy::unwrap_used,
    reason = "what does not unwrap here is a failed test"
)]
#![allow(clippy::float_cmp, reason = "values are exact")]

mod expiry;
mod process;
