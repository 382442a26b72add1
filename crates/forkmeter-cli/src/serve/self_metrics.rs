//! What the exporter says of itself and of the directories.

use std::sync::Arc;

use forkmeter_core::{LabelSet, MetricFamily, MetricType, Sample};
use forkmeter_shm::reader::{FileState, Report};

use super::directory::DirectoryRead;
use super::union::{Conflict, Reason};
use crate::overview::{kept_series, size_bytes, worker_state};

/// Describes one family of the exporter.
struct Own {
    /// The family's name.
    family: &'static str,
    /// The name of its samples.
    sample: &'static str,
    kind: MetricType,
    unit: &'static str,
    help: &'static str,
    samples: fn(&Facts<'_>) -> Vec<(LabelSet, f64)>,
}

/// Holds what the samples are made from.
struct Facts<'a> {
    directories: &'a [DirectoryRead],
    conflicts: &'a [Conflict],
}

impl Facts<'_> {
    /// Makes one sample per directory.
    fn per_directory(&self, value: impl Fn(&DirectoryRead) -> f64) -> Vec<(LabelSet, f64)> {
        self.directories
            .iter()
            .map(|read| (directory_label(read), value(read)))
            .collect()
    }

    /// Makes one sample per directory and value of a second label.
    fn per_directory_and<T: Copy>(
        &self,
        (label, values): (&str, &[T]),
        text: impl Fn(T) -> &'static str,
        value: impl Fn(usize, &Report, T) -> u64,
    ) -> Vec<(LabelSet, f64)> {
        let mut samples = Vec::new();
        for (index, read) in self.directories.iter().enumerate() {
            for &case in values {
                let labels = directory_label(read).with(label, text(case));
                samples.push((labels, float(value(index, &read.snapshot.report, case))));
            }
        }
        samples
    }
}

fn directory_label(read: &DirectoryRead) -> LabelSet {
    LabelSet::from_pairs([("directory", &*read.name)])
}

#[expect(clippy::cast_precision_loss, reason = "samples are floats")]
fn float(number: u64) -> f64 {
    number as f64
}

/// All families, by name.
const ALL: [Own; 10] = [
    Own {
        family: "forkmeter_build",
        sample: "forkmeter_build_info",
        kind: MetricType::Info,
        unit: "",
        help: "The version of the exporter.",
        samples: |_| {
            vec![(
                LabelSet::from_pairs([("version", env!("CARGO_PKG_VERSION"))]),
                1.0,
            )]
        },
    },
    Own {
        family: "forkmeter_directory_readable",
        sample: "forkmeter_directory_readable",
        kind: MetricType::Gauge,
        unit: "",
        help: "Whether the directory could be listed (1) or not, for example because it does not exist (0).",
        samples: |facts| facts.per_directory(|read| float(u64::from(read.trouble.is_none()))),
    },
    Own {
        family: "forkmeter_directory_size_bytes",
        sample: "forkmeter_directory_size_bytes",
        kind: MetricType::Gauge,
        unit: "bytes",
        help: "Space that the files in the directory take on disk.",
        samples: |facts| facts.per_directory(|read| float(size_bytes(&read.snapshot.report.files))),
    },
    Own {
        family: "forkmeter_dropped_samples",
        sample: "forkmeter_dropped_samples",
        kind: MetricType::Gauge,
        unit: "",
        help: "Samples left out of this exposition because they contradict another directory.",
        samples: |facts| {
            let samples = |directory, reason| {
                let own = |c: &&Conflict| c.source == directory && c.reason == reason;
                facts
                    .conflicts
                    .iter()
                    .filter(own)
                    .map(|conflict| conflict.samples as u64)
                    .sum()
            };
            let reasons = ("reason", &Reason::ALL[..]);
            facts.per_directory_and(reasons, Reason::as_str, |index, _, reason| {
                samples(index, reason)
            })
        },
    },
    Own {
        family: "forkmeter_files",
        sample: "forkmeter_files",
        kind: MetricType::Gauge,
        unit: "",
        help: "Files in the directory, by what reading them gave.",
        samples: |facts| {
            facts.per_directory_and(
                ("state", &FileState::ALL[..]),
                FileState::as_str,
                |_, report, state| {
                    report
                        .files
                        .iter()
                        .filter(|file| file.state == state)
                        .count() as u64
                },
            )
        },
    },
    Own {
        family: "forkmeter_kept_series",
        sample: "forkmeter_kept_series",
        kind: MetricType::Gauge,
        unit: "",
        help: "Series that live workers keep in memory because they cannot be written.",
        samples: |facts| {
            facts.per_directory(|read| float(kept_series(&read.snapshot.report.workers)))
        },
    },
    Own {
        family: "forkmeter_lost_series",
        sample: "forkmeter_lost_series_total",
        kind: MetricType::Counter,
        unit: "",
        help: "Series whose latest values died in the memory of a worker that could not write them.",
        samples: |facts| facts.per_directory(|read| float(read.snapshot.report.lost_series)),
    },
    Own {
        family: "forkmeter_scrape_duration_seconds",
        sample: "forkmeter_scrape_duration_seconds",
        kind: MetricType::Gauge,
        unit: "seconds",
        help: "How long reading and merging the directory took for this exposition.",
        samples: |facts| facts.per_directory(|read| read.took.as_secs_f64()),
    },
    Own {
        family: "forkmeter_series",
        sample: "forkmeter_series",
        kind: MetricType::Gauge,
        unit: "",
        help: "Series in the directory after the merge.",
        samples: |facts| facts.per_directory(|read| float(read.snapshot.report.series as u64)),
    },
    Own {
        family: "forkmeter_workers",
        sample: "forkmeter_workers",
        kind: MetricType::Gauge,
        unit: "",
        help: "Workers that the directory knows, by whether they live.",
        samples: |facts| {
            facts.per_directory_and(
                ("state", &[true, false][..]),
                worker_state,
                |_, report, alive| {
                    report
                        .workers
                        .iter()
                        .filter(|worker| worker.alive == alive)
                        .count() as u64
                },
            )
        },
    },
];

/// Tells whether a name is the exporter's own.
pub(crate) fn is_reserved(name: &str) -> bool {
    name.starts_with("forkmeter_")
        && ALL
            .iter()
            .any(|own| own.family == name || own.sample == name)
}

/// Appends the exporter's families, by name.
pub(crate) fn append(
    families: &mut Vec<Arc<MetricFamily>>,
    directories: &[DirectoryRead],
    conflicts: &[Conflict],
) {
    let facts = Facts {
        directories,
        conflicts,
    };
    for own in &ALL {
        let samples = (own.samples)(&facts).into_iter();
        families.push(Arc::new(MetricFamily {
            unit: own.unit.into(),
            samples: samples
                .map(|(labels, value)| Sample::new(own.sample, labels, value))
                .collect(),
            ..MetricFamily::new(own.family, own.help, own.kind)
        }));
    }
}
