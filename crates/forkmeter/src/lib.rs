#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(feature = "axum")]
pub mod axum;
mod declare;
mod default_bounds;
mod exposition;
mod global;
mod lazy;
mod process;
#[cfg(feature = "testing")]
pub mod testing;
mod timing;

pub use declare::Declare;
pub use exposition::{expose, text};
pub use forkmeter_core::encode::{self, Escaping, Format};
pub use forkmeter_core::fork::in_signal_handler;
pub use forkmeter_core::metric::{
    self, Builder, Counter, DynFamily, Error, ErrorKind, Family, Gauge, Histogram, Info, Metric,
    Result, StateSet, Summary, Untyped, exponential_bounds, linear_bounds,
};
pub use forkmeter_core::model::NameScheme;
pub use forkmeter_core::registry::{
    self, Collector, Exposition, Gather, Registered, Registry, RestrictedRegistry,
};
pub use forkmeter_core::store::{self, Collected};
pub use forkmeter_core::{
    Descriptor, Exemplar, LabelSet, MetricFamily, MetricType, MultiprocessMode, Sample, Timestamp,
};
pub use global::{
    Config, ConfigureError, Sharing, configure, default_registry, directory, shared_registry,
    single_process_registry,
};
pub use lazy::Lazy;
pub use process::ProcessCollector;
pub use timing::{SetToCurrentTime, TakesSeconds, Timer, Timing};
