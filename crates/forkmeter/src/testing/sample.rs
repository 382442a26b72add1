//! Single samples.

use forkmeter_core::encode::format_value;
use forkmeter_core::registry::Gather;
use forkmeter_core::{LabelSet, MetricFamily, Sample};

use super::gather;
use super::mismatch::{Mismatch, is_same, nearest, series};

/// Returns the value of a sample, or none where it is not exposed.
///
/// The name is that of the sample, suffix included (`jobs_total`, `latency_seconds_count`); the labels are all that it
/// has, in any order. Reading makes no series, unlike asking a family for one.
///
/// # Examples
///
/// ```
/// use forkmeter::{Counter, testing};
///
/// let registry = testing::registry();
/// let jobs = Counter::builder("jobs", "").labels(["queue"]).register(&registry)?;
/// assert_eq!(testing::value(&registry, "jobs_total", [("queue", "mail")]), None);
/// jobs.with_label_values(["mail"]).inc();
/// assert_eq!(testing::value(&registry, "jobs_total", [("queue", "mail")]), Some(1.0));
/// # Ok::<(), forkmeter::Error>(())
/// ```
pub fn value<'a>(
    from: &(impl Gather + ?Sized),
    name: &str,
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Option<f64> {
    let labels = LabelSet::from_pairs(labels);
    let families = gather(from);
    find(&families, name, &labels).map(|sample| sample.value)
}

/// Returns all samples of a name: that of a sample, or of a family for all of its samples.
pub fn samples(from: &(impl Gather + ?Sized), name: &str) -> Vec<Sample> {
    let families = gather(from).into_iter();
    families
        .flat_map(|family| {
            let is_family = *family.name == *name;
            family
                .samples
                .into_iter()
                .filter(move |sample| is_family || *sample.name == *name)
        })
        .collect()
}

/// Checks that a sample has this value: exactly, NaN being equal to itself. Name and labels are as for [`value`].
///
/// [`assert_sample!`](crate::assert_sample) panics with what this returns; [`eventually`](super::eventually) repeats
/// it.
///
/// # Errors
///
/// When there is no such sample, or when its value is another. The text of the error is not stable.
pub fn check_sample<'a>(
    from: &(impl Gather + ?Sized),
    name: &str,
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    expected: f64,
) -> Result<(), Mismatch> {
    let labels = LabelSet::from_pairs(labels);
    let families = gather(from);
    let wanted = series(name, &labels);
    let expected_text = format_value(expected);
    let text = match find(&families, name, &labels) {
        Some(sample) if is_same(sample.value, expected) => return Ok(()),
        Some(sample) => {
            let found = format_value(sample.value);
            format!("{wanted} is {found}, expected {expected_text}")
        }
        None => {
            let all = families.iter().flat_map(|family| &family.samples);
            let near = nearest(name, &labels, all, "  ");
            format!("there is no {wanted}, expected with {expected_text}{near}")
        }
    };
    Err(Mismatch::new(text))
}

fn find<'f>(families: &'f [MetricFamily], name: &str, labels: &LabelSet) -> Option<&'f Sample> {
    let mut all = families.iter().flat_map(|family| &family.samples);
    all.find(|sample| *sample.name == *name && sample.labels == *labels)
}
