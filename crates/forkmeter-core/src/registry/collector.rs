//! Custom collectors: families that are made when they are asked for.

use std::fmt;

use crate::model::MetricFamily;

/// Yields metric families on every gathering, for values that something else keeps.
///
/// Collectors may be called from any thread and from several at once, in every process that gathers. They are
/// called with no lock held, so they may use metrics and registries. A panic is caught where panics unwind: the
/// collector is left out of that exposition and named in its errors.
///
/// # Examples
///
/// ```
/// use forkmeter_core::registry::Collector;
/// use forkmeter_core::{LabelSet, MetricFamily, MetricType, Sample};
///
/// #[derive(Debug)]
/// struct Answer;
///
/// impl Collector for Answer {
///     fn collect(&self) -> Vec<MetricFamily> {
///         let mut family = MetricFamily::new("answer", "The answer.", MetricType::Gauge);
///         family.samples.push(Sample::new("answer", LabelSet::empty(), 42.0));
///         vec![family]
///     }
/// }
/// ```
pub trait Collector: fmt::Debug + Send + Sync {
    /// Returns the families as they are now, complete with samples.
    fn collect(&self) -> Vec<MetricFamily>;

    /// Returns the families that [`Collector::collect`] may yield, without samples.
    ///
    /// Called once, when the collector is registered: their names are then taken, and a restricted view does not
    /// ask the collector when it wants none of them. A collector that describes nothing takes no names and is
    /// always asked.
    fn describe(&self) -> Vec<MetricFamily> {
        Vec::new()
    }
}
