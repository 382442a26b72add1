//! Integration tests of the store, in one program.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

mod reader;
mod reader_files;
mod support;
