#![expect(clippy::float_cmp, reason = "these results are exact")]

use super::*;
use proptest::prelude::*;

const RULES: [MergeRule; 4] = [
    MergeRule::Sum,
    MergeRule::Min,
    MergeRule::Max,
    MergeRule::MostRecent,
];

fn merged(rule: MergeRule, values: &[(f64, f64)]) -> Merged {
    let mut merged = Merged::empty(rule);
    for (value, timestamp) in values {
        merged.add(rule, *value, *timestamp);
    }
    merged
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

#[test]
fn nan_counts_for_least_and_greatest_only_when_alone() {
    let nan = f64::NAN;
    for (rule, expected) in [(MergeRule::Min, 1.0), (MergeRule::Max, 2.0)] {
        assert_eq!(
            merged(rule, &[(nan, 0.0), (1.0, 0.0), (2.0, 0.0)]).value(),
            expected
        );
        assert_eq!(
            merged(rule, &[(2.0, 0.0), (nan, 0.0), (1.0, 0.0)]).value(),
            expected
        );
        assert!(merged(rule, &[(nan, 0.0), (nan, 0.0)]).value().is_nan());
    }
    assert!(
        merged(MergeRule::Sum, &[(1.0, 0.0), (nan, 0.0)])
            .value()
            .is_nan()
    );
}

#[test]
fn most_recent_needs_a_time_and_keeps_the_first_of_equal_ones() {
    let rule = MergeRule::MostRecent;
    let never = merged(rule, &[(5.0, 0.0), (6.0, -1.0), (7.0, f64::NAN)]);
    assert_eq!((never.value(), never.timestamp_seconds()), (0.0, 0.0));
    let last = merged(rule, &[(1.0, 10.0), (2.0, 12.0), (3.0, 12.0), (4.0, 11.0)]);
    assert_eq!((last.value(), last.timestamp_seconds()), (2.0, 12.0));
}

#[test]
fn a_worker_has_one_value() {
    assert_eq!(
        merged(MergeRule::PerWorker, &[(1.0, 9.0), (2.0, 0.0)]).value(),
        2.0
    );
}

/// Values with times that are all different, so that the tie-break is out of the way.
fn values() -> impl Strategy<Value = Vec<(f64, f64)>> {
    let value = prop_oneof![-1e6..1e6, Just(f64::NAN), Just(f64::INFINITY)];
    proptest::collection::vec(value, 0..12).prop_map(|values| {
        let with_time = values.into_iter().zip(0_u32..);
        with_time
            .map(|(value, time)| (value, f64::from(time * 7 % 12 + 1)))
            .collect()
    })
}

proptest! {
    #[test]
    fn order_does_not_matter(values in values(), seed in any::<u64>()) {
        let mut shuffled = values.clone();
        shuffled.sort_by_key(|(_, time)| time.to_bits().wrapping_mul(seed | 1));
        for rule in RULES {
            let (a, b) = (merged(rule, &values), merged(rule, &shuffled));
            prop_assert!(close(a.value(), b.value()), "{rule:?}: {a:?} {b:?}");
        }
    }

    #[test]
    fn grouping_does_not_matter(values in values(), at in 0_usize..12) {
        let (left, right) = values.split_at(at.min(values.len()));
        for rule in RULES {
            let mut joined = merged(rule, left);
            joined.join(rule, merged(rule, right));
            let whole = merged(rule, &values);
            prop_assert!(close(joined.value(), whole.value()), "{rule:?}: {joined:?} {whole:?}");
        }
    }

    #[test]
    fn nothing_changes_nothing(values in values()) {
        for rule in RULES {
            let mut joined = merged(rule, &values);
            joined.join(rule, Merged::empty(rule));
            prop_assert!(close(joined.value(), merged(rule, &values).value()));
        }
    }
}
