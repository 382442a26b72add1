//! The committed corpus of the reader's fuzz target.

use crate::fuzz_replay::replay;

#[path = "../../../../fuzz/bodies/read_directory.rs"]
mod read_directory;

#[test]
fn directories() {
    replay("read_directory", read_directory::run);
}
