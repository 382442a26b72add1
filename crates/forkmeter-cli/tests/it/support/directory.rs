//! Directories in the official client's layout, written byte by byte.

use std::path::Path;

/// One entry: family, sample, labels, help, value.
pub(crate) type Entry<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, f64);

/// Returns the bytes of a file with these entries.
pub(crate) fn segment(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut bytes = vec![0; 8];
    for (family, sample, labels, help, value) in entries {
        let text = |text: &str| serde_json::to_string(text).unwrap();
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{}: {}", text(name), text(value)))
            .collect();
        let labels = labels.join(", ");
        let key = format!(
            "[{}, {}, {{{labels}}}, {}]",
            text(family),
            text(sample),
            text(help)
        );
        bytes.extend(i32::try_from(key.len()).unwrap().to_le_bytes());
        bytes.extend(key.as_bytes());
        let padding = 8 - bytes.len() % 8;
        bytes.extend(std::iter::repeat_n(b' ', padding));
        bytes.extend(value.to_le_bytes());
        bytes.extend(0.0_f64.to_le_bytes());
    }
    let used = i32::try_from(bytes.len()).unwrap();
    bytes[..4].copy_from_slice(&used.to_le_bytes());
    bytes
}

/// Writes a file of a worker.
pub(crate) fn write(directory: &Path, name: &str, entries: &[Entry<'_>]) {
    std::fs::write(directory.join(name), segment(entries)).unwrap();
}

/// Makes a directory in which two workers counted.
pub(crate) fn fleet() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (pid, value) in [(11, 3.0), (12, 4.0)] {
        let help = "Requests served.";
        let entries: &[Entry<'_>] = &[
            ("requests", "requests_total", &[("path", "/")], help, value),
            ("requests", "requests_total", &[("path", "/a")], help, 1.0),
        ];
        write(directory.path(), &format!("counter_{pid}.db"), entries);
        let help = "Time taken.";
        let entries: &[Entry<'_>] = &[
            ("latency_seconds", "latency_seconds_sum", &[], help, 0.5),
            (
                "latency_seconds",
                "latency_seconds_bucket",
                &[("le", "0.1")],
                help,
                2.0,
            ),
            (
                "latency_seconds",
                "latency_seconds_bucket",
                &[("le", "+Inf")],
                help,
                1.0,
            ),
        ];
        write(directory.path(), &format!("histogram_{pid}.db"), entries);
        let entries: &[Entry<'_>] = &[("in_progress", "in_progress", &[], "Being served.", value)];
        write(
            directory.path(),
            &format!("gauge_livesum_{pid}.db"),
            entries,
        );
    }
    directory
}
