//! Any bytes as any file of a directory: the good file beside it is answered, and a reader that saw an earlier
//! state of the file says what a new one says.
//!
//! The first byte of the data chooses the file's name, the rest is its content.

use std::fs;

use forkmeter_core::encode::{Escaping, Format, encode};
use forkmeter_shm::layout::{HEADER_SIZE, append_entry};
use forkmeter_shm::reader::{DirectoryReader, FileState, Snapshot};

/// The names that lead to different code; the good file is `counter_1.db`.
const NAMES: [&str; 9] = [
    "counter_2.db",
    "histogram_2.db",
    "summary_2.db",
    "gauge_all_2.db",
    "gauge_mostrecent_retired.db",
    "forkmeter.states",
    "forkmeter.meta",
    "forkmeter.exemplars",
    "forkmeter.fold",
];

pub(crate) fn run(data: &[u8]) {
    let Some((choice, content)) = data.split_first() else {
        return;
    };
    let directory = tempfile::tempdir().expect("there is room for small files");
    let name = NAMES[usize::from(*choice) % NAMES.len()];
    let path = directory.path().join(name);
    fs::write(directory.path().join("counter_1.db"), good())
        .expect("there is room for small files");
    let mut reader = DirectoryReader::new(directory.path()).with_created_samples(true);
    for length in [0, content.len() / 2, content.len()] {
        fs::write(&path, &content[..length]).expect("there is room for small files");
        let read = reader.read();
        check(&read);
        let afresh = DirectoryReader::new(directory.path())
            .with_created_samples(true)
            .read();
        // Text, since NaN is not equal to itself.
        assert_eq!(
            format!("{:?}", read.families),
            format!("{:?}", afresh.families)
        );
        assert_eq!(read.report.files, afresh.report.files);
    }
}

fn check(read: &Snapshot) {
    let samples = || read.families.iter().flat_map(|family| &family.samples);
    assert!(
        samples().any(|sample| &*sample.name == "good_total"),
        "the good file is gone"
    );
    for file in &read.report.files {
        assert_eq!(
            file.cause.is_empty(),
            file.state == FileState::Ok,
            "{file:?}"
        );
    }
    for format in [
        Format::Text004,
        Format::OpenMetrics100 {
            escaping: Escaping::AllowUtf8,
        },
    ] {
        // What a format has no room for is left out and named; the rest is there.
        let _ = encode(
            read.families.iter().map(AsRef::as_ref),
            format,
            &mut Vec::new(),
        );
    }
}

fn good() -> Vec<u8> {
    let mut bytes = vec![0; HEADER_SIZE];
    append_entry(&mut bytes, br#"["good", "good_total", {}, ""]"#, 1.0, 0.0);
    let used = i32::try_from(bytes.len()).expect("one entry is short");
    bytes[..4].copy_from_slice(&used.to_le_bytes());
    bytes
}
