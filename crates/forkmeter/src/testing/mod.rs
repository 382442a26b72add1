//! Tests of programs that count: isolated registries, and assertions that show what is near.
//!
//! Called by tests only; name the feature in `dev-dependencies`:
//!
//! ```toml
//! [dev-dependencies]
//! forkmeter = { version = "0.1", features = ["testing"] }
//! ```
//!
//! A test of code that is handed a registry makes [`registry()`]; one of code that counts in the default registry
//! calls [`isolate()`], which gives it zeros and a directory of its own, for as long as the guard lives. Neither needs
//! another way to run tests: threads, forked children and spawned programs are all right.
//!
//! The `process_*` metrics of the default registry and `_created` samples are left out of everything here, since no
//! test can know them.
//!
//! # Examples
//!
//! ```
//! use forkmeter::{Counter, Declare, Family, Lazy, assert_exposition, assert_sample, testing};
//!
//! // The program:
//! static JOBS: Lazy<Family<Counter, 1>> =
//!     Lazy::new(|| Counter::builder("jobs", "Jobs done.").labels(["queue"]).declare());
//!
//! fn work(queue: &str) {
//!     JOBS.with_label_values([queue]).inc();
//! }
//!
//! // Its test:
//! let metrics = testing::isolate();
//! work("mail");
//! assert_sample!(metrics, "jobs_total", [("queue", "mail")], 1.0);
//! let delta = testing::delta(&metrics, || work("print"));
//! assert_eq!(delta.to_string(), "jobs_total{queue=\"print\"} +1.0 (1.0, was not there)\n");
//! assert_exposition!(
//!     metrics,
//!     "
//!     ## TYPE jobs_total counter
//!     jobs_total{queue=\"mail\"} 1
//!     jobs_total{queue=\"print\"} 1
//!     "
//! );
//! ```

mod delta;
mod exposition;
mod isolation;
mod mismatch;
mod sample;
mod wait;

pub use delta::{Change, Delta, Snapshot, delta};
pub use exposition::check_exposition;
pub use isolation::{Isolated, TestRegistry, isolate, registry};
pub use mismatch::Mismatch;
pub use sample::{check_sample, samples, value};
pub use wait::{Outcome, eventually};

use forkmeter_core::registry::Gather;
use forkmeter_core::{MetricFamily, MetricType, Sample};

/// Gathers what tests look at.
fn gather(from: &(impl Gather + ?Sized)) -> Vec<MetricFamily> {
    let mut families = from.gather().families;
    families.retain(|family| !crate::process::is_process_family(&family.name));
    for family in &mut families {
        let name = &family.name;
        let is_created = |sample: &Sample| sample.name.strip_suffix("_created") == Some(name);
        // A gauge may well have that name itself.
        if !matches!(family.kind, MetricType::Gauge | MetricType::Unknown) {
            family.samples.retain(|sample| !is_created(sample));
        }
    }
    families
}

/// Asserts that one sample has this value; see [`check_sample`] for what is compared.
///
/// # Panics
///
/// When there is no such sample, showing the nearest one, or when its value is another.
///
/// # Examples
///
/// ```
/// use forkmeter::{Counter, assert_sample, testing};
///
/// let registry = testing::registry();
/// let jobs = Counter::builder("jobs", "").labels(["queue"]).register(&registry)?;
/// jobs.with_label_values(["mail"]).inc();
/// assert_sample!(registry, "jobs_total", [("queue", "mail")], 1.0);
/// # Ok::<(), forkmeter::Error>(())
/// ```
#[macro_export]
macro_rules! assert_sample {
    ($from:expr, $name:expr, $value:expr $(,)?) => {
        $crate::assert_sample!($from, $name, [], $value)
    };
    ($from:expr, $name:expr, $labels:expr, $value:expr $(,)?) => {
        if let ::std::result::Result::Err(mismatch) =
            $crate::testing::check_sample(&$from, $name, $labels, $value)
        {
            ::std::panic!("{mismatch}");
        }
    };
}

/// Asserts that the families which a golden text names are exposed as it says; see [`check_exposition`] for what is
/// compared.
///
/// # Panics
///
/// When they are not, showing every difference and the nearest series.
///
/// # Examples
///
/// ```
/// use forkmeter::{Histogram, assert_exposition, testing};
///
/// let registry = testing::registry();
/// let sizes = Histogram::builder("sizes", "Of files.").buckets([10.0]).register(&registry)?;
/// sizes.observe(3.0);
/// assert_exposition!(
///     registry,
///     r#"
///     ## HELP sizes Of files.
///     ## TYPE sizes histogram
///     sizes_bucket{le="10.0"} 1
///     sizes_bucket{le="+Inf"} 1
///     sizes_count 1
///     sizes_sum *
///     "#
/// );
/// # Ok::<(), forkmeter::Error>(())
/// ```
#[macro_export]
macro_rules! assert_exposition {
    ($from:expr, $golden:expr $(,)?) => {
        if let ::std::result::Result::Err(mismatch) =
            $crate::testing::check_exposition(&$from, $golden)
        {
            ::std::panic!("{mismatch}");
        }
    };
}
