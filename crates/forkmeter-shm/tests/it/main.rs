//! Integration tests of the multi-process store, in one program.
#![allow(
    clippy::unwrap_used,
    reason = "what does not unwrap here is a failed test"
)]
#![allow(clippy::float_cmp, reason = "counts are exact")]
#![allow(clippy::print_stderr, reason = "a test says so where it is skipped")]

#[path = "../../../../testkit/fuzz_replay.rs"]
mod fuzz_replay;
#[path = "../../../../testkit/store_suite/mod.rs"]
mod store_suite;

mod children;
mod compact;
mod cut_off;
mod deletions;
mod faults;
mod full_disk;
mod fuzz_corpus;
mod many_files;
mod named;
mod order;
mod process;
mod reader;
mod reader_files;
mod resets;
mod signals;
mod store;
mod support;
