//! The process collector on a made-up `/proc`, and on the real one.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use forkmeter::{Collector, Format, Gather, ProcessCollector, single_process_registry};

/// A process named `a) b` with known numbers; fields as in `proc_pid_stat(5)`.
const STAT: &str = "42 (a) b) S 1 42 42 0 -1 4194560 100 0 0 0 150 75 0 0 20 0 4 0 4200 123456 \
                    250 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0\n";

fn write_process(directory: &Path, limit: &str) {
    fs::create_dir_all(directory.join("fd")).unwrap();
    for fd in ["0", "1", "2"] {
        fs::write(directory.join("fd").join(fd), "").unwrap();
    }
    fs::write(directory.join("stat"), STAT).unwrap();
    let limits = format!(
        "Limit                     Soft Limit           Hard Limit           Units     \n\
         Max processes             7                    8                    processes \n\
         Max open files            {limit}              524288               files     \n"
    );
    fs::write(directory.join("limits"), limits).unwrap();
}

fn values(collector: &ProcessCollector) -> Vec<(String, f64)> {
    let samples = collector
        .collect()
        .into_iter()
        .flat_map(|family| family.samples);
    samples
        .map(|sample| (sample.name.to_string(), sample.value))
        .collect()
}

#[test]
fn numbers_are_scaled_by_ticks_pages_and_boot_time() {
    let proc = tempfile::tempdir().unwrap();
    fs::write(
        proc.path().join("stat"),
        "cpu 1 2 3\nbtime 1700000000\nprocesses 5\n",
    )
    .unwrap();
    write_process(&proc.path().join("self"), "1024");
    let collector = ProcessCollector::new()
        .with_proc(proc.path())
        .with_namespace("app");
    // Linux gives user space 100 ticks a second and, on the machines we build for, pages of 4 KiB.
    let expected = [
        ("app_process_virtual_memory_bytes", 123_456.0),
        ("app_process_resident_memory_bytes", 250.0 * 4096.0),
        ("app_process_start_time_seconds", 1_700_000_042.0),
        ("app_process_cpu_seconds_total", 2.25),
        ("app_process_open_fds", 3.0),
        ("app_process_max_fds", 1024.0),
    ];
    assert_eq!(
        values(&collector),
        expected.map(|(name, value)| (name.to_string(), value))
    );
    write_process(&proc.path().join("self"), "unlimited");
    assert_eq!(values(&collector)[5].1, f64::INFINITY);
    fs::remove_dir_all(proc.path().join("self/fd")).unwrap();
    assert_eq!(values(&collector).len(), 4);
    fs::write(proc.path().join("self/stat"), "42 (cut off) S 1 2\n").unwrap();
    assert_eq!(values(&collector), []);
    fs::remove_file(proc.path().join("stat")).unwrap();
    assert_eq!(values(&collector), []);
}

/// Exposes what the official client collects from the `/proc` that is its argument.
const OFFICIAL: &str = "\
import sys
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
registry = CollectorRegistry()
ProcessCollector(proc=sys.argv[1], registry=registry)
sys.stdout.buffer.write(generate_latest(registry))
";

#[test]
fn the_exposition_equals_the_official_one() {
    let Some(python) = std::env::var_os("FORKMETER_ORACLE_PYTHON") else {
        eprintln!(
            "SKIPPED process oracle: FORKMETER_ORACLE_PYTHON names no Python with prometheus_client"
        );
        return;
    };
    let proc = tempfile::tempdir().unwrap();
    fs::write(proc.path().join("stat"), "cpu 1 2 3\nbtime 1700000000\n").unwrap();
    write_process(&proc.path().join("self"), "1024");
    let output = std::process::Command::new(python)
        .args(["-B", "-c", OFFICIAL])
        .arg(proc.path())
        .env_remove("PROMETHEUS_MULTIPROC_DIR")
        .output()
        .unwrap();
    let official = String::from_utf8(output.stdout).unwrap();
    let registry = single_process_registry();
    let collector = ProcessCollector::new().with_proc(proc.path());
    registry.register_collector(Arc::new(collector)).unwrap();
    let ours = String::from_utf8(registry.expose(Format::Text004).body).unwrap();
    assert_eq!(
        ours,
        official,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(ours.contains("process_cpu_seconds_total 2.25\n"));
}

#[test]
fn the_real_process_has_plausible_numbers() {
    let registry = single_process_registry();
    registry
        .register_collector(Arc::new(ProcessCollector::new()))
        .unwrap();
    let families = registry.gather().families;
    let value = |name: &str| {
        let mut samples = families.iter().flat_map(|family| &family.samples);
        samples
            .find(|sample| *sample.name == *name)
            .map(|sample| sample.value)
            .unwrap()
    };
    assert!(value("process_resident_memory_bytes") > 100_000.0);
    assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
    assert!(value("process_open_fds") >= 3.0);
    assert!(value("process_max_fds") >= value("process_open_fds"));
    assert!(value("process_start_time_seconds") > 1_000_000_000.0);
    assert!(value("process_cpu_seconds_total") >= 0.0);
    let error = forkmeter::Gauge::builder("process_open_fds", "")
        .register(&registry)
        .unwrap_err();
    assert!(error.registered().unwrap().collector().is_some());
}
