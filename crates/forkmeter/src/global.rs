//! The default registry, where it shares its values, and how other registries are made.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use forkmeter_core::metric::Bound;
use forkmeter_core::registry::{Collector, Registry};
use forkmeter_core::store::{HeapStore, Store};
use forkmeter_core::{MetricFamily, fork};
use forkmeter_shm::process::{install_fork_hooks, unix_seconds};
use forkmeter_shm::workers;
use forkmeter_shm::{Directory, Options, ShmStore};

use crate::default_bounds::DefaultBounds;
use crate::lazy::Lazy;
use crate::process::{ProcessCollector, Worker};

/// The variables that name the directory, the first one that is set and not empty; those of the official client.
const VARIABLES: [&str; 2] = ["PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"];

/// Says where the default registry shares its values with other processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// In the directory that `PROMETHEUS_MULTIPROC_DIR` names at the time; in this process where it names none.
    #[default]
    Environment,
    /// In this directory. It is made where it does not exist.
    Directory(PathBuf),
    /// With nobody: values stay in this process.
    Off,
}

/// Says how the default registry works; given to [`configure`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    sharing: Sharing,
    created_samples: bool,
    process_metrics: bool,
    self_metrics: bool,
    bounds: DefaultBounds,
}

impl Config {
    /// Returns what holds when nothing is configured: shared and bounded as the environment says, no `_created` samples,
    /// `process_*` metrics, no `forkmeter_*` metrics.
    pub const fn new() -> Self {
        Self {
            sharing: Sharing::Environment,
            created_samples: false,
            process_metrics: true,
            self_metrics: false,
            bounds: DefaultBounds::new(),
        }
    }

    /// Sets how many series a family has at most that says nothing of its own with
    /// [`Builder::max_series`](crate::Builder::max_series); `None` for no limit. When not called, the variable
    /// `FORKMETER_MAX_SERIES` decides, and where it is not set or no number there is none.
    ///
    /// As all bounds, it may be configured at any time, and holds from then on for all families of the default registry;
    /// see [`Registry::set_default_bounds`].
    #[must_use]
    pub fn max_series(mut self, max_series: impl Into<Option<usize>>) -> Self {
        self.bounds.max_series = Bound::Own(max_series.into());
        self
    }

    /// Sets after which time a series goes in which nobody counts, in families of counters, histograms and summaries that
    /// say nothing of their own with [`Builder::idle_expiry`](crate::Builder::idle_expiry); `None` for never. When not
    /// called, the variable `FORKMETER_IDLE_SECONDS` decides, as for [`Config::max_series`].
    #[must_use]
    pub fn idle_expiry(mut self, after: impl Into<Option<Duration>>) -> Self {
        self.bounds.idle_after = Bound::Own(after.into());
        self
    }

    /// Sets where values are shared.
    #[must_use]
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// Sets whether counters, histograms and summaries are exposed with a `_created` sample.
    #[must_use]
    pub const fn created_samples(mut self, enabled: bool) -> Self {
        self.created_samples = enabled;
        self
    }

    /// Sets whether the `process_*` metrics are exposed.
    #[must_use]
    pub const fn process_metrics(mut self, enabled: bool) -> Self {
        self.process_metrics = enabled;
        self
    }

    /// Sets whether the `forkmeter_*` metrics are exposed: what the directory holds and how long reading it took,
    /// where values are shared in one.
    #[must_use]
    pub const fn self_metrics(mut self, enabled: bool) -> Self {
        self.self_metrics = enabled;
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

/// Reports that the default registry is in use already with other settings than those that may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigureError {
    used: Config,
}

impl fmt::Display for ConfigureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config {
            created_samples,
            process_metrics,
            self_metrics,
            ..
        } = &self.used;
        write!(
            f,
            "the default registry is in use with created_samples={created_samples}, \
             process_metrics={process_metrics} and self_metrics={self_metrics}; configure it before the first metric is declared"
        )
    }
}

impl std::error::Error for ConfigureError {}

/// What was configured.
static PRESENT: Mutex<Present> = Mutex::new(Present {
    config: Config::new(),
    is_used: false,
    isolated: None,
});

#[derive(Debug)]
struct Present {
    config: Config,
    /// Whether the registry was made from it.
    is_used: bool,
    /// The directory of a test, which wins over the configuration.
    isolated: Option<PathBuf>,
}

struct Global {
    registry: Registry,
    store: Arc<ShmStore>,
}

static DEFAULT: Lazy<Global> = Lazy::new(|| {
    let config = with_present(|present| {
        present.is_used = true;
        present.config.clone()
    });
    let directory = Directory::Follow(current_directory);
    let options = Options {
        created_samples: config.created_samples,
        ..Options::new(directory)
    };
    let store = Arc::new(ShmStore::new(options));
    let registry = Registry::new(Arc::clone(&store) as Arc<dyn Store>);
    config.bounds.set_in(&registry);
    if config.process_metrics {
        let collector =
            ProcessCollector::new().of_workers(|| Some(live_workers(&current_directory()?)));
        // A new registry has no names that could be taken.
        let _ = registry.register_collector(Arc::new(collector));
    }
    if config.self_metrics {
        let _ = registry.register_collector(Arc::new(SelfMetrics(Arc::clone(&store))));
    }
    Global { registry, store }
});

/// Collects what the store says of its directory.
#[derive(Debug)]
struct SelfMetrics(Arc<ShmStore>);

impl Collector for SelfMetrics {
    fn collect(&self) -> Vec<MetricFamily> {
        self.0.self_metrics()
    }

    fn describe(&self) -> Vec<MetricFamily> {
        ShmStore::describe_self_metrics()
    }
}

fn with_present<R>(f: impl FnOnce(&mut Present) -> R) -> R {
    let _section = fork::enter();
    f(&mut PRESENT.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Sets how the default registry works. Not needed where the environment says it all.
///
/// Where values are shared, and the bounds of families, can be set at any time: what is counted from then on stands there,
/// and handles that were made before count there too. A child that `fork` makes keeps the configuration; one that is spawned runs this
/// again or reads the environment.
///
/// # Errors
///
/// When the default registry is in use already and was made with other settings; then nothing changes.
///
/// # Examples
///
/// ```
/// use forkmeter::{Config, Sharing, configure};
///
/// let directory = std::env::temp_dir().join(format!("forkmeter-doc-{}", std::process::id()));
/// configure(Config::new().sharing(Sharing::Directory(directory.clone())))?;
/// assert_eq!(forkmeter::directory(), Some(directory.clone()));
/// # forkmeter::default_registry();
/// # configure(Config::new().sharing(Sharing::Off))?;
/// # let _ = std::fs::remove_dir_all(directory);
/// # Ok::<(), forkmeter::ConfigureError>(())
/// ```
pub fn configure(config: Config) -> Result<(), ConfigureError> {
    with_present(|present| {
        let fixed = |config: &Config| {
            let own = (config.process_metrics, config.self_metrics);
            (config.created_samples, own)
        };
        if present.is_used && fixed(&present.config) != fixed(&config) {
            return Err(ConfigureError {
                used: present.config.clone(),
            });
        }
        present.config = config;
        Ok(())
    })?;
    if let Some(default) = Lazy::get_if_made(&DEFAULT) {
        with_present(|present| present.config.bounds).set_in(&default.registry);
    }
    follow();
    Ok(())
}

/// Shares values in `directory` whatever is configured, or again as it is.
#[cfg(feature = "testing")]
pub(crate) fn share_isolated(directory: Option<PathBuf>) {
    with_present(|present| present.isolated = directory);
    follow();
}

/// Moves the default registry, if it was made, to where values are shared now.
fn follow() {
    if let Some(default) = Lazy::get_if_made(&DEFAULT) {
        default.store.refresh();
    }
}

/// Returns the directory in which the default registry shares its values now; none where they stay in this process.
pub fn directory() -> Option<PathBuf> {
    current_directory()
}

fn current_directory() -> Option<PathBuf> {
    let sharing = with_present(|present| match &present.isolated {
        Some(directory) => Sharing::Directory(directory.clone()),
        None => present.config.sharing.clone(),
    });
    match sharing {
        Sharing::Environment => {
            let set =
                |name: &str| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
            VARIABLES.into_iter().find_map(set).map(PathBuf::from)
        }
        Sharing::Directory(path) => Some(path),
        Sharing::Off => None,
    }
}

/// Returns the workers of a directory that live, this process among them also before it counted anything.
fn live_workers(directory: &Path) -> Vec<Worker> {
    let own = Worker {
        pid: std::process::id(),
        seen_seconds: unix_seconds(),
    };
    let observed = workers::observe(directory).unwrap_or_default().records;
    let others = observed
        .into_iter()
        .filter(|record| record.alive && record.pid != own.pid);
    let others = others.map(|r| Worker {
        pid: r.pid,
        seen_seconds: r.started_seconds,
    });
    let mut all: Vec<Worker> = std::iter::once(own).chain(others).collect();
    all.sort_by_key(|worker| worker.pid);
    all
}

/// Returns the registry of this program, made at first use.
///
/// It exposes what all processes counted that share its directory (see [`Sharing`]), and `process_*` metrics: of this
/// process, or of every live worker with a `pid` label.
pub fn default_registry() -> &'static Registry {
    &DEFAULT.registry
}

/// Makes a registry that shares its values in `directory` with all processes that do the same.
pub fn shared_registry(directory: impl Into<PathBuf>) -> Registry {
    let options = Options::new(Directory::Fixed(directory.into()));
    Registry::new(Arc::new(ShmStore::new(options)))
}

/// Makes a registry whose values stay in the memory of this process, for tests and for tools that are one process.
pub fn single_process_registry() -> Registry {
    // A failure leaves forks unprotected, which is better than no metrics.
    let _ = install_fork_hooks();
    Registry::new(Arc::new(HeapStore::new(unix_seconds)))
}
