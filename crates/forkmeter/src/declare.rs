//! Declaring a metric in the default registry, in one call.

use forkmeter_core::metric::{Builder, Metric, Shape};

use crate::global::default_registry;

/// Declares metrics in the [default registry](default_registry); for a [`Lazy`](crate::Lazy) static.
pub trait Declare {
    /// What declaring gives: a metric, or a family of metrics where there are labels.
    type Output;

    /// Registers the metric in the default registry, or returns the one that is registered there already under an
    /// equal declaration.
    ///
    /// # Panics
    ///
    /// Panics where the declaration is wrong: an invalid name, or one that another declaration has taken.
    /// [`Builder::register`] returns these as errors.
    ///
    /// # Examples
    ///
    /// ```
    /// use forkmeter::{Counter, Declare, Family, Lazy};
    ///
    /// static JOBS: Lazy<Family<Counter, 1>> =
    ///     Lazy::new(|| Counter::builder("jobs", "Jobs done.").labels(["queue"]).declare());
    ///
    /// JOBS.with_label_values(["mail"]).inc();
    /// assert_eq!(JOBS.with_label_values(["mail"]).get(), 1.0);
    /// ```
    fn declare(self) -> Self::Output;
}

impl<M: Metric, S: Shape<M>> Declare for Builder<M, S> {
    type Output = S::Output;

    #[track_caller]
    fn declare(self) -> S::Output {
        match self.register_or_get(default_registry()) {
            Ok(metric) => metric,
            Err(error) => panic!("{error}"),
        }
    }
}
