//! What is wrong with a file costs that file's data and nothing else.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use forkmeter_shm::layout::{HEADER_SIZE, MAX_KEY_SIZE, Mark, append_entry, entry_len};
use forkmeter_shm::reader::{DirectoryReader, FileState};
use proptest::prelude::*;

use crate::support::{SegmentBytes, samples, state_of};

fn two() -> SegmentBytes {
    SegmentBytes::official().counter("a", 1.0).counter("b", 2.0)
}

/// The entries of [`two`] are equally long.
fn entry_size() -> usize {
    (two().bytes().len() - HEADER_SIZE) / 2
}

#[test]
fn every_kind_of_bad_file_is_named_and_the_good_data_answered() {
    let mut used_up = two().bytes();
    let all = u8::try_from(used_up.len()).unwrap();
    used_up[0] = all + 8;
    let mut overrun = two().bytes();
    overrun[0] = all - 8;
    let mut negative = two().bytes();
    negative[3] = 0xff;
    let mut tiny = two().bytes();
    tiny[0] = 7;
    let mut bad_length = two().bytes();
    bad_length[HEADER_SIZE + entry_size() + 3] = 0xff;
    let mut long_key = two().bytes();
    append_entry(&mut long_key, &vec![b' '; MAX_KEY_SIZE], 0.0, 0.0);
    let length = i32::try_from(MAX_KEY_SIZE + 1).unwrap();
    long_key[usize::from(all)..usize::from(all) + 4].copy_from_slice(&length.to_le_bytes());
    let used = i32::try_from(long_key.len()).unwrap();
    long_key[..4].copy_from_slice(&used.to_le_bytes());
    let bad_key = SegmentBytes::official()
        .counter("a", 1.0)
        .with_key(b"[]", 9.0, 0.0)
        .counter("b", 2.0);
    let no_name = two().with_key(br#"["", "x", {}, ""]"#, 9.0, 0.0);
    let no_text = two().with_key(br#"["x", "x", {"y": 1}, ""]"#, 9.0, 0.0);
    let sqlite = b"SQLite format 3\0\x10\0\x01\x01\0\x40\x20\x20".to_vec();
    let shared_gauge = SegmentBytes::new(Mark::Shared).gauge("g", 1.0, 0.0).bytes();
    let worker_counter = SegmentBytes::new(Mark::Worker(0)).counter("a", 1.0).bytes();
    let later = SegmentBytes::new(Mark::Foreign([0x46, 0x53, 0, 2]))
        .counter("a", 1.0)
        .bytes();
    let cases: &[(&str, Vec<u8>, FileState, usize)] = &[
        ("counter_2.db", Vec::new(), FileState::Empty, 0),
        ("counter_3.db", vec![0; 4096], FileState::Empty, 0),
        (
            "counter_4.db",
            SegmentBytes::official().bytes(),
            FileState::Empty,
            0,
        ),
        ("counter_5.db", vec![0; 7], FileState::Truncated, 0),
        ("counter_6.db", used_up, FileState::Truncated, 2),
        ("counter_7.db", overrun, FileState::Corrupt, 1),
        ("counter_8.db", negative, FileState::Corrupt, 0),
        ("counter_9.db", tiny, FileState::Corrupt, 0),
        ("counter_10.db", bad_length, FileState::Corrupt, 1),
        ("counter_11.db", long_key, FileState::Corrupt, 2),
        ("counter_12.db", bad_key.bytes(), FileState::Corrupt, 2),
        ("counter_13.db", no_name.bytes(), FileState::Corrupt, 2),
        ("counter_14.db", no_text.bytes(), FileState::Corrupt, 2),
        ("counter_15.db", sqlite, FileState::Foreign, 0),
        ("gauge_all_16.db", shared_gauge, FileState::Foreign, 0),
        ("counter_17.db", worker_counter, FileState::Foreign, 0),
        ("counter_18.db", later, FileState::Foreign, 0),
        ("gauge_best_1.db", two().bytes(), FileState::Foreign, 0),
        ("x.db", two().bytes(), FileState::Foreign, 0),
        ("counter.db", two().bytes(), FileState::Foreign, 0),
    ];
    for (name, bytes, state, entries) in cases {
        let directory = tempfile::tempdir().unwrap();
        two().write(directory.path().join("counter_1.db"));
        fs::write(directory.path().join(name), bytes).unwrap();
        let mut reader = DirectoryReader::new(directory.path());
        for _ in 0..2 {
            let read = reader.read();
            assert_eq!(state_of(&read.report, name), Some(*state), "{name}");
            assert_eq!(
                state_of(&read.report, "counter_1.db"),
                Some(FileState::Ok),
                "{name}"
            );
            let file = read
                .report
                .files
                .iter()
                .find(|file| file.path.ends_with(name))
                .unwrap();
            assert_eq!(file.entries, *entries, "{name}");
            let expected = match entries {
                0 => ["a_total{} 1.0", "b_total{} 2.0"],
                1 => ["a_total{} 2.0", "b_total{} 2.0"],
                _ => ["a_total{} 2.0", "b_total{} 4.0"],
            };
            assert_eq!(samples(&read.families), expected, "{name}");
        }
    }
}

#[test]
fn what_is_no_regular_file_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    two().write(path("counter_1.db"));
    fs::create_dir(path("x.db")).unwrap();
    fs::create_dir(path("counter_2.db")).unwrap();
    symlink(path("counter_3.db"), path("counter_3.db")).unwrap();
    symlink(path("nowhere"), path("counter_4.db")).unwrap();
    symlink("/dev/zero", path("counter_5.db")).unwrap();
    symlink(directory.path(), path("counter_6.db")).unwrap();
    two().write(path("elsewhere"));
    symlink(path("elsewhere"), path("counter_7.db")).unwrap();
    two().write(path(".counter_8.db"));
    let socket = std::os::unix::net::UnixListener::bind(path("counter_9.db")).unwrap();
    let read = DirectoryReader::new(directory.path()).read();
    assert_eq!(samples(&read.families), ["a_total{} 2.0", "b_total{} 4.0"]);
    for (name, state) in [
        ("x.db", FileState::Foreign),
        ("counter_2.db", FileState::Foreign),
        ("counter_3.db", FileState::Unreadable),
        ("counter_4.db", FileState::Vanished),
        ("counter_5.db", FileState::Foreign),
        ("counter_6.db", FileState::Foreign),
        ("counter_7.db", FileState::Ok),
        ("counter_9.db", FileState::Foreign),
    ] {
        assert_eq!(state_of(&read.report, name), Some(state), "{name}");
    }
    assert_eq!(read.report.files.len(), 9, "dot files are no segments");
    drop(socket);
}

#[test]
fn a_pipe_does_not_hold_the_read_up() {
    let directory = tempfile::tempdir().unwrap();
    two().write(directory.path().join("counter_1.db"));
    let pipe = directory.path().join("counter_2.db");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    // A link hides the type from the listing, so this one is opened.
    symlink(&pipe, directory.path().join("counter_3.db")).unwrap();
    let read = DirectoryReader::new(directory.path()).read();
    assert_eq!(samples(&read.families).len(), 2);
    assert_eq!(
        state_of(&read.report, "counter_2.db"),
        Some(FileState::Foreign)
    );
    assert_eq!(
        state_of(&read.report, "counter_3.db"),
        Some(FileState::Foreign)
    );
}

#[test]
fn a_file_without_permissions_is_unreadable() {
    let directory = tempfile::tempdir().unwrap();
    two().write(directory.path().join("counter_1.db"));
    let path = directory.path().join("counter_2.db");
    two().write(&path);
    fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
    let read = DirectoryReader::new(directory.path()).read();
    // The superuser may read it all the same.
    let (state, value) = match File::open(&path) {
        Ok(_) => (FileState::Ok, "a_total{} 2.0"),
        Err(_) => (FileState::Unreadable, "a_total{} 1.0"),
    };
    assert_eq!(state_of(&read.report, "counter_2.db"), Some(state));
    assert_eq!(samples(&read.families)[0], value);
}

#[test]
fn a_file_cut_off_anywhere_gives_the_entries_before_the_cut() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("counter_1.db");
    let bytes = two().counter("c", 3.0).bytes();
    let mut incremental = DirectoryReader::new(directory.path());
    for end in (0..=bytes.len()).rev().chain(0..=bytes.len()) {
        fs::write(&path, &bytes[..end]).unwrap();
        let entries = end.saturating_sub(HEADER_SIZE) / entry_size();
        for read in [
            DirectoryReader::new(directory.path()).read(),
            incremental.read(),
        ] {
            assert_eq!(
                samples(&read.families),
                ["a_total{} 1.0", "b_total{} 2.0", "c_total{} 3.0"][..entries]
            );
            let state = match end {
                0 => FileState::Empty,
                end if end == bytes.len() => FileState::Ok,
                _ => FileState::Truncated,
            };
            assert_eq!(state_of(&read.report, "counter_1.db"), Some(state), "{end}");
        }
    }
}

#[test]
fn a_file_that_grows_meanwhile_is_read_up_to_what_is_published() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("counter_1.db");
    SegmentBytes::official().write(&path);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            let mut bytes = SegmentBytes::official().bytes();
            for number in 0..3_000 {
                let start = bytes.len();
                let key = format!(r#"["n{number}", "n{number}_total", {{}}, ""]"#);
                append_entry(&mut bytes, key.as_bytes(), f64::from(number), 0.0);
                file.write_all_at(&bytes[start..], start as u64).unwrap();
                let used = i32::try_from(bytes.len()).unwrap();
                file.write_all_at(&used.to_le_bytes(), 0).unwrap();
            }
            done.store(true, Ordering::SeqCst);
        });
        let mut reader = DirectoryReader::new(directory.path());
        let mut last = 0;
        loop {
            let finished = done.load(Ordering::SeqCst);
            let view = reader.refresh();
            assert!(view.families.len() >= last);
            last = view.families.len();
            let names = view.families.iter().enumerate();
            assert!(
                names
                    .into_iter()
                    .all(|(number, family)| *family.name == *format!("n{number}"))
            );
            if finished {
                assert_eq!(last, 3_000);
                break;
            }
        }
    });
}

#[test]
fn zeros_after_the_header_are_not_walked_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("counter_1.db");
    let file = File::create(&path).unwrap();
    file.set_len(2 << 30).unwrap();
    file.write_all_at(&i32::MAX.to_le_bytes(), 0).unwrap();
    let read = DirectoryReader::new(directory.path()).read();
    assert_eq!(
        state_of(&read.report, "counter_1.db"),
        Some(FileState::Corrupt)
    );
    assert_eq!(read.report.files[0].entries, 0);
}

#[test]
fn keys_longer_than_the_window_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let long = "x".repeat(MAX_KEY_SIZE - 100);
    two()
        .with("c", "c_total", &[("l", &long)], 3.0, 0.0)
        .counter("d", 4.0)
        .write(directory.path().join("counter_1.db"));
    let mut reader = DirectoryReader::new(directory.path());
    for _ in 0..2 {
        let read = reader.read();
        assert_eq!(state_of(&read.report, "counter_1.db"), Some(FileState::Ok));
        let samples = samples(&read.families);
        assert_eq!(samples[2].len(), "c_total{l=} 3.0".len() + long.len());
        assert_eq!(samples[3], "d_total{} 4.0");
    }
    assert!(entry_len(long.len()) > 256 << 10);
}

#[test]
fn a_missing_directory_is_empty_and_one_that_is_none_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let mut reader = DirectoryReader::new(directory.path().join("later"));
    assert!(reader.read().report.files.is_empty());
    fs::create_dir(reader.path()).unwrap();
    two().write(reader.path().join("counter_1.db"));
    assert_eq!(reader.read().families.len(), 2);
    let path = directory.path().join("later/counter_1.db");
    let read = DirectoryReader::new(&path).read();
    assert_eq!(read.report.files[0].state, FileState::Unreadable);
    assert_eq!(read.report.files[0].path, path);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn any_bytes_beside_good_files_are_survived(
        junk in proptest::collection::vec(prop_oneof![2 => Just(0_u8), 1 => any::<u8>()], 0..200),
        place in 0_usize..120,
        name in prop_oneof![
            Just("counter_2.db"), Just("gauge_min_2.db"), Just("histogram_2.db"), Just("forkmeter.meta"),
            Just("forkmeter.states"), Just("forkmeter.exemplars"), Just("forkmeter.fold"),
        ],
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        SegmentBytes::official().counter("good", 1.0).write(directory.path().join("counter_1.db"));
        let mut bytes = two().bytes();
        bytes.truncate(place);
        bytes.extend_from_slice(&junk);
        fs::write(&path, &junk).unwrap();
        let good = String::from("good_total{} 1.0");
        let mut reader = DirectoryReader::new(directory.path());
        let first = reader.read();
        prop_assert!(samples(&first.families).contains(&good));
        fs::write(&path, &bytes).unwrap();
        let second = reader.read();
        prop_assert!(samples(&second.families).contains(&good));
        // What a reader remembers does not change what it says.
        let afresh = DirectoryReader::new(directory.path()).read();
        prop_assert_eq!(samples(&second.families), samples(&afresh.families));
        prop_assert_eq!(second.report.files, afresh.report.files);
    }
}
