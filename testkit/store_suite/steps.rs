//! The property test: random operations on a store and on a map, which must hold the same in the end.

use std::collections::HashMap;
use std::sync::Arc;

use forkmeter_core::store::{Slots, Store};
use forkmeter_core::{LabelSet, MetricType};
use proptest::prelude::*;

use super::{descriptor, family};

/// Is one operation of the property test.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Interns a series and adds to it.
    Add([String; 2], f64),
    /// Adds to a series through the handle that was made first since it was removed, if there is one.
    AddHeld([String; 2], f64),
    /// Removes a series.
    Remove([String; 2]),
    /// Removes a series until somebody counts.
    Expire([String; 2]),
    /// Sets a series to zero where it exists.
    Reset([String; 2]),
}

/// Makes sequences of operations on few series with odd label values.
pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let label = prop_oneof![
        3 => prop::sample::select(vec!["", "a", "b", "\"", "\\", "\n"]).prop_map(String::from),
        1 => any::<String>(),
    ];
    let labels = [label.clone(), label];
    let step = prop_oneof![
        6 => (labels.clone(), 0_u32..100).prop_map(|(labels, n)| Step::Add(labels, f64::from(n))),
        3 => (labels.clone(), 1_u32..100)
            .prop_map(|(labels, n)| Step::AddHeld(labels, f64::from(n))),
        2 => labels.clone().prop_map(Step::Remove),
        2 => labels.clone().prop_map(Step::Expire),
        1 => labels.prop_map(Step::Reset),
    ];
    prop::collection::vec(step, 0..60)
}

/// Runs the operations on the store and on a map, and compares what both hold in the end.
pub(crate) fn check_steps(store: &Arc<dyn Store>, steps: &[Step]) {
    let descriptor = Arc::new(descriptor("model", MetricType::Counter, &["x", "y"]));
    store.declare(&descriptor);
    let mut model: HashMap<LabelSet, f64> = HashMap::new();
    let mut held: HashMap<LabelSet, Arc<dyn Slots>> = HashMap::new();
    let key = |labels: &[String; 2]| descriptor.labels(&[&labels[0], &labels[1]]);
    for step in steps {
        match step {
            Step::Add(labels, delta) => {
                let slots = store.intern(&descriptor, &[&labels[0], &labels[1]]);
                slots.add(0, *delta);
                *model.entry(key(labels)).or_default() += delta;
                held.entry(key(labels)).or_insert(slots);
            }
            Step::AddHeld(labels, delta) => {
                if let Some(held) = held.get(&key(labels)) {
                    held.add(0, *delta);
                    *model.entry(key(labels)).or_default() += delta;
                    // A look finds out that a series which expired is there again.
                    store.series(&descriptor);
                }
            }
            Step::Remove(labels) => {
                let removed = store.remove(&descriptor, &[&labels[0], &labels[1]]);
                assert_eq!(removed, model.remove(&key(labels)).is_some(), "{labels:?}");
                held.remove(&key(labels));
            }
            Step::Expire(labels) => {
                let expired = store.expire(&descriptor, &[&labels[0], &labels[1]]);
                assert_eq!(expired, model.remove(&key(labels)).is_some(), "{labels:?}");
            }
            Step::Reset(labels) => {
                if let Some(value) = model.get_mut(&key(labels)) {
                    store.intern(&descriptor, &[&labels[0], &labels[1]]).reset();
                    *value = 0.0;
                }
            }
        }
    }
    let samples = family(store, "model").samples;
    let exposed: HashMap<_, _> = samples
        .iter()
        .map(|s| (s.labels.clone(), s.value))
        .collect();
    assert_eq!(exposed.len(), samples.len(), "a series is exposed twice");
    assert_eq!(exposed, model);
}
