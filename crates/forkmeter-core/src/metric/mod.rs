//! Metric kinds: what a program declares and counts with.
//!
//! A metric is declared with a [`Builder`] and registered in a [`Registry`](crate::registry::Registry), which
//! gives a handle, or a [`Family`] of handles when it has labels. Handles are cheap to clone and may be used
//! from any thread. Recording takes no lock, allocates nothing and makes no system call; it never fails because
//! of storage, and never panics.
//!
//! # Examples
//!
//! Declare, record and read:
//!
//! ```
//! use std::sync::Arc;
//! use forkmeter_core::metric::Counter;
//! use forkmeter_core::registry::Registry;
//! use forkmeter_core::store::HeapStore;
//!
//! let registry = Registry::new(Arc::new(HeapStore::new(|| 1_700_000_000.0)));
//! let requests = Counter::builder("http_requests", "Requests answered.")
//!     .labels(["method", "path"])
//!     .register(&registry)?;
//! requests.with_label_values(["GET", "/"]).inc();
//! assert_eq!(requests.with_label_values(["GET", "/"]).get(), 1.0);
//! # Ok::<(), forkmeter_core::metric::Error>(())
//! ```

mod bounds;
mod builder;
mod counter;
mod error;
mod family;
mod gauge;
mod held;
mod histogram;
mod info;
mod name;
mod recent;
mod stateset;
mod summary;
mod untyped;

use std::fmt;
use std::sync::Arc;

pub(crate) use bounds::DefaultBounds;
pub use bounds::{Bound, OVERFLOWS_HELP, OVERFLOWS_NAME};
pub use builder::{Builder, Dynamic, Labelled, Shape, Single};
pub use counter::Counter;
pub use error::{Error, ErrorKind, Result};
pub use family::{DynFamily, Family};
pub use gauge::{Gauge, InProgress};
pub use histogram::{DEFAULT_UPPER_BOUNDS, Histogram, exponential_bounds, linear_bounds};
pub use info::Info;
pub(crate) use name::claimed_suffixes;
pub use stateset::StateSet;
pub use summary::Summary;
pub use untyped::Untyped;

use crate::model::{Descriptor, LabelSet, MetricType, NameScheme, validate_exemplar_labels};
use crate::store::Store;

/// Is a kind of metric: a handle to one series.
///
/// Implemented by the kinds of this crate only.
pub trait Metric: Clone + fmt::Debug + Send + Sync + Sized + sealed::Sealed + 'static {
    /// The type of the families of this kind.
    const KIND: MetricType;

    /// Whether a handle keeps its series' label values.
    #[doc(hidden)]
    const NEEDS_LABEL_VALUES: bool = false;

    /// Makes the handle of a series.
    fn from_series(series: Series<'_>) -> Self;
}

/// Holds what a handle is made of.
#[derive(Debug)]
pub struct Series<'a> {
    descriptor: &'a Arc<Descriptor>,
    store: &'a Arc<dyn Store>,
    /// All label values, those of constant labels included; empty for kinds that do not need them.
    label_values: &'a [&'a str],
    held: held::Held,
}

/// Checks the labels of an exemplar.
fn check_exemplar(labels: &LabelSet) -> Result<()> {
    validate_exemplar_labels(labels, NameScheme::Utf8)
        .map_err(|cause| ErrorKind::InvalidExemplar { cause }.into())
}

mod sealed {
    /// Keeps other crates from implementing [`Metric`](super::Metric).
    pub trait Sealed {}
}
