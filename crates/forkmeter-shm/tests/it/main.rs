//! Integration tests of the store, in one program.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

mod fuzz_corpus;
#[path = "../../../../testkit/fuzz_replay.rs"]
mod fuzz_replay;
mod reader;
mod reader_files;
mod support;
