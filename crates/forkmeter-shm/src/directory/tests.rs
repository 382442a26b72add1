use forkmeter_core::MultiprocessMode;
use forkmeter_core::store::add_to_cell;

use super::*;
use crate::process;

fn counter() -> Descriptor {
    Descriptor {
        name: "c".into(),
        help: "Help.".into(),
        unit: "".into(),
        kind: MetricType::Counter,
        label_names: Box::new(["l".into()]),
        mode: MultiprocessMode::All,
        upper_bounds: Box::new([]),
        states: Box::new([]),
    }
}

#[test]
fn a_full_segment_is_followed_by_the_next_number() {
    const SERIES: usize = 300;
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let mut directory = OpenDirectory::open(folder.path(), process::unix_seconds).unwrap();
        directory.limit_bytes = 8192;
        directory
    };
    let counter = counter();
    let count = |directory: &mut OpenDirectory| {
        for turn in 0..SERIES {
            let labels = LabelSet::from_pairs([("l", turn.to_string())]);
            let place = directory
                .intern(&counter, &labels, 1.0, &mut |_| 0.0)
                .unwrap();
            add_to_cell(place.slots[0].cell, 1.0);
        }
    };
    let mut first = open();
    count(&mut first);
    count(&mut first);
    // Another worker finds the series in all files.
    let mut other = open();
    count(&mut other);
    assert_eq!(first.sets["counter_shared"].len(), 3);
    let mut reader = crate::reader::DirectoryReader::new(folder.path());
    let snapshot = reader.read();
    let samples = &snapshot.families[0].samples;
    assert_eq!(samples.len(), SERIES);
    assert!(
        samples
            .iter()
            .all(|sample| sample.value.to_bits() == 3.0_f64.to_bits())
    );
    for number in ["", "-1", "-2"] {
        let path = folder.path().join(format!("counter_shared{number}.db"));
        assert!(fs::metadata(path).unwrap().len() <= 8192, "{number}");
    }
    // What is removed is found wherever it is.
    for turn in 0..SERIES {
        let labels = LabelSet::from_pairs([("l", turn.to_string())]);
        let mut places = 0;
        let visited = open().visit_places(&counter, &labels, &mut |_| places += 1);
        assert_eq!((visited.is_ok(), places), (true, 1), "{turn}");
    }
}
