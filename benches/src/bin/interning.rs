//! Times the making of series in a directory, and counts the memory that they take.
//!
//! `interning [SERIES [HISTOGRAMS]]` prints nanoseconds and bytes for each series: of the process's own memory, and of
//! the directory's files that it maps. Run it with `TMPDIR` on a file system in memory.
#![expect(clippy::print_stdout, reason = "the results are for whoever runs this")]
#![expect(
    clippy::cast_precision_loss,
    reason = "numbers of bytes and nanoseconds are far below 2^53"
)]

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use forkmeter_core::store::{Slots, Store};
use forkmeter_core::{Descriptor, MetricType, MultiprocessMode};
use forkmeter_shm::{Directory, Options, ShmStore};

const BOUNDS: [f64; 15] = [
    0.005,
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    f64::INFINITY,
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut counts = std::env::args().skip(1).map(|count| count.parse());
    let counters = counts.next().unwrap_or(Ok(100_000))?;
    let histograms = counts.next().unwrap_or(Ok(5_000))?;
    let path = std::env::temp_dir().join(format!("forkmeter-interning-{}", std::process::id()));
    let outcome = measure(&path, counters, histograms);
    fs::remove_dir_all(&path)?;
    outcome
}

fn measure(path: &Path, counters: usize, histograms: usize) -> Result<(), Box<dyn Error>> {
    let store = ShmStore::new(Options::new(Directory::Fixed(path.to_owned())));
    let counter = descriptor(
        "http_requests",
        MetricType::Counter,
        &["method", "path"],
        &[],
    );
    let histogram = descriptor("http_seconds", MetricType::Histogram, &["path"], &BOUNDS);
    let paths: Vec<String> = (0..counters.max(histograms))
        .map(|number| format!("/api/v1/items/{number}"))
        .collect();
    let mut handles: Vec<Arc<dyn Slots>> = Vec::with_capacity(counters + histograms + 2);
    // What is made once, and pages of the program that are read once.
    handles.push(store.intern(&counter, &["GET", "/"]));
    handles.push(store.intern(&histogram, &["/"]));
    handles.resize(handles.capacity(), Arc::clone(&handles[0]));
    handles.clear();
    report("counter", counters, || {
        let made = paths[..counters]
            .iter()
            .map(|path| store.intern(&counter, &["GET", path]));
        handles.extend(made);
    })?;
    report("histogram", histograms, || {
        let made = paths[..histograms]
            .iter()
            .map(|path| store.intern(&histogram, &[path]));
        handles.extend(made);
    })?;
    report("count on a counter", counters, || {
        for handle in black_box(&handles[..counters]) {
            handle.add(0, 1.0);
        }
    })?;
    let total: f64 = handles[..counters].iter().map(|handle| handle.get(0)).sum();
    if (total - counters as f64).abs() > 0.5 {
        return Err(format!("{total} of {counters} counts are there").into());
    }
    Ok(())
}

fn descriptor(name: &str, kind: MetricType, labels: &[&str], bounds: &[f64]) -> Arc<Descriptor> {
    Arc::new(Descriptor {
        name: name.into(),
        help: "Help.".into(),
        unit: "".into(),
        kind,
        label_names: labels.iter().map(|name| Arc::from(*name)).collect(),
        mode: MultiprocessMode::All,
        upper_bounds: bounds.into(),
        states: Box::default(),
    })
}

/// Prints what each of `count` took.
fn report(what: &str, count: usize, make: impl FnOnce()) -> Result<(), Box<dyn Error>> {
    let (own_before, shared_before) = resident_bytes()?;
    let start = Instant::now();
    make();
    let took = start.elapsed();
    let (own, shared) = resident_bytes()?;
    let each = |bytes: u64, before: u64| (bytes.saturating_sub(before)) as f64 / count as f64;
    println!(
        "{what}: {:.0} ns, {:.0} bytes of its own, {:.0} bytes in files",
        took.as_nanos() as f64 / count as f64,
        each(own, own_before),
        each(shared, shared_before),
    );
    Ok(())
}

/// Returns the resident memory of this process: its own, and that of files.
fn resident_bytes() -> Result<(u64, u64), Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let of = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|line| line.split_whitespace().next());
        kilobytes
            .and_then(|number| number.parse().ok())
            .unwrap_or(0)
            * 1024
    };
    Ok((of("RssAnon:"), of("RssShmem:") + of("RssFile:")))
}
