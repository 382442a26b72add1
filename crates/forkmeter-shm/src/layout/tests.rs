use super::*;
use proptest::prelude::*;

fn segment(entries: &[(&[u8], f64, f64)]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_SIZE];
    for (key, value, timestamp) in entries {
        append_entry(&mut bytes, key, *value, *timestamp);
    }
    let used = i32::try_from(bytes.len()).unwrap();
    bytes[..HEADER_SIZE].copy_from_slice(
        &Header {
            used,
            mark: Mark::Official,
        }
        .to_bytes(),
    );
    bytes
}

#[test]
fn marks_round_trip() {
    for (bytes, mark) in [
        ([0; 4], Mark::Official),
        ([0x46, 0x53, 0, 1], Mark::Shared),
        ([0x46, 0x47, 0x02, 0x01], Mark::Worker(0x0102)),
        ([0x46, 0x52, 0, 1], Mark::Retired),
        ([0x46, 0x54, 0, 1], Mark::States),
        (*b"te f", Mark::Foreign(*b"te f")),
        ([0x46, 0x53, 0, 2], Mark::Foreign([0x46, 0x53, 0, 2])),
    ] {
        assert_eq!(Mark::from_bytes(bytes), mark);
        assert_eq!(mark.to_bytes(), bytes);
    }
}

#[test]
fn padding_is_never_empty_and_aligns_the_value() {
    for key_len in 0..64 {
        let padding = padded_len(key_len) - key_len;
        assert!((1..=8).contains(&padding), "{key_len}");
        assert_eq!((4 + padded_len(key_len)) % 8, 0, "{key_len}");
        assert_eq!(entry_len(key_len) % 8, 0, "{key_len}");
    }
}

/// The bytes that the official client wrote for `Counter("a", "h").inc(2)`, header first.
#[test]
fn entries_are_what_the_official_client_writes() {
    let key = br#"["a", "a_total", {}, "h"]"#;
    let written = segment(&[(key, 2.0, 0.0)]);
    let mut expected = vec![56, 0, 0, 0, 0, 0, 0, 0, 25, 0, 0, 0];
    expected.extend_from_slice(key);
    expected.extend_from_slice(b"   ");
    expected.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(written, expected);
}

#[test]
fn truncation_at_every_offset_yields_a_prefix() {
    let entries: [(&[u8], f64, f64); 3] = [
        (b"one", 1.0, 0.5),
        (b"", -2.0, 0.0),
        (b"three", f64::NAN, 3.0),
    ];
    let whole = segment(&entries);
    let all: Vec<_> = Entries::of_segment(&whole).map(Result::unwrap).collect();
    assert_eq!(all.len(), 3);
    for (entry, (key, value, timestamp)) in all.iter().zip(entries) {
        assert_eq!((entry.key, entry.timestamp), (key, timestamp));
        assert_eq!(entry.value.to_bits(), value.to_bits());
        let at = usize::try_from(entry.value_offset).unwrap();
        assert_eq!(whole[at..at + 8], value.to_le_bytes());
    }
    for end in HEADER_SIZE..whole.len() {
        let read: Vec<_> = Entries::of_segment(&whole[..end]).collect();
        let good = read.iter().filter(|step| step.is_ok()).count();
        assert_eq!(read.len(), good + 1, "an error ends the entries at {end}");
        assert!(
            matches!(read[good], Err(EntryError::Truncated { .. })),
            "{end}: {:?}",
            read[good]
        );
        for (entry, expected) in read.iter().flatten().zip(&all) {
            assert_eq!(
                (entry.key, entry.value_offset),
                (expected.key, expected.value_offset)
            );
        }
    }
}

#[test]
fn lengths_that_cannot_be_are_refused() {
    let mut bytes = segment(&[(b"one", 1.0, 0.0), (b"two", 2.0, 0.0)]);
    let second = HEADER_SIZE + entry_len(3);
    let mut error_with = |length: i32| {
        bytes[second..second + 4].copy_from_slice(&length.to_le_bytes());
        let read: Vec<_> = Entries::of_segment(&bytes).collect();
        assert_eq!(read.len(), 2);
        *read[1].as_ref().unwrap_err()
    };
    let offset = second as u64;
    assert_eq!(error_with(-1), EntryError::Length { offset, length: -1 });
    assert_eq!(
        error_with(i32::MAX),
        EntryError::Length {
            offset,
            length: i32::MAX
        }
    );
    let used = offset + entry_len(3) as u64;
    assert_eq!(error_with(100), EntryError::Overrun { offset, used });
}

proptest! {
    #[test]
    fn any_bytes_give_entries_inside_them(
        mut bytes in proptest::collection::vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 0..256),
        used in prop_oneof![0_i32..300, any::<i32>()],
    ) {
        if let Some(word) = bytes.get_mut(..4) {
            word.copy_from_slice(&used.to_le_bytes());
        }
        let mut last = 0;
        for entry in Entries::of_segment(&bytes).flatten() {
            prop_assert!(entry.value_offset > last);
            prop_assert!(entry.value_offset + 16 <= bytes.len() as u64);
            last = entry.value_offset;
        }
    }
}
