//! The heap store: the common suite, and what only it promises.

use std::sync::Arc;

use forkmeter_core::store::{HeapStore, Store};
use forkmeter_core::{Descriptor, MetricType};

use crate::store_suite::{Fixture, descriptor};

struct Heap(Arc<dyn Store>);

impl Fixture for Heap {
    fn new() -> Self {
        Self(Arc::new(HeapStore::new(|| 1_700_000_000.0)))
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.0)
    }
}

crate::store_suite!(Heap);

fn counter(name: &str) -> Arc<Descriptor> {
    Arc::new(descriptor(name, MetricType::Counter, &[]))
}

fn values(store: &HeapStore) -> Vec<(String, f64)> {
    let samples = store
        .collect()
        .families
        .into_iter()
        .flat_map(|family| family.samples);
    samples
        .map(|sample| (sample.name.to_string(), sample.value))
        .collect()
}

#[test]
fn created_samples_come_last_and_only_where_wanted() {
    let store = HeapStore::new(|| 1_700_000_000.5).with_created_samples(true);
    store.intern(&counter("c"), &[]).add(0, 1.0);
    store.intern(&Arc::new(descriptor("g", MetricType::Gauge, &[])), &[]);
    let expected =
        [("c_total", 1.0), ("c_created", 1_700_000_000.5), ("g", 0.0)].map(|(n, v)| (n.into(), v));
    assert_eq!(values(&store), expected);
}

#[test]
fn a_withdrawn_family_goes_on_where_it_was_when_it_comes_back() {
    let store = HeapStore::new(|| 0.0);
    let descriptor = counter("c");
    store.declare(&descriptor);
    store.intern(&descriptor, &[]).add(0, 2.0);
    store.withdraw(&descriptor);
    assert_eq!(values(&store), []);
    store.declare(&descriptor);
    assert_eq!(values(&store), [("c_total".to_string(), 2.0)]);
}

#[test]
fn another_family_of_a_withdrawn_name_starts_empty() {
    let store = HeapStore::new(|| 0.0);
    let first = counter("c");
    let handle = store.intern(&first, &[]);
    handle.add(0, 2.0);
    store.withdraw(&first);
    let second = counter("c");
    store.declare(&second);
    assert_eq!(store.intern(&second, &[]).get(0), 0.0);
    handle.add(0, 1.0);
    assert_eq!(values(&store), [("c_total".to_string(), 0.0)]);
}

#[test]
fn two_declarations_with_different_buckets_do_not_panic() {
    let store = HeapStore::new(|| 0.0);
    let small = Arc::new(descriptor("h", MetricType::Histogram, &[]));
    let large = Arc::new(Descriptor {
        upper_bounds: [1.0, 2.0, 3.0, 4.0, f64::INFINITY].into(),
        ..(*small).clone()
    });
    store.intern(&small, &[]).add(1, 1.0);
    store.intern(&large, &[]).add(5, 1.0);
    store.intern(&small, &[]).add(1, 1.0);
    assert_eq!(store.collect().families.len(), 1);
}
