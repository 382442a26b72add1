//! Replays the committed corpus of a fuzz target with a stable toolchain.
//!
//! A test includes this file and the body of the target from `fuzz/bodies` with `#[path]`.

use std::fs;
use std::path::Path;

/// Runs `body` on every file of `fuzz/corpus/TARGET`, and on each of them cut off in the middle.
///
/// # Panics
///
/// Panics where the body does, after naming the file, and where there is no corpus.
pub(crate) fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is committed") {
        let path = entry.expect("the corpus can be read").path();
        let data = fs::read(&path).expect("the corpus can be read");
        for data in [&data[..], &data[..data.len() / 2]] {
            let result = std::panic::catch_unwind(|| body(data));
            assert!(result.is_ok(), "{} failed on {}", target, path.display());
        }
        count += 1;
    }
    assert!(count >= 10, "the corpus of {target} has only {count} files");
}
