use super::*;
use forkmeter_core::MultiprocessMode;
use proptest::prelude::*;

fn latency() -> Descriptor {
    Descriptor {
        name: "latency_seconds".into(),
        help: "Seconds \"spent\"\nper request.".into(),
        unit: "seconds".into(),
        kind: MetricType::Histogram,
        label_names: ["method".into(), "päth".into()].into(),
        mode: MultiprocessMode::All,
        upper_bounds: [0.005, 2.5, f64::INFINITY].into(),
        states: Box::default(),
    }
}

fn info() -> InfoRecord {
    InfoRecord {
        family: "build".into(),
        labels: LabelSet::from_pairs([("app", "a")]),
        info: Some(LabelSet::from_pairs([
            ("version", "1.2"),
            ("commit", "\u{1f600}"),
        ])),
        time_seconds: 1.5e9,
    }
}

#[test]
fn records_round_trip_and_stand_on_multiples_of_8() {
    let mut bytes = Vec::new();
    append_descriptor(&mut bytes, &latency());
    assert_eq!(bytes.len() % 8, 0);
    append_info(&mut bytes, &info());
    append_info(
        &mut bytes,
        &InfoRecord {
            info: None,
            ..info()
        },
    );
    let records: Vec<_> = Records::new(&bytes).map(Result::unwrap).collect();
    let removed = InfoRecord {
        info: None,
        ..info()
    };
    let expected = [
        Record::Descriptor(Box::new(latency())),
        Record::Info(info()),
        Record::Info(removed),
    ];
    assert_eq!(records, expected);
}

#[test]
fn the_bytes_are_those_of_the_format() {
    let mut bytes = Vec::new();
    append_info(
        &mut bytes,
        &InfoRecord {
            labels: LabelSet::empty(),
            info: None,
            ..info()
        },
    );
    let payload = br#"{"family":"build","info":null,"labels":{},"time":1500000000.0}"#;
    let mut expected = vec![62, 0, 0, 0];
    expected.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    expected.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend_from_slice(payload);
    expected.extend_from_slice(&[0, 0]);
    assert_eq!(bytes, expected);
    assert_eq!(
        header(80)[..24],
        *b"FORKMTRM\x01\0\0\0\0\0\0\0\x50\0\0\0\0\0\0\0"
    );
    assert_eq!(committed_len(&header(80)), Ok(80));
    assert_eq!(committed_len(&header(80)[..63]), Err(SideError::Header));
    assert_eq!(
        committed_len(&super::super::header(MAGIC, 2, 0)),
        Err(SideError::Header)
    );
}

#[test]
fn unusable_documents_are_skipped_and_broken_frames_end_it() {
    let mut bytes = Vec::new();
    append(
        &mut bytes,
        KIND_DESCRIPTOR,
        &json!({"name": "a", "type": "meter"}),
    );
    append(
        &mut bytes,
        KIND_DESCRIPTOR,
        &json!({"name": "", "type": "gauge"}),
    );
    append(
        &mut bytes,
        KIND_DESCRIPTOR,
        &json!({"name": "a", "type": "gauge", "mode": "best"}),
    );
    append(
        &mut bytes,
        KIND_DESCRIPTOR,
        &json!({"name": "a", "type": "histogram", "bounds": ["1"]}),
    );
    append(
        &mut bytes,
        KIND_INFO,
        &json!({"family": "a", "labels": {"b": 1}}),
    );
    append(&mut bytes, 7, &json!("from a later version"));
    append(
        &mut bytes,
        KIND_DESCRIPTOR,
        &json!({"name": "a", "type": "gauge", "later": 1}),
    );
    let broken = bytes.len();
    append(
        &mut bytes,
        KIND_DESCRIPTOR,
        &json!({"name": "b", "type": "gauge"}),
    );
    bytes[broken + FRAME_SIZE] ^= 1;
    append(
        &mut bytes,
        KIND_DESCRIPTOR,
        &json!({"name": "c", "type": "gauge"}),
    );
    let records: Vec<_> = Records::new(&bytes).collect();
    let document = |field| Err(SideError::Document { field });
    assert_eq!(
        records[..6],
        [
            document("type"),
            document("name"),
            document("mode"),
            document("bounds"),
            document("labels"),
            Ok(Record::Unknown(7)),
        ]
    );
    assert!(
        matches!(&records[6], Ok(Record::Descriptor(gauge)) if gauge.kind == MetricType::Gauge)
    );
    assert_eq!(records[7..], [Err(SideError::Checksum { offset: broken })]);
}

#[test]
fn truncation_at_every_offset_yields_a_prefix() {
    let mut bytes = Vec::new();
    append_descriptor(&mut bytes, &latency());
    append_info(&mut bytes, &info());
    for end in 0..bytes.len() {
        let records: Vec<_> = Records::new(&bytes[..end]).collect();
        let good = records.iter().filter(|record| record.is_ok()).count();
        assert!(
            records.len() - good <= 1 && good < 2 || good == 2,
            "{end}: {records:?}"
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
        prop_assert!(Records::new(&bytes).count() <= bytes.len());
        let _ = committed_len(&bytes);
    }
}
