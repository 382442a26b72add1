//! Plain data that every other module passes around: families, samples, label sets and their metadata.

mod descriptor;
mod family;
mod kind;
mod label;
mod name;
mod sample;

pub use descriptor::{
    Descriptor, HISTOGRAM_FIRST_BUCKET, HISTOGRAM_SUM, SUMMARY_COUNT, SUMMARY_SUM, SeriesView,
    SlotName, SlotValues,
};
pub use family::MetricFamily;
pub use kind::{MergeRule, MetricType, MultiprocessMode, ParseKindError};
pub use label::{LabelSet, OVERFLOW_LABEL_VALUE};
pub(crate) use name::exemplar_characters;
pub use name::{
    EXEMPLAR_MAX_CHARACTERS, NameError, NameErrorKind, NameScheme, NameSubject,
    is_legacy_label_name, is_legacy_metric_name, validate_exemplar_labels, validate_label_name,
    validate_label_names, validate_metric_name,
};
pub use sample::{Exemplar, Sample, Timestamp};
