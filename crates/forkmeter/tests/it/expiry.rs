//! Handles of series that expired: what is counted through them is in the next exposition.

use std::time::Duration;

use forkmeter::{
    Counter, Family, Format, Gather, Gauge, Histogram, Registry, shared_registry,
    single_process_registry,
};

/// Is what one worker declares.
struct Worker {
    registry: Registry,
    requests: Family<Counter, 1>,
    running: Family<Gauge, 1>,
    seconds: Family<Histogram, 1>,
}

impl Worker {
    fn new(registry: Registry) -> Self {
        let after = Duration::ZERO;
        let requests = Counter::builder("requests", "").labels(["a"]);
        let running = Gauge::builder("running", "").labels(["a"]);
        let seconds = Histogram::builder("seconds", "").labels(["a"]);
        Self {
            requests: requests.idle_expiry(after).register(&registry).unwrap(),
            running: running.idle_expiry(after).register(&registry).unwrap(),
            seconds: seconds.idle_expiry(after).register(&registry).unwrap(),
            registry,
        }
    }

    fn hold(&self) -> (Counter, Gauge, Histogram) {
        (
            self.requests.with_label_values(["x"]),
            self.running.with_label_values(["x"]),
            self.seconds.with_label_values(["x"]),
        )
    }

    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.registry.expose(Format::Text004).body).unwrap();
        let lines = text.lines().filter(|line| line.contains("{a=\"x\""));
        let lines = lines.filter(|line| !line.contains("_bucket"));
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        // A gauge has the worker's process identifier besides.
        for line in &mut lines {
            if let Some((name, value)) = line.split_once(",pid=") {
                let value = value.split_once('}').map_or("", |(_, value)| value);
                *line = format!("{name}}}{value}");
            }
        }
        lines.sort();
        lines
    }

    /// Scrapes until nothing is left that nobody counts in.
    fn expire(&self) {
        for _ in 0..3 {
            self.lines();
        }
        assert_eq!(self.lines(), [""; 0]);
    }
}

fn count((requests, running, seconds): &(Counter, Gauge, Histogram)) {
    requests.inc();
    running.set(2.0);
    seconds.observe(0.5);
}

const COUNTED_ONCE: [&str; 4] = [
    "requests_total{a=\"x\"} 1.0",
    "running{a=\"x\"} 2.0",
    "seconds_count{a=\"x\"} 1.0",
    "seconds_sum{a=\"x\"} 0.5",
];

fn check(worker: &Worker) {
    let held = worker.hold();
    for _ in 0..3 {
        count(&held);
        assert_eq!(worker.lines(), COUNTED_ONCE);
        worker.expire();
    }
    // Whoever asks for it gets the same series.
    count(&held);
    worker.hold().0.inc();
    assert_eq!(worker.lines()[0], "requests_total{a=\"x\"} 2.0");
    assert_eq!(held.0.get(), 2.0);
    worker.expire();
    worker.hold();
    assert_eq!(worker.lines()[0], "requests_total{a=\"x\"} 0.0");
    count(&held);
    assert_eq!(worker.lines(), COUNTED_ONCE);
    worker.expire();
}

#[test]
fn handles_of_expired_series_count_on_in_one_process() {
    check(&Worker::new(single_process_registry()));
}

#[test]
fn handles_of_expired_series_count_on_in_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    check(&Worker::new(shared_registry(directory.path())));
}

#[test]
fn handles_of_a_series_that_another_worker_removed_count_on() {
    let directory = tempfile::tempdir().unwrap();
    let one = Worker::new(shared_registry(directory.path()));
    let other = Worker::new(shared_registry(directory.path()));
    let held = one.hold();
    for _ in 0..3 {
        count(&held);
        assert_eq!(one.lines(), COUNTED_ONCE);
        assert_eq!(other.lines(), COUNTED_ONCE);
        other.expire();
        assert_eq!(one.lines(), [""; 0]);
    }
}

#[test]
fn handles_of_expired_series_count_on_after_the_files_were_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("metrics");
    let worker = Worker::new(shared_registry(&path));
    let held = worker.hold();
    count(&held);
    worker.expire();
    std::fs::remove_dir_all(&path).unwrap();
    assert_eq!(worker.lines(), [""; 0]);
    count(&held);
    assert_eq!(worker.lines(), COUNTED_ONCE);
}
