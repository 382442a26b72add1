//! The packed table of series, against a plain list.

use std::sync::Arc;
use std::thread;

use forkmeter_core::model::SlotValues;
use forkmeter_core::store::{SeriesHandle, SeriesTable};
use forkmeter_core::{Exemplar, LabelSet};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    /// Interns and adds, and keeps the handle or drops it.
    Count(u8, bool),
    /// Counts on a handle that is still held.
    CountHeld(u8),
    Drop(u8),
    Remove(u8),
    RemoveWhere(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..40_u8, any::<bool>()).prop_map(|(label, keep)| Step::Count(label, keep)),
        2 => any::<u8>().prop_map(Step::CountHeld),
        1 => any::<u8>().prop_map(Step::Drop),
        2 => (0..40_u8).prop_map(Step::Remove),
        1 => (1..8_u8).prop_map(Step::RemoveWhere),
    ]
}

fn label(number: u8) -> [String; 2] {
    [number.to_string(), "x".repeat(usize::from(number))]
}

fn listed(table: &SeriesTable) -> Vec<(Vec<String>, f64, f64)> {
    let mut all = Vec::new();
    table.for_each(|series| {
        let values = series.label_values().map(String::from).collect();
        all.push((values, series.value(1), series.created_seconds()));
    });
    all
}

/// Is what the table should hold, by age: number, value, created time, and which series of this number it is.
type Model = Vec<(u8, f64, f64, u32)>;

proptest! {
    #[test]
    fn any_order_of_operations_gives_what_a_list_gives(steps in prop::collection::vec(step(), 0..400)) {
        let table = SeriesTable::new(2, 2);
        let mut model: Model = Vec::new();
        let mut held: Vec<(SeriesHandle, u32)> = Vec::new();
        for (time, step) in (0_u32..).zip(steps) {
            match step {
                Step::Count(number, keep) => {
                    let [a, b] = label(number);
                    let handle = table.intern(&[&a, &b], f64::from(time));
                    let known = model.iter_mut().find(|series| series.0 == number);
                    let which = if let Some(series) = known {
                        series.1 += 1.0;
                        series.3
                    } else {
                        model.push((number, 1.0, f64::from(time), time));
                        time
                    };
                    prop_assert!(table.find(&[&a, &b]).is_some_and(|found| found.id() == handle.id()));
                    handle.add(1, 1.0);
                    if keep {
                        held.push((handle, which));
                    }
                }
                Step::CountHeld(at) if !held.is_empty() => {
                    let (handle, which) = &held[usize::from(at) % held.len()];
                    let before = handle.get(1);
                    handle.add(1, 0.5);
                    prop_assert_eq!(handle.get(1), before + 0.5);
                    let series = model.iter_mut().find(|series| series.3 == *which);
                    prop_assert_eq!(handle.is_removed(), series.is_none());
                    if let Some(series) = series {
                        series.1 += 0.5;
                        let values = handle.label_values();
                        prop_assert_eq!(&*values[0], series.0.to_string());
                    }
                }
                Step::Drop(at) if !held.is_empty() => {
                    held.swap_remove(usize::from(at) % held.len());
                }
                Step::CountHeld(_) | Step::Drop(_) => {}
                Step::Remove(number) => {
                    let [a, b] = label(number);
                    let known = model.iter().position(|series| series.0 == number);
                    prop_assert_eq!(table.remove(&[&a, &b]), known.is_some());
                    prop_assert!(table.find(&[&a, &b]).is_none());
                    known.map(|at| model.remove(at));
                }
                Step::RemoveWhere(divisor) => {
                    let is_removed = |number: u8| number.is_multiple_of(divisor);
                    let expected = model.iter().filter(|series| is_removed(series.0)).count();
                    let removed = table.remove_where(|_, values| {
                        let number = values.clone().next().unwrap();
                        is_removed(number.parse().unwrap())
                    });
                    prop_assert_eq!(removed, expected);
                    model.retain(|series| !is_removed(series.0));
                }
            }
            prop_assert_eq!(table.len(), model.len());
        }
        let expected: Vec<_> = model
            .iter()
            .map(|(number, value, created, _)| (label(*number).to_vec(), *value, *created))
            .collect();
        prop_assert_eq!(listed(&table), expected);
    }
}

#[test]
fn label_values_that_never_come_again_use_the_same_rows() {
    let table = SeriesTable::new(1, 1);
    let kept = table.intern(&["kept"], 0.0);
    let mut greatest = 0;
    for number in 0..20_000 {
        let values = [&*format!("session {number}")];
        let series = table.intern(&values, 0.0);
        assert_eq!(series.get(0), 0.0, "row of another series");
        series.add(0, 1.0);
        kept.add(0, 1.0);
        greatest = greatest.max(series.id().index());
        table.remove(&values);
    }
    assert!(greatest < 4, "{greatest}");
    assert_eq!(kept.get(0), 20_000.0);
    assert_eq!(listed_values(&table), [20_000.0]);
}

#[test]
fn a_row_is_not_used_again_while_anybody_holds_it() {
    let table = SeriesTable::new(1, 1);
    let first = table.intern(&["a"], 1.0);
    let clone = first.clone();
    table.remove(&["a"]);
    drop(first);
    let second = table.intern(&["b"], 2.0);
    clone.add(0, 7.0);
    assert_eq!((second.get(0), clone.created_seconds()), (0.0, 1.0));
    assert_eq!(
        table.handle(second.id()).map(|found| found.id()),
        Some(second.id())
    );
    assert!(table.handle(clone.id()).is_none(), "it was removed");
    assert!(SeriesTable::new(1, 1).handle(second.id()).is_none());
    assert_eq!(clone.label_values(), ["a".into()]);
    let id = clone.id();
    drop(clone);
    let third = table.intern(&["c"], 3.0);
    assert_eq!(
        (third.id(), third.get(0), third.created_seconds()),
        (id, 0.0, 3.0)
    );
}

#[test]
fn exemplars_and_facts_go_with_their_series() {
    let exemplar = Exemplar {
        labels: LabelSet::from_pairs([("trace_id", "1")]),
        value: 1.0,
        timestamp: None,
    };
    let table = SeriesTable::new(1, 1);
    let first = table.intern(&["a"], 0.0);
    first.set_exemplar(0, exemplar.clone());
    first.set_facts(LabelSet::from_pairs([("version", "1")]));
    assert_eq!(first.exemplar(0), Some(exemplar.clone()));
    first.reset(4.0);
    assert_eq!((first.exemplar(0), first.created_seconds()), (None, 4.0));
    table.remove(&["a"]);
    // Late: the series is gone, but somebody holds it.
    first.set_exemplar(0, exemplar);
    let id = first.id();
    drop(first);
    let second = table.intern(&["b"], 0.0);
    assert_eq!(second.id(), id);
    assert_eq!(
        (second.exemplar(0), second.facts()),
        (None, LabelSet::empty())
    );
}

#[test]
fn threads_that_make_remove_and_count_mix_nothing_up() {
    const ROUNDS: u32 = 5_000;
    let table = SeriesTable::new(1, 1);
    thread::scope(|scope| {
        for number in 0..4_u32 {
            let table = Arc::clone(&table);
            scope.spawn(move || {
                let own = format!("kept by {number}");
                for round in 0..ROUNDS {
                    table.intern(&[&own], 0.0).add(0, 1.0);
                    let passing = format!("{number}-{round}");
                    let series = table.intern(&[&passing], 0.0);
                    series.add(0, 1.0);
                    assert!(table.remove(&[&passing]));
                    series.add(0, 1.0);
                    assert_eq!(series.get(0), 2.0, "somebody else counts here");
                }
            });
        }
    });
    let counts: Vec<f64> = listed_values(&table);
    assert_eq!(counts, [f64::from(ROUNDS); 4]);
}

fn listed_values(table: &SeriesTable) -> Vec<f64> {
    let mut all = Vec::new();
    table.for_each(|series| all.push(series.value(0)));
    all
}
