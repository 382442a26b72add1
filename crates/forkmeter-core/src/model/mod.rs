//! Plain data that every other module passes around: families, samples, label sets and their metadata.

mod descriptor;
mod family;
mod kind;
mod label;
mod sample;

pub use descriptor::{
    Descriptor, HISTOGRAM_FIRST_BUCKET, HISTOGRAM_SUM, SUMMARY_COUNT, SUMMARY_SUM, SeriesView,
    SlotName,
};
pub use family::MetricFamily;
pub use kind::{MergeRule, MetricType, MultiprocessMode, ParseKindError};
pub use label::LabelSet;
pub use sample::{Exemplar, Sample, Timestamp};
