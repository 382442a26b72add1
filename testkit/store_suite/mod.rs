//! The suite that every store passes: what the contract on `Store` and `Slots` says, seen from one process.
//!
//! A crate with a store includes this file in its integration tests, implements [`Fixture`] and calls
//! `store_suite!(ItsFixture)`, which makes one test of every function in [`cases`].

#![expect(
    clippy::float_cmp,
    reason = "stores must give back exactly what was put in"
)]

pub(crate) mod cases;
pub(crate) mod steps;

use std::sync::Arc;

use forkmeter_core::store::{Slots, Store};
use forkmeter_core::{
    Descriptor, Exemplar, LabelSet, MetricFamily, MetricType, MultiprocessMode, Sample, Timestamp,
};

/// Makes a store for one test and keeps alive what it needs, such as a directory.
pub(crate) trait Fixture {
    /// Makes an empty store that exposes no created times.
    fn new() -> Self;

    /// Returns the store.
    fn store(&self) -> Arc<dyn Store>;
}

/// Makes one test of every case, for a fixture.
#[macro_export]
macro_rules! store_suite {
    ($fixture:ty) => {
        $crate::store_suite!($fixture:
            every_kind_is_exposed_under_its_sample_names,
            gauges_of_all_modes_expose_the_value_of_the_only_worker,
            a_series_has_one_set_of_cells,
            a_declared_family_is_exposed_without_series,
            help_unit_and_labels_may_be_any_text,
            values_may_be_any_float,
            a_removed_series_starts_again_from_zero,
            handles_of_an_expired_series_count_on,
            a_gauge_that_expired_is_there_again_once_it_is_set_to_zero,
            states_that_expired_are_there_again_once_one_is_set,
            removing_one_series_leaves_the_others,
            series_are_listed_in_the_order_they_were_made,
            threads_that_count_together_lose_nothing,
            threads_that_make_the_same_series_get_the_same_cells,
            exemplars_are_kept_per_slot_and_stamped,
            facts_are_replaced,
            states_are_indices,
            a_reset_zeroes_the_series_and_its_created_time,
            many_series_keep_their_values,
            label_sets_are_told_apart,
            a_family_with_a_limit_has_no_more_series,
        );
    };
    ($fixture:ty: $($case:ident),* $(,)?) => {
        $(#[test]
        fn $case() {
            let fixture = <$fixture as $crate::store_suite::Fixture>::new();
            $crate::store_suite::cases::$case(&$crate::store_suite::Fixture::store(&fixture));
        })*

        proptest::proptest! {
            #![proptest_config(proptest::test_runner::Config::with_cases(48))]
            #[test]
            fn any_order_of_operations_gives_what_a_map_gives(
                steps in $crate::store_suite::steps::steps()
            ) {
                let fixture = <$fixture as $crate::store_suite::Fixture>::new();
                $crate::store_suite::steps::check_steps(
                    &$crate::store_suite::Fixture::store(&fixture), &steps);
            }
        }
    };
}

/// Returns a descriptor of any kind; `label_names` in declared order.
pub(crate) fn descriptor(name: &str, kind: MetricType, label_names: &[&str]) -> Descriptor {
    Descriptor {
        name: name.into(),
        help: format!("Help of {name}.").into(),
        unit: "".into(),
        kind,
        label_names: label_names.iter().map(|name| Arc::from(*name)).collect(),
        mode: MultiprocessMode::All,
        upper_bounds: match kind {
            MetricType::Histogram => [0.5, 1.0, f64::INFINITY].into(),
            _ => Box::default(),
        },
        states: match kind {
            MetricType::StateSet => ["up", "down"].map(Arc::from).into(),
            _ => Box::default(),
        },
    }
}

fn family(store: &Arc<dyn Store>, name: &str) -> MetricFamily {
    let mut collected = store.collect();
    // A store that cannot write where it should says so each time, and is right all the same.
    collected
        .errors
        .retain(|error| !error.contains(" series are kept in memory: "));
    assert!(collected.errors.is_empty(), "{:?}", collected.errors);
    let mut found = collected
        .families
        .into_iter()
        .filter(|family| *family.name == *name);
    let family = found
        .next()
        .unwrap_or_else(|| panic!("{name} is not exposed"));
    assert!(found.next().is_none(), "{name} is exposed twice");
    family
}

/// Returns the samples as text and value, without the `pid` label that a shared store adds to some gauges.
fn samples(store: &Arc<dyn Store>, name: &str) -> Vec<(String, f64)> {
    family(store, name)
        .samples
        .iter()
        .map(|sample| (series_text(sample), sample.value))
        .collect()
}

/// Returns the samples as [`samples`] does, but sorted: which order series stand in is up to the store.
fn sorted_samples(store: &Arc<dyn Store>, name: &str) -> Vec<(String, f64)> {
    sorted(samples(store, name))
}

fn sorted(mut samples: Vec<(String, f64)>) -> Vec<(String, f64)> {
    samples.sort_by(|a, b| a.0.cmp(&b.0));
    samples
}

fn series_text(sample: &Sample) -> String {
    let labels = sample.labels.without("pid");
    let labels: Vec<_> = labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!("{}{{{}}}", sample.name, labels.join(","))
}

fn value(store: &Arc<dyn Store>, name: &str, series: &str) -> Option<f64> {
    samples(store, name)
        .into_iter()
        .find(|(text, _)| text == series)
        .map(|(_, value)| value)
}

fn exposed(series: &[(&str, f64)]) -> Vec<(String, f64)> {
    series
        .iter()
        .map(|(text, value)| ((*text).to_string(), *value))
        .collect()
}
