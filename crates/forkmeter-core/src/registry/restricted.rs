//! Views of a registry that expose only some names.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Registry, gather};
use crate::store::Collected;

/// Gathers only samples with certain names from a registry.
///
/// Registrations that come later are seen. Custom collectors that described none of the names are not asked.
///
/// # Examples
///
/// ```
/// # use std::sync::Arc;
/// # use forkmeter_core::{metric::Summary, registry::Registry, store::HeapStore};
/// # let registry = Registry::new(Arc::new(HeapStore::new(|| 0.0)));
/// let sizes = Summary::builder("size_bytes", "").register(&registry)?;
/// let view = registry.restricted(["size_bytes_count"]);
/// assert_eq!(&*view.gather().families[0].samples[0].name, "size_bytes_count");
/// assert_eq!(view.gather().families[0].samples.len(), 1);
/// # Ok::<(), forkmeter_core::metric::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RestrictedRegistry {
    registry: Registry,
    names: Arc<HashSet<Box<str>>>,
}

impl RestrictedRegistry {
    pub(super) fn new<T: AsRef<str>>(
        registry: Registry,
        names: impl IntoIterator<Item = T>,
    ) -> Self {
        let names = names
            .into_iter()
            .map(|name| Box::from(name.as_ref()))
            .collect();
        Self {
            registry,
            names: Arc::new(names),
        }
    }

    /// Collects the samples of the registry that have one of the names.
    pub fn gather(&self) -> Collected {
        gather::gather(&self.registry, Some(&self.names))
    }
}
