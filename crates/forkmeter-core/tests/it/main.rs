//! Integration tests of forkmeter-core, one module per area.
#![allow(
    clippy::unwrap_used,
    reason = "what does not unwrap here is a failed test"
)]
#![allow(clippy::print_stderr, reason = "a test says so where it is skipped")]
#![allow(clippy::float_cmp, reason = "counts are exact")]

#[path = "../../../../testkit/store_suite.rs"]
mod store_suite;

mod encode;
mod heap;
mod metrics;
mod number;
mod oracle;
mod parse;
mod registry;
mod support;
