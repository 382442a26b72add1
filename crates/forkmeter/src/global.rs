//! The default registry, and how others are made.

use std::sync::Arc;

use forkmeter_core::registry::Registry;
use forkmeter_core::store::HeapStore;
use forkmeter_shm::process::unix_seconds;

use crate::lazy::Lazy;
use crate::process::ProcessCollector;

static DEFAULT: Lazy<Registry> = Lazy::new(|| {
    let registry = single_process_registry();
    // A new registry has no names that could be taken.
    let _ = registry.register_collector(Arc::new(ProcessCollector::new()));
    registry
});

/// Returns the registry of this program, made at first use, with the `process_*` metrics in it.
pub fn default_registry() -> &'static Registry {
    &DEFAULT
}

/// Makes a registry whose values stay in the memory of this process, for tests and for tools that are one process.
pub fn single_process_registry() -> Registry {
    Registry::new(Arc::new(HeapStore::new(unix_seconds)))
}
