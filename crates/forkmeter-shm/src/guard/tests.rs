use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use super::*;

fn file_of(size_bytes: usize) -> (tempfile::NamedTempFile, Vec<u8>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let bytes: Vec<u8> = (0..size_bytes)
        .map(|number| u8::try_from(number % 251).unwrap())
        .collect();
    file.as_file().write_all_at(&bytes, 0).unwrap();
    (file, bytes)
}

#[test]
fn any_part_can_be_copied() {
    let (file, bytes) = file_of(100);
    let map = GuardedMap::new(file.as_file(), 100).unwrap();
    for offset in 0..=97 {
        for length in 0..=100 {
            let mut buffer = vec![0xff; length];
            let count = map.copy(&mut buffer, offset).unwrap();
            // Only whole words are shown.
            assert_eq!(
                count,
                length.min(96_usize.saturating_sub(offset)),
                "{offset} {length}"
            );
            assert_eq!(
                buffer[..count],
                bytes[offset..offset + count],
                "{offset} {length}"
            );
        }
    }
}

#[test]
fn a_file_that_is_cut_off_calls_the_read_off() {
    assert!(arm());
    let pages = 8 * 4096;
    let (file, _) = file_of(pages);
    let map = GuardedMap::new(file.as_file(), pages).unwrap();
    let sum = |words: &[AtomicU64]| {
        words.iter().fold(0_u64, |sum, word| {
            sum.wrapping_add(word.load(Ordering::Relaxed))
        })
    };
    assert!(map.read(sum).is_some());
    file.as_file().set_len(4096).unwrap();
    assert_eq!(map.read(sum), None);
    // The bytes of the file are gone from the map, those that it still has included.
    assert_eq!(map.read(sum), Some(0));
}

#[test]
fn writes_of_others_are_seen() {
    let (file, _) = file_of(64);
    let map = GuardedMap::new(file.as_file(), 64).unwrap();
    let other = OpenOptions::new().write(true).open(file.path()).unwrap();
    other.write_all_at(&7_u64.to_ne_bytes(), 8).unwrap();
    assert_eq!(map.read(|words| words[1].load(Ordering::Relaxed)), Some(7));
}

#[test]
fn an_empty_file_cannot_be_mapped_and_threads_do_not_disturb_each_other() {
    let (file, _) = file_of(0);
    assert!(GuardedMap::new(file.as_file(), 0).is_err());
    assert!(arm());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let (file, _) = file_of(3 * 4096);
                    let map = GuardedMap::new(file.as_file(), 3 * 4096).unwrap();
                    file.as_file().set_len(0).unwrap();
                    assert_eq!(map.copy(&mut [0; 64], 4096), None);
                }
            });
        }
    });
}
