//! The model of forkmeter: metric kinds, registry, the store trait with its in-process store, merge rules,
//! encoders and parsers.
//!
//! Everything else in the workspace stands on this crate. It does no I/O and reads no clock, process id or
//! environment: callers pass them.
#![forbid(unsafe_code)]

pub mod encode;
pub mod fork;
pub mod idle;
pub mod merge;
pub mod metric;
pub mod model;
pub mod parse;
pub mod registry;
pub mod store;

pub use model::{
    Descriptor, Exemplar, LabelSet, MergeRule, MetricFamily, MetricType, MultiprocessMode, Sample,
    Timestamp,
};
