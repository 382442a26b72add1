//! The order in which series are listed, where many of them come and go.

use std::sync::Arc;

use forkmeter_core::store::{Slots, Store};
use forkmeter_core::{Descriptor, MetricType};
use forkmeter_shm::{Directory, Options, ShmStore};

use crate::children::{descriptor, store_in};

#[test]
fn many_series_are_listed_by_age_in_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    many_series_are_listed_by_age(&store_in(directory.path()));
}

#[test]
fn many_series_are_listed_by_age_in_memory() {
    let options = Options::new(Directory::Follow(|| None));
    many_series_are_listed_by_age(&ShmStore::new(options));
}

/// Is what a store should list, and the handles of what it made.
struct Expected<'a> {
    store: &'a ShmStore,
    descriptor: Arc<Descriptor>,
    listed: Vec<(u32, Arc<dyn Slots>)>,
}

impl Expected<'_> {
    fn make(&mut self, numbers: impl Iterator<Item = u32>) {
        for number in numbers {
            let slots = self.store.intern(&self.descriptor, &[&number.to_string()]);
            assert_eq!(slots.get(0), 0.0, "{number}");
            slots.add(0, f64::from(number + 1));
            self.listed.push((number, slots));
        }
    }

    fn take(&mut self, which: impl Fn(u32) -> bool) -> Vec<(u32, Arc<dyn Slots>)> {
        self.listed
            .extract_if(.., |(number, _)| which(*number))
            .collect()
    }

    fn remove(&mut self, which: impl Fn(u32) -> bool) {
        for (number, _) in self.take(which) {
            let label = number.to_string();
            assert!(self.store.remove(&self.descriptor, &[&label]), "{number}");
            assert!(!self.store.remove(&self.descriptor, &[&label]), "{number}");
        }
    }

    fn expire(&mut self, which: impl Fn(u32) -> bool) -> Vec<(u32, Arc<dyn Slots>)> {
        let expired = self.take(which);
        for (number, _) in &expired {
            let label = number.to_string();
            assert!(self.store.expire(&self.descriptor, &[&label]), "{number}");
        }
        expired
    }

    /// Looks at the list, and looks each series up.
    fn check(&self) {
        let listed = self.store.series(&self.descriptor);
        let numbers: Vec<u32> = listed
            .iter()
            .map(|values| values[0].parse().unwrap())
            .collect();
        let expected: Vec<u32> = self.listed.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, expected);
        for (number, slots) in &self.listed {
            let found = self.store.intern(&self.descriptor, &[&number.to_string()]);
            assert_eq!(found.get(0), f64::from(number + 1), "{number}");
            slots.add(0, 1.0);
            assert_eq!(found.get(0), f64::from(number + 2), "{number}");
            slots.add(0, -1.0);
        }
    }
}

fn many_series_are_listed_by_age(store: &ShmStore) {
    let mut expected = Expected {
        store,
        descriptor: descriptor(MetricType::Gauge, "aged"),
        listed: Vec::new(),
    };
    expected.make(0..300);
    expected.remove(|number| number % 3 == 1);
    expected.check();
    let back = expected.expire(|number| number % 5 == 0);
    let gone = expected.expire(|number| number % 5 == 1);
    expected.check();
    // Most of the places are gaps by now, and are closed.
    expected.remove(|number| number < 200);
    expected.make(300..340);
    expected.check();
    drop(gone);
    expected.check();
    // Who counts, or asks, brings a series back as the youngest, and the gaps are closed with others still expired.
    for (number, slots) in back {
        if number < 200 {
            slots.add(0, f64::from(number + 1));
            expected.listed.push((number, slots));
        }
    }
    expected.check();
    expected.make([205, 206, 7, 1].into_iter());
    expected.check();
    expected.remove(|number| number != 206);
    expected.make(400..500);
    expected.check();
}
