//! The `process_*` metrics: what the kernel says about processes.

mod proc;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use forkmeter_core::registry::Collector;
use forkmeter_core::{LabelSet, MetricFamily, MetricType, Sample};

use self::proc::{Machine, Usage};

/// Collects CPU time, memory, start time and file descriptors of processes from `/proc`.
///
/// Names and values are those of the official clients. Where there is no `/proc` it yields nothing, and leaves
/// out what may not be read.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use forkmeter::{ProcessCollector, single_process_registry};
///
/// let registry = single_process_registry();
/// registry.register_collector(Arc::new(ProcessCollector::new()))?;
/// # if std::path::Path::new("/proc/self/stat").exists() {
/// let names: Vec<_> = registry.gather().families.iter().map(|f| f.name.to_string()).collect();
/// assert!(names.contains(&"process_resident_memory_bytes".to_string()));
/// # }
/// # Ok::<(), forkmeter::Error>(())
/// ```
#[derive(Clone)]
pub struct ProcessCollector {
    namespace: String,
    proc: PathBuf,
    workers: Option<Workers>,
}

type Workers = Arc<dyn Fn() -> Option<Vec<Worker>> + Send + Sync>;

/// How far a start time may be off: it is known to a tick or two, the boot time to a second.
const SLACK_SECONDS: f64 = 2.0;

/// Names a process to look at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Worker {
    pub(crate) pid: u32,
    /// When it said that it was there, as Unix time in seconds: a process that started later is another one.
    pub(crate) seen_seconds: f64,
}

impl ProcessCollector {
    /// Makes a collector of the process that it is called in.
    pub fn new() -> Self {
        Self {
            namespace: String::new(),
            proc: "/proc".into(),
            workers: None,
        }
    }

    /// Puts `namespace` and `_` before the names; empty for nothing.
    #[must_use]
    pub fn with_namespace(mut self, namespace: &str) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Reads another directory than `/proc`, such as one that a container has of its host.
    #[must_use]
    pub fn with_proc(mut self, path: impl Into<PathBuf>) -> Self {
        self.proc = path.into();
        self
    }

    /// Collects the processes that `workers` returns, told apart by a `pid` label; this process alone, without that
    /// label, where it returns nothing.
    #[must_use]
    pub(crate) fn of_workers(
        mut self,
        workers: impl Fn() -> Option<Vec<Worker>> + Send + Sync + 'static,
    ) -> Self {
        self.workers = Some(Arc::new(workers));
        self
    }

    fn families(&self) -> [MetricFamily; FAMILIES.len()] {
        let prefix = if self.namespace.is_empty() { "" } else { "_" };
        FAMILIES.map(|(name, help, kind, _)| {
            let name = format!("{}{prefix}{name}", self.namespace);
            MetricFamily::new(name, help, kind)
        })
    }
}

/// Holds name, help, type and value of a family.
type Description = (
    &'static str,
    &'static str,
    MetricType,
    fn(&Usage) -> Option<f64>,
);

/// The families, in the order of the official client.
const FAMILIES: [Description; 6] = [
    (
        "process_virtual_memory_bytes",
        "Virtual memory size in bytes.",
        MetricType::Gauge,
        |usage| Some(usage.virtual_memory_bytes),
    ),
    (
        "process_resident_memory_bytes",
        "Resident memory size in bytes.",
        MetricType::Gauge,
        |usage| Some(usage.resident_memory_bytes),
    ),
    (
        "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds.",
        MetricType::Gauge,
        |usage| Some(usage.start_time_seconds),
    ),
    (
        "process_cpu_seconds",
        "Total user and system CPU time spent in seconds.",
        MetricType::Counter,
        |usage| Some(usage.cpu_seconds),
    ),
    (
        "process_open_fds",
        "Number of open file descriptors.",
        MetricType::Gauge,
        |usage| usage.open_fds,
    ),
    (
        "process_max_fds",
        "Maximum number of open file descriptors.",
        MetricType::Gauge,
        |usage| usage.max_fds,
    ),
];

/// Tells whether `family` is one of those that a collector without namespace yields.
#[cfg(feature = "testing")]
pub(crate) fn is_process_family(family: &str) -> bool {
    FAMILIES.iter().any(|(name, ..)| *name == family)
}

impl Collector for ProcessCollector {
    fn collect(&self) -> Vec<MetricFamily> {
        let Some(machine) = Machine::read(&self.proc) else {
            return Vec::new();
        };
        let workers = self.workers.as_ref().and_then(|workers| workers());
        let usages: Vec<(LabelSet, Usage)> = match workers {
            None => {
                let own = Usage::read(&self.proc.join("self"), machine);
                own.map(|usage| (LabelSet::empty(), usage))
                    .into_iter()
                    .collect()
            }
            Some(workers) => workers
                .iter()
                .filter_map(|w| self.worker(*w, machine))
                .collect(),
        };
        let mut families = self.families();
        for (family, (_, _, kind, value)) in families.iter_mut().zip(FAMILIES) {
            let suffix = if kind == MetricType::Counter {
                "_total"
            } else {
                ""
            };
            let name: Arc<str> = format!("{}{suffix}", family.name).into();
            for (labels, usage) in &usages {
                if let Some(value) = value(usage) {
                    family
                        .samples
                        .push(Sample::new(Arc::clone(&name), labels.clone(), value));
                }
            }
        }
        families
            .into_iter()
            .filter(|family| !family.samples.is_empty())
            .collect()
    }

    fn describe(&self) -> Vec<MetricFamily> {
        self.families().into()
    }
}

impl ProcessCollector {
    fn worker(&self, worker: Worker, machine: Machine) -> Option<(LabelSet, Usage)> {
        let pid = worker.pid.to_string();
        let usage = Usage::read(&self.proc.join(&pid), machine)?;
        let is_it = usage.start_time_seconds <= worker.seen_seconds + SLACK_SECONDS;
        is_it.then(|| (LabelSet::from_pairs([("pid", pid)]), usage))
    }
}

impl Default for ProcessCollector {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ProcessCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ProcessCollector");
        debug
            .field("namespace", &self.namespace)
            .field("proc", &self.proc);
        debug
            .field("of_workers", &self.workers.is_some())
            .finish_non_exhaustive()
    }
}
