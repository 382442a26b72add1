//! Integration tests of forkmeter-core, one module per area.
#![allow(
    clippy::unwrap_used,
    reason = "what does not unwrap here is a failed test"
)]
#![allow(clippy::print_stderr, reason = "a test says so where it is skipped")]
#![allow(clippy::float_cmp, reason = "counts are exact")]

#[path = "../../../../testkit/store_suite/mod.rs"]
mod store_suite;

#[path = "../../../../testkit/fuzz_replay.rs"]
mod fuzz_replay;

mod bounds;
mod encode;
mod fuzz_corpus;
mod heap;
mod kept;
mod metrics;
mod number;
mod oracle;
mod parse;
mod registry;
mod support;
mod table;
