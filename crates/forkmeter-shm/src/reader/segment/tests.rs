#![expect(clippy::float_cmp, reason = "values are read as they were written")]

use std::cell::Cell;

use super::*;
use crate::layout::append_entry;

/// A file that is `replaced` by other bytes after some reads, or whose reads fail from then on.
struct Changing {
    bytes: Vec<u8>,
    replaced: Option<Vec<u8>>,
    reads_before: Cell<usize>,
}

impl Changing {
    fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            replaced: None,
            reads_before: Cell::new(usize::MAX),
        }
    }

    fn now(&self) -> io::Result<&[u8]> {
        if self.reads_before.get() > 0 {
            return Ok(&self.bytes);
        }
        self.replaced
            .as_deref()
            .ok_or_else(|| io::Error::other("the disk is gone"))
    }
}

impl Source for Changing {
    fn size(&self) -> io::Result<u64> {
        Ok(self.now()?.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.now()?;
        self.reads_before
            .set(self.reads_before.get().saturating_sub(1));
        let rest = bytes.get(usize::try_from(offset).unwrap()..).unwrap_or(&[]);
        // One byte less than asked for now and then, as the kernel may.
        let count = rest.len().min(buffer.len().max(2) - 1);
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

fn bytes(values: &[f64]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_SIZE];
    for (number, value) in values.iter().enumerate() {
        let key = format!(r#"["c", "c_total", {{"n": "{number}"}}, ""]"#);
        append_entry(&mut bytes, key.as_bytes(), *value, 0.0);
    }
    let used = i32::try_from(bytes.len()).unwrap();
    bytes[..4].copy_from_slice(&used.to_le_bytes());
    bytes
}

struct Read {
    segment: Segment,
    keys: KeyTable,
    window: Vec<u8>,
}

impl Read {
    fn new() -> Self {
        let identity = crate::reader::source::open("Cargo.toml".as_ref())
            .unwrap()
            .identity;
        let segment = Segment::new(Role::Counter, Arc::default(), identity);
        Self {
            segment,
            keys: KeyTable::default(),
            window: Vec::new(),
        }
    }

    fn update(&mut self, source: &Changing) -> Result<bool, Refusal> {
        let begun = self
            .segment
            .begin(source, Access::Read, &self.keys, &mut self.window)?;
        self.segment
            .finish(begun, source, &mut self.keys, None, &mut self.window)
    }
}

#[test]
fn short_reads_are_continued() {
    let mut read = Read::new();
    assert_eq!(read.update(&Changing::new(bytes(&[1.0, 2.0]))), Ok(true));
    assert_eq!(
        (read.segment.state, &read.segment.values[..]),
        (FileState::Ok, &[1.0, 2.0][..])
    );
    assert_eq!(read.update(&Changing::new(bytes(&[3.0, 4.0]))), Ok(false));
    assert_eq!(read.segment.values, [3.0, 4.0]);
}

#[test]
fn a_file_cut_off_between_header_and_entries_gives_what_is_left() {
    let whole = bytes(&[1.0, 2.0]);
    let entry = (whole.len() - HEADER_SIZE) / 2;
    for (left, entries) in [
        (0, 0),
        (HEADER_SIZE, 0),
        (HEADER_SIZE + entry, 1),
        (whole.len() - 1, 1),
    ] {
        let mut known = Read::new();
        known.update(&Changing::new(whole.clone())).unwrap();
        for mut read in [Read::new(), known] {
            // The header takes two reads, as reads are short.
            let source = Changing {
                replaced: Some(whole[..left].to_vec()),
                reads_before: Cell::new(2),
                ..Changing::new(whole.clone())
            };
            read.update(&source).unwrap();
            assert_eq!(
                (read.segment.state, read.segment.entries()),
                (FileState::Truncated, entries)
            );
            assert_eq!(read.segment.values, [1.0, 2.0][..entries]);
        }
    }
}

#[test]
fn a_file_written_anew_between_header_and_entries_is_parsed_anew() {
    let mut read = Read::new();
    read.update(&Changing::new(bytes(&[1.0, 2.0]))).unwrap();
    let mut other = bytes(&[5.0, 6.0]);
    let at = other.iter().position(|byte| *byte == b'1').unwrap();
    other[at] = b'7';
    let source = Changing {
        replaced: Some(other),
        reads_before: Cell::new(2),
        ..Changing::new(bytes(&[1.0, 2.0]))
    };
    assert_eq!(read.update(&source), Ok(true));
    assert_eq!(
        (read.segment.state, &read.segment.values[..]),
        (FileState::Ok, &[5.0, 6.0][..])
    );
    let key = read.keys.bytes(read.segment.located[1].key);
    assert!(
        key.windows(4).any(|window| window == b"\"7\"}"),
        "{}",
        key.escape_ascii()
    );
}

#[test]
fn a_read_that_fails_refuses_the_file() {
    for reads_before in 0..4 {
        let mut read = Read::new();
        let source = Changing {
            reads_before: Cell::new(reads_before),
            ..Changing::new(bytes(&[1.0]))
        };
        let refused = read.update(&source).unwrap_err();
        assert_eq!(
            refused,
            (FileState::Unreadable, "the disk is gone".into()),
            "{reads_before}"
        );
    }
}

/// A segment on disk that is large enough to be mapped, last written to long ago.
struct OnDisk {
    file: tempfile::NamedTempFile,
    read: Read,
}

impl OnDisk {
    fn new() -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        let disk = Self {
            file,
            read: Read::new(),
        };
        disk.write(&bytes(&[1.0; 1000]));
        disk
    }

    fn write(&self, bytes: &[u8]) {
        std::fs::write(self.file.path(), bytes).unwrap();
        self.settle();
    }

    fn settle(&self) {
        let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
        self.file.as_file().set_modified(long_ago).unwrap();
    }

    fn open(&self) -> Opened {
        crate::reader::source::open(self.file.path()).unwrap()
    }

    fn update(&mut self, opened: &Opened) -> Result<bool, Refusal> {
        let Read {
            segment,
            keys,
            window,
        } = &mut self.read;
        let begun = segment.begin(&opened.file, Access::Mapped(opened), keys, window)?;
        segment.finish(begun, &opened.file, keys, None, window)
    }

    /// Updates until values are read through a map without comparing keys.
    fn update_until_mapped(&mut self) {
        for changed in [true, false, false] {
            assert_eq!(self.update(&self.open()), Ok(changed));
        }
        assert!(self.read.segment.map.is_some());
        assert_eq!(self.read.segment.compared, self.open().stamp);
        assert!(self.read.segment.compared.is_some());
    }
}

#[test]
fn values_written_through_a_map_are_read_through_a_map() {
    assert!(crate::guard::arm());
    let mut disk = OnDisk::new();
    disk.update_until_mapped();
    let offset = u64::from(disk.read.segment.located[500].value_offset);
    let writer = crate::map::Mapping::new();
    writer.cover(disk.file.as_file(), 1 << 16).unwrap();
    writer
        .cell(offset)
        .unwrap()
        .store(7.0_f64.to_bits(), Ordering::Relaxed);
    for settled in [false, true, true] {
        assert_eq!(disk.update(&disk.open()), Ok(false));
        assert_eq!(disk.read.segment.values[500], 7.0);
        assert_eq!(disk.read.segment.values.iter().sum::<f64>(), 1006.0);
        if !settled {
            disk.settle();
        }
    }
}

#[test]
fn a_mapped_file_that_is_written_anew_is_parsed_anew() {
    assert!(crate::guard::arm());
    let mut disk = OnDisk::new();
    disk.update_until_mapped();
    let mut other = bytes(&[2.0; 1000]);
    let at = other
        .windows(5)
        .position(|window| window == b"\"500\"")
        .unwrap();
    other[at + 1] = b'x';
    disk.write(&other);
    assert_eq!(disk.update(&disk.open()), Ok(true));
    assert_eq!(disk.read.segment.values, [2.0; 1000]);
    let longer = bytes(&[3.0; 2000]);
    disk.write(&longer);
    assert_eq!(disk.update(&disk.open()), Ok(true));
    assert_eq!(disk.read.segment.values, [3.0; 2000]);
}

#[test]
fn a_mapped_file_that_is_cut_off_during_the_read_gives_what_is_left() {
    assert!(crate::guard::arm());
    for settled in [true, false] {
        let mut disk = OnDisk::new();
        disk.update_until_mapped();
        if !settled {
            disk.read.segment.compared = None;
        }
        let opened = disk.open();
        disk.file.as_file().set_len(8192).unwrap();
        assert_eq!(disk.update(&opened), Ok(true));
        let entries = disk.read.segment.entries();
        assert!((100..200).contains(&entries), "{entries}");
        assert_eq!(disk.read.segment.state, FileState::Truncated);
        assert_eq!(disk.read.segment.values, vec![1.0; entries]);
        assert!(disk.read.segment.map.is_none());
        assert_eq!(disk.update(&disk.open()), Ok(false));
    }
}
