use super::*;
use forkmeter_core::LabelSet;

fn record() -> Record {
    Record {
        slot: SlotId {
            inode: 0x0506,
            value_offset: 0x0102_0304,
        },
        exemplar: Exemplar {
            labels: LabelSet::from_pairs([("trace_id", "abc\"\u{e9}")]),
            value: 0.25,
            timestamp: Some(Timestamp::Seconds(1.5e9)),
        },
    }
}

#[test]
fn records_round_trip() {
    let bytes = encode(&record()).unwrap();
    assert_eq!(decode(&bytes), Some(record()));
    assert_eq!(bytes[4..16], [22, 0, 0, 0, 4, 3, 2, 1, 0, 0, 0, 0]);
    assert_eq!(
        &bytes[32..54],
        "{\"trace_id\":\"abc\\\"\u{e9}\"}".as_bytes()
    );
    assert_eq!(bytes[1016..], [6, 5, 0, 0, 0, 0, 0, 0]);
    let mut timeless = record();
    timeless.exemplar.timestamp = None;
    assert_eq!(decode(&encode(&timeless).unwrap()), Some(timeless));
}

#[test]
fn a_torn_record_is_absent() {
    let bytes = encode(&record()).unwrap();
    for offset in (0..64).chain([RECORD_SIZE - 1]) {
        let mut torn = bytes;
        torn[offset] ^= 0x10;
        assert_eq!(decode(&torn), None, "{offset}");
    }
    assert_eq!(decode(&[0; RECORD_SIZE]), None);
    let vacancy = vacant(record().slot);
    assert_eq!((decode(&vacancy), slot_of(&vacancy)), (None, record().slot));
    assert!(is_vacant(&vacancy) && !is_vacant(&bytes) && !is_vacant(&[0; RECORD_SIZE]));
}

#[test]
fn labels_that_do_not_fit_are_refused() {
    let mut long = record();
    // The label's JSON around the value takes 15 bytes.
    long.exemplar.labels = LabelSet::from_pairs([("trace_id", "x".repeat(MAX_LABELS_SIZE - 15))]);
    assert_eq!(decode(&encode(&long).unwrap()), Some(long.clone()));
    long.exemplar.labels = LabelSet::from_pairs([("trace_id", "x".repeat(MAX_LABELS_SIZE - 14))]);
    assert_eq!(encode(&long), None);
}

#[test]
fn headers_round_trip() {
    let header = Header {
        count: 3,
        reuses: u64::MAX,
    };
    assert_eq!(Header::from_bytes(&header.to_bytes()), Ok(header));
    assert_eq!(
        header.to_bytes()[..17],
        *b"FORKMTRX\x01\0\0\0\0\x04\0\0\x03"
    );
    assert_eq!(Header::from_bytes(&[0; 64]), Err(SideError::Header));
    assert_eq!(Header::from_bytes(b"FORKMTRX"), Err(SideError::Header));
}
